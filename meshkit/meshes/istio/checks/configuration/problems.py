"""The findings for what the meaning tells of objects without effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshkit import codes
from meshkit.codes import Code
from meshkit.facts import Finding
from meshkit.meshes import checks
from meshkit.meshes.model.outbound import Problem

CODES: dict[str, Code] = {
    "UnknownDelegate": codes.DELEGATE_UNKNOWN,
    "MatchConflict": codes.DELEGATE_MATCH_CONFLICT,
    "DuplicateSubset": codes.DUPLICATE_SUBSET,
    "UnknownHost": codes.RULE_FOR_UNKNOWN_HOST,
    "HttpRouteOnTcpPort": codes.HTTP_ROUTE_ON_TCP,
    "HttpFieldsOnTcpPort": codes.HTTP_POLICY_ON_TCP,
}
"""The reason of a Problem -> the code of its finding. What only the sandbox cannot do is no finding."""


def findings_of(problems: Iterable[Problem]) -> Iterator[Finding]:
    """The findings of the problems that Istio's meaning tells."""
    return checks.findings_of(problems, CODES)
