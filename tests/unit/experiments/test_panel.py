"""The panel of an experiment without a browser: what its controls ask for, and what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.intent.balancing import ConnectionLimits
from meshkit.intent.rules import Fault, Mirror, Retries
from meshkit.intent.traffic import HeaderMatch
from meshkit.operations.experiments.presets import Moment
from meshkit.operations.experiments.recording import ExperimentRun
from meshkit.operations.experiments.settings import ExperimentSettings, WorkloadBehaviour
from meshkit.views.charts.svg import svg_chart
from meshkit.views.experiments import panel as module
from meshkit.views.experiments.chart import Series, experiment_chart, figure_data
from meshkit.views.experiments.controls import Controls
from meshkit.views.experiments.panel import ExperimentPanel
from tests.unit.experiments.runs import HALVES, ROUTE, run


class Cluster:
    server = "https://127.0.0.1:1"


@dataclass
class Experiment:
    """Remembers what was asked for; refuses what a test says."""

    route: Any = ROUTE
    cluster: Any = field(default_factory=Cluster)
    target: str = "shop/web"
    disposable: bool = True
    run: ExperimentRun = field(default_factory=lambda: replace(run(), ended_s=None))
    settings: ExperimentSettings = field(default_factory=ExperimentSettings)
    over: str | None = None
    problem: str = ""
    asked: list[ExperimentSettings] = field(default_factory=list)
    refuses: bool = False

    def look(self) -> tuple[()]:
        return ()

    def put(self, settings: ExperimentSettings) -> ExperimentSettings:
        self.asked.append(settings)
        if self.refuses:
            raise BadInput("fault", "Linkerd has none.", remedy="Leave it out.")
        self.settings = settings
        return settings

    def preset(self, name: str, step_s: float) -> list[Moment]:
        return [(0.0, HALVES), (0.05, ExperimentSettings(load_rps=7)), (0.1, None)]

    def close(self) -> None:
        self.over = "left, and everything put back"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET_S", 0.05)


def drive(
    experiment: Experiment, act: Callable[[ExperimentPanel], None], until: Callable[[], bool]
) -> ExperimentPanel:
    """Build the panel as a cell does, act on it, and wait until something holds."""

    async def cell() -> ExperimentPanel:
        panel = ExperimentPanel(experiment, zones=("zone-a",), workloads=("web-v2", "stock"))  # type: ignore[arg-type]
        act(panel)
        async with asyncio.timeout(30):
            while not until() or panel._doing:  # noqa: ASYNC110 - widgets have no event
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.15)
        for task in panel._tasks:
            task.cancel()
        return panel

    return asyncio.run(cell())


def test_three_quick_changes_of_a_slider_are_one_change() -> None:
    experiment = Experiment()

    def press(panel: ExperimentPanel) -> None:
        for value in (10, 20, 30):
            panel._controls.share.value = value

    drive(experiment, press, lambda: bool(experiment.asked))
    assert experiment.asked == [ExperimentSettings(split={"v1": 70, "v2": 30})]


def test_a_refusal_is_shown_and_the_controls_go_back() -> None:
    experiment = Experiment(refuses=True)

    def abort(panel: ExperimentPanel) -> None:
        panel._controls.abort.value = 50

    panel = drive(experiment, abort, lambda: bool(experiment.asked))
    assert "Linkerd has none" in panel._problem.value
    assert panel._controls.abort.value == 0


def test_a_preset_moves_the_controls_and_asks_for_nothing_more() -> None:
    experiment = Experiment()
    panel = drive(experiment, lambda panel: panel._play.click(), lambda: len(experiment.asked) == 2)
    assert experiment.asked == [HALVES, ExperimentSettings(load_rps=7)]
    assert panel._controls.load.value == 7


def test_after_the_end_every_control_is_disabled_and_says_why() -> None:
    experiment = Experiment()
    panel = drive(experiment, lambda panel: panel._stop.click(), lambda: experiment.over is not None)
    assert panel._stop.disabled
    assert panel._controls.share.disabled
    assert "everything put back" in panel._hint.value


def test_it_shows_figures_by_version_and_caller_and_what_was_set() -> None:
    panel = drive(Experiment(), lambda panel: None, lambda: True)
    assert "web v2" in panel._side.value
    assert "client" in panel._side.value
    assert "split v1 50, v2 50" in panel._story.value
    assert list(panel._caller.options) == ["all callers", "shop/client"]


def test_without_a_kernel_it_is_a_picture_and_text() -> None:
    panel = drive(Experiment(), lambda panel: None, lambda: True)
    bundle = panel._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "v2: 100 requests" in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def controls(changed: list[dict[str, Any]], *, disposable: bool = True) -> Controls:
    return Controls(
        ROUTE, changed.append, disposable=disposable, workloads=("web-v2", "stock"), zones=("zone-a",)
    )


@pytest.mark.parametrize(
    ("control", "value", "asked"),
    [
        ("mirror", 50, {"mirror": Mirror(version="v2", percent=50)}),
        ("delay", 200, {"fault": Fault(delay_s=0.2)}),
        ("abort", 10, {"fault": Fault(abort_status=503, abort_percent=10)}),
        ("retries", 3, {"retries": Retries(attempts=3, on="5xx")}),
        (
            "limit",
            2,
            {
                "connection_limits": ConnectionLimits(
                    max_connections=2, max_pending_requests=1, max_requests=2
                )
            },
        ),
        ("latency", 300, {"behaviours": {"web-v2": WorkloadBehaviour(latency_ms=300)}}),
        ("load", 200, {"load_rps": 200}),
        ("zone", "zone-a", {"lost_zone": "zone-a"}),
    ],
)
def test_a_control_is_a_setting_and_shows_it(control: str, value: Any, asked: dict[str, Any]) -> None:
    changed: list[dict[str, Any]] = []
    found = controls(changed)
    getattr(found, control).value = value
    assert changed == [asked]
    other = controls(changed)
    other.show(ExperimentSettings(**asked))
    assert getattr(other, control).value == value
    assert changed == [asked]


def test_a_header_needs_a_value() -> None:
    changed: list[dict[str, Any]] = []
    found = controls(changed)
    found.version.value = "v1"
    found.value.value = "tester"
    assert changed == [
        {"headers": None},
        {"headers": (HeaderMatch(header="x-user", value="tester", version="v1"),)},
    ]


def test_where_it_is_no_sandbox_only_safe_rows_are_offered() -> None:
    assert len(controls([], disposable=False).children) == 2


def test_a_live_chart_only_adds_points() -> None:
    whole = run(seconds=40, errors=2, slow=5)
    series, first = Series(), replace(whole, samples=whole.samples[:20])
    before = figure_data(series := series.follow(first), first)
    after = figure_data(series.follow(whole), whole)
    assert len(after["data"]) == len(before["data"])
    for old, new in zip(before["data"], after["data"], strict=True):
        assert new["y"][: len(old["y"])] == old["y"]
    assert figure_data(Series().follow(whole), whole) == after


def test_the_chart_is_the_same_as_svg_and_in_words() -> None:
    chart = experiment_chart(run(errors=25))
    assert "50.0 % failed" in chart.text
    assert svg_chart(chart.figure, chart.text).count("<path") > 10


def test_another_caller_starts_the_lines_again() -> None:
    series = Series().follow(run())
    assert series.follow(run(), "shop/other").values["rps", "v1"] == [0.0] * 4
