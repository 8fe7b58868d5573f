"""Notifies callers of files renamed into folders, with one inotify instance for all folders.

Linux allows a user 128 inotify instances by default, so one instance per folder or file would be too many.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

MORE_INSTANCES = (
    "End programs that watch files, or allow more: sudo sysctl fs.inotify.max_user_instances=1024"
)
_MOVED_TO = 0x80
_HEAD = struct.Struct("iIII")
_BUFFER = 1 << 16


class FolderWatch:
    """Calls callbacks on the running loop; it holds an inotify instance while any folder is watched."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._descriptor = -1
        self._calls: dict[int, Callable[[str], None]] = {}

    def follow(self, folder: Path, call: Callable[[str], None]) -> int:
        """Call ``call`` with the name of every file that is renamed into ``folder``.

        Returns a watch id for ``forget``. Raises OSError when no inotify instance or watch is available.
        """
        if self._descriptor < 0:
            self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
            if self._descriptor < 0:
                raise OSError(f"This user has no inotify instance left. {MORE_INSTANCES}")
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        watch = int(self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _MOVED_TO))
        if watch < 0:
            raise OSError(f"{folder} cannot be watched: is fs.inotify.max_user_watches used up?")
        self._calls[watch] = call
        return watch

    def forget(self, watch: int) -> None:
        """Stop watching the folder with this watch id."""
        if self._calls.pop(watch, None) is None:
            return
        self._libc.inotify_rm_watch(
            self._descriptor, watch
        )  # This fails harmlessly if the folder was deleted.
        if not self._calls:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        try:
            read = os.read(self._descriptor, _BUFFER)
        except BlockingIOError:
            return
        place = 0
        while place < len(read):
            watch, _, _, length = _HEAD.unpack_from(read, place)
            name = read[place + _HEAD.size : place + _HEAD.size + length].rstrip(b"\0")
            place += _HEAD.size + length
            if call := self._calls.get(watch):
                call(os.fsdecode(name))
