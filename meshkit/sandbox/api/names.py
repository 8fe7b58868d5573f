"""Kubernetes' validation rules for names and paths; each rule returns the errors in Kubernetes' wording.

The rules are those of k8s.io/apimachinery (util/validation) and of the core group's validation. A name that
passes ``label``, ``subdomain`` or ``data_key`` is a single path component and cannot escape a directory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from meshkit.sandbox.api import status
from meshkit.sandbox.api.status import Cause

Rule = Callable[[str], list[str]]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_DATA_KEY = "[-._a-zA-Z0-9]+"
_PORT_NAME = "[-a-z0-9]+"
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_NAME_PART_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_LONGEST_LABEL, _LONGEST_SUBDOMAIN, _LONGEST_PORT_NAME = 63, 253, 15


def _matches(pattern: str, value: str) -> bool:
    return re.fullmatch(pattern, value) is not None


def _regex_rule(sentence: str, pattern: str, *examples: str) -> str:
    alternatives = " or ".join(f"'{example}', " for example in examples)
    return f"{sentence} (e.g. {alternatives}regex used for validation is '{pattern}')"


def _too_long(value: str, limit: int) -> list[str]:
    return [f"must be no more than {limit} characters"] if len(value) > limit else []


def label(value: str) -> list[str]:
    """Validate a DNS-1123 label, the name of a namespace, container or volume."""
    problems = _too_long(value, _LONGEST_LABEL)
    if _matches(_LABEL, value):
        return problems
    if _matches(_SUBDOMAIN, value):
        return [*problems, "must not contain dots"]
    sentence = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
        "start and end with an alphanumeric character"
    )
    return [*problems, _regex_rule(sentence, _LABEL, "my-name", "123-abc")]


def subdomain(value: str) -> list[str]:
    """Validate a DNS-1123 subdomain, the name of most objects."""
    problems = _too_long(value, _LONGEST_SUBDOMAIN)
    if _matches(_SUBDOMAIN, value):
        return problems
    sentence = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
        "must start and end with an alphanumeric character"
    )
    return [*problems, _regex_rule(sentence, _SUBDOMAIN, "example.com")]


def label_1035(value: str) -> list[str]:
    """Validate a DNS-1035 label, used for the plural, kind and versions of a CustomResourceDefinition."""
    problems = _too_long(value, _LONGEST_LABEL)
    if _matches(_LABEL_1035, value):
        return problems
    sentence = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
        "alphabetic character, and end with an alphanumeric character"
    )
    return [*problems, _regex_rule(sentence, _LABEL_1035, "my-name", "abc-123")]


def path_segment(value: str) -> list[str]:
    """Validate a name that is one URL path segment, the name of an RBAC object."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in value]


def data_key(value: str) -> list[str]:
    """Validate a key of a ConfigMap or Secret."""
    problems = _too_long(value, _LONGEST_SUBDOMAIN)
    if not _matches(_DATA_KEY, value):
        sentence = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        problems.append(_regex_rule(sentence, _DATA_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        problems.append(f"must not be '{value}'")
    elif value.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def variable(value: str) -> list[str]:
    """Validate the name of an environment variable."""
    if all(" " <= letter <= "~" and letter != "=" for letter in value):
        return []
    return [
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
    ]


def port_name(value: str) -> list[str]:
    """Validate the name of a container port."""
    problems = _too_long(value, _LONGEST_PORT_NAME)
    if not _matches(_PORT_NAME, value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def without_backsteps(value: str) -> list[str]:
    """Validate a path that may be absolute but must not contain ``..``, such as ``hostPath``."""
    return ["must not contain '..'"] if ".." in value.split("/") else []


def descending_path(value: str) -> list[str]:
    """Validate a relative path below a volume, such as ``subPath``."""
    absolute = ["must be a relative path"] if value.startswith("/") else []
    return [*absolute, *without_backsteps(value)]


def volume_file(value: str) -> list[str]:
    """Validate the path of a file in a volume, such as ``items[].path``."""
    problems = descending_path(value)
    if value.startswith("..") and not value.startswith("../"):
        problems.append("must not start with '..'")
    return problems


def causes(field: str, value: str, rule: Rule) -> Iterator[Cause]:
    """Yield one cause for each error that a rule reports for a field's value."""
    for why in rule(value):
        yield status.invalid_value(field, value, why)


def required_causes(field: str, value: str | None, rule: Rule | None = None) -> Iterator[Cause]:
    """Yield the causes for a field that must not be empty."""
    if not value:
        yield status.required(field)
    elif rule is not None:
        yield from causes(field, value, rule)


def key_causes(field: str, keys: Iterable[str]) -> Iterator[Cause]:
    """Yield the causes for the keys of a ConfigMap's or Secret's data."""
    for key in keys:
        yield from causes(f"{field}[{key}]", key, data_key)


def label_causes(labels: Mapping[str, object] | None, field: str) -> Iterator[Cause]:
    """Yield the errors of an object's labels."""
    for key, value in (labels or {}).items():
        yield from qualified_causes(field, key)
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            yield status.invalid_value(field, value, _LABEL_VALUE_RULE)


def qualified_causes(field: str, key: str, *, shown: str | None = None) -> Iterator[Cause]:
    """Yield the error of a label or annotation key; the message shows ``shown`` instead of ``key``."""
    if not _QUALIFIED.fullmatch(key):
        yield status.invalid_value(field, key if shown is None else shown, _NAME_PART_RULE)


def generated(rule: Rule) -> Rule:
    """Return the rule for a ``generateName`` prefix, which may end with a dash."""
    return lambda value: rule(f"{value[:-2]}a" if len(value) > 1 and value.endswith("-") else value)
