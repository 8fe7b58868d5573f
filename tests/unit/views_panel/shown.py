"""A panel whose release is read from memory and grows by a sample each time, for tests in a browser and
without; and how to wait for a view.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from meshkit.facts import ClusterRef
from meshkit.operations.release.watch import Watched
from meshkit.views.release import panel
from tests.unit.views_panel.releases import RELEASE, release_after


class Cluster:
    context, server = "prod", "https://prod:6443"
    ref = ClusterRef(context, server)


@dataclass
class Growing:
    """Shows one look more each time it is asked."""

    state: Any
    shown: int = 3

    def look(self) -> Watched:
        looks = tuple(judged.look for judged in self.state.looks)
        self.shown = min(self.shown + 1, len(looks))
        end_s = looks[self.shown - 1].end_s
        return Watched(end_s, looks[: self.shown], self.state, self.state.asked_percent)


class Controls:
    """Accepts what is asked for and does nothing."""

    release, cluster, mesh, route = RELEASE, Cluster(), "istio", None

    def start(self) -> None: ...

    def send(self, verb: str) -> None: ...

    def give_back(self) -> None: ...

    def shift(self, percent: float) -> None: ...

    def slow_down(self, extra_ms: float) -> None: ...


def growing_panel() -> panel.ReleasePanel:
    """The panel, which looks twice a second."""
    panel.LOOK_S = 0.5
    return panel.ReleasePanel(Growing(long_release()), Controls())  # type: ignore[arg-type]


def long_release() -> Any:
    """A release that runs on, with a quarter of an hour of samples."""
    state = release_after(18)
    looks = list(state.looks)
    for number in range(900):
        one = looks[8 + number % 8]
        at = looks[-1].look.end_s
        look = one.look.__class__(**{**vars(one.look), "start_s": at, "end_s": at + 1, "step": state.step})
        looks.append(one.__class__(look, one.verdict))
    return state.__class__(**{**vars(state), "looks": tuple(looks)})


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run, until it holds; at most half a minute."""
    async with asyncio.timeout(30):
        await asyncio.sleep(0.05)
        while not holds():  # noqa: ASYNC110 - widgets have no event
            await asyncio.sleep(0.02)
