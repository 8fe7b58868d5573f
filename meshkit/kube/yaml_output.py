"""Write YAML for people and for Git: no aliases, long texts as blocks, and comments.

Readers of YAML disagree about texts such as 1e3 and y: some take them for a number and a truth value. They
are quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

WIDTH = 100
_ENDLESS = 2**31 - 1
_AMBIGUOUS = re.compile(r"[-+]?\.?[0-9][0-9a-fA-FxXoO_.:+-]*|[yYnN]|[-+]?\.(inf|Inf|INF|nan|NaN|NAN)")
_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):  # type: ignore[misc]
    """Write what several places share once for each of them."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def document(value: Any) -> str:
    """A value as one YAML document, which ends with a line break; fields keep their order."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True))


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=_ENDLESS, default_flow_style=True)
    return str(text).strip()


def comment(text: str) -> str:
    """A text as lines of a comment."""
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


def stream(heading: str, documents: Iterable[str]) -> str:
    """Documents in one text, below a comment."""
    return "---\n".join([heading, *documents])


def _text(dumper: Any, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if _AMBIGUOUS.fullmatch(text) else None
    if not text.replace("\n", "").isprintable():
        style = '"'  # where a character that is shown as an escape is read as that character
    found: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return found


_Dumper.add_representer(str, _text)
_Dumper.add_representer(tuple, _Base.represent_list)
