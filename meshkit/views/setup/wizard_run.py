"""A change that runs in a thread: its steps, its log, and methods to pause and stop it.

The thread writes the state and the notebook's event loop reads it, without a lock: every update is a single
assignment or append.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from meshkit.cluster.executor import Progress
from meshkit.operations.pause_control import PauseControl
from meshkit.operations.progress import Event, WatchStarted
from meshkit.operations.setup.stages import is_watched
from meshkit.views.setup.setup_html import LOG_LINES, ProgressLine, clock, planned_lines

if TYPE_CHECKING:
    from meshkit.operations.plan import Plan
    from meshkit.operations.setup.guide import Setup


class Run:
    """An apply or undo of one stage. ``carry_out`` blocks until it ends; the rest is read meanwhile."""

    def __init__(
        self,
        verb: Literal["apply", "undo"],
        work: Callable[[Run], str],
        steps: list[ProgressLine],
        news: Callable[[], None],
    ) -> None:
        self.verb, self.running = verb, True
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._work, self._news = work, news
        self._steps = steps
        self._began_s = time.monotonic()
        self._begun_s: dict[int, float] = {}
        self._ended_words = ""
        self._pause_control = PauseControl(self._on_event)

    @classmethod
    def apply(cls, setup: Setup, name: str, plan: Plan, news: Callable[[], None], *, force: bool) -> Run:
        """Create a run that applies the plan of a stage."""

        def work(run: Run) -> str:
            return str(setup.apply(name, plan, progress=run._pause_control, force=force))

        return cls("apply", work, planned_lines(plan, watched=is_watched(name, plan)), news)

    @classmethod
    def undo(cls, setup: Setup, name: str, news: Callable[[], None]) -> Run:
        """Create a run that undoes the newest change of a stage."""
        return cls("undo", lambda run: str(setup.undo(name, progress=run._on_event)), [], news)

    def carry_out(self) -> None:
        """Run the change. An exception is logged and raised again."""
        try:
            self.log_line(self._work(self))
            self._finish("good")
        except Exception as problem:
            self.log_line(str(problem))
            self._finish("bad")
            raise
        finally:
            self.running = False
            self._news()

    def log_line(self, sentence: str) -> None:
        """Add a line to the log."""
        self.log.append(f"{clock(time.time())}  {sentence}")
        self._news()

    def toggle_pause(self) -> None:
        """Pause before the next step, or resume."""
        if self._pause_control.paused:
            self._pause_control.resume()
            self.log_line("Resumed.")
        else:
            self._pause_control.pause()
            self.log_line("Paused before the next step.")

    def stop(self) -> None:
        """Stop before the next step and undo the steps that are done."""
        self.log_line("Stopping: the steps that are done will be undone.")
        self._pause_control.stop()

    @property
    def paused(self) -> bool:
        """Whether the change is paused, or will pause before its next step."""
        return self._pause_control.paused

    def lines(self) -> list[ProgressLine]:
        """The steps with their states."""
        return list(self._steps)

    def words(self) -> str:
        """The progress in a few words."""
        done = sum(line.state == "good" for line in self._steps)
        if self._ended_words:
            return self._ended_words
        state = "paused, " if self.paused else ""
        return f"{state}{done} of {len(self._steps)} done, {time.monotonic() - self._began_s:.0f} s"

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._step(event)
            return
        if isinstance(event, WatchStarted) and self._steps:
            self._mark(len(self._steps), "running")
        self.log_line(str(event))

    def _step(self, progress: Progress) -> None:
        while len(self._steps) < progress.total:
            self._steps.append(ProgressLine("…", "todo"))
        state: Literal["running", "waiting", "good"] = {
            "applying": "running",
            "waiting": "waiting",
            "done": "good",
        }[progress.state]  # type: ignore[assignment]
        if self.verb == "undo":
            self._steps[progress.index - 1] = ProgressLine(f"Restore {progress.title}", "todo")
        self._mark(progress.index, state)
        self.log.append(f"{clock(time.time())}  {progress.state:8}  {progress.title}")
        self._news()

    def _mark(self, index: int, state: Literal["running", "waiting", "good", "bad"]) -> None:
        begun_s = self._begun_s.setdefault(index, time.monotonic())
        took_s = None if state == "running" else time.monotonic() - begun_s
        self._steps[index - 1] = ProgressLine(self._steps[index - 1].words, state, took_s)

    def _finish(self, state: Literal["good", "bad"]) -> None:
        for index, line in enumerate(self._steps, start=1):
            if line.state in ("running", "waiting") or (state == "good" and line.state == "todo"):
                self._mark(index, state)
        took = f"{time.monotonic() - self._began_s:.1f} s"
        self._ended_words = f"{'done' if state == 'good' else 'failed'}, {took}"
