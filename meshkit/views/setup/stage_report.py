"""The static report of one stage, for runbooks and for readers without a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from meshkit.operations.plan import pending
from meshkit.operations.setup.stages import STAGES, stage
from meshkit.views.plan_html import plan_card
from meshkit.views.report import STYLE, verdict_block
from meshkit.views.setup import setup_html

if TYPE_CHECKING:
    from meshkit.operations.plan import Plan
    from meshkit.operations.setup.guide import SetupSnapshot

_TONES = {"done": "good", "ready": "note", "blocked": "warn", "attention": "warn"}


@dataclass(frozen=True)
class StageReport:
    """The status of a stage, its findings and tables, and its plan if there is one."""

    name: str
    look: SetupSnapshot
    plan: Plan | None = None

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        waiting = pending(len(self.plan.steps)) if self.plan is not None else {}
        return {"text/plain": str(self), "text/html": self.html(), **waiting}

    def html(self) -> Markup:
        """The report as HTML, with its style."""
        one, status = stage(self.name), self.look.of(self.name)
        why = one.why.replace("{namespace}", self.look.observation.namespace)
        parts = [
            verdict_block(_TONES[status.state], f"{one.title}: {status.summary}", one_line(why), self._where),
            setup_html.findings_card(status, self.look.taken_s),
            setup_html.tables(status),
            plan_card(self.plan) if self.plan is not None else "",
        ]
        return Markup('<div class="mk">{}{}</div>').format(STYLE, Markup("").join(parts))

    def __str__(self) -> str:
        status = self.look.of(self.name)
        lines = [f"{stage(self.name).title}: {status.state}, {status.summary}"]
        lines += [self._where] if self._where else []
        lines += (f"{f.severity} {f.code} {f.object} {f.message} {f.remedy}" for f in status.findings)
        for table in status.tables:
            lines += [f"{table.title} ({table.note})", *("  ".join(cells) for _, cells in table.rows)]
        return "\n".join([*lines, *([str(self.plan)] if self.plan is not None else [])])

    def __repr__(self) -> str:
        return str(self)

    @property
    def _where(self) -> str:
        observed, cluster = self.look.observation, self.look.cluster
        return f"{observed.mesh} · namespace {observed.namespace} · {cluster}" if cluster else ""


def stage_report(look: SetupSnapshot, name: str, plan: Plan | None = None) -> StageReport:
    """Create the report of a stage: ``mk.stage_report(setup.look(), "injection")``."""
    assert stage(name) in STAGES
    return StageReport(name, look, plan)


def one_line(text: str) -> str:
    """Text without line breaks."""
    return " ".join(text.split())
