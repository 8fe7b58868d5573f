"""Answers the header ``Expect``, which aiohttp repeats in its refusal even where that is no text."""

from __future__ import annotations

from aiohttp import web

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def answer_expectation(request: web.Request) -> None:
    """Ask for the body, or raise HTTPExpectationFailed for anything but ``100-continue``."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed(text="the only expectation that is met is 100-continue")
    if request.version >= (1, 1):
        await request.writer.write(CONTINUE)
        request.writer.output_size = 0  # the response has not begun
