"""Codes of a control plane and of the cluster around it: availability, webhooks, quotas, versions, rights."""

from __future__ import annotations

from meshkit.codes.code import Code

NO_READY_REPLICA = Code(
    "MK0401",
    "error",
    "A component of the control plane has no ready replica.",
    "No sidecar is injected, no certificate is renewed and no route changes until one is ready.",
    "Look at its pods: kubectl describe pods.",
)
REPLICA_MISSING = Code(
    "MK0402",
    "warning",
    "A component of the control plane has fewer ready replicas than it asks for.",
    "The next failure may stop the component.",
    "Look at the pods that are not ready.",
)
ALL_ON_ONE_NODE = Code(
    "MK0403",
    "warning",
    "All ready replicas of a component are on one node.",
    "The loss of that node stops the component.",
    "Run replicas on another node: more replicas, or a topology spread.",
)
ALL_IN_ONE_ZONE = Code(
    "MK0404",
    "warning",
    "All ready replicas of a component are in one zone, or on nodes without a zone label.",
    "The loss of that zone stops the component.",
    "Run replicas in another zone: more replicas, a topology spread, nodes with zone labels.",
)
NO_BUDGET = Code(
    "MK0405",
    "warning",
    "No PodDisruptionBudget covers a component of the control plane.",
    "Draining nodes may evict all of its replicas at once.",
    "Add a budget with maxUnavailable: 1.",
)
TWO_BUDGETS = Code(
    "MK0406",
    "error",
    "Several PodDisruptionBudgets cover the same pods of the control plane.",
    "Kubernetes refuses to evict a pod with more than one budget, so its node cannot be drained.",
    "Delete all but one of the budgets.",
)
BUDGET_BLOCKS_DRAIN = Code(
    "MK0407",
    "warning",
    "A PodDisruptionBudget allows no eviction at present.",
    "No node with one of these pods can be drained.",
    "Run one replica more, or allow maxUnavailable: 1.",
)
POD_UNSCHEDULABLE = Code(
    "MK0408",
    "warning",
    "The scheduler finds no node for a pod of the control plane.",
    "The component runs with fewer replicas than it asks for.",
    "Add nodes or free room on them, or lower the pod's requests.",
)
PODS_REFUSED = Code(
    "MK0409",
    "error",
    "The API server refuses the pods of a component: a quota, a webhook or Pod Security.",
    "The component cannot start new replicas, so it does not recover from a loss.",
    "Remove the cause that the message names.",
)
NODE_AGENT_NOT_READY = Code(
    "MK0410",
    "error",
    "The mesh's CNI node agent is not ready on every node.",
    "No meshed pod starts on the other nodes.",
    "Look at the agent's pods that are not ready.",
)
NODE_AGENT_MISSING = Code(
    "MK0411",
    "error",
    "Pods rely on a CNI node agent to capture their traffic, and the cluster runs none.",
    "These pods do not start.",
    "Install the mesh's CNI plugin.",
)
NO_INJECTOR = Code(
    "MK0501",
    "error",
    "The control plane has no injection webhook.",
    "New pods get no sidecar.",
    "Install the control plane again.",
)
WEBHOOK_WITHOUT_CA = Code(
    "MK0502",
    "error",
    "An injection webhook has no CA.",
    "The API server does not trust the injector's answers.",
    "Look at the control plane's log: the control plane writes the CA.",
)
WEBHOOK_UNANSWERED = Code(
    "MK0503",
    "error",
    "No ready pod answers behind the Service of an injection webhook.",
    "New pods are refused or start without a sidecar, depending on the webhook's failurePolicy.",
    "Bring back a replica of the injector.",
)
WEBHOOK_FAILS_OPEN = Code(
    "MK0504",
    "info",
    "An injection webhook has failurePolicy Ignore.",
    "While no injector answers, pods start without a sidecar and nothing reports that.",
    "Choose webhook_failure='fail' to have such pods refused.",
)
FOREIGN_WEBHOOK_BLOCKS = Code(
    "MK0505",
    "warning",
    "A webhook that does not belong to the mesh refuses every new pod while its own server is away.",
    "It can keep the control plane from coming back after an outage.",
    "Exempt the control plane's namespace with a namespaceSelector.",
)
VALIDATOR_NOT_CALLED = Code(
    "MK0506",
    "warning",
    "A validator of the mesh runs, but no ValidatingWebhookConfiguration calls it.",
    "Invalid policies are accepted without an error.",
    "Install the control plane again.",
)
WEBHOOK_LEFT_BEHIND = Code(
    "MK0507",
    "error",
    "A webhook of an earlier installation is still there, and its control plane is gone.",
    "It can refuse the pods of the next installation.",
    "Delete its configuration before you install.",
)
QUOTA_NEARLY_USED = Code(
    "MK1001",
    "warning",
    "A ResourceQuota is used to 90 percent or more.",
    "A rolling update temporarily needs one more pod, which the quota may not allow.",
    "Raise the quota.",
)
QUOTA_REFUSES_PROXIES = Code(
    "MK1002",
    "error",
    "A ResourceQuota requires resource requests that the sidecars do not have.",
    "The API server refuses new meshed pods in the namespace.",
    "Give the sidecars requests, or add a LimitRange with defaultRequest.",
)
POD_SECURITY_REFUSES_INIT = Code(
    "MK1101",
    "error",
    "The Pod Security level of a namespace refuses the mesh's init container, which needs NET_ADMIN.",
    "New meshed pods are refused.",
    "Install the mesh's CNI plugin, or use the level privileged.",
)
NO_CONTROL_PLANE = Code(
    "MK1200",
    "error",
    "The cluster has no control plane of this mesh.",
    "There is nothing to check or to change.",
    "Install it: 'meshkit setup apply control-plane --mesh MESH' shows the plan first.",
)
ALREADY_INSTALLED = Code(
    "MK1201",
    "warning",
    "The cluster has a control plane of this mesh already.",
    "An installation changes it instead of creating one.",
    "Change it with the tool that installed it.",
)
SECOND_MESH = Code(
    "MK1202",
    "warning",
    "Another mesh is installed in the cluster. An error where both have pods in the same namespace.",
    "A pod can be in one mesh only; with two sidecars its traffic breaks.",
    "Keep the namespaces of the two meshes apart.",
    also="error",
)
DEFINITION_MISSING = Code(
    "MK1203",
    "error",
    "A CustomResourceDefinition of the mesh is missing, or does not serve the version that meshkit writes.",
    "Routes and policies of that kind can be neither read nor written.",
    "Install the mesh's definitions again, in its own version.",
)
ACCOUNT_MISSING = Code(
    "MK1204",
    "error",
    "A workload of the control plane names a ServiceAccount that does not exist.",
    "None of its pods can start.",
    "Install the control plane again.",
)
ROLE_MISSING = Code(
    "MK1205",
    "error",
    "A ServiceAccount of the control plane lacks its ClusterRole or ClusterRoleBinding.",
    "The component cannot read the cluster, so it configures no sidecar.",
    "Install the control plane again.",
)
CHART_VALUES_MISSING = Code(
    "MK1206",
    "error",
    "The ConfigMap with the values of Linkerd's charts is missing or cannot be read.",
    "Linkerd's injector reads these values for each new pod.",
    "Upgrade the Helm release of linkerd-control-plane.",
)
EXTENSION_TWICE = Code(
    "MK1207",
    "warning",
    "Several namespaces claim to be the same Linkerd extension.",
    "Linkerd's command line and its checks take any one of them.",
    "Remove the label linkerd.io/extension from all but one.",
)
RETIRED_HOST = Code(
    "MK1208",
    "warning",
    "An image or hub of Istio is on a host that Istio switches off in December 2026. An error from then on.",
    "A pod that starts on a node without the image cannot pull it.",
    "Set the hub of Istio's charts (global.hub) to docker.io/istio, the charts to oci://ghcr.io/istio/release/charts,"
    " and restart the workloads.",
    also="error",
)
POLICY_CLOSES_PORT = Code(
    "MK1301",
    "error",
    "Network policies close a port of the control plane that sidecars or the API server must reach.",
    "Sidecars get no configuration, or no pod is injected.",
    "Allow the port from anywhere.",
)
OUTSIDE_CLUSTER_NETWORKS = Code(
    "MK1302",
    "error",
    "Linkerd's clusterNetworks cannot be read, or lack addresses of nodes, pods or Services.",
    "Traffic to an address outside of them gets no mutual TLS, no routes and no metrics.",
    "Upgrade linkerd-control-plane with clusterNetworks that contain them, then restart the workloads.",
)
KUBERNETES_TOO_OLD = Code(
    "MK1401",
    "error",
    "A node runs a Kubernetes that is older than the mesh supports.",
    "The mesh is not tested there and may use APIs that are missing.",
    "Upgrade the node.",
)
KUBERNETES_TOO_NEW = Code(
    "MK1408",
    "warning",
    "A node runs a Kubernetes that is newer than the installed version of the mesh supports.",
    "The mesh is not tested there.",
    "Upgrade the mesh.",
)
GATEWAY_API_VERSION = Code(
    "MK1402",
    "error",
    "A definition of the Gateway API does not serve a version that the mesh reads. A warning for versions"
    " that meshkit does not write.",
    "The mesh does not see the objects of that kind.",
    "Install Gateway API 1.1 or later.",
    also="warning",
)
GATEWAY_API_MISSING = Code(
    "MK1403",
    "warning",
    "A definition of the Gateway API is not installed, and the mesh looks for it only when it starts.",
    "Routes of that kind have no effect until the control plane restarts.",
    "Install the Gateway API before the mesh, or restart the control plane after it.",
)
RIGHTS_MISSING = Code(
    "MK1404",
    "error",
    "The user of this kubeconfig lacks rights that the installation needs.",
    "The installation would stop halfway.",
    "Ask an administrator of the cluster for these rights.",
)
CLOCKS_APART = Code(
    "MK1405",
    "warning",
    "The clock of a node and the clock of this machine differ by minutes.",
    "Certificates of a mesh live for hours, and are refused where they are not valid yet.",
    "Synchronise both clocks with NTP.",
)
DOCKER_NEEDS_ROOT = Code(
    "MK1406",
    "error",
    "A node runs Docker, where linkerd-init can set its rules only as root.",
    "Meshed pods do not start on this node.",
    "Install with the chart value proxyInit.runAsRoot=true.",
)
NO_REQUEST_HEADER_CA = Code(
    "MK1407",
    "warning",
    "The API server does not publish the CA by which its extensions recognise it.",
    "'linkerd viz tap' refuses every caller.",
    "Start the API server with --requestheader-client-ca-file.",
)
NOT_READ = Code(
    "MK1409",
    "info",
    "The user of this kubeconfig may not read all that is checked.",
    "Only what the objects that were read prove by themselves is found.",
    "Check with an account that may read the whole cluster, or ask those who may.",
)
PROGRAM_FAILED = Code(
    "MK1501",
    "warning",
    "The mesh's own program (istioctl, linkerd) is installed, and its analysis failed.",
    "The checks of that program were not run.",
    "Run the program by hand to see why.",
)
