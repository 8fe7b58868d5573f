"""A page that leads a browser to another address."""

from __future__ import annotations

from markupsafe import Markup

_PAGE = Markup(
    '<!doctype html>\n<meta charset="utf-8">\n<meta http-equiv="refresh" content="0; url={url}">\n'
    '<title>{title}</title>\n<a href="{url}">{title}</a>\n'
)


def redirect_page(url: str, title: str) -> str:
    """Return a page that opens ``url`` at once, and shows a link to it."""
    return str(_PAGE.format(url=url, title=title))
