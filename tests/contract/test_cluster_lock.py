"""A Lease allows one writer at a time: it is held, renewed, released, and taken over from a dead holder."""

from __future__ import annotations

import secrets
import time

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.cluster.lock import Lock
from meshkit.errors import Conflict


@pytest.fixture
def name() -> str:
    return f"lock-{secrets.token_hex(4)}"


def test_a_second_writer_is_refused_and_told_who_holds_it(cluster: Cluster, name: str) -> None:
    first, second = Lock(cluster, name), Lock(cluster, name)
    first.acquire(30)
    with pytest.raises(Conflict, match=f"{name} is held by {first.holder}"):
        second.acquire(30)
    first.renew()


def test_a_lock_given_back_is_free_at_once(cluster: Cluster, name: str) -> None:
    first, second = Lock(cluster, name), Lock(cluster, name)
    first.acquire(30)
    first.release()
    second.acquire(30)
    assert second.transitions == first.transitions + 1


def test_an_expired_lock_is_taken_over_and_the_old_holder_finds_out(cluster: Cluster, name: str) -> None:
    slow, quick = Lock(cluster, name), Lock(cluster, name)
    slow.acquire(1)
    time.sleep(1.1)
    quick.acquire(30)
    assert quick.transitions > slow.transitions
    with pytest.raises(Conflict, match=f"held by {quick.holder}"):
        slow.renew()
    slow.release()
    quick.renew()
