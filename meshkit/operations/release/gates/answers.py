"""Read the answer to a gate: from a file, from an annotation, or from a webhook."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from meshkit.errors import NoData
from meshkit.facts import Object
from meshkit.operations.release.notices.webhook import Post

FILE_BYTES = 4096
_WORDS: Mapping[str, Literal["approved", "rejected"]] = {
    "approve": "approved",
    "approved": "approved",
    "reject": "rejected",
    "rejected": "rejected",
}


@dataclass(frozen=True)
class Answer:
    """An answer to a gate: who gave it, and why; ``why`` may be empty."""

    word: Literal["approved", "rejected"]
    who: str
    why: str = ""


def from_file(path: str, since_s: float) -> Answer | None:
    """Read a file whose first word is ``approve`` or ``reject``, and the rest says why.

    A file from before ``since_s`` does not count. Returns None without an answer; raises ``NoData`` for a
    file that cannot be read or says something else.
    """
    try:
        with open(path, "rb") as file:
            found, text = os.fstat(file.fileno()), file.read(FILE_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NoData(
            f"{path} cannot be read: {error.strerror}.", remedy="Correct its permissions."
        ) from error
    if found.st_mtime < since_s:
        raise NoData(f"{path} is from before the release.", remedy="Write it again to answer the gate.")
    return _answer(text, _owner(found.st_uid), path)


def from_annotation(workload: Object, gate_key: str, since_s: float) -> Answer | None:
    """Read an annotation with the same words; the field manager that wrote it is who answered.

    An annotation that was written before ``since_s`` does not count.
    """
    meta = workload["metadata"]
    text = (meta.get("annotations") or {}).get(gate_key)
    if text is None:
        return None
    where = f"annotation {gate_key} of {workload['kind']} {meta['namespace']}/{meta['name']}"
    written_s, manager = max(_writers(meta, gate_key), default=(0.0, ""))
    if written_s < int(since_s):  # The times of managedFields are whole seconds.
        raise NoData(
            f"The {where} is from before the release.", remedy="Write another text to answer the gate."
        )
    return _answer(text, f"the field manager {manager}", f"the {where}")


class Question:
    """Ask a webhook in a thread of its own, so that a slow one delays no look; one request at a time."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._thread: threading.Thread | None = None
        self._body: bytes | NoData | None = None

    @property
    def asked(self) -> bool:
        """Whether a request is on its way, or its answer is not taken yet."""
        return self._thread is not None

    def ask(self, address: str, body: Mapping[str, Any]) -> None:
        """Send the question."""
        self._body = None
        self._thread = threading.Thread(target=self._run, args=(address, body), name="gate", daemon=True)
        self._thread.start()

    def answer(self) -> Answer | None:
        """Take the answer; None while there is none. Raises ``NoData`` for one that is no decision."""
        if self._thread is None or self._thread.is_alive():
            return None
        self._thread.join()
        self._thread, body = None, self._body
        if isinstance(body, NoData):
            raise body
        return _decision(body or b"")

    def close(self, timeout_s: float) -> None:
        """Wait for a request that is on its way, at most so long."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self, address: str, body: Mapping[str, Any]) -> None:
        try:
            self._body = self._post(address, body)
        except NoData as problem:
            self._body = problem
        except Exception:  # Whatever it is may name the address.
            self._body = NoData("the webhook could not be asked.", remedy="Correct its address.")


def _decision(body: bytes) -> Answer | None:
    """Read ``{"decision": "approve", "who": ..., "why": ...}``; None for the decision ``wait``."""
    found: Any = None
    with suppress(ValueError, RecursionError):
        found = json.loads(body)
    decision = found.get("decision") if isinstance(found, dict) else None
    if decision == "wait":
        return None
    if not isinstance(decision, str) or decision not in _WORDS:
        raise NoData(
            "the webhook answered without a decision.",
            remedy='Let it answer {"decision": "approve", "who": "...", "why": "..."}, or reject, or wait.',
        )
    return Answer(
        _WORDS[decision], str(found.get("who") or "the webhook"), str(found.get("why") or "")[:1000]
    )


def _answer(text: str, who: str, where: str) -> Answer:
    word, _, why = text.strip().partition(" ")
    word, _, more = word.partition("\n")
    word = word.rstrip(":,.").lower()
    if word not in _WORDS:
        raise NoData(f"The first word of {where} is neither approve nor reject.", remedy="Correct it.")
    return Answer(_WORDS[word], who, " ".join(f"{more} {why}".split()))


def _owner(uid: int) -> str:
    with suppress(ImportError, KeyError):
        import pwd

        return f"the owner of the file, {pwd.getpwuid(uid).pw_name}"
    return f"the owner of the file, user {uid}"


def _writers(meta: Mapping[str, Any], key: str) -> list[tuple[float, str]]:
    """When which field managers wrote an annotation."""
    found = []
    for entry in meta.get("managedFields") or ():
        fields = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {}
        if f"f:{key}" in fields and entry.get("time"):
            found.append((datetime.fromisoformat(str(entry["time"])).timestamp(), str(entry.get("manager"))))
    return found
