"""The kinds of Kubernetes objects that meshkit plans and reads most."""

from __future__ import annotations

from meshkit.facts import Kind

NAMESPACE = Kind("v1", "Namespace")
SERVICE = Kind("v1", "Service")
POD = Kind("v1", "Pod")
NODE = Kind("v1", "Node")
CONFIG_MAP = Kind("v1", "ConfigMap")
CUSTOM_RESOURCE_DEFINITION = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
MUTATING_WEBHOOK = Kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
VALIDATING_WEBHOOK = Kind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
WEBHOOK_KINDS = (MUTATING_WEBHOOK, VALIDATING_WEBHOOK)
DEPLOYMENT = Kind("apps/v1", "Deployment")
WORKLOADS = (DEPLOYMENT, Kind("apps/v1", "StatefulSet"), Kind("apps/v1", "DaemonSet"))
"""The kinds of workloads that replace their pods when the pod template changes."""

ZONE = "topology.kubernetes.io/zone"
"""The label of a node's zone."""
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
"""The label of the kind of machine that a node is."""
