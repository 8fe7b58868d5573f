"""The trust anchors for an installation by Linkerd's charts.

By default the charts store the anchors in their release, and the next upgrade would revert a rotation. So
meshkit sets ``identity.externalCA`` and creates the bundle itself, once; from then on the bundle is
authoritative.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.kube.helm import release_of
from meshkit.kube.kinds import CONFIG_MAP
from meshkit.kube.manifests import obj
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step
from meshkit.meshes.linkerd.pki import BUNDLE, BUNDLE_KEY, ISSUER


def trust_anchors(snapshot: Snapshot, namespace: str) -> str:
    """The trust anchors in the issuer's Secret, in PEM. Raises ``BadInput`` if there are none."""
    secret = snapshot.find("Secret", ISSUER, namespace)
    data: Mapping[str, str] = (secret or {}).get("data") or {}
    if not {"ca.crt", "tls.crt", "tls.key"} <= set(data):
        raise BadInput(
            "control_plane",
            f"Linkerd's charts need an issuer: there is no Secret {namespace}/{ISSUER} with ca.crt, tls.crt"
            " and tls.key.",
            remedy="Create it with mk.plan_identity(cluster) and mk.apply, or let cert-manager create it.",
        )
    return base64.b64decode(data["ca.crt"]).decode()


def bundle_steps(snapshot: Snapshot, namespace: str, anchors: str) -> list[Step]:
    """The step that creates the bundle if it does not exist; a rotation may have changed an existing one.

    Raises ``BadInput`` if it belongs to a release: the next upgrade would delete it, as the charts no longer
    contain it.
    """
    found = snapshot.find("ConfigMap", BUNDLE, namespace)
    if found is None:
        return [Step(obj(CONFIG_MAP, BUNDLE, namespace, data={BUNDLE_KEY: anchors}))]
    if release_of(found):
        raise BadInput(
            "control_plane",
            f"{title(found)} belongs to a Helm release, and this upgrade would delete it.",
            remedy=f"Take it out of the release first: 'kubectl annotate configmap {BUNDLE} -n {namespace}"
            " helm.sh/resource-policy=keep meta.helm.sh/release-name- meta.helm.sh/release-namespace-'. Or"
            " leave it there with values={'identity': {'externalCA': False}}; no rotation is possible then.",
        )
    return []
