"""The sandbox's version of Linkerd's validating webhooks, which allows every object.

Objects that a real webhook refuses are refused by the schema of their CRD, or the sandbox's control plane
reports in an Event that they have no effect.
"""

from __future__ import annotations

from aiohttp import web


def application() -> web.Application:
    """Return an application that allows every review on every path."""
    app = web.Application()
    app.router.add_post("/{path:.*}", _review)
    return app


async def _review(request: web.Request) -> web.Response:
    admission = (await request.json())["request"]
    kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    return web.json_response({**kind, "response": {"uid": admission["uid"], "allowed": True}})
