"""Frames of SPDY/3.1, as kubectl sends them (The Chromium Projects, "SPDY Protocol, Draft 3.1").

Only what a server of streams that a client opens needs: flow control and settings are read over, as the
Kubernetes clients do.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MAX_FRAME_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 14
FIN = 0x01
_CONTROL, _VERSION = 0x8000, 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_HEADER = struct.Struct(">HHI")
_INT = struct.Struct(">I")

_WORDS = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age
allow authorization cache-control connection content-base content-encoding content-language content-length
content-location content-md5 content-range content-type date etag expect expires from host if-match
if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie
keep-alive origin
"""
_DICTIONARY = b"".join(_INT.pack(len(word)) + word.replace("_", " ").encode() for word in _WORDS.split()) + (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    b"203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    b"403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    b"Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    b"chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    b"text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
"""What both sides compress headers with (section 2.6.10.1)."""


class ProtocolError(ValueError):
    """The peer sent what is no frame of SPDY/3.1, or one over a limit."""


@dataclass(frozen=True)
class Opened:
    """The peer opened a stream (SYN_STREAM)."""

    stream: int
    headers: Mapping[str, str]
    ended: bool


@dataclass(frozen=True)
class Received:
    """The peer sent bytes on a stream; ``ended``: they are its last."""

    stream: int
    data: bytes
    ended: bool


@dataclass(frozen=True)
class Reset:
    """The peer gave a stream up (RST_STREAM)."""

    stream: int


@dataclass(frozen=True)
class Ping:
    """The peer asks for the same frame back."""

    frame: bytes


@dataclass(frozen=True)
class GoAway:
    """The peer opens no more streams."""


Frame = Opened | Received | Reset | Ping | GoAway


@dataclass
class Framing:
    """Both directions of one connection; the compression of headers goes on from frame to frame."""

    _unread: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=_DICTIONARY)
        self._deflate = zlib.compressobj(zdict=_DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete with ``data``. Raises ProtocolError."""
        self._unread += data
        while len(self._unread) >= _HEADER.size:
            first, second, last = _HEADER.unpack_from(self._unread)
            flags, size = last >> 24, last & 0xFFFFFF
            if size > MAX_FRAME_BYTES:
                raise ProtocolError(f"a frame of {size} bytes; at most {MAX_FRAME_BYTES} are taken")
            end = _HEADER.size + size
            if len(self._unread) < end:
                return
            whole = bytes(self._unread[:end])
            del self._unread[:end]
            body = whole[_HEADER.size :]
            if first & _CONTROL:
                yield from self._control(first & ~_CONTROL, second, flags, body, whole)
            else:
                yield Received((first << 16) | second, body, bool(flags & FIN))

    def reply(self, stream: int) -> bytes:
        """A SYN_REPLY without headers: the stream is accepted."""
        block = self._deflate.compress(_INT.pack(0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(_SYN_REPLY, _INT.pack(stream) + block)

    def _control(self, version: int, kind: int, flags: int, body: bytes, whole: bytes) -> Iterator[Frame]:
        if version != _VERSION:
            raise ProtocolError(f"SPDY version {version}; version {_VERSION} is served")
        if kind == _SYN_STREAM:
            yield Opened(_stream(body), self._headers(body[10:]), bool(flags & FIN))
        elif kind == _RST_STREAM:
            yield Reset(_stream(body))
        elif kind == _PING:
            yield Ping(whole)
        elif kind == _GOAWAY:
            yield GoAway()

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, MAX_HEADER_BYTES)
        except zlib.error as error:
            raise ProtocolError(f"the headers of a stream cannot be read: {error}") from error
        if self._inflate.unconsumed_tail:
            raise ProtocolError(f"the headers of a stream exceed {MAX_HEADER_BYTES} bytes")
        fields = _strings(plain)
        return {name.decode("latin-1").lower(): next(fields, b"").decode("latin-1") for name in fields}


def data(stream: int, content: bytes, *, ended: bool = False) -> bytes:
    """A frame with bytes of a stream."""
    return _INT.pack(stream) + _INT.pack((FIN if ended else 0) << 24 | len(content)) + content


def _control(kind: int, body: bytes) -> bytes:
    return _HEADER.pack(_CONTROL | _VERSION, kind, len(body)) + body


def _stream(body: bytes) -> int:
    if len(body) < _INT.size:
        raise ProtocolError("a frame without the number of its stream")
    return int(_INT.unpack_from(body)[0]) & 0x7FFFFFFF


def _strings(block: bytes) -> Iterator[bytes]:
    """Yield names and values in turn: a count of pairs, then each string after its length."""
    at = _INT.size
    while at + _INT.size <= len(block):
        start = at + _INT.size
        at = start + _INT.unpack_from(block, at)[0]
        yield block[start:at]
