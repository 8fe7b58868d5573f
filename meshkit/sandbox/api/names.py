"""Kubernetes' rules for names and paths: each function says what is wrong with a value, in Kubernetes' words.

The rules are those of k8s.io/apimachinery (util/validation) and of the core group's validation. A name that
passes ``label``, ``subdomain`` or ``data_key`` is one component of a path and never leads out of a folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from meshkit.sandbox.api import status
from meshkit.sandbox.api.status import Cause

Rule = Callable[[str], list[str]]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_DATA_KEY = "[-._a-zA-Z0-9]+"
_PORT_NAME = "[-a-z0-9]+"
_LONGEST_LABEL, _LONGEST_SUBDOMAIN, _LONGEST_PORT_NAME = 63, 253, 15


def _matches(pattern: str, value: str) -> bool:
    return re.fullmatch(pattern, value) is not None


def _regex_rule(sentence: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{sentence} (e.g. {shown}regex used for validation is '{pattern}')"


def _too_long(value: str, limit: int) -> list[str]:
    return [f"must be no more than {limit} characters"] if len(value) > limit else []


def label(value: str) -> list[str]:
    """A DNS-1123 label: namespaces, containers, volumes."""
    found = _too_long(value, _LONGEST_LABEL)
    if _matches(_LABEL, value):
        return found
    if _matches(_SUBDOMAIN, value):
        return [*found, "must not contain dots"]
    sentence = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
        "start and end with an alphanumeric character"
    )
    return [*found, _regex_rule(sentence, _LABEL, "my-name", "123-abc")]


def subdomain(value: str) -> list[str]:
    """A DNS-1123 subdomain: most objects."""
    found = _too_long(value, _LONGEST_SUBDOMAIN)
    if _matches(_SUBDOMAIN, value):
        return found
    sentence = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
        "must start and end with an alphanumeric character"
    )
    return [*found, _regex_rule(sentence, _SUBDOMAIN, "example.com")]


def label_1035(value: str) -> list[str]:
    """A DNS-1035 label: the plural, the kind and the versions of a CustomResourceDefinition."""
    found = _too_long(value, _LONGEST_LABEL)
    if _matches(_LABEL_1035, value):
        return found
    sentence = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
        "alphabetic character, and end with an alphanumeric character"
    )
    return [*found, _regex_rule(sentence, _LABEL_1035, "my-name", "abc-123")]


def path_segment(value: str) -> list[str]:
    """A name that can stand in a URL: the objects of RBAC."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{each}'" for each in "/%" if each in value]


def data_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret."""
    found = _too_long(value, _LONGEST_SUBDOMAIN)
    if not _matches(_DATA_KEY, value):
        sentence = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        found.append(_regex_rule(sentence, _DATA_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        found.append(f"must not be '{value}'")
    elif value.startswith(".."):
        found.append("must not start with '..'")
    return found


def variable(value: str) -> list[str]:
    """The name of an environment variable."""
    if all(" " <= letter <= "~" and letter != "=" for letter in value):
        return []
    return [
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
    ]


def port_name(value: str) -> list[str]:
    """The name of a container's port."""
    found = _too_long(value, _LONGEST_PORT_NAME)
    if not _matches(_PORT_NAME, value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def without_backsteps(value: str) -> list[str]:
    """A path that may be absolute: ``hostPath``."""
    return ["must not contain '..'"] if ".." in value.split("/") else []


def descending_path(value: str) -> list[str]:
    """A path below a volume: ``subPath``."""
    absolute = ["must be a relative path"] if value.startswith("/") else []
    return [*absolute, *without_backsteps(value)]


def volume_file(value: str) -> list[str]:
    """A file that a volume gives to one key of its source: ``items[].path``."""
    found = descending_path(value)
    if value.startswith("..") and not value.startswith("../"):
        found.append("must not start with '..'")
    return found


def causes(field: str, value: str, rule: Rule) -> Iterator[Cause]:
    """What a rule finds wrong with the value of a field."""
    for why in rule(value):
        yield status.invalid_value(field, value, why)


def required_causes(field: str, value: str | None, rule: Rule | None = None) -> Iterator[Cause]:
    """What is wrong with a field that must not be empty."""
    if not value:
        yield status.required(field)
    elif rule is not None:
        yield from causes(field, value, rule)


def key_causes(field: str, keys: Iterable[str]) -> Iterator[Cause]:
    """What is wrong with the keys of a ConfigMap's or Secret's data."""
    for key in keys:
        yield from causes(f"{field}[{key}]", key, data_key)


def generated(rule: Rule) -> Rule:
    """The rule for a prefix that more letters follow: it may end with a dash."""
    return lambda value: rule(f"{value[:-2]}a" if len(value) > 1 and value.endswith("-") else value)
