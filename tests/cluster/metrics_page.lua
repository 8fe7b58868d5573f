-- Rewrites the page of Envoy's metrics: the counters of the access logger "istiocustom" get the names and labels of
-- Istio's own filter. telemetry.py says which labels the logger writes.
local unknown = "unknown"

local function service(name, namespace, rest)
  return {
    destination_service = rest and (name .. "." .. namespace .. rest) or unknown,
    destination_service_name = name or unknown,
    destination_service_namespace = namespace or unknown,
  }
end

local rewritten = {}

-- outbound|8080|v1|web.shop.svc.cluster.local
function rewritten.to_cluster(value)
  return service(value:match("^outbound|%d+|[^|]*|([^.]+)%.([^.]+)(.*)$"))
end

-- web.shop:8080
function rewritten.to_host(value)
  local name, namespace = value:match("^([^.:]+)%.([^.:]+)")
  return service(name, namespace, name and ".svc.cluster.local")
end

-- WORKLOAD;NAMESPACE;SERVICE;VERSION;CLUSTER
function rewritten.to_workload(value)
  local name, namespace, app, version = value:match("^([^;]*);([^;]*);([^;]*);([^;]*)")
  return {
    destination_workload = name or unknown,
    destination_workload_namespace = namespace or unknown,
    destination_app = app or unknown,
    destination_version = version or unknown,
  }
end

function rewritten.from_identity(value)
  local proven = value:find("^spiffe://") ~= nil
  return {
    connection_security_policy = proven and "mutual_tls" or "none",
    source_principal = proven and value or unknown,
  }
end

local function labels(text)
  local written = {}
  for name, value in text:gmatch('([%w_]+)="([^"]*)"') do
    local rewrite = rewritten[name]
    for each, other in pairs(rewrite and rewrite(value) or { [name] = value }) do
      written[#written + 1] = each .. '="' .. other .. '"'
    end
  end
  table.sort(written)
  return "{" .. table.concat(written, ",") .. "}"
end

local function line_of(line)
  local name, text, value = line:match("^envoy_istiocustom_([%w_]+)(%b{})(.*)$")
  if name then
    return name .. labels(text) .. value
  end
  return (line:gsub("envoy_istiocustom_", ""))
end

function envoy_on_response(handle)
  local body = handle:body()
  if body == nil then
    return
  end
  local lines = {}
  for line in body:getBytes(0, body:length()):gmatch("[^\n]*") do
    lines[#lines + 1] = line_of(line)
  end
  body:setBytes(table.concat(lines, "\n") .. "\n")
end
