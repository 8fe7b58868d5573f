"""The injection webhook, and a mesh's validating one, which every replica serves over HTTPS.

The leader writes the CA bundle into the webhook configurations, so that the API server trusts the replicas.
istiod also makes validating ones fail closed, because its chart leaves them open until it serves.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from meshkit.kube import yaml_input
from meshkit.sandbox.control_planes import serving
from meshkit.sandbox.control_planes.api_client import JSON_PATCH, ApiClient, ApiError, Mirror
from meshkit.sandbox.control_planes.authority import BUNDLE_KEY
from meshkit.sandbox.control_planes.identity import Authority
from meshkit.sandbox.control_planes.injector import (
    Annotation,
    Injection,
    Injector,
    Patch,
    annotation_patch,
    patch_for,
)

_LOG = logging.getLogger("webhook")
_MUTATING, _VALIDATING = "mutatingwebhookconfigurations", "validatingwebhookconfigurations"
_GROUP = "admissionregistration.k8s.io"
_VALIDATE = "/validate"
"""The path of validating webhooks in Istio's charts."""
Warnings = Callable[[Mapping[str, Any]], Sequence[str]]
"""The warnings with which an object of the mesh is admitted."""


class InjectionWebhook:
    """Answers AdmissionReviews for pods of any namespace, and for Services where the mesh annotates them.

    With ``warnings``, it also answers the mesh's validating webhooks. ``service`` is the name that the API
    server calls. ``bundle`` is the ConfigMap with the roots to inject, in the control plane's namespace; it
    is empty for a mesh that does not inject roots. ``mesh_config`` is likewise the ConfigMap with the mesh
    config. ``mounted_values`` is the folder with the values of the mesh's charts.
    """

    def __init__(
        self,
        api: ApiClient,
        *,
        inject: Injection,
        version: str,
        revision: str,
        service: str,
        namespace: str,
        bundle: str = "",
        mesh_config: str = "",
        annotate: Annotation | None = None,
        mounted_roots: Path | None = None,
        mounted_values: Path | None = None,
        warnings: Warnings | None = None,
    ) -> None:
        self._api = api
        self._warnings = warnings
        self._inject = inject
        self._bundle = bundle
        self._mesh_config = mesh_config
        self._revision = revision
        self._version = version
        self._service = service
        self._namespace = namespace
        self._annotate = annotate
        self._mounted_roots = mounted_roots
        self._mounted_values = mounted_values
        self._kinds = (_MUTATING, _VALIDATING) if warnings else (_MUTATING,)

    async def serve(self, context: ssl.SSLContext, host: str, port: int) -> None:
        """Start to serve HTTPS; return when the server listens."""
        await serving.serve(self.application(), host, port, context)

    def application(self) -> web.Application:
        """Return what answers the AdmissionReviews."""
        application = web.Application()
        application.router.add_post("/{path:.*}", self._review)
        return application

    def issued(self, authority: Authority) -> ssl.SSLContext:
        """Return a TLS context with a serving certificate of the mesh's CA."""
        host = f"{self._service}.{self._namespace}"
        return serving.issued(authority, [f"{host}.svc", host, f"{host}.svc.cluster.local"])

    async def keep_trusted(self, authority: Authority) -> None:
        """Write the CA into every webhook configuration of this Service, until cancelled."""
        mirror = Mirror(self._api, [f"{kind}.{_GROUP}" for kind in self._kinds])
        bundle = base64.b64encode(authority.roots.encode()).decode()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(mirror.run())
            while True:
                await mirror.changed.wait()
                mirror.changed.clear()
                for item in list(mirror.objects[_MUTATING].values()):
                    await self._trust(item, bundle)
                for item in list(mirror.objects[_VALIDATING].values()) if _VALIDATING in self._kinds else ():
                    await self._close(item, bundle)

    async def _close(self, item: Mapping[str, Any], bundle: str) -> None:
        """Write the CA bundle into a validating configuration of this Service, and let it fail closed."""
        changed = copy.deepcopy(dict(item))
        for hook in changed.get("webhooks") or ():
            if self._is_mine(hook):
                hook["clientConfig"]["caBundle"], hook["failurePolicy"] = bundle, "Fail"
        if changed == item:
            return
        try:
            await self._api.update(f"{_VALIDATING}.{_GROUP}", changed)
        except (ApiError, aiohttp.ClientError, OSError) as problem:
            _LOG.warning("cannot write the caBundle of %s: %s", item["metadata"]["name"], problem)

    async def _trust(self, item: Mapping[str, Any], bundle: str) -> None:
        patch = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle}
            for index, hook in enumerate(item.get("webhooks") or ())
            if self._is_mine(hook) and hook["clientConfig"].get("caBundle") != bundle
        ]
        if not patch:
            return
        try:
            name = item["metadata"]["name"]
            await self._api.patch(f"{_MUTATING}.{_GROUP}", name, None, patch, form=JSON_PATCH)
        except (ApiError, aiohttp.ClientError, OSError) as problem:
            _LOG.warning("cannot write the caBundle of %s: %s", item["metadata"]["name"], problem)

    def _is_mine(self, hook: Mapping[str, Any]) -> bool:
        service = hook["clientConfig"].get("service") or {}
        return service.get("name") == self._service and service.get("namespace") == self._namespace

    async def _trusted_roots(self) -> str:
        if self._mounted_roots is not None:
            return (self._mounted_roots / BUNDLE_KEY).read_text()
        if not self._bundle:
            return ""
        return await self._read(self._bundle, BUNDLE_KEY)

    async def _read(self, config_map: str, key: str) -> str:
        found = await self._api.get("configmaps", config_map, self._namespace) if config_map else None
        return ((found or {}).get("data") or {}).get(key) or ""

    async def _review(self, request: web.Request) -> web.Response:
        review = await request.json()
        admission = review["request"]
        response: dict[str, Any] = {"uid": admission["uid"], "allowed": True}
        item = admission.get("object") or {}
        if self._warnings and request.path.startswith(_VALIDATE):
            response["warnings"] = list(self._warnings(item))
        elif patch := await self._patch(item, str(admission.get("namespace") or "")):
            response["patchType"] = "JSONPatch"
            response["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
        kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        return web.json_response({**kind, "response": response})

    async def _patch(self, item: Mapping[str, Any], namespace: str) -> Patch:
        kind = item.get("kind", "Pod")
        if not item.get("spec") or kind not in ("Pod", "Service"):
            return []
        found = await self._api.get("namespaces", namespace) or {"metadata": {"name": namespace}}
        if kind == "Pod":
            injector = Injector(
                self._version,
                self._revision,
                await self._trusted_roots(),
                self._values(),
                await self._read(self._mesh_config, "mesh"),
            )
            return patch_for(self._inject, item, found, injector)
        if self._annotate is None:
            return []
        injector = Injector(self._version, self._revision, values=self._values())
        return annotation_patch(self._annotate, item, found, injector)

    def _values(self) -> Mapping[str, Any]:
        if self._mounted_values is None:
            return {}
        values = yaml_input.load((self._mounted_values / "values").read_text())
        return values if isinstance(values, dict) else {}
