"""Remove secret values from texts and outputs, in every form that Python, JSON, YAML or HTML writes.

A value is turned into a pattern in which each character stands for all its spellings: as it is, behind any
number of backslashes, as an entity, or percent-encoded. Base64 is found at each of its three alignments, so
that a value inside a longer text is found too, as in the header of basic authentication.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from meshkit.kube.yaml_input import load

REDACTED = "[redacted]"
SHORTEST = 6
"""The minimum length of a secret: shorter values occur in ordinary text, so they cannot be redacted."""
_KEY_CHARS = 20
_KEYLIKE = re.compile(rf"[A-Za-z0-9+/=_.\-]{{{_KEY_CHARS},}}")
"""A word in a longer secret that is itself a key, certificate or token."""
_SECRET_FIELD = re.compile(r"token|password|secret|key|auth|credential|data\Z", re.IGNORECASE)
"""The names of fields whose values are secret by themselves in a secret of YAML or JSON."""
_PLAIN = re.compile(r"[A-Za-z0-9_.\-]")
"""Characters that no writer escapes."""
_BREAK = (
    r"(?:\s|\\+(?:[nrt\s]|[xu](?:00)?(?:0[0-9a-dA-D]|20))|\+|%20|%0[9adAD]|&nbsp;"
    r"|&#(?:0*(?:9|10|13|32|160)|[xX]0*(?:9|[aAdD]|20|[aA]0));|b?['\"])+"
)
"""White space, which writers also wrap, and where they end one string and begin another."""
_SHORT = {"\a": "a", "\b": "b", "\f": "f", "\v": "v", "\x1b": "e", "\0": "0", "\x85": "N", "\xa0": "_"}
_CONTINUED = r"(?:\\+(?:\n|n)[ \t]*\\*)?"
"""Behind a character that YAML escapes it may end the line."""
_WRAPPED = r"(?:\s|\\+[rn])*"
"""Between two characters of base64."""


@dataclass(frozen=True)
class Redaction:
    """The pattern of the secret values that are removed from outputs; None if there are none."""

    pattern: re.Pattern[str] | None = None

    def text(self, text: str) -> str:
        """Return a text without the values."""
        return self.pattern.sub(REDACTED, text) if self.pattern else text

    def notebook(self, notebook: Any) -> None:
        """Remove the values from the outputs of a notebook, in place."""
        for cell in notebook.cells if self.pattern else ():
            if cell.cell_type == "code":
                for name in ("stdout", "stderr"):
                    self._stream([each for each in cell.outputs if each.get("name") == name])
                cell.outputs = [self.tree(output) for output in cell.outputs]

    def _stream(self, outputs: list[Any]) -> None:
        """Remove the values from what was printed, which a kernel cuts into outputs anywhere."""
        texts = ["".join(each["text"]) for each in outputs]
        ends = [sum(map(len, texts[: index + 1])) for index in range(len(texts))]
        shared = "".join(texts)
        for found in reversed(list(self.pattern.finditer(shared)) if self.pattern else []):
            mark = REDACTED
            for index, end in enumerate(ends):
                begin = end - len(texts[index])
                low, high = max(found.start(), begin) - begin, min(found.end(), end) - begin
                if low < high:
                    kept = "".join(outputs[index]["text"])
                    outputs[index]["text"] = f"{kept[:low]}{mark}{kept[high:]}"
                    mark = ""

    def tree(self, found: Any) -> Any:
        """Return nested lists and mappings without the values."""
        if isinstance(found, str):
            return self.text(found)
        if isinstance(found, dict):
            return type(found)({self.tree(key): self.tree(value) for key, value in found.items()})
        if not isinstance(found, list):
            return found
        if (
            self.pattern
            and all(isinstance(each, str) for each in found)
            and self.pattern.search("".join(found))
        ):
            return self.text("".join(found)).splitlines(keepends=True)
        return [self.tree(each) for each in found]


def redaction(values: Iterable[str]) -> Redaction:
    """The redaction of secret values, and of the keys and tokens inside them."""
    pieces = {piece for value in values for piece in _pieces(value)}
    # The longest first: of two values that begin at the same place, the whole is removed.
    forms = [form for piece in sorted(pieces, key=len, reverse=True) for form in _forms(piece)]
    return Redaction(re.compile("|".join(forms)) if forms else None)


def _pieces(value: str) -> Iterator[str]:
    yield from (value.lstrip(), value.strip())
    yield from (word for word in re.split(r"[\s\"']+", value) if _KEYLIKE.fullmatch(word))
    try:
        fields = load(value)
    except yaml.YAMLError:
        return
    yield from (each for each in _secret_fields(fields) if len(each.strip()) >= SHORTEST)


def _secret_fields(found: Any, *, secret: bool = False) -> Iterator[str]:
    if isinstance(found, dict):
        for name, value in found.items():
            yield from _secret_fields(value, secret=secret or bool(_SECRET_FIELD.search(str(name))))
    elif isinstance(found, list):
        for each in found:
            yield from _secret_fields(each, secret=secret)
    elif secret and isinstance(found, str):
        yield found


def _forms(piece: str) -> Iterator[str]:
    parts = re.split(r"([ \t\r\n]+)", piece)
    yield "".join(_BREAK if index % 2 else "".join(map(_spelled, part)) for index, part in enumerate(parts))
    data = piece.encode(errors="surrogateescape")
    for encoded in {text for shift in range(3) for text in _base64(data, shift)}:
        yield _WRAPPED.join(map(re.escape, encoded))
    yield f"(?i:{data.hex()})"


def _spelled(char: str) -> str:
    """The pattern of one character in all its spellings."""
    if _PLAIN.fullmatch(char):
        return re.escape(char)
    code, data = ord(char), char.encode(errors="surrogateescape")
    escapes = [f"x{code:02x}", f"u{code:04x}", f"U{code:08x}"] if code < 0x10000 else [f"U{code:08x}"]
    entity = html.escape(char)
    pair = json.dumps(char)[1:-1].split("\\u")[1:]
    spellings = [
        rf"\\*{re.escape(char)}{{1,2}}" if char in "'\"" else rf"\\*{re.escape(char)}",
        *(rf"\\+(?i:{escape})" for escape in escapes),
        "".join(rf"\\+u(?i:{unit})" for unit in pair),
        "".join(rf"\\+x(?i:{byte:02x})" for byte in data),
        "".join(f"%(?i:{byte:02x})" for byte in data),
        rf"\\*&(?:amp;)*#(?:0*{code}|[xX]0*(?i:{code:x}));",
        rf"\\*{re.escape(entity)}" if entity != char else "",
        r"\\*&apos;" if char == "'" else "",
        rf"\\+{_SHORT[char]}" if char in _SHORT else "",
    ]
    return f"(?:{'|'.join(dict.fromkeys(filter(None, spellings)))}){_CONTINUED}"


def _base64(data: bytes, shift: int) -> Iterator[str]:
    """The characters of base64 that depend on the data alone, if ``shift`` bytes modulo 3 stand before it."""
    whole = base64.b64encode(b"\0" * shift + data)
    first = (0, 2, 3)[shift]
    # The last group also depends on what follows; it is kept where nothing follows.
    last = len(whole) if (shift + len(data)) % 3 == 0 else len(whole) - 4 + (shift + len(data)) % 3
    for end in {last, len(whole)}:
        text = whole[first:end].decode()
        if len(text) >= SHORTEST:
            yield from (text, text.translate(str.maketrans("+/", "-_")))
