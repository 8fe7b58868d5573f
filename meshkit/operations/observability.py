"""The files of an Observability intent, for a Prometheus and a Grafana that the cluster knows nothing of."""

from __future__ import annotations

from meshkit.facts import Snapshot
from meshkit.intent.observability import Observability
from meshkit.meshes import registry
from meshkit.operations.which_mesh import required_mesh


def observability_files(intent: Observability, *, mesh: str | None = None) -> dict[str, str]:
    """File name to text: ``scrape.yaml`` for Prometheus' ``scrape_config_files`` (2.43 or later),
    ``rules.yaml`` for its ``rule_files``, and a dashboard to import. The same that a plan puts into
    ConfigMaps; no cluster is asked.

    Raises ``BadInput`` without a mesh, and ``UnknownName`` for one that is not known.
    """
    planner = registry.mesh(required_mesh(mesh)).planner
    # Access logs and traces are no files: they are objects of the cluster, for a plan.
    texts = intent.model_copy(update={"operator": False, "access_log": None, "tracing": None})
    steps = planner.plan(texts, Snapshot())
    return {name: text for step in steps for name, text in step.object["data"].items()}
