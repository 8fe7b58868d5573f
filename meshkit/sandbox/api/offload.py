"""Run the work on large bodies in threads, so that the event loop goes on answering others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_WORKERS = 2  # more would only share the interpreter among themselves
_threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="large-body")
P = ParamSpec("P")
T = TypeVar("T")


async def run(large: bool, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a function: called here at once, or in a thread when its work is large."""
    if not large:
        return function(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads, lambda: function(*args, **kwargs))
