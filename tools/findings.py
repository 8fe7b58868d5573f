"""Write docs/reference/findings.md from the register of finding codes: ``python -m tools.findings``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from meshkit import codes

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "findings.md"
_INTRODUCTION = """\
# Findings

Every finding of meshkit has a code, which appears in the output of `meshkit check`, in plans, in the forecast
of a release and in the guided setup. The meaning of a code never changes; the message names the object and
the values. An *error* stops a plan and makes `meshkit check` exit with 1. A *warning* makes
`meshkit check --strict` exit with 5. An *info* does not change the exit code.

This page is generated from `meshkit/codes` by `python -m tools.findings`. Codes that do not start with MK
belong to istioctl (`IST0102`) or to the linkerd command line (`LINKERD`), which document them.
Links in notebooks lead to `$MESHKIT_DOCS`, by default `../docs`.
"""


def page() -> str:
    """The page as Markdown: a section for each block, a heading for each code."""
    return "\n".join([_INTRODUCTION, *_blocks()])


def _blocks() -> Iterator[str]:
    register = codes.register().values()
    for prefix, title in codes.BLOCKS.items():
        yield f"## {prefix}: {title}\n"
        for code in register:
            if code.id.startswith(prefix):
                yield f"### {code.id}\n"
                yield f"*{' or '.join(filter(None, (code.severity, code.also)))}* · {code.meaning}\n"
                yield f"- Why it matters: {code.reason}"
                yield f"- What to do: {code.remedy}\n"


if __name__ == "__main__":
    PAGE.write_text(page())
