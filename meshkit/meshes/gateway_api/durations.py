"""Durations as Gateway API, Istio and Linkerd's annotations write them."""

from __future__ import annotations

from decimal import Decimal

from meshkit.errors import BadInput

_UNITS = (("s", Decimal(1)), ("ms", Decimal("0.001")), ("m", Decimal(60)), ("h", Decimal(3600)))
_MOST_OF_A_UNIT = 99999


def gateway_duration(seconds: float, field: str) -> str:
    """Seconds as one whole number of at most five digits and one unit, the form that every mesh reads alike.

    Gateway API (GEP-2257) also allows ``100s500ms``, in which Linkerd sees no timeout at all. Raises
    ``BadInput`` for ``field`` if no single unit can say it.
    """
    exact = Decimal(str(seconds))
    for unit, length_s in _UNITS:
        number = exact / length_s
        if number == int(number) and 0 < number <= _MOST_OF_A_UNIT:
            return f"{int(number)}{unit}"
    raise BadInput(
        field,
        f"{seconds} s is not a whole number of one unit (h, m, s or ms) of at most five digits, the form that"
        " every mesh reads: Linkerd takes any other duration for no timeout.",
        remedy="Use whole milliseconds up to 99.999 s, and whole seconds, minutes or hours above.",
    )


def duration(seconds: float) -> str:
    """Seconds as Istio and Linkerd's annotations read them: whole ``s`` or ``ms``, never a fraction.

    A time below a millisecond is one, as none would mean that there is no limit.
    """
    milliseconds = max(int(Decimal(str(seconds)) * 1000), 1 if seconds else 0)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
