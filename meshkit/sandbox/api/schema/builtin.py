"""The built-in kinds that the API server serves, with their names and subresources."""

from __future__ import annotations

KINDS: dict[str, tuple[str, tuple[tuple[str, str, str, str], ...]]] = {
    "": (
        "io.k8s.api.core.v1",
        (
            ("ConfigMap", "configmaps", "cm", ""),
            ("Endpoints", "endpoints", "ep", ""),
            ("Event", "events", "ev", ""),
            ("LimitRange", "limitranges", "limits", ""),
            ("Namespace*", "namespaces", "ns", "finalize status"),
            ("Node*", "nodes", "no", "status"),
            ("PersistentVolume*", "persistentvolumes", "pv", "status"),
            ("PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "status"),
            ("Pod", "pods", "po", "eviction log portforward proxy status"),
            ("ResourceQuota", "resourcequotas", "quota", "status"),
            ("Secret", "secrets", "", ""),
            ("ServiceAccount", "serviceaccounts", "sa", "token"),
            ("Service", "services", "svc", "status"),
        ),
    ),
    "apps": (
        "io.k8s.api.apps.v1",
        (
            ("ControllerRevision", "controllerrevisions", "", ""),
            ("DaemonSet", "daemonsets", "ds", "status"),
            ("Deployment", "deployments", "deploy", "scale status"),
            ("ReplicaSet", "replicasets", "rs", "scale status"),
            ("StatefulSet", "statefulsets", "sts", "scale status"),
        ),
    ),
    "admissionregistration.k8s.io": (
        "io.k8s.api.admissionregistration.v1",
        (
            ("MutatingWebhookConfiguration*", "mutatingwebhookconfigurations", "", ""),
            ("ValidatingAdmissionPolicy*", "validatingadmissionpolicies", "", "status"),
            ("ValidatingAdmissionPolicyBinding*", "validatingadmissionpolicybindings", "", ""),
            ("ValidatingWebhookConfiguration*", "validatingwebhookconfigurations", "", ""),
        ),
    ),
    "apiextensions.k8s.io": (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
        (("CustomResourceDefinition*", "customresourcedefinitions", "crd crds", "status"),),
    ),
    "apiregistration.k8s.io": (
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
        (("APIService*", "apiservices", "", "status"),),
    ),
    "authentication.k8s.io": (
        "io.k8s.api.authentication.v1",
        (
            ("SelfSubjectReview*", "selfsubjectreviews", "", ""),
            ("TokenReview*", "tokenreviews", "", ""),
        ),
    ),
    "authorization.k8s.io": (
        "io.k8s.api.authorization.v1",
        (
            ("SelfSubjectAccessReview*", "selfsubjectaccessreviews", "", ""),
            ("SelfSubjectRulesReview*", "selfsubjectrulesreviews", "", ""),
            ("SubjectAccessReview*", "subjectaccessreviews", "", ""),
        ),
    ),
    "autoscaling": (
        "io.k8s.api.autoscaling.v2",
        (("HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", "status"),),
    ),
    "batch": (
        "io.k8s.api.batch.v1",
        (("CronJob", "cronjobs", "cj", "status"), ("Job", "jobs", "", "status")),
    ),
    "coordination.k8s.io": ("io.k8s.api.coordination.v1", (("Lease", "leases", "", ""),)),
    "discovery.k8s.io": ("io.k8s.api.discovery.v1", (("EndpointSlice", "endpointslices", "", ""),)),
    "networking.k8s.io": (
        "io.k8s.api.networking.v1",
        (
            ("Ingress", "ingresses", "ing", "status"),
            ("IngressClass*", "ingressclasses", "", ""),
            ("NetworkPolicy", "networkpolicies", "netpol", ""),
        ),
    ),
    "policy": ("io.k8s.api.policy.v1", (("PodDisruptionBudget", "poddisruptionbudgets", "pdb", "status"),)),
    "rbac.authorization.k8s.io": (
        "io.k8s.api.rbac.v1",
        (
            ("ClusterRoleBinding*", "clusterrolebindings", "", ""),
            ("ClusterRole*", "clusterroles", "", ""),
            ("RoleBinding", "rolebindings", "", ""),
            ("Role", "roles", "", ""),
        ),
    ),
    "storage.k8s.io": ("io.k8s.api.storage.v1", (("StorageClass*", "storageclasses", "sc", ""),)),
}
"""Maps a group to the package of its definitions, whose name ends with the version, and to the kind, plural,
short names and subresources of each resource; ``*`` marks a cluster-wide kind."""
CATEGORIES = {
    "admissionregistration.k8s.io": ("api-extensions",),
    "apiextensions.k8s.io": ("api-extensions",),
    "apiregistration.k8s.io": ("api-extensions",),
}
REVIEW_GROUPS = ("authentication.k8s.io", "authorization.k8s.io")
"""Groups whose reviews are answered, not stored."""
IN_ALL = {
    *("pods", "services", "deployments", "replicasets", "statefulsets", "daemonsets", "cronjobs", "jobs"),
    "horizontalpodautoscalers",
}
"""Plurals of the kinds that ``kubectl get all`` shows."""
