"""What axe-core, the usual checker of accessible pages, finds in a part of a page."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_OURS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "rules": {"heading-order": {"enabled": True}},
}


def violations(page: Page, selector: str = "html") -> list[str]:
    """Each rule that an element below ``selector`` breaks, with the element, for WCAG 2.2 at level AA.

    The handle of an ipywidgets slider has no name, and none can be given: its label and the field beside it,
    where the value can be typed, are what a screen reader gets. It is left out.
    """
    found = Axe().run(page, context=selector, options=_OURS).response["violations"]
    return [
        f"{rule['id']} ({rule['help']}): {node['html'][:200]} {node['failureSummary'][:300]}"
        for rule in found
        for node in rule["nodes"]
        if "noUi-handle" not in node["html"]
    ]
