"""Allocates pod addresses of the form 127.NET.x.y, with one NET for each running sandbox.

On Linux every address of 127.0.0.0/8 can be bound without setup or privileges. A sandbox claims its NET by
keeping one socket bound in it, so two sandboxes on one machine never share an address. Addresses are
allocated in sequence and reused as late as possible, because other proxies' configuration may still contain
an address that was just released.
"""

from __future__ import annotations

import ipaddress
import random
import socket
from collections.abc import Iterable

from meshkit.errors import SandboxError

NETS = range(1, 251)
CLAIM_HOST = "127.{net}.255.254"
CLAIM_PORT = 15999
_HOSTS = 254
_SUBNETS = 255


class Addresses:
    """Allocates the addresses of one net.

    Allocation continues after the addresses of an earlier run, given as ``used_before``.
    """

    def __init__(self, net: int, used_before: Iterable[str] = ()) -> None:
        self._net = net
        self._taken: set[str] = set()
        prefix = f"127.{net}."
        self._next = max(
            (_index(address) + 1 for address in used_before if address.startswith(prefix)), default=0
        )

    def take(self) -> str:
        """Allocate an address that no running pod has, the longest unused one first."""
        for _ in range(_HOSTS * _SUBNETS):
            high, low = divmod(self._next % (_HOSTS * _SUBNETS), _HOSTS)
            self._next += 1
            address = f"127.{self._net}.{high}.{low + 1}"
            if address not in self._taken:
                self._taken.add(address)
                return address
        raise SandboxError("The sandbox has no free pod address left.", remedy="Delete some pods.")

    def give_back(self, address: str) -> None:
        """Release the address of a deleted pod."""
        self._taken.discard(address)


def _index(address: str) -> int:
    _, _, high, low = ipaddress.IPv4Address(address).packed
    return high * _HOSTS + low - 1


def claim(preferred: int | None) -> tuple[int, socket.socket]:
    """Claim a net that no other running sandbox has; return it with the socket that reserves it.

    The preferred net is claimed if it is free.

    Raises SandboxError when the loopback addresses cannot be used.
    """
    candidates = [net for net in NETS if net != preferred]
    random.shuffle(candidates)
    for net in ([preferred] if preferred is not None and preferred in NETS else []) + candidates:
        claimed = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            claimed.bind((CLAIM_HOST.format(net=net), CLAIM_PORT))
            claimed.listen(1)
        except OSError:
            claimed.close()
            continue
        return net, claimed
    raise SandboxError(
        "No loopback network 127.1-250.0.0/16 can be used for pods.",
        remedy="The sandbox needs Linux's loopback, where all of 127.0.0.0/8 is local.",
    )
