"""A sidecar that answers late is not treated as lost."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshkit.sandbox.node import container
from meshkit.sandbox.node.container import Container, ContainerContext


def test_only_failures_in_a_row_take_a_sidecar_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "SIDECAR_PERIOD_S", 0.0)
    monkeypatch.setattr(container, "STARTING_PERIOD_S", 0.0)
    setting: Any = SimpleNamespace(changed=lambda: None)
    watched = Container({"name": "istio-proxy", "image": "x"}, None, cast(ContainerContext, setting))
    answers = iter([False, True, False, False, True, False, False, False, True])
    seen: list[bool] = []

    async def is_ready() -> bool:
        seen.append(watched.ready)
        answer = next(answers, None)
        if answer is None:
            raise asyncio.CancelledError
        return answer

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watched._watch_sidecar(is_ready))
    assert seen == [False, False, True, True, True, True, True, True, False, True]
