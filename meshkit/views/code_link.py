"""The link from a finding's code to its explanation in the documentation."""

from __future__ import annotations

from markupsafe import Markup, escape

from meshkit import settings
from meshkit.facts import Finding


def code_link(finding: Finding) -> Markup:
    """The code of a finding as a link to its explanation. Codes of other programs have none and stay text."""
    if not finding.anchor:
        return escape(finding.code)
    return Markup('<a href="{}/{}">{}</a>').format(settings.docs(), finding.anchor, finding.code)
