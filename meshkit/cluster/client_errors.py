"""Convert errors of the kubernetes client, of urllib3 and of Helm to meshkit's errors.

A test verifies that the table covers all of the clients'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from meshkit.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    MeshkitError,
    Rejected,
    TimedOut,
    Unauthenticated,
    Unreachable,
)

_NOT_OF_ITS_TYPE = "failed to create typed patch object"
"""The message of server-side apply for an unknown field or wrong type, which has status 500, not 4xx."""
_VALUE = re.compile(r", got .*", re.DOTALL)
"""The part of that message that quotes the value, which may be secret."""
_MESSAGE = 4000
"""How much of a server's message is repeated."""
_CONFLICT_WITH = re.compile(r'conflict with "(?P<manager>[^"]+)"')


@contextmanager
def translated(server: str) -> Iterator[None]:
    """Convert the client's errors in a ``with`` block to meshkit's."""
    try:
        yield
    except MeshkitError:
        raise
    except Exception as error:
        ours = translate(error, server)
        if ours is None:
            raise
        raise ours from error


@contextmanager
def understood(server: str, path: str) -> Iterator[None]:
    """Convert the errors of reading an answer that is not one of Kubernetes."""
    try:
        yield
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise _not_kubernetes(server, path) from error


def _not_kubernetes(server: str, path: str) -> ClusterError:
    return ClusterError(
        f"{server} does not answer as an API server of Kubernetes to {path}.",
        remedy="Check the server's address in the kubeconfig: a proxy or another program may answer there.",
    )


def translate(error: BaseException, server: str) -> ClusterError | None:
    """Convert a client error to meshkit's; return None for any other exception, which is a bug."""
    # Classes are compared by name, because importing them takes most of a second.
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__}
    for name, make in _TABLE.items():
        if name in names:
            return make(error, server)
    return None


def _no_answer(error: Any, server: str) -> ClusterError:
    reason = getattr(error, "reason", None) or error
    if "certificate" in str(reason).lower():
        return Unreachable(
            f"The certificate of the API server at {server} is not trusted: {_gist(reason)}.",
            remedy="Check certificate-authority-data and the server's address in the kubeconfig.",
        )
    return Unreachable(
        f"The API server at {server} does not answer: {_gist(reason)}.",
        remedy="Check that the cluster runs ('meshkit sandbox status' for the sandbox) and the address.",
    )


def _redirect(status: int, server: str) -> ClusterError:
    return ClusterError(
        f"{server} redirects to another address ({status}), which meshkit does not follow.",
        remedy="Name the API server's own address in the kubeconfig; a login page may stand before it.",
        status=status,
    )


def _no_text(error: Any, server: str) -> ClusterError:
    return _not_kubernetes(server, "a request")


def _answer(error: Any, server: str) -> ClusterError:
    status, body = error.status, _body(error)
    if not status:  # the client reports a failed TLS handshake this way
        return _no_answer(error, server)
    if 300 <= status < 400:
        return _redirect(status, server)
    message = str(body.get("message") or error.reason or "no reason given")[:_MESSAGE].rstrip(".")
    if message.startswith(_NOT_OF_ITS_TYPE):
        message = _VALUE.sub("", message)
    if status == 401:
        return Unauthenticated(
            f"The API server at {server} does not accept these credentials (401): the token or certificate is"
            " wrong or has expired.",
            remedy="Log in again, or name another context.",
            status=status,
        )
    if status == 403:
        return Forbidden(
            f"The API server refuses: {message}.",
            remedy="Ask an administrator of the cluster for this right.",
            status=status,
        )
    if status == 409:
        return _conflict(message, body)
    if status == 504:
        return TimedOut(f"The API server gave up: {message}.", remedy="Try again.", waited_s=0)
    if status in (429, 502, 503):
        return Unreachable(
            f"The API server at {server} is not ready ({status}): {message}.",
            remedy="Try again in a moment.",
            status=status,
        )
    if 400 <= status < 500 or message.startswith(_NOT_OF_ITS_TYPE):
        return Rejected(
            f"The API server refuses: {message}.",
            remedy="Correct what it names; nothing was changed by this request.",
            status=status,
            causes=tuple(_causes(body)),
        )
    return ClusterError(
        f"The API server at {server} failed ({status}): {message}.", remedy="See its log.", status=status
    )


def _conflict(message: str, body: dict[str, Any]) -> Conflict:
    managers: dict[str, tuple[str, ...]] = {}
    for field, reason in _causes(body):
        match = _CONFLICT_WITH.search(reason)
        if match:
            manager = match["manager"]
            managers[manager] = (*managers.get(manager, ()), field)
    if managers:
        owned = "; ".join(f"{manager} owns {', '.join(fields)}" for manager, fields in managers.items())
        remedy = "Leave the field to that manager, or take it over explicitly."
        return Conflict(f"{owned}.", remedy=remedy, managers=managers)
    return Conflict(f"The API server refuses: {message}.", remedy="Read the object again, then plan again.")


def _client_bug(error: Any, server: str) -> ClusterError:
    return ClusterError(
        f"The kubernetes client could not make a request to {server}: {_gist(error)}.",
        remedy="Report this with the command that caused it.",
    )


_TABLE: dict[str, Callable[[Any, str], ClusterError]] = {
    "kubernetes.client.exceptions.ApiException": _answer,
    "kubernetes.client.exceptions.OpenApiException": _client_bug,
    "urllib3.exceptions.HTTPError": _no_answer,
    "urllib3.exceptions.ProxySchemeUnsupported": _no_answer,
    "http.client.HTTPException": _no_answer,
    "builtins.OSError": _no_answer,
    "builtins.UnicodeDecodeError": _no_text,
}


def _body(error: Any) -> dict[str, Any]:
    try:
        body = json.loads(error.body)
    except (TypeError, ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _causes(body: dict[str, Any]) -> list[tuple[str, str]]:
    """The fields and reasons of a Status, without what is none."""
    details = body.get("details")
    found = details.get("causes") if isinstance(details, dict) else None
    causes = [cause for cause in found if isinstance(cause, dict)] if isinstance(found, list) else []
    return [(str(cause.get("field", "")), str(cause.get("message", ""))) for cause in causes]


def _gist(reason: object) -> str:
    """The relevant part of a message: its last line, without representations of Python objects."""
    line = str(reason).strip().split("\n")[-1]
    return re.sub(r"^[\w.]*(<[^>]*>|\([^)]*\)): ", "", line).rstrip(".")


_HELM_CONFLICT = re.compile(r'conflicts? with "([^"]+)"[^:\n]*:((?: \.[^\n]*)|(?:\n- [^\n]+)+)')
"""A manager and its fields in the API server's message about conflicts, on one line or as a list."""


def _owned_fields(output: str) -> dict[str, tuple[str, ...]]:
    """The managers that own fields that Helm could not apply, with these fields."""
    found: dict[str, tuple[str, ...]] = {}
    for manager, fields in _HELM_CONFLICT.findall(output):
        paths = [each.strip().removeprefix("- ") for each in fields.strip().splitlines()]
        found[manager] = (*found.get(manager, ()), *paths)
    return found


def helm_failure(words: Sequence[str], output: str) -> ClusterError:
    """The error for a command of Helm; a ``Conflict`` if others own fields that it would change."""
    owned = _owned_fields(output)
    if owned:
        fields = "; ".join(f"{', '.join(paths)} of {manager}" for manager, paths in owned.items())
        return Conflict(
            f"helm {words[0]} {words[1]} would change fields that others own: {fields}.",
            remedy="Let that manager give these fields up, then run this again: it goes on where it stopped.",
            managers=owned,
        )
    lines = [line for line in output.strip().splitlines() if not line.startswith(("WARNING", "level="))]
    text = (lines[-1] if lines else "no reason given").removeprefix("Error: ").rstrip(".")
    return ClusterError(f"helm {words[0]} {words[1]} failed: {text}.", remedy="Correct it, then plan again.")
