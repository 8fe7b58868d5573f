"""Clock of the operations; tests replace it with a fake one."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch, and waiting."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; return at once if ``seconds`` is 0 or less."""
        ...


class SystemClock:
    """The system clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait; return at once if ``seconds`` is 0 or less."""
        if seconds > 0:
            time.sleep(seconds)
