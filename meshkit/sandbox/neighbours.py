"""Finds the other users of this machine, who can connect to the sandbox's ports on loopback."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path

FIRST_UID = 1000
"""The first uid of a person's account (UID_MIN in login.defs); lower ones belong to the system's services."""
NOBODY = 65534
_NO_LOGIN = frozenset({"", "false", "nologin", "sync", "shutdown", "halt"})


def with_processes(processes: Path = Path("/proc")) -> list[str]:
    """Return the other users that have a process now, by name, or by number without an account.

    The administrator and the system's services are not counted.
    """
    uids = set()
    for entry in processes.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                uids.add(entry.stat().st_uid)
    return sorted(_name(uid) for uid in uids if _is_other(uid))


def with_accounts() -> list[str]:
    """Return the other users that can log in."""
    return sorted(
        entry.pw_name
        for entry in pwd.getpwall()
        if _is_other(entry.pw_uid) and os.path.basename(entry.pw_shell) not in _NO_LOGIN
    )


def _is_other(uid: int) -> bool:
    return uid >= FIRST_UID and uid not in (NOBODY, os.getuid())


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
