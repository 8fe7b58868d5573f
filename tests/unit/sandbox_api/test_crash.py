"""kill -9 of an API server at any write: after it, the store holds exactly what was acknowledged.

But for the one write that was under way: that may be there or not, as a whole.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from meshkit.sandbox.api.storage.store import Store
from meshkit.sandbox.home import SandboxHome

WRITER = Path(__file__).with_name("crash_writer.py")
OF_THE_CLUSTER = "kube-system"
"""The namespace of what every cluster has."""
Told = dict[str, tuple[str, int]]  # name -> (value, resourceVersion)


def killed_after(folder: Path, seed: int, acknowledged: int) -> tuple[list[list[str]], str]:
    """Kill the writer when it has acknowledged so many writes. What it said, and the rest of a line."""
    command = [sys.executable, str(WRITER), str(folder), str(seed)]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            while acknowledged:
                line = process.stdout.readline()
                assert line, "the writer ended by itself"
                lines.append(line)
                acknowledged -= not line.startswith("start")
        finally:
            process.kill()
        lines += process.stdout.readlines()
    whole = [line.split() for line in lines if line.endswith("\n")]
    return whole, "" if lines[-1].endswith("\n") else lines[-1]


def replay(told: Told, said: list[list[str]]) -> tuple[str, str]:
    """Bring ``told`` up to what was acknowledged. The write under way: (name, value), or empty."""
    under_way = ("", "")
    for words in said:
        if words[0] == "start":
            under_way = (words[1], words[2])
            continue
        under_way = ("", "")
        if words[1] == "-":
            told.pop(words[0], None)
        else:
            told[words[0]] = (words[1], int(words[2]))
    return under_way


def check(store: Store, told: Told, under_way: tuple[str, str]) -> None:
    found = {
        stored.key.name: (stored.object["data"]["value"], stored.rv)
        for stored in store.objects("configmaps")
        if stored.key.namespace != OF_THE_CLUSTER
    }
    name, value = under_way
    for each in found.keys() | told.keys():
        if each != name:
            assert found.get(each) == told.get(each)
    if name and found.get(name) != told.get(name):
        assert name not in found or found[name][0] == value
    assert store.rv >= max((rv for _, rv in told.values()), default=0)
    replayed: dict[str, int] = {}
    for change in store.changes("configmaps", store.compacted):
        if change.now.key.namespace == OF_THE_CLUSTER:
            continue
        if change.type == "DELETED":
            replayed.pop(change.now.key.name)
        else:
            replayed[change.now.key.name] = change.now.rv
    assert replayed == {key: rv for key, (_, rv) in found.items()}
    told.clear()
    told.update(found)


def crash_again_and_again(folder: Path, seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    told: Told = {}
    for number in range(rounds):
        said, cut = killed_after(folder / "sandbox", seed + number, chance.randrange(1, 60))
        under_way = replay(told, said)
        if cut and not cut.startswith("start"):
            under_way = (cut.split()[0], under_way[1])
        store = Store(SandboxHome(folder / "sandbox").store)
        check(store, told, under_way)
        store.close()


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    crash_again_and_again(tmp_path, seed=1, rounds=5)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 120))
def test_nothing_acknowledged_is_lost_in_many_crashes(tmp_path: Path, seed: int) -> None:
    crash_again_and_again(tmp_path, seed, rounds=50)
