"""Files of an Observability intent for a Prometheus and a Grafana outside the cluster."""

from __future__ import annotations

from meshkit.facts import Snapshot
from meshkit.intent.observability import Observability
from meshkit.meshes import registry
from meshkit.operations.which_mesh import required_mesh


def observability_files(intent: Observability, *, mesh: str | None = None) -> dict[str, str]:
    """Return file names and their contents for an Observability intent, without connecting to a cluster.

    The files are ``scrape.yaml`` for Prometheus' ``scrape_config_files`` (2.43 or later), ``rules.yaml`` for
    its ``rule_files``, and a dashboard to import. They equal the ConfigMaps of a plan. Raises ``BadInput``
    without a mesh, and ``UnknownName`` for an unknown one.
    """
    planner = registry.mesh(required_mesh(mesh)).planner
    # Access logs and traces are cluster objects, not files: only a plan contains them.
    texts = intent.model_copy(update={"operator": False, "access_log": None, "tracing": None})
    steps = planner.plan(texts, Snapshot())
    return {name: text for step in steps for name, text in step.object["data"].items()}
