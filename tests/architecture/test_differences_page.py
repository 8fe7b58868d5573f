"""docs/ideas/differences.md is exactly what the cases generate."""

from __future__ import annotations

from tests.conformance.routes.cases import all_cases
from tests.conformance.routes.page import PAGE, page


def test_the_page_is_what_the_cases_say() -> None:
    assert PAGE.read_text() == page(all_cases()), "run: python -m tests.conformance.routes.page"
