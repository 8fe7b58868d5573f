"""Serves the control API of a workload, with which its behaviour or its load is changed.

Every user of the machine can reach a port of the sandbox's pods. So there, where ``$MESHKIT_CONTROL`` is set,
the control API is on a socket that only this user can open, to which the API server's ``pods/proxy`` and
``pods/portforward`` lead, and the port itself serves ``/healthz`` only.
"""

from __future__ import annotations

import os

from meshkit.sandbox.workloads.http1 import Handler, HttpServer, Request, Response, listen_address

REFUSAL = (
    "the sandbox serves the control API through its API server only: "
    "kubectl get --raw /api/v1/namespaces/NAMESPACE/pods/POD:{port}/proxy{path}; "
    "if the pod has a sidecar, exclude port {port} from it"
)


async def serve_control(handler: Handler, port: int) -> list[HttpServer]:
    """Serve the control API and ``/healthz`` for as long as the returned servers are kept."""
    private = os.environ.get("MESHKIT_CONTROL", "").replace("{port}", str(port))
    served = {private: handler, listen_address(port): _health_of(handler, port)} if private else {}
    servers = []
    for address, answer in (served or {listen_address(port): handler}).items():
        servers.append(HttpServer(answer))
        await servers[-1].listen(address)
    return servers


def _health_of(handler: Handler, port: int) -> Handler:
    async def answer(request: Request) -> Response:
        if request.path == "/healthz":
            return await handler(request)
        return Response.of_json(403, {"error": REFUSAL.format(port=port, path=request.path)})

    return answer
