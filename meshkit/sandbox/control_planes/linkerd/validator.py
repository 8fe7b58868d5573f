"""The sandbox's version of Linkerd's validating webhooks: they refuse what its controllers cannot read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from aiohttp import web

from meshkit.meshes.linkerd.meaning import admission
from meshkit.sandbox.control_planes.api_client import ApiClient, ApiError

_LOG = logging.getLogger("validator")
_SERVERS = "servers.v1beta3.policy.linkerd.io"


def application(api: ApiClient) -> web.Application:
    """Return an application that reviews objects on every path. ``api`` is asked for Servers."""

    async def review(request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        why = admission.refusal(asked["object"], await _servers(api, asked)) if asked.get("object") else ""
        kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        return web.json_response({**kind, "response": _answer(asked["uid"], why)})

    app = web.Application()
    app.router.add_post("/{path:.*}", review)
    return app


def _answer(uid: str, why: str) -> Mapping[str, Any]:
    if not why:
        return {"uid": uid, "allowed": True}
    return {"uid": uid, "allowed": False, "status": {"code": 403, "message": f"{why}."}}


async def _servers(api: ApiClient, asked: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The Servers of the namespace, if a Server is reviewed."""
    if asked["object"].get("kind") != "Server":
        return ()
    try:
        return await api.list(_SERVERS, asked.get("namespace"))
    except (ApiError, aiohttp.ClientError, OSError) as problem:
        _LOG.warning("cannot list Servers: %s", problem)
        return ()
