"""The injection webhook:

every replica answers it over HTTPS, the leader makes the API server trust the answer.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from meshkit.sandbox.control_planes import serving
from meshkit.sandbox.control_planes.api_client import JSON_PATCH, ApiClient, ApiError, Mirror
from meshkit.sandbox.control_planes.authority import BUNDLE_KEY
from meshkit.sandbox.control_planes.identity import Authority
from meshkit.sandbox.control_planes.injector import Injection, Injector, patch_for

_LOG = logging.getLogger("webhook")
_CONFIGURATIONS = "mutatingwebhookconfigurations.admissionregistration.k8s.io"


class InjectionWebhook:
    """Answers AdmissionReviews for pods of any namespace. ``service`` is the name the API server calls.

    ``bundle`` is the ConfigMap of the roots that proxies are told, in the control plane's namespace; empty
    for a mesh whose proxies are told none.
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
        mounted_roots: Path | None = None,
    ) -> None:
        self._api = api
        self._inject = inject
        self._bundle = bundle
        self._revision = revision
        self._version = version
        self._service = service
        self._namespace = namespace
        self._mounted_roots = mounted_roots

    async def serve(self, context: ssl.SSLContext, host: str, port: int) -> None:
        """Serve HTTPS. Returns when it listens."""
        application = web.Application()
        application.router.add_post("/{path:.*}", self._review)
        await serving.serve(application, context, host, port)

    def issued(self, authority: Authority) -> ssl.SSLContext:
        """To serve with a certificate of the mesh's CA."""
        host = f"{self._service}.{self._namespace}"
        return serving.issued(authority, [f"{host}.svc", host, f"{host}.svc.cluster.local"])

    async def keep_trusted(self, authority: Authority) -> None:
        """Write the CA into every webhook configuration that points at this Service.

        The leader's work, for ever.
        """
        mirror = Mirror(self._api, [_CONFIGURATIONS])
        bundle = base64.b64encode(authority.roots.encode()).decode()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(mirror.run())
            while True:
                await mirror.changed.wait()
                mirror.changed.clear()
                for item in list(mirror.objects["mutatingwebhookconfigurations"].values()):
                    await self._trust(item, bundle)

    async def _trust(self, item: Mapping[str, Any], bundle: str) -> None:
        patch = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle}
            for index, hook in enumerate(item.get("webhooks") or ())
            if self._is_mine(hook) and hook["clientConfig"].get("caBundle") != bundle
        ]
        if not patch:
            return
        try:
            await self._api.patch(_CONFIGURATIONS, item["metadata"]["name"], None, patch, form=JSON_PATCH)
        except (ApiError, aiohttp.ClientError, OSError) as problem:
            _LOG.warning("caBundle of %s not written: %s", item["metadata"]["name"], problem)

    def _is_mine(self, hook: Mapping[str, Any]) -> bool:
        service = hook["clientConfig"].get("service") or {}
        return service.get("name") == self._service and service.get("namespace") == self._namespace

    async def _trusted_roots(self) -> str:
        if self._mounted_roots is not None:
            return (self._mounted_roots / BUNDLE_KEY).read_text()
        if not self._bundle:
            return ""
        found = await self._api.get("configmaps", self._bundle, self._namespace)
        return ((found or {}).get("data") or {}).get(BUNDLE_KEY) or ""

    async def _review(self, request: web.Request) -> web.Response:
        review = await request.json()
        asked = review["request"]
        response: dict[str, Any] = {"uid": asked["uid"], "allowed": True}
        pod = asked.get("object") or {}
        if pod.get("kind", "Pod") == "Pod" and pod.get("spec"):
            namespace = await self._api.get("namespaces", asked["namespace"])
            bare = {"metadata": {"name": asked["namespace"]}}
            injector = Injector(self._version, self._revision, await self._trusted_roots())
            patch = patch_for(self._inject, pod, namespace or bare, injector)
            if patch:
                response["patchType"] = "JSONPatch"
                response["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
        kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        return web.json_response({**kind, "response": response})
