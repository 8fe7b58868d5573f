"""The messages of istioctl, and meshkit's findings for the same objects."""

from __future__ import annotations

from tools.comparison.page import Comparison, row

_INTRODUCTION = """\
# Messages of istioctl analyze

The messages that `istioctl analyze` and `istioctl x precheck` 1.31 can give, and the [findings](findings.md)
of meshkit for the same objects. `meshkit check` needs no istioctl for its own findings; if istioctl is on
PATH, its messages are added with their own codes.

The files in `tests/findings/istio` have one mistake each; their first lines name both codes. The tests run
meshkit's checks on each file, and the conformance tests run istioctl on the same files.

The two differ where they ask different questions. istioctl compares texts; meshkit asks what the objects
mean for each caller: the DestinationRule that applies may stand in the namespace of the caller, of the
Service or of the control plane, may have a wildcard, and may not be exported. Where istioctl gives a message
for objects that work (a subset in a wildcard rule, TLS to a server that is verified by the system's roots),
meshkit gives none.

"""
_ROWS = (
    row("IST0001", "InternalError", "", "it is an internal error of istioctl itself"),
    row("IST0002", "Deprecated", "MK0236"),
    row("IST0101", "ReferencedResourceNotFound", "MK0207 MK0220 MK0221 MK0706 MK1801 MK1802 MK2002 MK2005"),
    row(
        "IST0102",
        "NamespaceNotInjected",
        "",
        "a namespace outside the mesh is a decision and no mistake; the guided setup lists these namespaces",
    ),
    row("IST0103", "PodMissingProxy", "MK0604"),
    row(
        "IST0106",
        "SchemaValidationError",
        "MK0232",
        "for routes; the other fields are validated by Istio's webhook and the definitions' schemas"
        " when an object is applied",
    ),
    row("IST0107", "MisplacedAnnotation", "MK0616"),
    row("IST0108", "UnknownAnnotation", "MK0615"),
    row(
        "IST0109",
        "ConflictingMeshGatewayVirtualServiceHosts",
        "MK0206",
        "for the callers that see both; the others are named",
    ),
    row("IST0110", "ConflictingSidecarWorkloadSelectors", "MK2001"),
    row("IST0111", "MultipleSidecarsWithoutWorkloadSelectors", "MK2001"),
    row(
        "IST0112",
        "VirtualServiceDestinationPortSelectorRequired",
        "MK0222",
        "a warning: Istio takes the port of the request",
    ),
    row("IST0116", "DeploymentAssociatedToMultipleServices", "MK0910"),
    row("IST0118", "PortNameIsNotUnderNamingConvention", "MK0902"),
    row("IST0123", "NamespaceMultipleInjectionLabels", "MK0601"),
    row("IST0125", "InvalidAnnotation", "MK0617"),
    row(
        "IST0126",
        "UnknownMeshNetworksServiceRegistry",
        "",
        "meshkit manages one cluster and reads no mesh networks",
    ),
    row("IST0127", "NoMatchingWorkloadsFound", "MK0705"),
    row(
        "IST0128",
        "NoServerCertificateVerificationDestinationLevel",
        "MK0707",
        "only with `insecureSkipVerify`: without `caCertificates` the roots of the system verify the server",
    ),
    row(
        "IST0129",
        "NoServerCertificateVerificationPortLevel",
        "MK0707",
        "only with `insecureSkipVerify`, see IST0128",
    ),
    row("IST0130", "VirtualServiceUnreachableRule", "MK0225"),
    row("IST0131", "VirtualServiceIneffectiveMatch", "MK0226"),
    row("IST0132", "VirtualServiceHostNotFoundInGateway", "MK1806"),
    row(
        "IST0133",
        "SchemaWarning",
        "",
        "warnings of Istio's own validation, which its webhook gives when an object is applied",
    ),
    row("IST0134", "ServiceEntryAddressesRequired", "MK0913"),
    row("IST0135", "DeprecatedAnnotation", "MK0618"),
    row("IST0136", "AlphaAnnotation", "MK0612", "once for each namespace"),
    row("IST0137", "DeploymentConflictingPorts", "MK0911"),
    row("IST0138", "GatewayDuplicateCertificate", "MK1805"),
    row(
        "IST0139",
        "InvalidWebhook",
        "MK0502 MK0503",
        "when no pod answers for the webhook, or its CA is missing",
    ),
    row("IST0140", "IngressRouteRulesNotAffected", "MK0234"),
    row("IST0141", "InsufficientPermissions", "MK1404", "before an installation"),
    row("IST0142", "UnsupportedKubernetesVersion", "MK1401"),
    row("IST0143", "LocalhostListener", "", "no analyzer of istioctl 1.31 gives it"),
    row("IST0144", "InvalidApplicationUID", "MK0607"),
    row("IST0145", "ConflictingGateways", "MK1803"),
    row("IST0146", "ImageAutoWithoutInjectionWarning", "MK0614"),
    row("IST0147", "ImageAutoWithoutInjectionError", "MK0614"),
    row(
        "IST0148",
        "NamespaceInjectionEnabledByDefault",
        "",
        "such a namespace is injected, as meshkit reads it from the webhook's selectors",
    ),
    row("IST0149", "JwtClaimBasedRoutingWithoutRequestAuthN", "MK0235"),
    row("IST0150", "ExternalNameServiceTypeInvalidPortName", "MK0912"),
    row("IST0151", "EnvoyFilterUsesRelativeOperation", "MK2010"),
    row("IST0152", "EnvoyFilterUsesReplaceOperationIncorrectly", "MK2012"),
    row("IST0153", "EnvoyFilterUsesAddOperationIncorrectly", "MK2013"),
    row("IST0154", "EnvoyFilterUsesRemoveOperationIncorrectly", "MK2014"),
    row("IST0155", "EnvoyFilterUsesRelativeOperationWithProxyVersion", "MK2011"),
    row("IST0156", "UnsupportedGatewayAPIVersion", "MK1402", "before an installation"),
    row("IST0157", "InvalidTelemetryProvider", "MK2006"),
    row("IST0158", "PodsIstioProxyImageMismatchInNamespace", "MK0608"),
    row("IST0159", "ConflictingTelemetryWorkloadSelectors", "MK2004"),
    row("IST0160", "MultipleTelemetriesWithoutWorkloadSelectors", "MK2004"),
    row(
        "IST0161",
        "InvalidGatewayCredential",
        "",
        "meshkit reads the Secrets of the control plane's namespace only, so it sees no gateway's key",
    ),
    row("IST0162", "GatewayPortNotDefinedOnService", "MK1804"),
    row(
        "IST0163",
        "InvalidExternalControlPlaneConfig",
        "",
        "an external control plane is outside the scope of meshkit",
    ),
    row(
        "IST0164",
        "ExternalControlPlaneAddressIsNotAHostname",
        "",
        "an external control plane is outside the scope of meshkit",
    ),
    row("IST0165", "ReferencedInternalGateway", "MK1807"),
    row("IST0166", "IneffectiveSelector", "MK0708"),
    row("IST0167", "IneffectivePolicy", "MK2003"),
    row("IST0168", "UnknownUpgradeCompatibility", "", "no analyzer of istioctl 1.31 gives it"),
    row(
        "IST0169",
        "UpdateIncompatibility",
        "",
        "it belongs to `istioctl x precheck --from-version`; `meshkit upgrade` checks versions and skew",
    ),
    row("IST0170", "MultiClusterInconsistentService", "", "meshkit manages one cluster"),
    row("IST0171", "NegativeConditionStatus", "MK0210"),
    row("IST0172", "FutureUnsupportedGatewayAPIVersion", "MK1402", "before an installation"),
    row(
        "IST0173",
        "DestinationRuleSubsetNotSelectPods",
        "MK0208 MK0229",
        "the first if a route sends traffic to the subset",
    ),
    row(
        "IST0174",
        "UnknownDestinationRuleHost",
        "MK0228",
        "for names of the cluster and for misspelled names of a ServiceEntry; other names may be "
        "called without one",
    ),
    row("IST0175", "JwksUriFetchUnrestricted", "MK0709"),
    row("IST0176", "GatewayAPICRDVersionBelowMinimum", "MK1402", "by the versions that the cluster serves"),
    row("IST0177", "ConflictingServiceEntryProtocol", "MK0914"),
)
COMPARISON = Comparison("istioctl.md", "istioctl", _INTRODUCTION, _ROWS)
