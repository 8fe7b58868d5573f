"""The real istiod beside the real API server: outside the cluster, its webhook reached by address."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from meshkit.cluster.connect import connect
from meshkit.facts import Kind, Object
from tests.conformance.cluster import RealCluster
from tests.conformance.need import need
from tests.conformance.processes import free_port, running

NAMESPACE = "istio-system"
VALIDATOR = "istio-validator-istio-system"
"""The name that istiod looks for, with its namespace, to put its certificate authority into."""
WEBHOOK = Kind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
GROUPS = ("security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io")
FOR_PLAIN_ENVOY = {
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "PILOT_DEBOUNCE_AFTER": "10ms",
}
"""What only Istio's own build of Envoy has is switched off; changes are told at once."""


@contextmanager
def running_istiod(cluster: RealCluster) -> Iterator[str]:
    """istiod for the time of a ``with`` block, with its validating webhook in force; the address at which it
    serves proxies that prove who they are.

    Istio's definitions and the namespace must be there.
    """
    api = connect(kubeconfig=cluster.kubeconfig).api
    folder = cluster.folder / "istiod"
    folder.mkdir(exist_ok=True)
    ports = {name: free_port() for name in ("http", "grpc", "secure", "https", "monitoring")}
    environment = {
        **os.environ,
        **FOR_PLAIN_ENVOY,
        "POD_NAME": "istiod-0",
        "POD_NAMESPACE": NAMESPACE,
        "REVISION": "default",
        "PILOT_CERT_PROVIDER": "istiod",
        "ISTIOD_CUSTOM_HOST": "localhost",
        "VALIDATION_WEBHOOK_CONFIG_NAME": "istio-validator",
        "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER": "false",
    }
    command = [
        *(str(need("pilot-discovery")), "discovery", f"--kubeconfig={cluster.kubeconfig}"),
        *(f"--httpAddr=127.0.0.1:{ports['http']}", f"--grpcAddr=127.0.0.1:{ports['grpc']}"),
        *(f"--secureGRPCAddr=127.0.0.1:{ports['secure']}", f"--httpsAddr=127.0.0.1:{ports['https']}"),
        *(f"--monitoringAddr=127.0.0.1:{ports['monitoring']}", "--ctrlz_port=0"),
    ]
    with running("istiod", command, folder, environment) as istiod:
        istiod.wait_until_ready(f"http://127.0.0.1:{ports['http']}/ready")
        try:
            api.apply(_validator(f"https://localhost:{ports['https']}/validate"), manager="conformance")
            api.wait(WEBHOOK, VALIDATOR, None, _in_force, 60, "in force")
            yield f"localhost:{ports['secure']}"
        except BaseException:
            print(istiod.tail())
            raise
        finally:
            api.delete(WEBHOOK, VALIDATOR)


def _validator(url: str) -> Object:
    rule = {"operations": ["CREATE", "UPDATE"], "apiGroups": list(GROUPS), "apiVersions": ["*"]}
    webhook = {
        "name": "rev.validation.istio.io",
        "clientConfig": {"url": url},
        "rules": [{**rule, "resources": ["*"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    # Who fails open until the webhook is up is istiod: it sets Fail and its authority once it answers.
    labels = {"app": "istiod", "istio": "istiod", "istio.io/rev": "default"}
    meta = {"name": VALIDATOR, "labels": labels}
    return {"apiVersion": WEBHOOK.api_version, "kind": WEBHOOK.kind, "metadata": meta, "webhooks": [webhook]}


def _in_force(found: Object | None) -> bool:
    webhooks = (found or {}).get("webhooks") or [{}]
    return bool(webhooks[0].get("clientConfig", {}).get("caBundle"))
