"""The Secrets and ConfigMap with a Linkerd mesh's identity. Keys are generated elsewhere."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Mapping

from meshkit.facts import Kind, Object
from meshkit.kube.manifests import obj
from meshkit.kube.metadata import annotations_of
from meshkit.kube.steps import Step
from meshkit.meshes.identity import Pair

SECRET = Kind("v1", "Secret")
ISSUER = "linkerd-identity-issuer"
BUNDLE, BUNDLE_KEY = "linkerd-identity-trust-roots", "ca-bundle.crt"
"""The ConfigMap of the trust anchors, and its key."""
TRUSTED_HASH = "linkerd.io/trust-root-sha256"
"""The annotation with the hash of the trust bundle that was injected into a proxy."""
_TRUSTED = "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"
"""The environment variable with a proxy's trust anchors."""
ANCHOR = "linkerd-trust-anchor"
"""cert-manager's walk-through for Linkerd keeps the trust anchor under this name too."""


def bundle_hashes(bundle: str) -> frozenset[str]:
    """The possible values of ``TRUSTED_HASH`` for this bundle, with and without surrounding white space."""
    texts = (bundle, bundle.strip(), bundle.strip() + "\n")
    return frozenset(hashlib.sha256(text.encode()).hexdigest() for text in texts)


def trusts(proxy: Object, bundle: Object) -> bool:
    """Whether a proxy has the trust anchors that are in the bundle's ConfigMap now.

    With Linkerd's charts, the control plane's proxies read the ConfigMap when they start; the annotation on
    these pods is computed from the chart's values, which have no anchors.
    """
    if _takes_from_bundle(proxy):
        return dt.datetime.fromisoformat(proxy["metadata"]["creationTimestamp"]) > _written_at(bundle)
    text = str((bundle.get("data") or {}).get(BUNDLE_KEY, ""))
    return annotations_of(proxy).get(TRUSTED_HASH) in bundle_hashes(text)


def is_known(proxy: Object) -> bool:
    """Whether the trust anchors of a proxy are known."""
    return TRUSTED_HASH in annotations_of(proxy)


def _takes_from_bundle(proxy: Object) -> bool:
    containers = (*proxy["spec"].get("containers", ()), *(proxy["spec"].get("initContainers") or ()))
    entries = (entry for container in containers for entry in container.get("env") or ())
    return any(
        entry["name"] == _TRUSTED
        and ((entry.get("valueFrom") or {}).get("configMapKeyRef") or {}).get("name") == BUNDLE
        for entry in entries
    )


def _written_at(bundle: Object) -> dt.datetime:
    """When the anchors were last changed, by the managedFields of the ConfigMap."""
    made = dt.datetime.fromisoformat(bundle["metadata"]["creationTimestamp"])
    return max(written_at(bundle, BUNDLE_KEY), default=made)


def written_at(holder: Object, *keys: str) -> list[dt.datetime]:
    """When the owners of these keys of a ConfigMap's or Secret's data wrote them."""
    return [
        dt.datetime.fromisoformat(entry["time"])
        for entry in holder["metadata"].get("managedFields") or ()
        if entry.get("time")
        and {f"f:{key}" for key in keys} & set((entry.get("fieldsV1") or {}).get("f:data") or ())
    ]


def identity_steps(namespace: str, anchor: Pair, issuer: Pair) -> list[Step]:
    """The steps for trust anchor and issuer, in the format of Linkerd's charts and of cert-manager.

    This is a Secret of type ``kubernetes.io/tls`` with the anchor as ``ca.crt``.
    """
    return [
        Step(tls_secret(ANCHOR, namespace, anchor, anchor)),
        Step(tls_secret(ISSUER, namespace, issuer, anchor)),
    ]


def tls_secret(name: str, namespace: str, pair: Pair, signed_by: Pair) -> dict[str, object]:
    """A Secret with a pair, and as ``ca.crt`` the certificate that signed it."""
    return obj(SECRET, name, namespace, type="kubernetes.io/tls", data=tls_data(pair, signed_by))


def tls_data(pair: Pair, signed_by: Pair) -> dict[str, str]:
    """The data of a TLS Secret."""
    return encoded({"ca.crt": signed_by.certificate, "tls.crt": pair.certificate, "tls.key": pair.key})


def encoded(texts: Mapping[str, str]) -> dict[str, str]:
    """Encode texts as the data of a Secret."""
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
