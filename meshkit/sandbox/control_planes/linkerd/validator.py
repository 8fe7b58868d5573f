"""Linkerd's validating webhooks, as the sandbox answers them: everything is allowed.

What a real one refuses, a definition's schema refuses too, or the sandbox's control plane says in an Event
that it does not carry it out.
"""

from __future__ import annotations

from aiohttp import web


def application() -> web.Application:
    """The webhook's pages: one answer for every path."""
    made = web.Application()
    made.router.add_post("/{path:.*}", _review)
    return made


async def _review(request: web.Request) -> web.Response:
    asked = (await request.json())["request"]
    kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    return web.json_response({**kind, "response": {"uid": asked["uid"], "allowed": True}})
