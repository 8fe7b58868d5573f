"""Quantities: read exactly, written back in canonical form."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshkit.kube.quantities import Quantity, parse


@pytest.mark.parametrize(
    ("written", "amount", "canonical"),
    [
        ("0", 0, "0"),
        ("1", 1, "1"),
        (2, 2, "2"),
        ("0.5", Fraction(1, 2), "500m"),
        (".25", Fraction(1, 4), "250m"),
        ("1500m", Fraction(3, 2), "1500m"),
        ("1000m", 1, "1"),
        ("128Mi", 128 << 20, "128Mi"),
        ("1024Ki", 1 << 20, "1Mi"),
        ("1.5Gi", 3 << 29, "1536Mi"),
        ("1e3", 1000, "1k"),
        ("2E", 2 * 10**18, "2E"),
        ("12E-1", Fraction(6, 5), "1200m"),
        ("100n", Fraction(1, 10**7), "100n"),
    ],
)
def test_reading_and_writing(written: str, amount: Fraction, canonical: str) -> None:
    found = parse(written)
    assert (found.amount, str(found)) == (amount, canonical)


@pytest.mark.parametrize("written", ["", "x", "1 Gi", "1ki", "1KI", "--1", "1mi", "."])
def test_anything_else_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        parse(written)


@settings(deadline=None)
@given(st.integers(-(10**20), 10**20), st.booleans())
def test_what_is_written_reads_as_the_same_amount(number: int, binary: bool) -> None:
    quantity = Quantity(Fraction(number, 1 if binary else 1000), binary)
    assert parse(str(quantity)).amount == quantity.amount
