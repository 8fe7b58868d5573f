"""The log of a server's connections, without requests that are none.

Whoever can connect to the port could otherwise fill the disk of the user who runs the sandbox.
"""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError


def _is_of_the_server(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


LOG = logging.getLogger(__name__)
LOG.addFilter(_is_of_the_server)
