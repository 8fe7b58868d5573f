"""The controls of an experiment: sliders and rows, each of which is one setting.

They know nothing of the cluster: they show settings, and report a change of theirs as names and values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from meshkit.intent.balancing import ConnectionLimits
from meshkit.intent.rules import Fault, Mirror, Retries
from meshkit.intent.traffic import HeaderMatch, Route
from meshkit.operations.experiments.settings import ExperimentSettings, WorkloadBehaviour

NONE = "none"
MOST_RPS, MOST_MS = 500.0, 1000.0
_STYLE = {"description_width": "172px"}

Changed = Callable[[dict[str, Any]], None]


class Controls(widgets.VBox):  # type: ignore[misc]
    """The rows for split, header, mirror, fault, retries and limits, and those of the sandbox."""

    def __init__(
        self,
        route: Route,
        changed: Changed,
        *,
        disposable: bool,
        workloads: Sequence[str] = (),
        zones: Sequence[str] = (),
    ) -> None:
        self._route, self._changed, self._showing = route, changed, False
        self._behaviours: Mapping[str, WorkloadBehaviour] = {}
        names = [version.name for version in route.versions]
        self._canary = names[1] if len(names) > 1 else names[0]
        self.share = self._slider(f"Share of {self._canary} (%)", 100, 1, self._split)
        self.share.disabled = len(names) < 2
        self.mirror = self._slider(f"Mirrored to {self._canary} (%)", 100, 5, self._mirrored)
        self.header, self.value = self._text("Header", "x-user"), self._text("has the value", "")
        self.version = self._choice("goes to", names, self._headed, value=self._canary)
        self.delay = self._slider("Delay (ms)", MOST_MS, 10, self._faulty)
        self.abort = self._slider("Injected errors (%)", 100, 1, self._faulty)
        self.retries = self._slider("Retries of a 5xx", 5, 1, self._retried)
        self.limit = self._slider("Requests at once (0: any)", 50, 1, self._limited)
        self.workload = widgets.Dropdown(
            description="Workload", options=list(workloads) or [NONE], style=_STYLE
        )
        self.workload.observe(lambda _: self._show_workload(), "value")
        self.latency = self._slider("Latency (ms, 0: usual)", MOST_MS, 10, self._behaving)
        self.errors = self._slider("Errors (%)", 100, 1, self._behaving)
        self.load = self._slider("Load (/s, 0: usual)", MOST_RPS, 10, self._loaded)
        self.zone = self._choice("Lost zone", [NONE, *zones], self._lost)
        rows = [
            ("Traffic", (self.share, self.mirror)),
            ("Header", (self.header, self.value, self.version)),
            ("Faults and limits", (self.delay, self.abort, self.retries, self.limit)),
            (
                "Workloads and nodes of the sandbox",
                (self.workload, self.latency, self.errors, self.load, self.zone),
            ),
        ]
        shown = rows if disposable else rows[:2]
        super().__init__([self._row(title, children) for title, children in shown])
        self.add_class("mk-experiment-controls")

    def show(self, settings: ExperimentSettings) -> None:
        """Show these settings, without reporting them as a change."""
        self._showing = True
        try:
            self._behaviours = settings.behaviours or {}
            self.share.value = (settings.split or self._route.split).get(self._canary, 0.0)
            self.mirror.value = settings.mirror.percent if settings.mirror else 0.0
            if settings.headers:
                match = settings.headers[0]
                self.header.value, self.value.value, self.version.value = (
                    match.header,
                    match.value,
                    match.version,
                )
            fault = settings.fault
            self.delay.value = 1000 * (fault.delay_s or 0.0) if fault else 0.0
            self.abort.value = fault.abort_percent if fault and fault.abort_status else 0.0
            self.retries.value = float(settings.retries.attempts) if settings.retries else 0.0
            limits = settings.connection_limits
            self.limit.value = float(limits.max_requests or 0) if limits else 0.0
            self.load.value = settings.load_rps or 0.0
            if (settings.lost_zone or NONE) in self.zone.options:
                self.zone.value = settings.lost_zone or NONE
        finally:
            self._showing = False
        self._show_workload()

    def disable(self, *, all_of_them: bool) -> None:
        """Disable every control once the experiment is over."""
        for row in self.children:
            for control in row.children[1].children:
                control.disabled = all_of_them or (control is self.share and len(self._route.versions) < 2)

    def _show_workload(self) -> None:
        self._showing = True
        behaviour = self._behaviours.get(str(self.workload.value), WorkloadBehaviour())
        self.latency.value = behaviour.latency_ms or 0.0
        self.errors.value = behaviour.error_percent or 0.0
        self._showing = False

    # What a change of a control means

    def _split(self) -> dict[str, Any]:
        """The first version gives or takes what the second one gets; others keep their shares."""
        first, share = self._route.versions[0].name, self.share.value
        others = {name: part for name, part in self._route.split.items() if name not in (first, self._canary)}
        share = min(share, 100 - sum(others.values()))
        return {"split": {first: 100 - sum(others.values()) - share, self._canary: share, **others}}

    def _mirrored(self) -> dict[str, Any]:
        percent = self.mirror.value
        return {"mirror": Mirror(version=self._canary, percent=percent) if percent else None}

    def _headed(self) -> dict[str, Any]:
        header, value = self.header.value.strip(), self.value.value.strip()
        if not (header and value):
            return {"headers": None}
        return {"headers": (HeaderMatch(header=header, value=value, version=self.version.value),)}

    def _faulty(self) -> dict[str, Any]:
        delay_s, percent = self.delay.value / 1000, self.abort.value
        if not (delay_s or percent):
            return {"fault": None}
        abort = {"abort_status": 503, "abort_percent": percent} if percent else {}
        return {"fault": Fault(**({"delay_s": delay_s} if delay_s else {}), **abort)}

    def _retried(self) -> dict[str, Any]:
        attempts = int(self.retries.value)
        return {"retries": Retries(attempts=attempts, on="5xx") if attempts else None}

    def _limited(self) -> dict[str, Any]:
        most = int(self.limit.value)
        limits = (
            ConnectionLimits(max_connections=most, max_pending_requests=1, max_requests=most)
            if most
            else None
        )
        return {"connection_limits": limits}

    def _behaving(self) -> dict[str, Any]:
        values = {"latency_ms": self.latency.value, "error_percent": self.errors.value}
        asked = {name: value for name, value in values.items() if value}
        behaviours = {name: each for name, each in self._behaviours.items() if name != self.workload.value}
        if asked:
            behaviours[str(self.workload.value)] = WorkloadBehaviour(**asked)
        self._behaviours = behaviours
        return {"behaviours": behaviours or None}

    def _loaded(self) -> dict[str, Any]:
        return {"load_rps": self.load.value or None}

    def _lost(self) -> dict[str, Any]:
        return {"lost_zone": None if self.zone.value == NONE else self.zone.value}

    # Widgets

    def _slider(
        self, label: str, most: float, step: float, meaning: Callable[[], dict[str, Any]]
    ) -> widgets.FloatSlider:
        slider = widgets.FloatSlider(
            description=label,
            max=most,
            step=step,
            readout_format=".0f",
            continuous_update=False,
            style=_STYLE,
        )
        slider.observe(lambda _: self._report(meaning), "value")
        return slider

    def _choice(
        self,
        label: str,
        options: Sequence[str],
        meaning: Callable[[], dict[str, Any]],
        value: str | None = None,
    ) -> widgets.Dropdown:
        choice = widgets.Dropdown(
            description=label, options=list(options), value=value or options[0], style=_STYLE
        )
        choice.observe(lambda _: self._report(meaning), "value")
        return choice

    def _text(self, label: str, value: str) -> widgets.Text:
        text = widgets.Text(description=label, value=value, continuous_update=False, style=_STYLE)
        text.observe(lambda _: self._report(self._headed), "value")
        return text

    def _row(self, title: str, children: Sequence[widgets.Widget]) -> widgets.VBox:
        hands = widgets.HBox(list(children)).add_class("mk-hands")
        return widgets.VBox([widgets.Label(title).add_class("mk-row-title"), hands])

    def _report(self, meaning: Callable[[], dict[str, Any]]) -> None:
        if not self._showing:
            self._changed(meaning())
