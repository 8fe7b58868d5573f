"""An API server that writes at random and says what it has acknowledged: the process that test_crash kills.

Arguments: home, seed. Each line on stdout is ``NAME VALUE RESOURCEVERSION``, or ``NAME - -`` for a deletion,
written after the call has returned; ``start NAME`` goes before it.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from meshkit.sandbox.api.app import NodeHooks, serve
from meshkit.sandbox.home import SandboxHome


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def main(folder: Path, seed: int) -> None:
    server = await serve(SandboxHome(folder), 0, NodeHooks(lambda *_, **__: ""))
    client, chance = server.client, random.Random(seed)
    value = 0
    while True:
        value += 1
        name = f"c{chance.randrange(8)}"
        data = {"value": str(value), "padding": "x" * chance.randrange(20_000)}
        present = await client.get("configmaps", name)
        say("start", name, value)
        if present is None:
            made = await client.create("configmaps", {"metadata": {"name": name}, "data": data})
        elif chance.random() < 0.3:
            await client.delete("configmaps", name)
            say(name, "-", "-")
            continue
        else:
            made = await client.merge_patch("configmaps", name, None, {"data": data})
        say(name, value, made["metadata"]["resourceVersion"])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
