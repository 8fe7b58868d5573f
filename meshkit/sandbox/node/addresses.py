"""Addresses of pods: 127.NET.x.y, one NET for each running sandbox.

On Linux every address of 127.0.0.0/8 can be bound without set-up or rights. A sandbox claims its NET by
keeping one socket bound in it, so two sandboxes of one machine never share an address. Addresses are handed
out in turn and come back late: an address that was just given up may still stand in somebody's proxy
configuration.
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
    """The addresses of one net.

    ``used_before`` are those of an earlier run: the next ones follow after them.
    """

    def __init__(self, net: int, used_before: Iterable[str] = ()) -> None:
        self._net = net
        self._taken: set[str] = set()
        prefix = f"127.{net}."
        self._next = max((_index(each) + 1 for each in used_before if each.startswith(prefix)), default=0)

    def take(self) -> str:
        """An address that no running pod has, the longest unused first."""
        for _ in range(_HOSTS * _SUBNETS):
            high, low = divmod(self._next % (_HOSTS * _SUBNETS), _HOSTS)
            self._next += 1
            address = f"127.{self._net}.{high}.{low + 1}"
            if address not in self._taken:
                self._taken.add(address)
                return address
        raise SandboxError("The sandbox has no free pod address left.", remedy="Delete some pods.")

    def give_back(self, address: str) -> None:
        """The pod of this address is gone."""
        self._taken.discard(address)


def _index(address: str) -> int:
    _, _, high, low = ipaddress.IPv4Address(address).packed
    return high * _HOSTS + low - 1


def claim(preferred: int | None) -> tuple[int, socket.socket]:
    """A net that no other running sandbox has, and the socket that keeps it; the preferred one if it is free.

    Raises SandboxError when the loopback addresses cannot be used.
    """
    others = [net for net in NETS if net != preferred]
    random.shuffle(others)
    for net in ([preferred] if preferred is not None and preferred in NETS else []) + others:
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            held.bind((CLAIM_HOST.format(net=net), CLAIM_PORT))
            held.listen(1)
        except OSError:
            held.close()
            continue
        return net, held
    raise SandboxError(
        "No loopback network 127.1-250.0.0/16 can be used for pods.",
        remedy="The sandbox needs Linux's loopback, where all of 127.0.0.0/8 is local.",
    )
