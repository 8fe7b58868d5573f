"""The validations of Kiali, and meshkit's findings for the same objects."""

from __future__ import annotations

from tools.comparison.page import Comparison, row

_INTRODUCTION = """\
# Validations of Kiali

The validations of Kiali 2.31, and the [findings](findings.md) of meshkit for the same objects.

The files in `tests/findings/istio` have one mistake each; their first lines name the codes of both.
The tests run meshkit's checks on each file and hold this table to what they find.

Kiali compares objects with each other; meshkit asks what they mean for each caller. So meshkit tells of the
requests that fail, whatever objects are the cause, and has no finding for objects that are unusual and work.

"""
_BEFORE_THE_MOVE = "`meshkit check --to-ambient` finds {} before the move; afterwards it is not checked"
_NAMESPACE = "meshkit does not compare the namespace of an object for a waypoint with that of the Service"
_TAKES_PRECEDENCE = (
    "a sidecar takes precedence over the ambient mode, as in a move of one pod after the other"
)
_PERMISSIVE = "servers take mutual TLS without a PeerAuthentication, because PERMISSIVE is the default"
_ONE_CLUSTER = "meshkit manages one cluster"
_NO_MACHINES = "a WorkloadGroup is for machines outside the cluster, which meshkit does not set up"

_ROWS = (
    row("KIA0002", "generic.multimatch.selectorless", "MK0701 MK2001"),
    row("KIA0003", "generic.multimatch.selector", "MK0701 MK2001"),
    row("KIA0004", "generic.selector.workloadnotfound", "MK0705 MK2002"),
    row("KIA0005", "generic.exportto.namespacenotfound", "MK0233"),
    row("KIA0101", "authorizationpolicy.source.namespacenotfound", "MK0706"),
    row(
        "KIA0102",
        "authorizationpolicy.to.wrongmethod",
        "MK0711",
        "also in small letters, which match nothing",
    ),
    row("KIA0104", "authorizationpolicy.nodest.matchingregistry", "MK0712"),
    row(
        "KIA0105",
        "authorizationpolicy.mtls.needstobeenabled",
        "MK0713",
        "by port, and for callers in plaintext",
    ),
    row("KIA0106", "authorizationpolicy.source.principalnotfound", "MK0706"),
    row("KIA0107", "authorizationpolicy.source.principalremote", "", _ONE_CLUSTER),
    row(
        "KIA0108",
        "authorizationpolicy.source.principalforeign",
        "",
        "nothing in the cluster tells which accounts another trust domain has",
    ),
    row("KIA0109", "authorizationpolicy.ambient.l7nowaypoint", "MK2101 MK2102"),
    row("KIA0110", "authorizationpolicy.ambient.l7notargetrefs", "MK2101"),
    row("KIA0201", "destinationrules.multimatch", "MK0230 MK0237"),
    row("KIA0202", "destinationrules.nodest.matchingregistry", "MK0228"),
    row(
        "KIA0203",
        "destinationrules.nodest.subsetlabels",
        "MK0208 MK0229",
        "the first if a route sends traffic to the subset",
    ),
    row(
        "KIA0204",
        "destinationrules.trafficpolicy.notlssettings",
        "MK0714",
        "where the servers then refuse the requests; with automatic mutual TLS they do not",
    ),
    row("KIA0205", "destinationrules.mtls.meshpolicymissing", "", _PERMISSIVE),
    row("KIA0206", "destinationrules.mtls.nspolicymissing", "", _PERMISSIVE),
    row("KIA0207", "destinationrules.mtls.policymtlsenabled", "MK0702"),
    row("KIA0208", "destinationrules.mtls.meshpolicymtlsenabled", "MK0702"),
    row(
        "KIA0209",
        "destinationrules.nodest.subsetnolabels",
        "",
        "such a subset is every endpoint of the host with a traffic policy of its own, as egress needs it",
    ),
    row("KIA0210", "destinationrule.ambient.l7nowaypoint", "", _BEFORE_THE_MOVE.format("MK2203")),
    row("KIA0211", "destinationrule.ambient.servicenotcaptured", "", _BEFORE_THE_MOVE.format("MK2203")),
    row("KIA0212", "destinationrule.ambient.notinservicenamespace", "", _NAMESPACE),
    row("KIA0301", "gateways.multimatch", "MK1803"),
    row("KIA0302", "gateways.selector", "MK1802"),
    row("KIA0401", "peerauthentication.mtls.destinationrulemissing", "MK0714"),
    row("KIA0501", "peerauthentications.mtls.destinationrulemissing", "MK0714"),
    row("KIA0505", "peerauthentications.mtls.disabledestinationrulemissing", "MK0704"),
    row("KIA0506", "peerauthentications.mtls.disablemeshdestinationrulemissing", "MK0704"),
    row("KIA0601", "port.name.mismatch", "MK0902", "for Services; a ServiceEntry or Gateway has a protocol"),
    row("KIA0602", "port.appprotocol.mismatch", "MK0901"),
    row(
        "KIA0701",
        "service.deployment.port.mismatch",
        "MK0904",
        "for named ports; a number leads to the pod whether or not a container declares it",
    ),
    row("KIA1004", "sidecar.egress.servicenotfound", "MK2007"),
    row("KIA1006", "sidecar.global.selector", "MK2002", "if the root namespace has no such pod"),
    row(
        "KIA1007",
        "sidecar.outboundtrafficpolicy.mode.ambiguous",
        "",
        "it is about how Kiali reads the object; Istio takes a policy without a mode as REGISTRY_ONLY",
    ),
    row("KIA1101", "virtualservices.nohost.hostnotfound", "MK0220"),
    row("KIA1102", "virtualservices.nogateway", "MK1801"),
    row(
        "KIA1104",
        "virtualservices.route.singleweight",
        "",
        "a single destination gets every request, whatever its weight",
    ),
    row(
        "KIA1105",
        "virtualservices.route.repeatedsubset",
        "",
        "the weights add up, and `meshkit explain` shows the sum",
    ),
    row("KIA1106", "virtualservices.singlehost", "MK0206", "for the callers that see both"),
    row("KIA1107", "virtualservices.subsetpresent.subsetnotfound", "MK0207"),
    row("KIA1108", "virtualservices.gateway.oldnomenclature", "", "Istio reads the older form too"),
    row(
        "KIA1109",
        "virtualservice.ambient.l7nowaypoint",
        "",
        "such a VirtualService is for no Service of the ambient mode; for one that is, see KIA1113",
    ),
    row("KIA1110", "requestauthentication.ambient.l7nowaypoint", "", _BEFORE_THE_MOVE.format("MK2209")),
    row("KIA1111", "wasmplugin.ambient.l7nowaypoint", "", _BEFORE_THE_MOVE.format("MK2206")),
    row("KIA1112", "telemetry.ambient.l7nowaypoint", "", _BEFORE_THE_MOVE.format("MK2210")),
    row("KIA1113", "virtualservice.ambient.servicenotcaptured", "MK2105"),
    row("KIA1114", "virtualservice.ambient.notinservicenamespace", "", _NAMESPACE),
    row("KIA1115", "requestauthentication.ambient.l7notargetrefs", "", _BEFORE_THE_MOVE.format("MK2209")),
    row("KIA1116", "wasmplugin.ambient.l7notargetrefs", "", _BEFORE_THE_MOVE.format("MK2206")),
    row("KIA1117", "telemetry.ambient.l7notargetrefs", "", _BEFORE_THE_MOVE.format("MK2210")),
    row(
        "KIA1211",
        "serviceentries.multimatch",
        "",
        "the port is the same by each of them; where their protocols differ, see KIA1212",
    ),
    row("KIA1212", "serviceentries.port.protocol.conflict", "MK0914"),
    row(
        "KIA1301",
        "workload.authorizationpolicy.needstobecovered",
        "",
        "a workload without a policy is a decision; `meshkit explain` shows who may call it",
    ),
    row("KIA1311", "workload.ambient.sidecarandlabel", "MK2106", "by the labels of the namespace"),
    row(
        "KIA1312",
        "workload.ambient.waypointandnotambient",
        "",
        "the label has no effect before the pods are of the ambient mode",
    ),
    row("KIA1313", "workload.ambient.waypointnotfound", "MK2103"),
    row(
        "KIA1314",
        "workload.ambient.podsidecarlabelandambientredirection",
        "MK2106",
        "by the labels of the namespace",
    ),
    row("KIA1315", "workload.ambient.podsidecarinjectandambientlabel", "", _TAKES_PRECEDENCE),
    row("KIA1316", "workload.ambient.sidecarinambientnamespace", "", _TAKES_PRECEDENCE),
    row(
        "KIA1317",
        "workload.ambient.authpolicybutnowaypoint",
        "MK2101",
        "for policies that ztunnel does not enforce as written",
    ),
    row("KIA1401", "k8sroutes.nok8sgateway", "MK0254"),
    row("KIA1402", "k8sroutes.nohost.namenotfound", "MK0209"),
    row(
        "KIA1501",
        "k8sgateways.multimatch.listener",
        "",
        "each Gateway of the Gateway API has an address of its own, so their listeners do not meet",
    ),
    row(
        "KIA1502",
        "k8sgateways.multimatch.ip",
        "",
        "by a common address several Gateways use one installed gateway, which Istio supports",
    ),
    row(
        "KIA1503",
        "k8sgateways.unique.listener",
        "",
        "the API server refuses such a Gateway by the definition of the Gateway API",
    ),
    row(
        "KIA1504",
        "k8sgateways.gatewayclassnotfound",
        "",
        "it compares the object with Kiali's own settings",
    ),
    row(
        "KIA1601",
        "k8sreferencegrants.from.namespacenotfound",
        "MK0210",
        "if a route needs the grant",
    ),
    row("KIA1701", "workloadgroup.template.serviceaccount.notfound", "", _NO_MACHINES),
    row("KIA1702", "workloadgroup.labels.duplicate", "", _NO_MACHINES),
)
COMPARISON = Comparison("kiali.md", "Kiali", _INTRODUCTION, _ROWS)
