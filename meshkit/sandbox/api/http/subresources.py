"""Subresources other than status, such as scale, token, finalize and a pod's log, proxy and eviction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from meshkit.meshes.model.pods import service_account
from meshkit.sandbox.api import offload, status
from meshkit.sandbox.api.admission.eviction import Evictions
from meshkit.sandbox.api.auth.users import ISSUER, Tokens
from meshkit.sandbox.api.http import negotiation
from meshkit.sandbox.api.http.answers import as_json, one_object
from meshkit.sandbox.api.http.call import Call, deletion_asked
from meshkit.sandbox.api.http.pod_streams import Pods, split_name
from meshkit.sandbox.api.http.scale import replicas_only, scale_of, with_replicas
from meshkit.sandbox.api.requests import Object, Options, Target, now
from meshkit.sandbox.api.schema.decoding import decoded_whole, patched
from meshkit.sandbox.api.storage import typed
from meshkit.sandbox.api.storage.store import Key, Stored
from meshkit.sandbox.api.storage.writes import Writes

_NOT_SERVED = ("attach", "exec", "ephemeralcontainers", "binding")
_TOKEN_LIFETIME_S = 3600
_SHORTEST_TOKEN_S, _LONGEST_TOKEN_S = 600, 1 << 32
"""The bounds of kube-apiserver (kubernetes/pkg/apis/authentication/validation)."""


class Subresources:
    """Answer requests to subresources."""

    def __init__(self, writes: Writes, tokens: Tokens, pods: Pods) -> None:
        self._writes = writes
        self._tokens = tokens
        self._pods = pods
        self._evictions = Evictions(writes)

    def check(self, call: Call) -> None:
        """Raise ApiError 404 for an unknown subresource, or 501 for one that the sandbox does not support."""
        name = call.route.subresource
        if call.route.plural == "pods" and name in _NOT_SERVED:
            why = f"the sandbox does not serve pods/{name}; use pods/portforward, pods/proxy and pods/log"
            raise status.ApiError(501, "NotImplemented", why)
        if name and name not in call.resource.subresources:
            raise status.no_such_path()

    async def answer(self, call: Call) -> web.StreamResponse:
        """Answer a request to a subresource."""
        answers = {
            "eviction": self._evict,
            "finalize": self._finalize,
            "log": self._log,
            "portforward": self._forward_ports,
            "proxy": self._proxy,
            "scale": self._scale,
            "token": self._token,
        }
        return await answers[call.route.subresource](call)

    def _present(self, target: Target) -> Stored:
        stored = self._writes.store.get(target.key)
        if stored is None:
            raise target.not_found()
        return stored

    async def _log(self, call: Call) -> web.StreamResponse:
        pod = self._present(call.target).object

        def present() -> Mapping[str, Any] | None:
            stored = self._writes.store.get(call.target.key)
            same = stored and stored.object["metadata"]["uid"] == pod["metadata"]["uid"]
            return stored.object if stored and same else None

        return await self._pods.log(call.request, pod, present)

    async def _proxy(self, call: Call) -> web.StreamResponse:
        name, port = split_name(call.route.name)
        stored = self._present(Target(call.resource, call.target.namespace, name))
        return await self._pods.proxy(call.request, stored.object, port, call.route.tail)

    async def _forward_ports(self, call: Call) -> web.StreamResponse:
        return await self._pods.forward_ports(call.request, self._present(call.target).object)

    async def _body(self, call: Call) -> tuple[Object, Options]:
        """Return the body as the subresource's kind, and the write options."""
        body = await call.body()
        options = call.options()
        return await self._decoded(call, body, options), options

    async def _decoded(self, call: Call, body: Any, options: Options) -> Object:
        return await offload.run(options.large, decoded_whole, _body_target(call), body, options)

    async def _evict(self, call: Call) -> web.Response:
        body, options = await self._body(call)
        given = body["metadata"].get("name") or call.target.name
        if given != call.target.name:
            raise status.bad_request(
                f"name in URL does not match name in Eviction object: {call.target.name} != {given}"
            )
        delete = deletion_asked(body.get("deleteOptions") or {}, call.query)
        pod = Target(call.resource, call.target.namespace, call.target.name)
        await self._evictions.evict(pod, delete, options)
        done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        return as_json(call.request, done, code=201)

    async def _scale(self, call: Call) -> web.Response:
        stored = self._present(call.target)
        resource = call.resource
        scale = scale_of(resource, stored.object)
        if call.request.method == "GET":
            return one_object(_of_body(call), scale, None)
        body = await call.body()
        options = call.options()
        if call.media_type == negotiation.APPLY and call.request.method == "PATCH":
            return await self._apply_scale(call, call.configuration(body), options)
        if call.request.method == "PATCH":
            body = await offload.run(
                options.large, patched, _body_target(call), call.patch_kind(), scale, body
            )
        wanted = with_replicas(resource, stored.object, await self._decoded(call, body, options))
        scaled = await self._writes.replace(call.target, wanted, options)
        return one_object(_of_body(call), scale_of(resource, scaled), options)

    async def _apply_scale(self, call: Call, config: Object, options: Options) -> web.Response:
        """Apply a Scale by applying a workload configuration that contains only the replicas."""
        await offload.run(options.large, typed.check, _body_target(call), config)
        workload_config = replicas_only(call.resource, await self._decoded(call, config, options))
        scaled, _ = await self._writes.apply(call.target, workload_config, options)
        return one_object(_of_body(call), scale_of(call.resource, scaled), options)

    async def _token(self, call: Call) -> web.Response:
        """Answer a TokenRequest for a ServiceAccount."""
        stored = self._present(call.target)
        body, options = await self._body(call)
        spec = body.get("spec") or {}
        lifetime_s = _lifetime_s(spec)
        audiences = spec.get("audiences") or [ISSUER]
        uid = stored.object["metadata"]["uid"]
        pod = self._bound_pod(call, spec.get("boundObjectRef"))
        token = self._tokens.issue(call.target.namespace, call.target.name, uid, lifetime_s, pod, audiences)
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": call.target.name,
                "namespace": call.target.namespace,
                "creationTimestamp": now(),
            },
            "spec": {**spec, "audiences": audiences, "expirationSeconds": lifetime_s},
            "status": {"token": token, "expirationTimestamp": now(after_s=lifetime_s)},
        }
        return one_object(_of_body(call), answer, options, code=201)

    def _bound_pod(self, call: Call, ref: Mapping[str, Any] | None) -> dict[str, str] | None:
        """Return the name and uid of the pod that a token is to end with, which must run as its account."""
        if not ref:
            return None
        account = call.target.name
        if (ref.get("kind"), ref.get("apiVersion")) != ("Pod", "v1"):
            asked = f"{ref.get('apiVersion', '')} {ref.get('kind', '')}".strip()
            why = f'cannot bind token for serviceaccount "{account}" to {asked}'
            raise status.bad_request(f"{why}: the sandbox binds tokens to pods only")
        name = str(ref.get("name") or "")
        stored = self._writes.store.get(Key("pods", call.target.namespace, name))
        if stored is None:
            raise status.not_found("pods", "", name)
        if service_account(stored.object) != account:
            why = f'cannot bind token for serviceaccount "{account}" to pod running with different'
            raise status.bad_request(f"{why} serviceaccount name.")
        uid = stored.object["metadata"]["uid"]
        if ref.get("uid") and ref["uid"] != uid:
            why = f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record"
            raise status.conflict("pods", "", name, why)
        return {"name": name, "uid": uid}

    async def _finalize(self, call: Call) -> web.Response:
        """Remove a terminating namespace when the request clears its finalizers."""
        stored = self._present(call.target)
        body, options = await self._body(call)
        if not options.dry_run and not (body.get("spec") or {}).get("finalizers"):
            self._writes.finalize_namespace(stored.key.name)
        return one_object(call, body, options)


def _lifetime_s(spec: Mapping[str, Any]) -> int:
    """Return how long a token is to be valid; raise ApiError 422 outside Kubernetes' bounds."""
    asked = spec.get("expirationSeconds")
    lifetime_s = _TOKEN_LIFETIME_S if asked is None else int(asked)
    bounds = (
        (lifetime_s < _SHORTEST_TOKEN_S, "may not specify a duration less than 10 minutes"),
        (lifetime_s > _LONGEST_TOKEN_S, "may not specify a duration larger than 2^32 seconds"),
    )
    causes = [
        status.invalid_value("spec.expirationSeconds", lifetime_s, why)
        for is_wrong, why in bounds
        if is_wrong
    ]
    if causes:
        raise status.invalid("TokenRequest", "authentication.k8s.io", "", causes)
    return lifetime_s


def _body_target(call: Call) -> Target:
    """Return a target whose resource is the kind of the subresource's body, for decoding."""
    return replace(call.target, resource=call.resource.body_of(call.route.subresource), subresource="")


def _of_body(call: Call) -> Call:
    """Return the call with the kind of the subresource's body, for the response."""
    return replace(call, resource=call.resource.body_of(call.route.subresource))
