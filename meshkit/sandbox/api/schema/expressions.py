"""Expressions of the Common Expression Language with the functions that Kubernetes adds.

The language itself (parser, operators, macros) is the package ``common-expression-language``; what is
written here are Kubernetes' libraries for URLs, addresses, quantities and regular expressions
(k8s.io/apiserver pkg/cel/library). Values of those libraries are plain strings in canonical form. The
package is imported with the first expression, because that takes 0.15 s.
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from meshkit.kube import quantities

if TYPE_CHECKING:
    from cel import Context, Program

# Functions that the package brings by itself (its Rust crate), beside operators and macros.
_NATIVE = frozenset({
    "size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bytes",
    "timestamp", "duration", "dyn", "type", "has", "getFullYear", "getMonth", "getDate", "getDayOfMonth",
    "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds", "optional",
    "of", "none", "ofNonZeroValue", "hasValue", "value", "or", "orValue",
})  # fmt: skip


class Uncompilable(Exception):
    """The expression is not one, or calls what is not known here."""


class Failed(Exception):
    """The evaluation ended in an error: a missing key, types that do not go together."""


class Expression:
    """A compiled expression over ``self`` and ``oldSelf``."""

    def __init__(self, source: str, program: Program) -> None:
        self.source = source
        self._program = program
        self.uses_old = "oldSelf" in program.variables()

    def evaluate(self, value: Any, old: Any = None) -> Any:
        """The value of the expression. Raises Failed."""
        context = _context()
        context.add_variable("self", value)
        context.add_variable("oldSelf", old)
        try:
            return self._program.execute(context)
        except KeyError as error:
            raise Failed(f"no such key: {error.args[0]}") from error
        except TypeError as error:
            raise Failed("no such overload") from error
        except Exception as error:  # the package documents RuntimeError and ValueError, functions raise more
            raise Failed(str(error).partition("\n")[0]) from error


@functools.lru_cache(maxsize=4096)
def compiled(source: str) -> Expression:
    """The expression of a source text. Raises Uncompilable."""
    import cel

    try:
        program = cel.compile(source)
    except ValueError as error:
        raise Uncompilable(" ".join(str(error).split())) from error
    known = _NATIVE | {name.rpartition(".")[2] for name in _context().functions}
    unknown = sorted(name for name in program.functions() if name[0].isalpha() and name not in known)
    if unknown:
        raise Uncompilable(f"unknown function {', '.join(unknown)}")
    return Expression(source, program)


def optional(value: Any | None) -> Any:
    """A value that may be absent, as ``optionalOldSelf`` gives it."""
    import cel

    return cel.OptionalValue.none() if value is None else cel.OptionalValue.of(value)


@functools.cache
def _context() -> Context:
    import cel
    from cel.stdlib import add_stdlib_to_context

    context = cel.Context()
    add_stdlib_to_context(context)
    for name, function in _FUNCTIONS.items():
        context.add_function(name, function)
    return context


def _is(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _url(text: str) -> str:
    """An absolute URI, or an absolute path, as Go's url.ParseRequestURI takes them."""
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")) or any(each.isspace() for each in text):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI')
    _ = parts.port  # raises ValueError for a port that is none
    return text


def _of_url(part: Callable[[SplitResult], Any]) -> Callable[[str], Any]:
    return lambda text: part(urlsplit(text))


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _hostname(parts: SplitResult) -> str:
    name = parts.hostname or ""
    return f"[{name}]" if ":" in name else name


def _quantity(written: str) -> str:
    return str(quantities.parse(written))


def _compare(left: str, right: str) -> int:
    a, b = quantities.parse(left), quantities.parse(right)
    return (a > b) - (a < b)


def _sum(left: str, right: str | int) -> str:
    return str(quantities.parse(left) + quantities.parse(right))


def _difference(left: str, right: str | int) -> str:
    a, b = quantities.parse(left), quantities.parse(right)
    return str(quantities.Quantity(a.amount - b.amount, a.binary))


def _as_integer(written: str) -> int:
    amount = quantities.parse(written).amount
    if amount.denominator != 1:
        raise ValueError("cannot convert value to integer")
    return int(amount)


def _is_sorted(values: list[Any]) -> bool:
    return all(a <= b for a, b in itertools.pairwise(values))


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found.group() if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [each.group() for each in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


def _contains_address(network: str, other: str) -> bool:
    inner, outer = ipaddress.ip_network(other, strict=False), ipaddress.ip_network(network, strict=False)
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "isURL": _is(_url),
    "url": _url,
    "getScheme": _of_url(lambda parts: parts.scheme),
    "getHost": _of_url(_host),
    "getHostname": _of_url(_hostname),
    "getPort": _of_url(lambda parts: str(parts.port or "")),
    "getEscapedPath": _of_url(lambda parts: parts.path),
    "getQuery": _of_url(lambda parts: parse_qs(parts.query, keep_blank_values=True)),
    "isQuantity": _is(quantities.parse),
    "quantity": _quantity,
    "isGreaterThan": lambda a, b: _compare(a, b) > 0,
    "isLessThan": lambda a, b: _compare(a, b) < 0,
    "compareTo": _compare,
    "add": _sum,
    "sub": _difference,
    "sign": lambda text: _compare(text, "0"),
    "isInteger": lambda text: quantities.parse(text).amount.denominator == 1,
    "asInteger": _as_integer,
    "asApproximateFloat": lambda text: float(quantities.parse(text).amount),
    "isIP": _is(ipaddress.ip_address),
    "ip": lambda text: str(ipaddress.ip_address(text)),
    "family": lambda text: ipaddress.ip_address(text).version,
    "isCIDR": _is(lambda text: ipaddress.ip_network(text, strict=False)),
    "cidr": lambda text: str(ipaddress.ip_interface(text)),
    "containsIP": _contains_address,
    "containsCIDR": _contains_address,
    "find": _find,
    "findAll": _find_all,
    "isSorted": _is_sorted,
}
