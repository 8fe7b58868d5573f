"""The recording of an experiment: tidy tables of its settings, samples, events and versions, and its file.

A file has one JSON object a line; ``kind`` says which table a line belongs to. Times are seconds since the
start of the experiment.
"""

from __future__ import annotations

import csv
import importlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from meshkit.decide.experiments.comparison import summed
from meshkit.errors import BadInput
from meshkit.facts import ArmCounts
from meshkit.intent.traffic import Route
from meshkit.operations.experiments.settings import ExperimentSettings

Table = Literal["samples", "settings", "events", "versions"]
TABLES: tuple[Table, ...] = ("samples", "settings", "events", "versions")
NO_VERSION = ""
"""The version of failed requests for which a caller's proxy chose no pod: nothing tells their version."""
BETWEEN = -1
"""The setting of a sample during which settings changed."""
_SAMPLE = ("at_s", "seconds", "setting", "service", "version", "caller", "requests", "errors", "rps")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "samples": (*_SAMPLE, "error_percent", "p50_ms", "p90_ms", "p99_ms"),
    "settings": ("at_s", "setting", "settings", "change"),
    "events": ("at_s", "event"),
    "versions": ("what", "version"),
}


@dataclass(frozen=True)
class Measured:
    """The requests of one caller to one version of a service between two readings.

    ``at_s`` is the end of the window, ``setting`` the number of the settings that were in force all the time.
    """

    at_s: float
    seconds: float
    setting: int
    service: str
    version: str
    caller: str
    counts: ArmCounts

    def as_row(self) -> dict[str, Any]:
        """A row of the table of samples."""
        counts, share = self.counts, self.counts.error_share
        quantiles = ((name, counts.quantile_ms(q)) for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)))
        return {
            **{name: getattr(self, name) for name in _SAMPLE[:6]},
            "requests": counts.requests,
            "errors": counts.errors,
            "rps": round(counts.requests / self.seconds, 2) if self.seconds else None,
            "error_percent": None if share is None else round(100 * share, 3),
            **{f"{name}_ms": None if ms is None else round(ms, 1) for name, ms in quantiles},
        }

    def as_record(self) -> dict[str, Any]:
        """A JSON object with the histogram; its infinite edge is null."""
        buckets = [(None if math.isinf(edge) else edge, n) for edge, n in self.counts.latency_ms]
        return {**self.as_row(), "latency_ms": buckets}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Measured:
        """The sample that ``as_record`` stored."""
        buckets = tuple(
            (math.inf if edge is None else float(edge), int(n)) for edge, n in record["latency_ms"]
        )
        counts = ArmCounts(int(record["requests"]), int(record["errors"]), buckets)
        return cls(**{name: record[name] for name in _SAMPLE[:6]}, counts=counts)


@dataclass(frozen=True)
class SettingChange:
    """New settings, when they were asked for, and the id of their change in the journal (empty: of none)."""

    at_s: float
    settings: ExperimentSettings
    change: str = ""


@dataclass(frozen=True)
class RecordedEvent:
    """Something that happened, in words."""

    at_s: float
    event: str


@dataclass(frozen=True, repr=False)
class ExperimentRun:
    """One experiment from its start until now, or as it was read from a file."""

    id: str
    mesh: str
    cluster: str
    started: str
    """The start, as ISO 8601 in UTC."""
    route: Route
    settings: tuple[SettingChange, ...] = ()
    samples: tuple[Measured, ...] = ()
    events: tuple[RecordedEvent, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    """What ran: the mesh, meshkit and the images of the workloads, with their versions."""
    ended_s: float | None = None

    def __str__(self) -> str:
        what = f"Experiment {self.id} with {self.route.namespace}/{self.route.service} on {self.mesh}"
        counted = f"{len(self.settings) - 1} changes of settings, {len(self.samples)} samples"
        return f"{what}: {counted} in {self.duration_s:.0f} s."

    __repr__ = __str__

    @property
    def duration_s(self) -> float:
        """The time until the end, or until the last thing that was recorded."""
        if self.ended_s is not None:
            return self.ended_s
        seen = [change.at_s for change in self.settings[-1:]]
        seen += [sample.at_s for sample in self.samples[-1:]]
        return max(seen, default=0.0)

    def counts(
        self,
        version: str | None = None,
        *,
        service: str | None = None,
        caller: str | None = None,
        setting: int | None = None,
        between_s: tuple[float, float] = (0.0, math.inf),
    ) -> ArmCounts:
        """The sum of the samples of a version; None means all versions, callers or settings."""
        wanted = service or self.route.service
        return summed(
            sample.counts
            for sample in self.samples
            if sample.service == wanted
            and version in (None, sample.version)
            and caller in (None, sample.caller)
            and setting in (None, sample.setting)
            and between_s[0] < sample.at_s <= between_s[1]
        )

    def rows(self, table: Table = "samples") -> list[dict[str, Any]]:
        """The rows of a table: ``samples``, ``settings``, ``events`` or ``versions``."""
        if table == "samples":
            return [sample.as_row() for sample in self.samples]
        if table == "settings":
            return [
                {"at_s": each.at_s, "setting": number, "settings": str(each.settings), "change": each.change}
                for number, each in enumerate(self.settings)
            ]
        if table == "events":
            return [vars(each) for each in self.events]
        if table == "versions":
            return [{"what": what, "version": version} for what, version in self.versions]
        raise BadInput("table", f"{table!r} is not known.", remedy=f"Known: {', '.join(TABLES)}.")

    def to_csv(self, path: str | Path, table: Table = "samples") -> Path:
        """Write a table as CSV, with a line of headings."""
        rows = self.rows(table)
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS[table])
            writer.writeheader()
            writer.writerows(rows)
        return Path(path)

    def to_json_lines(self, path: str | Path) -> Path:
        """Write everything into one file, which ``mk.load_experiment`` reads and ``replay`` repeats."""
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in self._lines())
        Path(path).write_text(text, encoding="utf-8")
        return Path(path)

    def frame(self, table: Table = "samples") -> Any:
        """A table as a DataFrame. Raises ``BadInput`` where pandas is not installed."""
        return data_frame(self.rows(table), COLUMNS[table])

    def _lines(self) -> Iterable[dict[str, Any]]:
        head = {name: getattr(self, name) for name in ("id", "mesh", "cluster", "started", "ended_s")}
        yield {"kind": "run", **head, "route": self.route.model_dump(mode="json", exclude_none=True)}
        yield from ({"kind": "version", "what": what, "version": version} for what, version in self.versions)
        for each in self.settings:
            settings = each.settings.as_record()
            yield {"kind": "setting", "at_s": each.at_s, "settings": settings, "change": each.change}
        yield from ({"kind": "event", **vars(event)} for event in self.events)
        yield from ({"kind": "sample", **sample.as_record()} for sample in self.samples)


def data_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Any:
    """The rows as a DataFrame of pandas. Raises ``BadInput`` where pandas is not installed."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        problem = "pandas is not installed."
        raise BadInput("frame", problem, remedy="Install pandas, or use rows() or to_csv().") from error
    return pandas.DataFrame(list(rows), columns=list(columns))


def load_experiment(path: str | Path) -> ExperimentRun:
    """Read a run that ``to_json_lines`` wrote. Raises ``BadInput``, which names the line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("file", f"{path} cannot be read: {error}.", remedy=_REMEDY) from error
    run: ExperimentRun | None = None
    parts: dict[str, list[Any]] = {name: [] for name in ("setting", "event", "sample", "version")}
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            kind = record.pop("kind")
            if kind == "run":
                run = ExperimentRun(**{**record, "route": Route(**record["route"])})
            else:
                parts[kind].append(_PARTS[kind](record))
        except (ValueError, KeyError, TypeError, AttributeError, BadInput) as error:
            problem = f"line {number} of {path} is no part of an experiment: {error}."
            raise BadInput("file", problem, remedy=_REMEDY) from error
    if run is None:
        raise BadInput("file", f"{path} has no line of the kind run.", remedy=_REMEDY)
    return _whole(run, parts)


_REMEDY = "Give a file that run.to_json_lines() wrote."


def _whole(run: ExperimentRun, parts: Mapping[str, Sequence[Any]]) -> ExperimentRun:
    return replace(
        run,
        settings=tuple(parts["setting"]),
        events=tuple(parts["event"]),
        samples=tuple(parts["sample"]),
        versions=tuple(parts["version"]),
    )


def _setting(record: Mapping[str, Any]) -> SettingChange:
    settings = ExperimentSettings(**record["settings"])
    return SettingChange(float(record["at_s"]), settings, str(record.get("change", "")))


_PARTS: Mapping[str, Any] = {
    "setting": _setting,
    "event": lambda record: RecordedEvent(**record),
    "sample": Measured.from_record,
    "version": lambda record: (str(record["what"]), str(record["version"])),
}
