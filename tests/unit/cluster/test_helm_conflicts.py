"""The managers and fields in what Helm prints about conflicts of a server-side apply."""

from __future__ import annotations

from meshkit.cluster.client_errors import helm_failure
from meshkit.errors import ClusterError, Conflict

ONE = (
    "Error: conflict occurred while applying object /istiod-default-validator"
    " admissionregistration.k8s.io/v1, Kind=ValidatingWebhookConfiguration: Apply failed with 1 conflict:"
    ' conflict with "pilot-discovery" using admissionregistration.k8s.io/v1:'
    ' .webhooks[name="validation.istio.io"].failurePolicy\n'
)
SEVERAL = (
    "Error: conflict occurred while applying object shop/web apps/v1, Kind=Deployment: Apply failed with 3"
    ' conflicts: conflicts with "hpa" using apps/v1:\n- .spec.replicas\nconflicts with "kubectl-edit":\n'
    "- .spec.paused\n- .spec.template.spec.containers\n"
)


def test_a_conflict_names_managers_and_fields() -> None:
    one = helm_failure(("rollback", "istio-base"), ONE)
    assert isinstance(one, Conflict)
    assert one.managers == {"pilot-discovery": ('.webhooks[name="validation.istio.io"].failurePolicy',)}
    several = helm_failure(("upgrade", "web"), SEVERAL)
    assert isinstance(several, Conflict)
    assert several.managers == {
        "hpa": (".spec.replicas",),
        "kubectl-edit": (".spec.paused", ".spec.template.spec.containers"),
    }


def test_another_failure_is_none() -> None:
    found = helm_failure(("upgrade", "web"), "Error: timed out waiting for the condition\n")
    assert type(found) is ClusterError
