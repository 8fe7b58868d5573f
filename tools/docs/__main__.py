"""Build the site into out/docs; a warning is an error, and so is a page that would load from another host.

The pages of docs/ are copied to build/docs/source, where the reference that is made from the code joins them:
nothing generated is written beside what people write.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from tools.docs import catalogues, commands, names
from tools.docs.pages import DOCS, ROOT

SOURCE = ROOT / "build" / "docs" / "source"
DOCTREES = ROOT / "build" / "docs" / "doctrees"
SITE = ROOT / "out" / "docs"

_LOADS = re.compile(r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"'](?:https?:)?//[^\"']*")
_LINKS = re.compile(r"<link\b[^>]*>")
_STYLES = re.compile(r"(?:@import\s*|url\(\s*)[\"']?(?:https?:)?//[^\"')]+")
_NO_REQUEST = re.compile(r"rel=[\"']?(?:canonical|author|license|help|next|prev|index|search)\b")


def stage() -> None:
    """Put what people wrote and what is generated side by side."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(DOCS, SOURCE)
    for name, text in generated().items():
        page = SOURCE / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")


def generated() -> dict[str, str]:
    """Path below docs/ -> the text of a page that is made from the code."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return {
        **{f"reference/python/{name}.md": text for name, text in names.render().items()},
        **{f"reference/commands/{name}.md": text for name, text in commands.render().items()},
        "reference/runbooks.md": catalogues.runbooks_page(),
        "reference/settings.md": catalogues.settings_page(),
        "reference/errors.md": catalogues.errors_page(),
        "changes.md": changelog.replace("](docs/", "]("),
    }


def remote_loads(site: Path) -> list[str]:
    """What the pages of a site would load from another host."""
    found = []
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        tags = [each for each in _LINKS.findall(text) if "//" in each and not _NO_REQUEST.search(each)]
        found += [f"{page.relative_to(site)}: {each}" for each in [*_LOADS.findall(text), *tags]]
    for style in sorted(site.rglob("*.css")):
        text = style.read_text(encoding="utf-8")
        found += [f"{style.relative_to(site)}: {each}" for each in _STYLES.findall(text)]
    return found


def main() -> int:
    """Build; the exit code is Sphinx's, or 1 where a page loads from another host."""
    from sphinx.cmd.build import main as sphinx

    stage()
    shutil.rmtree(SITE, ignore_errors=True)
    strict = ["--fail-on-warning", "--keep-going", "--quiet", "--jobs", "2"]
    code = sphinx([*strict, "-E", "-b", "html", "-d", str(DOCTREES), str(SOURCE), str(SITE)])
    remote = remote_loads(SITE) if code == 0 else []
    for each in remote:
        sys.stderr.write(f"docs: this would be loaded from another host: {each}\n")
    if not (code or remote):
        sys.stderr.write(f"docs: open {(SITE / 'index.html').relative_to(ROOT)}\n")
    return code or bool(remote)


if __name__ == "__main__":
    sys.exit(main())
