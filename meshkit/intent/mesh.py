"""The control plane of a mesh: what is installed, how much of it, and what may reach it.

The defaults are those of production. Where one comes from stands beside it; what a mesh's own default is and
why it is not taken, too.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from meshkit.intent.base import At, Intent, Name, Part

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGTP]i?)?")


def _quantity(written: str) -> str:
    if not _QUANTITY.fullmatch(written):
        raise ValueError(f"{written!r} is not an amount such as '500m', '2' or '2Gi'")
    return written


Amount = Annotated[str, AfterValidator(_quantity)]
"""An amount of a resource as Kubernetes writes it: ``500m``, ``2``, ``2Gi``."""


class Resources(Part):
    """What one replica of a component requests of a node. Limits are left out: a control plane that is
    throttled or killed for memory at its peak is worse than one that borrows what is free.
    """

    cpu: Amount = Field(description="processor time such as '500m'")
    memory: Amount = Field(description="memory such as '2Gi'")


class Quota(Part):
    """A ResourceQuota on the control plane's namespace, and a LimitRange that gives requests to containers
    that state none: under a quota Kubernetes refuses those.
    """

    cpu: Amount = Field(description="the sum of requested processor time such as '8'")
    memory: Amount = Field(description="the sum of requested memory such as '16Gi'")
    pods: int = Field(default=50, ge=1, description="a number of pods; 50 leaves room for a whole rollout")


class Gateway(Part):
    """Istio's ingress gateway: Envoys where requests from outside enter, in a namespace of their own, so that
    whoever may read their certificates needs no rights beside istiod (Istio's installation guide).
    """

    name: Name = Field(
        default="istio-ingress", description="the name of its Helm release, Deployment and Service"
    )
    namespace: Name = Field(
        default="istio-ingress", description="its namespace, not the control plane's; made if it is not there"
    )
    replicas: int = Field(default=3, ge=1, le=50, description="a number of replicas, 1 to 50")
    """Three, one a zone. Istio's chart starts one and lets an autoscaler add more, up to five."""
    resources: Resources = Field(
        default=Resources(cpu="100m", memory="128Mi"), description="requests of each replica"
    )
    """What Istio's chart requests."""
    service: Literal["LoadBalancer", "NodePort", "ClusterIP"] = Field(
        default="LoadBalancer", description="LoadBalancer, NodePort or ClusterIP: how it is reached"
    )
    """``LoadBalancer``: Istio's chart."""
    values: dict[str, Any] = Field(
        default_factory=dict, description="values for its chart, merged over meshkit's"
    )


class ControlPlane(Intent):
    """A control plane that survives the loss of a zone and a drained node, isolated in its namespace.

    Without ``charts`` it is made of meshkit's own manifests, which start the sandbox's control plane; with
    them the mesh's Helm charts are installed by the Helm on PATH.
    """

    version: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$",
        description="a version of the mesh such as '1.31.4', or nothing for the one meshkit is tested with",
    )
    revision: Name | None = Field(
        default=None,
        description="a name such as '1-31-4' for a control plane beside others, or nothing for the only one",
    )
    """Nothing: Istio alone has revisions, and needs one only to be upgraded beside the old version."""
    tags: tuple[Name, ...] = Field(
        default=(),
        description="names that namespaces may ask for instead of the revision, such as 'prod'; 'default' is"
        " what istio-injection=enabled asks for",
    )
    untested: bool = Field(
        default=False, description="true to take a version that meshkit has not been tested with"
    )
    charts: str | None = Field(
        default=None,
        pattern=r"^(published|https?://.+|oci://.+|[./~].*)$",
        description="'published' (the mesh's own), a chart repository https://..., a registry oci://..., a"
        " directory ./charts or /charts, or nothing for meshkit's manifests",
    )
    values: dict[str, Any] = Field(
        default_factory=dict,
        description="values for the chart of the control plane, merged over meshkit's; only with charts",
    )
    namespace: Name | None = Field(
        default=None,
        description="a namespace, or nothing for the mesh's own (istio-system, linkerd)",
    )
    replicas: int = Field(
        default=3,
        ge=1,
        le=50,
        description="a number of replicas of each component, 1 to 50",
    )
    """Three, one a zone: Linkerd's high-availability values. Istio's chart starts one and lets an autoscaler
    add more, which needs a metrics server and promises no number: here the number is fixed."""
    zones: int = Field(
        default=3, ge=1, le=10, description="a number of zones the replicas are spread over, 1 to 10"
    )
    resources: Resources | None = Field(
        default=None, description="requests of each replica, or nothing for the mesh's own recommendation"
    )
    """Nothing: 500m and 2Gi for istiod (its chart), 100m and 50Mi for Linkerd's components (values-ha)."""
    quota: Quota | None = Field(default=None, description="limits of the namespace, or nothing for none")
    isolated: bool = Field(
        default=True,
        description="true lets in only what the mesh's proxies, the API server and Prometheus call",
    )
    """NetworkPolicies open the documented ports and close the rest. Istio's chart has them off; the ports
    are opened from anywhere, because API servers and proxies of other networks have no pod labels."""
    priority_class: str | None = Field(
        default="system-cluster-critical",
        description="a PriorityClass, or nothing for none",
    )
    """Pods of applications must not push out what injects them (Istio's and Linkerd's operation guides).
    The class exists in every cluster; some providers want a quota for it outside kube-system."""
    webhook_failure: Literal["fail", "ignore"] = Field(
        default="fail",
        description="fail refuses new pods while no injector answers, ignore lets them in without a proxy",
    )
    """``fail``: a pod without its proxy is a hole in strict mutual TLS that nobody sees. Istio's charts know
    nothing else; Linkerd's default is Ignore, its high-availability values say Fail."""

    cni: bool = Field(
        default=False,
        description="true installs Istio's CNI node agent, which redirects pods' traffic; only with charts",
    )
    """No: it is a privileged DaemonSet on every node. With it no pod needs NET_ADMIN, which the Pod Security
    levels baseline and restricted refuse."""
    gateway: Gateway | None = Field(
        default=None, description="an ingress gateway of Istio, or nothing for none; only with charts"
    )

    @model_validator(mode="after")
    def _names_apart(self) -> Self:
        if self.revision == "default":
            raise At(("revision",), "default is the control plane without a revision")
        for place, tag in enumerate(self.tags):
            if tag in (self.revision or "default", *self.tags[:place]):
                raise At(("tags", place), f"{tag} is a name of this control plane already")
        return self

    @model_validator(mode="after")
    def _charts_only(self) -> Self:
        for name in ("values", "cni", "gateway"):
            if getattr(self, name) and self.charts is None:
                raise At((name,), f"{name} is for Helm charts, and no charts are named")
        return self
