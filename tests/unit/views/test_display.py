"""What a notebook shows of plans and findings: tables in HTML, registered with the kernel by ``mk``."""

from __future__ import annotations

import subprocess
import sys

import pytest
from IPython.core.formatters import DisplayFormatter

from meshkit.cluster.diff import FieldChange
from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.facts import ClusterRef, Finding
from meshkit.kube import manifests
from meshkit.kube.kinds import NAMESPACE
from meshkit.kube.steps import Step
from meshkit.meshes.explain.ways import Way
from meshkit.operations.explain import Explanation
from meshkit.operations.health import Findings
from meshkit.operations.plan import PENDING, Plan
from meshkit.operations.upgrade.report import UpgradeStatus
from meshkit.operations.upgrade.state import Installed, NamespaceProgress
from meshkit.views.code_link import code_link
from meshkit.views.display import install, plan_table

SHOP = PlannedStep(Step(manifests.obj(NAMESPACE, "shop")), "change", (FieldChange("metadata.a", "<b>", "c"),))
PLAN = Plan("Injection", "istio", "sandbox", "https://here", (SHOP,))


def shown(value: object) -> dict[str, object]:
    """What a cell that ends with the value holds, by media type."""
    formatter = DisplayFormatter()
    install(formatter)
    return dict(formatter.format(value)[0])


def test_a_plan_is_a_table_and_says_how_many_steps_wait() -> None:
    output = shown(PLAN)
    assert "Namespace shop" in str(output["text/html"])
    assert "&lt;b&gt;" in str(output["text/html"])
    assert output[PENDING] == {"steps": 1}
    assert str(output["text/plain"]).startswith("Injection, istio on cluster sandbox (https://here): 1 step")


def test_an_empty_plan_is_a_sentence() -> None:
    assert plan_table(Plan("Injection", "istio", "sandbox", "https://here", ())).startswith("<p>Injection")


def test_a_plan_says_how_severe_a_finding_is() -> None:
    found = tuple(
        Finding("MK0245", severity, "egress.others", "a.", "b.") for severity in ("info", "warning")
    )
    lines = str(Plan("Egress", "istio", "sandbox", "https://here", (), findings=found)).splitlines()
    assert [line.split()[0] for line in lines if "MK0245" in line] == ["info", "warning"]


def test_an_explanation_is_a_trace_or_a_table_whose_html_is_escaped() -> None:
    way = Way(("shop/client",), "web.shop", 8080, "path is <b>", "VirtualService shop/web http[0]")
    one = str(shown(Explanation("web.shop:8080", "istio", (way,)))["text/html"])
    assert "shop/client -&gt; web.shop:8080, path is &lt;b&gt;" in one
    two = Explanation("web.shop", "istio", (way, Way(("a/b",), "web", 80)), ("Pod: not read",))
    html = str(shown(two)["text/html"])
    assert "<td style='text-align:left'>path is &lt;b&gt;</td>" in html
    assert "not read: Pod: not read" in html


def test_findings_are_a_table_whose_html_is_escaped() -> None:
    found = Finding("MK0401", "error", "Deployment a/b", "it is <gone>.", "Bring it back.")
    html = str(shown(Findings([found]))["text/html"])
    assert "it is &lt;gone&gt;." in html
    assert "<gone>" not in html


def test_every_code_links_to_its_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Findings(
        [
            Finding("MK0401", "error", "Deployment a/b", "it is gone.", "Bring it back."),
            Finding("MK0802", "warning", "Secret a/c", "it ends soon.", "Rotate it."),
        ]
    )
    link = '<a href="../docs/reference/findings.md#mk0401">MK0401</a>'
    assert link in str(shown(found)["text/html"])
    monkeypatch.setenv("MESHKIT_DOCS", "https://docs.example/")
    link = '<a href="https://docs.example/reference/findings.md#mk0802">MK0802</a>'
    assert link in str(shown(found)["text/html"])


def test_a_code_of_another_program_has_no_link() -> None:
    foreign = Finding("IST<0102", "info", "Pod a/b", "it is so.", "See there.")
    assert code_link(foreign) == "IST&lt;0102"


def test_an_upgrade_has_a_bar_for_each_namespace() -> None:
    status = UpgradeStatus(
        cluster=ClusterRef("sandbox", "https://here"),
        mesh="istio",
        version="1.31.4",
        revision="1-31-4",
        installed=(Installed("1-31-4", "1.31.4", 3, 3, 4),),
        spaces=(NamespaceProgress("shop", "1-31-4", 1, 3, False),),
        next="Next: namespace shop, 1 to go.",
    )
    html = str(shown(status)["text/html"])
    assert "width:25%" in html
    assert "1 of 4 proxies moved" in html
    assert "██░░░░░░░░  shop: 1 of 4 proxies moved" in str(status)


def test_the_first_public_name_registers_the_tables_in_a_kernel() -> None:
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "import meshkit as mk\n"
        "plan = mk.Plan('Test', 'istio', 'sandbox', 'https://here', ())\n"
        "print('text/html' in shell.display_formatter.format(plan)[0])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "True"
