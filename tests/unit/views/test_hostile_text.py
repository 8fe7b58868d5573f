"""No text from a cluster, an intent or a person becomes a tag in what the views make."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from markupsafe import Markup

from meshkit.cluster.diff import FieldChange
from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.facts import ClusterRef, Finding
from meshkit.kube.steps import Step
from meshkit.operations.health import Findings
from meshkit.operations.plan import Plan
from meshkit.operations.setup.guide import SetupSnapshot
from meshkit.operations.setup.stages import STAGES
from meshkit.operations.setup.status import ClusterObservation, StageStatus, Table
from meshkit.operations.upgrade.report import UpgradeStatus
from meshkit.operations.upgrade.state import Installed, NamespaceProgress
from meshkit.views import demo_page, display, live_box, plan_html, report
from meshkit.views.code_link import code_link
from meshkit.views.release import release_html
from meshkit.views.release.chart import release_chart
from meshkit.views.setup import setup_html
from meshkit.views.setup.form import _help
from meshkit.views.setup.stage_report import StageReport
from tests.unit.operations.observations import sight
from tests.unit.views_panel.releases import RELEASE, release_after

EVIL = """<script>alert("1")</script>'&"""
REF = ClusterRef(EVIL, EVIL)
FINDING = Finding(EVIL, "error", EVIL, EVIL, EVIL)
OBJECT = {"apiVersion": "v1", "kind": EVIL, "metadata": {"name": EVIL, "namespace": EVIL}}
CHANGED = PlannedStep(Step(OBJECT), "change", (FieldChange(EVIL, EVIL, EVIL, (EVIL,)),))
CREATED = PlannedStep(Step(OBJECT), "create", (FieldChange("spec", None, {EVIL: [{EVIL: EVIL}]}, ()),))
PLAN = Plan(EVIL, EVIL, EVIL, EVIL, (CHANGED, CREATED, CREATED, CREATED), (FINDING,))
STATUS = StageStatus("ready", EVIL, (FINDING,), (Table(EVIL, EVIL, (EVIL, EVIL), (("warn", (EVIL, EVIL)),)),))
OBSERVED: ClusterObservation = replace(sight("istio"), mesh=EVIL, namespace=EVIL)
LOOK = SetupSnapshot(0.0, OBSERVED, (STATUS,) * len(STAGES), cluster=REF)
STAGE = replace(STAGES[0], title=EVIL, why=f"{EVIL} {{namespace}}")
UPGRADE = UpgradeStatus(
    cluster=REF,
    mesh=EVIL,
    version=EVIL,
    revision=EVIL,
    installed=(Installed(EVIL, EVIL, 3, 3, 4),),
    spaces=(NamespaceProgress(EVIL, EVIL, 1, 3, False, (EVIL,)),),
    next=EVIL,
)
CELL = SimpleNamespace(
    cell_type="code",
    source=EVIL,
    outputs=[
        SimpleNamespace(output_type="error", ename=EVIL, evalue=EVIL),
        SimpleNamespace(output_type="stream", text=EVIL),
        SimpleNamespace(output_type="display_data", data={"text/plain": EVIL}),
    ],
)
RELEASE_OF_EVIL = RELEASE.model_copy(
    update=dict.fromkeys(("name", "namespace", "service", "stable", "canary"), EVIL)
)


def hostile(value: Any) -> Any:
    """A state whose texts are all hostile; what steers the code (kinds, names of conditions) stays."""
    steers = {"kind", "status", "result", "action", "name", "unit", "verb", "wanted", "mesh", "change_id"}
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            each.name: hostile(getattr(value, each.name))
            for each in fields(value)
            if each.init and each.name not in steers
        }
        return replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(hostile(each) for each in value)
    return EVIL if isinstance(value, str) else value


def release_state() -> Any:
    state = release_after(60, canary_ms=330.0, error_share=0.3)
    return replace(hostile(replace(state, release=RELEASE)), release=RELEASE_OF_EVIL)


RELEASED = release_state()
SETTINGS = {EVIL: EVIL}
MADE: dict[str, Callable[[], str]] = {
    "plan_table": lambda: display.plan_table(PLAN),
    "findings_table": lambda: display.findings_table(Findings([FINDING])),
    "upgrade_table": lambda: display.upgrade_table(UPGRADE),
    "plan_card": lambda: plan_html.plan_card(PLAN),
    "no_plan_card": lambda: plan_html.no_plan_card(replace(STATUS, state="blocked"), True),
    "code_link": lambda: code_link(FINDING),
    "alert": lambda: live_box.alert(EVIL),
    "hint": lambda: live_box.hint(EVIL),
    "form help": lambda: Markup(_help(EVIL, EVIL).value) + Markup(_help(EVIL, "").value),
    "release head": lambda: release_html.head(RELEASE_OF_EVIL, EVIL, RELEASED, EVIL),
    "release ladder": lambda: release_html.ladder(RELEASE_OF_EVIL, RELEASED),
    "release verdict": lambda: release_html.verdict(RELEASED),
    "release evidence": lambda: release_html.evidence(RELEASED),
    "release against stable": lambda: release_html.against_stable(RELEASE_OF_EVIL, RELEASED),
    "release journal": lambda: release_html.journal(RELEASED, lines=None, note=EVIL),
    "chart": lambda: release_chart(RELEASED).svg,
    "setup head": lambda: setup_html.head(EVIL, REF, EVIL, EVIL),
    "stage row": lambda: setup_html.stage_row(1, STAGE, STATUS, selected=True),
    "explanation": lambda: setup_html.explanation(1, STAGE, EVIL),
    "findings_card": lambda: setup_html.findings_card(STATUS, 0.0),
    "tables": lambda: setup_html.tables(STATUS),
    "progress": lambda: setup_html.progress_card([setup_html.ProgressLine(EVIL, "good")], [EVIL], EVIL),
    "overview": lambda: setup_html.overview(LOOK, EVIL),
    "stage report": lambda: StageReport("injection", LOOK, PLAN).html(),
    "cell": lambda: report.cell_html(CELL),
    "runbook page": lambda: report.runbook_page(
        SimpleNamespace(cells=[]),
        title=EVIL,
        exit_code=1,
        error=EVIL,
        parameters=SETTINGS,
        duration_s=1.0,
        cluster=REF,
    ),
    "demo page": lambda: demo_page.demo_page(
        mesh=EVIL,
        claims=[demo_page.Claim(EVIL, EVIL, True)],
        episodes=[demo_page.Episode(EVIL, RELEASED)],
        runs=[demo_page.Run(EVIL, 1.0, 0, EVIL, EVIL)],
        settings=SETTINGS,
        duration_s=1.0,
    ),
}


class Tags(HTMLParser):
    """The names of all tags, and of all attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = set[str](), set[str](), ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(key for key, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("made", MADE)
def test_text_stays_text(made: str) -> None:
    text = MADE[made]()
    assert isinstance(text, Markup)
    read = Tags(text)
    assert "script" not in read.tags
    assert all(re.fullmatch(r"[a-z][a-zA-Z0-9-]*:?[a-z]*", name) for name in read.attributes)
    assert not re.search(r"&amp;(lt|gt|amp|#\d+);", text), "escaped twice"


def test_a_hostile_version_is_no_tag_in_the_chart_of_plotly() -> None:
    """plotly reads a few tags in annotations, links among them."""
    release = RELEASE.model_copy(update={"canary": "<a href=x>"})
    figure = release_chart(replace(release_after(20), release=release)).figure
    texts = [note["text"] for note in figure["layout"]["annotations"]]
    assert any("&lt;a href=x" in text for text in texts)
    assert not any("<a" in text for text in texts)
