"""Several requests at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

from meshkit.cluster.api import REQUESTS_AT_ONCE

T = TypeVar("T")
R = TypeVar("R")


def at_once(ask: Callable[[T], R], items: Iterable[T]) -> Sequence[R]:
    """Ask a server about several items in parallel; none is begun after one has failed."""
    failed = threading.Event()

    def asked(item: T) -> R:
        if failed.is_set():
            raise CancelledError
        try:
            return ask(item)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return tuple(pool.map(asked, items))  # in order: the error comes before the items that were not begun
