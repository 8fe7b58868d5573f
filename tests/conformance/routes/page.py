"""docs/ideas/differences.md from the cases: ``python -m tests.conformance.routes.page`` writes it."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.routes.cases import Case, all_cases

PAGE = Path(__file__).parents[3] / "docs" / "ideas" / "differences.md"
_HEAD = """\
# The sandbox beside the real istiod

Written by `python -m tests.conformance.routes.page` from `tests/conformance/routes/cases`; `make conformance` runs every
case. The same objects go through istiod 1.31 and through the sandbox's translation, each onto the same Envoy 1.40, and the
same requests are sent. Compared are the effective routes, the clusters and the answers (statuses, and shares within four
sigma of each other); of a server's proxy, what connections it takes and whom it lets in. A difference that stands here fails
its case as soon as it is gone.

Not compared: mutual TLS itself (certificates come from Istio's agent, which does not run here; of PeerAuthentication it is
the generated listeners that are compared, and of AuthorizationPolicy what plaintext callers meet), gateways, and Linkerd,
whose proxy and policy controller cannot be built here.

What the comparison showed of istiod 1.31 itself:
- it does not start on files alone: it lists namespaces, so it is given the sandbox's API server, which it reads as any other;
- a route without destination, redirect or answer makes a table that Envoy refuses: only the webhook keeps it out;
- a route with a fault keeps its timeout and its retries; a fault without a percentage is no fault;
- a host name with a dot in it is taken as it is: `store.other` is no Service.
"""  # noqa: E501 - a page has longer lines


def page(cases: list[Case]) -> str:
    """The page: the differences, then every case."""
    known = [case for case in cases if case.reason]
    rows = "\n".join(
        f"| {case.name} | {', '.join(sorted(case.differs_in))} | {case.reason} |" for case in known
    )
    alike = "\n".join(f"| {case.name} | {case.about} | {', '.join(case.compare)} |" for case in cases)
    return (
        f"{_HEAD}\n## Differences that stay\n\n| case | in | reason |\n|---|---|---|\n{rows}\n\n"
        f"## The {len(cases)} cases\n\n| case | what it shows | compared |\n|---|---|---|\n{alike}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(all_cases()))
