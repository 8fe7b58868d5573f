"""The intent to install a control plane: its version, size, charts and network policies.

The defaults are for production. The docstring of a field gives the source of its default and, if it differs
from the mesh's own default, the reason.
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
"""A quantity of a resource in Kubernetes' notation: ``500m``, ``2``, ``2Gi``."""


class Resources(Part):
    """The resource requests of one replica of a component.

    There are no limits: a control plane that is throttled or killed for memory at peak load does more harm
    than one that uses free resources of its node.
    """

    cpu: Amount = Field(description="processor time such as '500m'", examples=["500m"])
    memory: Amount = Field(description="memory such as '2Gi'", examples=["2Gi"])


class Quota(Part):
    """A ResourceQuota for the control plane's namespace, with a LimitRange that sets default requests.

    Under a quota Kubernetes refuses containers without requests.
    """

    cpu: Amount = Field(description="the sum of requested processor time such as '8'", examples=["8"])
    memory: Amount = Field(description="the sum of requested memory such as '16Gi'", examples=["16Gi"])
    pods: int = Field(default=50, ge=1, description="a number of pods; 50 leaves room for a whole rollout")


class Gateway(Part):
    """Istio's ingress gateway: Envoy pods that receive requests from outside the cluster.

    They run in a separate namespace, so that access to their certificates does not require access to
    istiod's namespace (Istio's installation guide).
    """

    name: Name = Field(
        default="istio-ingress", description="the name of its Helm release, Deployment and Service"
    )
    namespace: Name = Field(
        default="istio-ingress", description="its namespace, not the control plane's; created if missing"
    )
    replicas: int = Field(default=3, ge=1, le=50, description="a number of replicas, 1 to 50")
    """Three, one per zone. Istio's chart starts one, and an autoscaler adds up to four more."""
    resources: Resources = Field(
        default=Resources(cpu="100m", memory="128Mi"), description="requests of each replica"
    )
    """The requests of Istio's chart."""
    service: Literal["LoadBalancer", "NodePort", "ClusterIP"] = Field(
        default="LoadBalancer", description="LoadBalancer, NodePort or ClusterIP: how it is reached"
    )
    """``LoadBalancer`` is the default of Istio's chart."""
    values: dict[str, Any] = Field(
        default_factory=dict, description="values for its chart, merged over meshkit's"
    )


class ControlPlane(Intent):
    """A control plane that survives the loss of a zone and a drained node, isolated in its namespace.

    Without ``charts``, meshkit's own manifests install the sandbox's control plane. With ``charts``, the Helm
    program on PATH installs the mesh's Helm charts.
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
    """None by default: only Istio has revisions, and only an upgrade beside the old version needs one."""
    tags: tuple[Name, ...] = Field(
        default=(),
        description="names that namespaces may ask for instead of the revision, such as 'prod'; 'default' is"
        " what istio-injection=enabled asks for",
    )
    untested: bool = Field(
        default=False, description="true to allow a version that meshkit has not been tested with"
    )
    charts: str | None = Field(
        default=None,
        pattern=r"^(published|https?://.+|oci://.+|[./~].*)$",
        description="'published' (the mesh's own), a chart repository https://..., a registry oci://..., a"
        " directory ./charts or /charts, or nothing for meshkit's manifests",
        examples=["published"],
    )
    values: dict[str, Any] = Field(
        default_factory=dict,
        description="values for the chart of the control plane, merged over meshkit's; only with charts; in a"
        " form also the path of a YAML file",
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
    """Three, one per zone, as in Linkerd's high-availability values. Istio's chart starts one replica and an
    autoscaler adds more, which needs a metrics server and guarantees no number; here the number is fixed."""
    zones: int = Field(
        default=3, ge=1, le=10, description="a number of zones the replicas are spread over, 1 to 10"
    )
    resources: Resources | None = Field(
        default=None, description="requests of each replica, or nothing for the mesh's own recommendation"
    )
    """If None: 500m and 2Gi for istiod (its chart), 100m and 50Mi for Linkerd's components (values-ha)."""
    quota: Quota | None = Field(default=None, description="limits of the namespace, or nothing for none")
    isolated: bool = Field(
        default=True,
        description="true allows only the ports that the mesh's proxies, the API server and Prometheus call",
    )
    """NetworkPolicies allow the documented ports only. Istio's chart disables them by default. The ports are
    open to all sources, because API servers and proxies in other networks have no pod labels."""
    priority_class: str | None = Field(
        default="system-cluster-critical",
        description="a PriorityClass, or nothing for none",
    )
    """Application pods must not preempt the injector (Istio's and Linkerd's operation guides). The class
    exists in every cluster; some providers require a quota for it outside kube-system."""
    webhook_failure: Literal["fail", "ignore"] = Field(
        default="fail",
        description="fail refuses new pods while no injector answers, ignore admits them without a proxy",
    )
    """``fail``, because a pod without its proxy silently bypasses strict mutual TLS. Istio's charts support
    only Fail; Linkerd's default is Ignore, and its high-availability values have Fail."""

    cni: bool = Field(
        default=False,
        description="true installs Istio's CNI node agent, which redirects pods' traffic; only with charts",
    )
    """Off by default, because it is a privileged DaemonSet on every node. With it, pods need no NET_ADMIN,
    which the Pod Security levels baseline and restricted forbid."""
    gateway: Gateway | None = Field(
        default=None, description="an ingress gateway of Istio, or nothing for none; only with charts"
    )

    @model_validator(mode="after")
    def _names_apart(self) -> Self:
        if self.revision == "default":
            raise At(("revision",), "default is reserved for the control plane without a revision")
        for place, tag in enumerate(self.tags):
            if tag in (self.revision or "default", *self.tags[:place]):
                raise At(("tags", place), f"{tag} is already a name of this control plane")
        return self

    @model_validator(mode="after")
    def _charts_only(self) -> Self:
        for name in ("values", "cni", "gateway"):
            if getattr(self, name) and self.charts is None:
                raise At((name,), f"{name} requires charts, and charts is not set")
        return self
