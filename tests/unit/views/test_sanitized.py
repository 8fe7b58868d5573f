"""What a cell shows as HTML or SVG stays in the report; what runs, loads or leads away by itself does not."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from nbformat import v4

from meshkit.views.release.chart import release_chart
from meshkit.views.report import cell_html, page
from meshkit.views.sanitized import sanitized
from tests.unit.views_panel.releases import release_after

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<img src=https://evil.test/a.png>",
    "<IMG SRC='jAvAsCrIpT:alert(1)'>",
    "<svg onload=alert(1)><use href='https://evil.test/x.svg#a'/></svg>",
    "<svg><a xlink:href='javascript:alert(1)'>x</a><foreignObject><iframe src=x></foreignObject></svg>",
    "<svg><style>@import 'https://evil.test'</style><path fill='url(https://evil.test/x)'/></svg>",
    "<a href='javascript:alert(1)'>x</a><a href='data:text/html,x'>x</a>",
    "<p style='background:url(https://evil.test)'>x</p><p style='background:u\\72l(https://evil.test)'>x</p>",
    "<p style='position:fixed;top:0;left:0;z-index:9'>x</p>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe><object data=x></object><embed src=x>",
    "<form action=https://evil.test><input name=x><button>x</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.test'><base href=https://evil.test>",
    "<link rel=stylesheet href=https://evil.test><style>body{display:none}</style>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
)
GONE = (
    *("evil.test", "javascript", "position", "<script", "<style", "<iframe", "<object", "<embed", "<form"),
    *("<input", "<button", "<meta", "<base", "<link", "onerror", "onload"),
)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("html", HOSTILE)
@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml"])
def test_nothing_of_a_cell_runs_or_loads(html: str, kind: str) -> None:
    output = v4.new_output("display_data", data={kind: html, "text/plain": "x"})
    shown = cell_html(v4.new_code_cell("show()", outputs=[output]))
    text = shown.partition("</details>")[2]
    assert not [word for word in GONE if word in text.lower()], text
    assert not [name for _, attrs in Tags(text).tags for name in attrs if name.startswith("on")]


def test_a_chart_and_a_table_stay_as_they_are() -> None:
    svg = release_chart(release_after(20)).svg
    assert Tags(sanitized(svg)).tags == Tags(svg).tags
    table = (
        '<table border="1" class="dataframe"><thead><tr style="text-align:right"><th>a</th></tr></thead>'
        '<tbody><tr><td colspan="2">1 &lt; 2</td></tr></tbody></table>'
    )
    assert sanitized(table) == table
    picture = '<img src="data:image/png;base64,iVBORw0KGgo=" alt="a plot">'
    assert sanitized(picture) == picture


def test_a_page_lets_the_browser_load_nothing() -> None:
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page("t", sanitized("<p>x</p>"))
