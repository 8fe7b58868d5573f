"""Codes of checks before a change: intents, routes, plans, uninstalls and the forecast of a release."""

from __future__ import annotations

from meshkit.codes.code import Code

BUILT_IN_IMAGES_CANNOT_RUN = Code(
    "MK0101",
    "error",
    "The control plane is planned without charts, and no node can run meshkit's built-in images.",
    "Without charts meshkit writes manifests whose images exist in the sandbox only.",
    "Name the charts: 'published' for the mesh's own, a repository, or a directory.",
)
TOO_FEW_ZONES = Code(
    "MK0102",
    "error",
    "The control plane is to be spread over more zones than the cluster's nodes are in.",
    "Its replicas cannot be spread as the intent asks, so the loss of a zone is not covered.",
    "Ask for fewer zones, or add nodes in other zones.",
)
FEWER_REPLICAS_THAN_ZONES = Code(
    "MK0103",
    "warning",
    "The control plane is planned with fewer replicas than zones.",
    "At least one of the zones gets no replica.",
    "Ask for at least as many replicas as zones.",
)
NO_SUCH_NAMESPACE = Code(
    "MK0104",
    "error",
    "The intent names a namespace that the cluster does not have.",
    "There is nothing to apply the intent to; often the name is misspelled.",
    "Create the namespace, or correct the name.",
)
ONE_REPLICA = Code(
    "MK0105",
    "warning",
    "The control plane is planned with one replica.",
    "While its node is drained or lost, no sidecar is injected and no route changes.",
    "Ask for two or more replicas.",
)
ROUTE_WITHOUT_SERVICE = Code(
    "MK0201",
    "error",
    "The route refers to a Service that does not exist.",
    "No request can reach the route.",
    "Create the Service, or correct namespace and service.",
)
ROUTE_TO_UNKNOWN_PORT = Code(
    "MK0202",
    "error",
    "The route refers to a port that its Service does not have.",
    "No request can reach the route.",
    "Name a port of the Service.",
)
ROUTE_TO_MISSING_VERSION = Code(
    "MK0203",
    "error",
    "No pod has the labels of a version that the route names. A warning where the version gets no traffic.",
    "Requests for a version without pods fail with status 503.",
    "Deploy the version, correct its labels, or give it no weight.",
    also="warning",
)
HOST_ROUTED_ELSEWHERE = Code(
    "MK0204",
    "error",
    "Another route already rules the requests of the planned route. A warning if it does for some callers.",
    "Proxies follow one of two routes for the same requests: by age, or by visibility to the caller.",
    "Release through that route, which a Release finds by its host; where it has no weights, add them there.",
    also="warning",
)
DESTINATION_RULED_ELSEWHERE = Code(
    "MK0240",
    "error",
    "Another DestinationRule decides the subsets or policies of a planned Route or DestinationPolicy. A"
    " warning for some callers' policies.",
    "Proxies take the rule of the caller's namespace before that of the Service's. In one namespace the"
    " oldest policy and the oldest definition of each subset count.",
    "Write what is asked for to that DestinationRule, and leave its policies out of the intent.",
    also="warning",
)
POLICY_WITHOUT_HOST = Code(
    "MK0241",
    "error",
    "A planned DestinationPolicy is for a Service or port that does not exist. A warning for a host that no "
    "ServiceEntry has.",
    "No request follows the policy.",
    "Create the Service or ServiceEntry, or correct namespace, host and port.",
    also="warning",
)
TWO_POLICIES_FOR_ONE_PORT = Code(
    "MK0242",
    "error",
    "One plan holds two DestinationPolicies for the same callers and port of a host.",
    "The second policy would overwrite the first.",
    "Put all settings of the port into one policy.",
)
SECRET_NEEDS_RIGHTS = Code(
    "MK0243",
    "warning",
    "The callers of a planned DestinationPolicy get a Secret for their TLS.",
    "Istio gives it only to pods whose ServiceAccount may list Secrets of the namespace; for others every "
    "connection to the host fails.",
    "Allow it with a Role (verb list on secrets) and a RoleBinding for the ServiceAccounts of the callers.",
)
HOST_REGISTERED_ELSEWHERE = Code(
    "MK0244",
    "error",
    "A host of a planned Egress is registered by another ServiceEntry that its callers see.",
    "Proxies follow one of the two, so ports or addresses of the other have no effect.",
    "Add the ports to the present ServiceEntry, or leave the host out of the Egress.",
)
OTHER_HOSTS = Code(
    "MK0245",
    "info",
    "What happens to requests to hosts outside that no planned Egress has.",
    "Registering a host says nothing about other hosts: the mesh refuses them, or lets them pass.",
    "Nothing has to be done. To refuse them, set others of the Egress with Linkerd, or"
    " meshConfig.outboundTrafficPolicy.mode: REGISTRY_ONLY with Istio.",
)
TWO_EGRESSES = Code(
    "MK0246",
    "error",
    "One plan holds two Egresses of the same name, or two of a namespace with different answers for other"
    " hosts.",
    "The second would overwrite the first.",
    "Put the hosts into one Egress, or give both the same others.",
)
EXPOSED_WITHOUT_SERVICE = Code(
    "MK0247",
    "error",
    "A planned Exposure leads to a Service or port that does not exist.",
    "Its requests would be answered with 500.",
    "Create the Service, or correct namespace, service and port.",
)
EDGE_PASSES_ROUTES = Code(
    "MK0248",
    "warning",
    "A planned Exposure leads to a Service for which the mesh has routes.",
    "A gateway sends requests to the pods of the Service and follows no route of callers in the mesh, so"
    " neither their shares nor a release hold for requests from outside.",
    "Give the Exposure shares of its own in split, or lead it to a Service without versions.",
)
CERTIFICATE_UNSEEN = Code(
    "MK0249",
    "info",
    "A planned Exposure takes its certificate from a Secret that meshkit does not read.",
    "Without a certificate in it the gateway refuses TLS; the status of the Gateway says so.",
    "Make sure that the Secret is of type kubernetes.io/tls; for an issuer, that cert-manager runs with its"
    " support of Gateway API enabled.",
)
EXPOSED_IN_PLAIN_TEXT = Code(
    "MK0270",
    "warning",
    "A planned Exposure has no certificate.",
    "Everything that callers outside send, such as passwords and cookies, can be read on the way.",
    "Name a Secret with the certificate, or an issuer of cert-manager.",
)
EXPOSURE_LACKS_GATEWAY_API = Code(
    "MK0271",
    "error",
    "The cluster lacks definitions of Gateway API that a planned Exposure needs.",
    "A Gateway and its routes are objects of Gateway API, whose definitions neither Kubernetes nor Istio"
    " installs.",
    "Install the standard channel of Gateway API 1.1 or later: 'kubectl apply --server-side -f"
    " https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.1/standard-install.yaml'.",
)
ROUTES_UNSEEN = Code(
    "MK0231",
    "warning",
    "The account may not read all routes, so routes of others that rule the same requests can be overlooked.",
    "The planned route may have no effect for some callers.",
    "Plan with an account that may list routes and pods in all namespaces, or ask those who may.",
)
TWO_ROUTES_FOR_ONE_SERVICE = Code(
    "MK0205",
    "error",
    "One plan holds two routes for the same port of a Service.",
    "The second route would overwrite the first.",
    "Put all versions of the port into one route.",
)
SERVER_WARNING = Code(
    "MK0301",
    "warning",
    "The API server, or an admission webhook, returned a warning about a planned object.",
    "The object is accepted, but a part of it has no effect or will not be supported much longer.",
    "Read the warning. The object is written as planned; do not rely on the part that the warning names.",
)
STAYS_FOR_OTHERS = Code(
    "MK0311",
    "warning",
    "The uninstall keeps an object because it contains objects of others.",
    "Removing it would delete those objects too.",
    "To remove it, delete the objects of others first.",
)
PODS_LOSE_THEIR_MESH = Code(
    "MK0312",
    "warning",
    "Pods of a namespace are still in the mesh that is to be uninstalled: by a sidecar, or without one.",
    "They get no new routes and no new certificates once the control plane is gone.",
    "Restart the pods without sidecars.",
)
INJECTION_UNANSWERED = Code(
    "MK0313",
    "warning",
    "A namespace still asks for injection by the mesh that is to be uninstalled.",
    "Its new pods get no sidecar, and nothing reports that.",
    "Remove the label or annotation, or undo the injection ('meshkit history').",
)
DEFINITIONS_STAY = Code(
    "MK0314",
    "warning",
    "The mesh's CustomResourceDefinitions stay in the cluster after the uninstall.",
    "The routes and policies that were written for the mesh stay with them.",
    "Remove them with crds (--crds), which removes only definitions without objects.",
)
OLD_REVISION_STAYS = Code(
    "MK0315",
    "warning",
    "An object with the label of the old revision stays after the upgrade.",
    "meshkit did not make it, so meshkit does not remove it.",
    "Remove it with the tool that made it.",
)
UNKNOWN_WRITING_STAYS = Code(
    "MK0316",
    "warning",
    "The uninstall keeps an object that the control plane wrote and that meshkit does not know.",
    "It stays in the cluster, and keeps its namespace.",
    "Read what it holds; if nothing needs it once the mesh is gone, delete it then.",
)
VERSIONS_NOT_TOLD_APART = Code(
    "MK1606",
    "error",
    "The mesh's metrics do not tell the two versions of the release apart.",
    "Istio's metrics name a version by the label version of the pods. Subsets by other labels, such as Argo"
    " Rollouts' rollouts-pod-template-hash, do not appear in them.",
    "Give the pod template a label version that changes with each version, such as its image tag.",
)
REQUESTS_BESIDE_THE_WEIGHTS = Code(
    "MK1610",
    "warning",
    "Another rule sends requests to the stable version of a release, whatever the weights.",
    "Metrics do not tell rules apart, so the canary's measured share stays below its weight. With more than"
    " one request in a hundred, the two may never agree: the release then ends undecided at its deadline.",
    "For the time of the release, let the weighted rule take these requests.",
)
FORECAST_WITHOUT_BASELINE = Code(
    "MK1601",
    "error",
    "The release cannot pass: no latency of the stable version was measured.",
    "Every verdict compares the canary with the stable version beside it.",
    "Make sure that both versions get requests through their sidecars before the release starts.",
)
MARGIN_BELOW_NOISE = Code(
    "MK1602",
    "error",
    "The release cannot pass: the pods of the stable version differ by more than a latency margin.",
    "No amount of traffic can show a difference that small.",
    "Run more pods of the canary, or widen the margin.",
)
TOO_LITTLE_TRAFFIC = Code(
    "MK1603",
    "error",
    "The release cannot pass before its deadline with this traffic.",
    "A promotion needs more requests than are expected before the deadline.",
    "Take a larger share, wider margins or a later deadline.",
)
MARGIN_BELOW_BUCKETS = Code(
    "MK1607",
    "error",
    "The release cannot pass: the proxies' latency buckets are too wide for a latency margin.",
    "A histogram tells latencies apart by its edges only, so a margin needs two edges within it.",
    "Give the callers' proxies closer buckets around the quantile, or widen the margin.",
)
CANARY_ELSEWHERE = Code(
    "MK1608",
    "warning",
    "Most of the canary's pods stand in other zones, or on other kinds of nodes, than the stable version's.",
    "Latencies are compared within zones where both versions have pods, and others do not count. Without such"
    " a zone, and for kinds of nodes and failures, a worse place is taken for a worse version.",
    "Spread both versions over the same zones and kinds of nodes, or run more pods of the canary.",
)
BUCKETS_KEPT = Code(
    "MK1609",
    "warning",
    "A pod keeps its latency buckets, because no rollout replaces it.",
    "Requests that it counts are compared at the bucket edges only that all proxies have.",
    "Write the annotation into what creates the pod, and replace the pod when nobody needs it.",
)
HARM_UNDETECTED = Code(
    "MK1604",
    "error",
    "With this traffic, not even a canary that fails every request is found before the release ends.",
    "The release would promote a version that it has not judged.",
    "Start with a larger share, raise step_s or min_requests, or send more traffic.",
)
OBJECTIVE_UNMET_BY_STABLE = Code(
    "MK1605",
    "warning",
    "An objective is left out, because the stable version does not meet it itself.",
    "The canary is not judged by that objective.",
    "Declare the tightest objective that the stable version meets.",
)
