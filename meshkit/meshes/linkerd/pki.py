"""The Secrets that hold a Linkerd mesh's identity, as steps. The keys come from elsewhere: nothing is random
here.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Mapping

from meshkit.facts import Kind, Object
from meshkit.kube.manifests import obj
from meshkit.kube.metadata import notes
from meshkit.kube.steps import Step
from meshkit.meshes.identity import Pair

SECRET = Kind("v1", "Secret")
ISSUER = "linkerd-identity-issuer"
BUNDLE, BUNDLE_KEY = "linkerd-identity-trust-roots", "ca-bundle.crt"
"""The ConfigMap of the trust anchors, and its key."""
TRUSTED_HASH = "linkerd.io/trust-root-sha256"
"""The annotation in which Linkerd's injector notes the bundle that a proxy was made with."""
_TRUSTED = "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"
"""The variable in which a proxy finds its anchors."""
ANCHOR = "linkerd-trust-anchor"
"""cert-manager's walk-through for Linkerd keeps the trust anchor under this name too."""


def bundle_hashes(bundle: str) -> frozenset[str]:
    """What ``TRUSTED_HASH`` may say of a proxy with this bundle: white space around it has no meaning."""
    texts = (bundle, bundle.strip(), bundle.strip() + "\n")
    return frozenset(hashlib.sha256(text.encode()).hexdigest() for text in texts)


def trusts(proxy: Object, bundle: Object) -> bool:
    """Whether a proxy was made with the anchors that the ConfigMap of the bundle holds now.

    The control plane's own proxies of Linkerd's charts take them from that ConfigMap when they start; the
    note on these pods is of the chart's values, which know no anchors.
    """
    if _takes_from_bundle(proxy):
        return dt.datetime.fromisoformat(proxy["metadata"]["creationTimestamp"]) > _written_at(bundle)
    text = str((bundle.get("data") or {}).get(BUNDLE_KEY, ""))
    return notes(proxy).get(TRUSTED_HASH) in bundle_hashes(text)


def is_known(proxy: Object) -> bool:
    """Whether anything tells which anchors a proxy was made with."""
    return TRUSTED_HASH in notes(proxy)


def _takes_from_bundle(proxy: Object) -> bool:
    containers = (*proxy["spec"].get("containers", ()), *(proxy["spec"].get("initContainers") or ()))
    entries = (entry for container in containers for entry in container.get("env") or ())
    return any(
        entry["name"] == _TRUSTED
        and ((entry.get("valueFrom") or {}).get("configMapKeyRef") or {}).get("name") == BUNDLE
        for entry in entries
    )


def _written_at(bundle: Object) -> dt.datetime:
    """When the anchors were last changed: the API server notes it for whoever owns the field."""
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
    """The trust anchor, and the issuer in the form that Linkerd's charts and cert-manager share: type
    ``kubernetes.io/tls`` with the anchor as ``ca.crt``.
    """
    return [
        Step(tls_secret(ANCHOR, namespace, anchor, anchor)),
        Step(tls_secret(ISSUER, namespace, issuer, anchor)),
    ]


def tls_secret(name: str, namespace: str, pair: Pair, signed_by: Pair) -> dict[str, object]:
    """A Secret with a pair, and as ``ca.crt`` the certificate that signed it."""
    return obj(SECRET, name, namespace, type="kubernetes.io/tls", data=tls_data(pair, signed_by))


def tls_data(pair: Pair, signed_by: Pair) -> dict[str, str]:
    """The data of such a Secret."""
    return encoded({"ca.crt": signed_by.certificate, "tls.crt": pair.certificate, "tls.key": pair.key})


def encoded(texts: Mapping[str, str]) -> dict[str, str]:
    """Texts as a Secret's data."""
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
