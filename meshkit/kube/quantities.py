"""Quantities of resources as Kubernetes writes them: ``500m``, ``1.5``, ``128Mi``, ``1e3``.

A quantity is an exact fraction. It is formatted with the family of suffixes it was parsed with
(k8s.io/apimachinery pkg/api/resource: canonical form is the greatest suffix that leaves an integer).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_WRITTEN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d+))?")
_MAX_CHARACTERS = 100
_MAX_POWER = 200  # of ten: a limit for untrusted input, far above any real quantity
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"": 0, "Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@dataclass(frozen=True, order=True)
class Quantity:
    """An amount. ``binary`` selects the suffixes for formatting and is ignored in comparisons."""

    amount: Fraction
    binary: bool = False

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount + other.amount, self.binary if self.amount else other.binary)

    def __str__(self) -> str:
        if self.binary and abs(self.amount) >= 1024 and self.amount.denominator == 1:
            suffixes = [(suffix, Fraction(1 << shift)) for suffix, shift in _BINARY.items()]
        else:
            suffixes = [(suffix, Fraction(10) ** power) for suffix, power in _DECIMAL.items()]
        if not self.amount:
            return "0"
        for suffix, unit in reversed(suffixes):
            if (self.amount / unit).denominator == 1:
                return f"{self.amount / unit}{suffix}"
        return f"{-(-self.amount // suffixes[0][1])}{suffixes[0][0]}"  # finer than nano: rounded up


ZERO = Quantity(Fraction(0))


def parse(written: str | int | float) -> Quantity:
    """Parse a quantity. Raises ValueError with the message that Kubernetes uses."""
    text = str(written)
    found = _WRITTEN.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    if found is None:
        raise ValueError(RULE)
    number, suffix, exponent = found.groups()
    amount = Fraction(number)
    if exponent:
        power = max(-_MAX_POWER, min(int(exponent), _MAX_POWER))
        return Quantity(amount * Fraction(10) ** power)
    if suffix in _BINARY and suffix:
        return Quantity(amount * (1 << _BINARY[suffix]), True)
    return Quantity(amount * Fraction(10) ** _DECIMAL[suffix or ""])


def total(quantities: Iterable[Quantity]) -> Quantity:
    """The sum of quantities; zero for none."""
    return sum(quantities, ZERO)


def amount(written: str | int | float) -> Fraction:
    """Parse a quantity as a number. Raises ValueError with the message that Kubernetes uses.

    >>> amount("500m"), amount("2Gi")
    (Fraction(1, 2), Fraction(2147483648, 1))
    """
    return parse(written).amount
