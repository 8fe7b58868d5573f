"""Run the work on large bodies in threads, so that the event loop stays responsive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_WORKERS = 2  # the GIL makes more threads useless
_threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="large-body")
P = ParamSpec("P")
T = TypeVar("T")


async def run(large: bool, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function and return its result, in a thread when the work is large."""
    if not large:
        return function(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads, lambda: function(*args, **kwargs))
