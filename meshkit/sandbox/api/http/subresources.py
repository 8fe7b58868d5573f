"""What hangs below an object and is no plain part of it: scale, token, finalize, and a pod's log,
proxy and eviction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from meshkit.sandbox.api import status
from meshkit.sandbox.api.admission.eviction import Evictions
from meshkit.sandbox.api.auth.users import ISSUER, Tokens
from meshkit.sandbox.api.http.answers import as_json
from meshkit.sandbox.api.http.call import Call, deletion_asked, method_not_allowed, patch_kind
from meshkit.sandbox.api.http.pod_streams import Pods, split_name
from meshkit.sandbox.api.http.scale import scale_of, with_replicas
from meshkit.sandbox.api.requests import Target, now
from meshkit.sandbox.api.schema.decoding import patched
from meshkit.sandbox.api.storage.store import Stored
from meshkit.sandbox.api.storage.writes import Writes

_NOT_SERVED = ("attach", "exec", "portforward", "ephemeralcontainers", "binding")
_TOKEN_LIFETIME_S = 3600


class Subresources:
    """Answers requests to them."""

    def __init__(self, writes: Writes, tokens: Tokens, pods: Pods) -> None:
        self._writes = writes
        self._tokens = tokens
        self._pods = pods
        self._evictions = Evictions(writes)

    async def answer(self, call: Call) -> web.StreamResponse:
        """One request below an object. Raises ApiError 404 or, for what a sandbox cannot have, 501."""
        name = call.route.subresource
        if name in _NOT_SERVED:
            why = f"the sandbox does not serve {call.route.plural}/{name}; use pods/proxy and pods/log"
            raise status.ApiError(501, "NotImplemented", why)
        if name not in call.resource.subresources:
            raise status.no_such_path()
        if name in ("log", "proxy"):
            return await self._pod(call)
        if name == "eviction" and call.request.method == "POST":
            return await self._evict(call)
        if name == "token" and call.request.method == "POST":
            return await self._token(call)
        if name == "finalize" and call.request.method == "PUT":
            return await self._finalize(call)
        if name == "scale" and call.request.method in ("GET", "PUT", "PATCH"):
            return await self._scale(call)
        raise method_not_allowed()

    def _present(self, target: Target) -> Stored:
        stored = self._writes.store.get(target.key)
        if stored is None:
            raise target.not_found()
        return stored

    async def _pod(self, call: Call) -> web.StreamResponse:
        if call.route.subresource == "log":
            pod = self._present(call.target).object

            def present() -> Mapping[str, Any] | None:
                stored = self._writes.store.get(call.target.key)
                same = stored and stored.object["metadata"]["uid"] == pod["metadata"]["uid"]
                return stored.object if stored and same else None

            return await self._pods.log(call.request, pod, present)
        name, port = split_name(call.route.name)
        stored = self._present(Target(call.resource, call.target.namespace, name))
        return await self._pods.proxy(call.request, stored.object, port, call.route.tail)

    async def _evict(self, call: Call) -> web.Response:
        body = await call.body()
        given = (body.get("metadata") or {}).get("name") or call.target.name
        if given != call.target.name:
            raise status.bad_request(
                f"name in URL does not match name in Eviction object: {call.target.name} != {given}"
            )
        delete = deletion_asked(body.get("deleteOptions") or {}, call.query)
        pod = Target(call.resource, call.target.namespace, call.target.name)
        await self._evictions.evict(pod, delete, call.options())
        done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        return as_json(call.request, done, code=201)

    async def _scale(self, call: Call) -> web.Response:
        stored = self._present(call.target)
        scale = scale_of(call.resource, stored.object)
        if call.request.method == "GET":
            return as_json(call.request, scale)
        body = await call.body()
        if call.request.method == "PATCH":
            kind = patch_kind(call.media_type)
            body = patched(call.target, "merge" if kind == "strategic" else kind, scale, body)
        wanted = with_replicas(call.resource, stored.object, body)
        scaled = await self._writes.replace(call.target, wanted, call.options())
        return as_json(call.request, scale_of(call.resource, scaled))

    async def _token(self, call: Call) -> web.Response:
        """TokenRequest for a ServiceAccount."""
        stored = self._present(call.target)
        body = await call.body()
        spec = body.get("spec") or {}
        lifetime_s = int(spec.get("expirationSeconds") or _TOKEN_LIFETIME_S)
        uid = stored.object["metadata"]["uid"]
        bound = spec.get("boundObjectRef") or {}
        pod = {"name": bound["name"], "uid": bound.get("uid", "")} if bound.get("kind") == "Pod" else None
        token = self._tokens.issue(call.target.namespace, call.target.name, uid, lifetime_s, pod)
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": call.target.name,
                "namespace": call.target.namespace,
                "creationTimestamp": now(),
            },
            "spec": {"audiences": [ISSUER], **spec, "expirationSeconds": lifetime_s},
            "status": {"token": token, "expirationTimestamp": now(after_s=lifetime_s)},
        }
        return as_json(call.request, answer, code=201)

    async def _finalize(self, call: Call) -> web.Response:
        """A namespace lets go of its finalizers."""
        body = await call.body()
        if not (body.get("spec") or {}).get("finalizers"):
            self._writes.finalize_namespace(call.route.name)
        return as_json(call.request, body)
