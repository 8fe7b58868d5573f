"""Common Expression Language (CEL) expressions with the functions that Kubernetes adds.

The package ``common-expression-language`` implements the language (parser, operators, macros). This module
implements Kubernetes' libraries for URLs, addresses, quantities and regular expressions (k8s.io/apiserver
pkg/cel/library), whose values are plain strings in canonical form. The package is imported with the first
expression, because the import takes 0.15 s.
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from meshkit.kube import quantities
from meshkit.sandbox.api.schema.expression_cost import MAX_MADE, MAX_SOURCE_CHARACTERS, Cost, measured

if TYPE_CHECKING:
    from cel import Context, Program

_of_thread = threading.local()
_PANIC = "PanicException"  # a Rust panic, not an Exception subclass and not importable
_MAX_SHOWN = 500
# Functions that the package implements in Rust, besides operators and macros.
_NATIVE = frozenset({
    "size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bytes",
    "timestamp", "duration", "dyn", "type", "has", "getFullYear", "getMonth", "getDate", "getDayOfMonth",
    "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds", "optional",
    "of", "none", "ofNonZeroValue", "hasValue", "value", "or", "orValue",
})  # fmt: skip


_MAX_SEARCHED = 1_000_000  # steps of a search that backtracks
_REPEAT = re.compile(r"[*+?{]")
_REPEATED_GROUP = re.compile(r"\)[*+?{]|\(\?|\\[0-9]")


class Uncompilable(Exception):
    """Raised for an invalid expression or one that calls an unsupported function."""


class Failed(Exception):
    """Raised when an evaluation fails, for example by a missing key or incompatible types."""


class Expression:
    """Represent a compiled expression over ``self`` and ``oldSelf``."""

    def __init__(self, source: str, program: Program, cost: Cost) -> None:
        self.source = source
        self._program = program
        self._cost = cost
        self.uses_old = "oldSelf" in program.variables()

    def work_ns(self, value: Any, old: Any = None) -> int:
        """Return an upper bound of the cost of ``evaluate``, which blocks the interpreter, in nanoseconds."""
        return self._cost.work_ns(measured(value, old))

    def evaluate(self, value: Any, old: Any = None) -> Any:
        """Return the value of the expression. Raises Failed."""
        context = _context()
        context.add_variable("self", value)
        context.add_variable("oldSelf", old)
        try:
            return self._program.execute(context)
        except KeyError as error:
            raise Failed(f"no such key: {error.args[0]}") from error
        except TypeError as error:
            raise Failed("no such overload") from error
        except Exception as error:  # documented are RuntimeError and ValueError, but functions raise others
            raise Failed(str(error).partition("\n")[0]) from error
        except BaseException as error:
            if type(error).__name__ != _PANIC:
                raise
            raise Failed("the expression cannot be evaluated") from error


@functools.lru_cache(maxsize=4096)
def compiled(source: str) -> Expression:
    """Compile an expression, with caching. Raises Uncompilable."""
    import cel

    if len(source) > MAX_SOURCE_CHARACTERS:
        raise Uncompilable(f"it is longer than {MAX_SOURCE_CHARACTERS} characters")
    try:
        program = cel.compile(source)
    except ValueError as error:
        raise Uncompilable(" ".join(str(error).split())[:_MAX_SHOWN]) from error
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise Uncompilable("it cannot be parsed") from error
    known = _NATIVE | {name.rpartition(".")[2] for name in _context().functions}
    unknown = sorted(name for name in program.functions() if name[0].isalpha() and name not in known)
    if unknown:
        raise Uncompilable(f"unknown function {', '.join(unknown)}")
    cost = Cost(source, _NATIVE)
    if cost.has_pattern_from_data:
        raise Uncompilable("the pattern of matches() must be a string literal")
    return Expression(source, program, cost)


def optional(value: Any | None) -> Any:
    """Return a CEL optional value, as ``optionalOldSelf`` requires."""
    import cel

    return cel.OptionalValue.none() if value is None else cel.OptionalValue.of(value)


def _context() -> Context:
    """Return the thread's evaluation context with all functions."""
    context: Context | None = getattr(_of_thread, "context", None)
    if context is None:
        import cel
        from cel.stdlib import add_stdlib_to_context

        context = _of_thread.context = cel.Context()
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
    """Validate an absolute URI or absolute path like Go's url.ParseRequestURI."""
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")) or any(char.isspace() for char in text):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI')
    _ = parts.port  # raises ValueError for an invalid port
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


def _searched(text: str, pattern: str) -> re.Pattern[str]:
    """Compile a pattern whose search cannot backtrack for long. Raises ValueError for others."""
    repeats = len(_REPEAT.findall(pattern))
    if len(pattern) > _MAX_SHOWN or _REPEATED_GROUP.search(pattern) or len(text) ** repeats > _MAX_SEARCHED:
        raise ValueError(
            f"the sandbox does not support searching this text for the pattern {pattern[:_MAX_SHOWN]!r}"
        )
    return re.compile(pattern)


def _find(text: str, pattern: str) -> str:
    match = _searched(text, pattern).search(text)
    return match.group() if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    matches = [match.group() for match in _searched(text, pattern).finditer(text)]
    return matches if limit < 0 else matches[:limit]


def _range(items: int) -> list[int]:
    if items > MAX_MADE:
        raise ValueError(f"a list of {items} items is too long")
    return list(range(items))


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    times = text.count(old) if limit < 0 else min(limit, text.count(old))
    if len(text) + times * len(new) > MAX_MADE:
        raise ValueError("the text becomes too long")
    return text.replace(old, new, limit)


def _join(texts: list[str], between: str = "") -> str:
    if sum(map(len, texts)) + len(between) * len(texts) > MAX_MADE:
        raise ValueError("the text becomes too long")
    return between.join(texts)


def _shift_left(number: int, places: int) -> int:
    if not 0 <= places < 64:
        raise ValueError("the offset is not between 0 and 63")
    shifted = (number << places) & 0xFFFFFFFFFFFFFFFF
    return shifted - (1 << 64) if shifted >= 1 << 63 else shifted


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
    "lists.range": _range,
    "replace": _replace,
    "join": _join,
    "math.bitShiftLeft": _shift_left,
    "find": _find,
    "findAll": _find_all,
    "isSorted": _is_sorted,
}
