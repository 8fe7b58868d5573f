"""Text that is compressed in Kubernetes objects, read with a bound on its size.

Anyone who may write a ConfigMap or a Secret can put a megabyte there that expands to gigabytes.
"""

from __future__ import annotations

import base64
import gzip
import io
import zlib

MOST_BYTES = 16 * 1024 * 1024
"""The longest text that is read."""
_LEVEL = 6
"""A third of the time of level 9, and nearly as small."""


def packed(text: str) -> str:
    """Compress a text, and encode the result as base64."""
    return base64.b64encode(gzip.compress(text.encode(), _LEVEL, mtime=0)).decode()


def unpacked(encoded: str | bytes) -> str:
    """The text that is compressed in base64. Raises ``ValueError`` for anything else, or a longer text."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(base64.b64decode(encoded))) as file:
            found = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"it is not compressed text: {error}") from error
    if len(found) > MOST_BYTES:
        raise ValueError(f"it expands to more than {MOST_BYTES} bytes")
    return found.decode()
