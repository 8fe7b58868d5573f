"""Establish and run a service mesh, Istio or Linkerd, on Kubernetes. Use it as ``import meshkit as mk``.

The public names are looked up when first used, so that ``import meshkit`` is light. The imports below
are what type checkers and editors see; a test holds the two in step.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from meshkit.version import __version__

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster as Cluster
    from meshkit.cluster.connect import connect as connect
    from meshkit.decide.rollouts.judging import judge as judge
    from meshkit.facts import ArmCounts as ArmCounts
    from meshkit.facts import Samples as Samples
    from meshkit.intent.balancing import ConnectionLimits as ConnectionLimits
    from meshkit.intent.balancing import Cookie as Cookie
    from meshkit.intent.balancing import Keepalive as Keepalive
    from meshkit.intent.balancing import LoadBalancing as LoadBalancing
    from meshkit.intent.balancing import OutlierDetection as OutlierDetection
    from meshkit.intent.cohort import Cohort as Cohort
    from meshkit.intent.destination import DestinationPolicy as DestinationPolicy
    from meshkit.intent.destination import TLSOrigination as TLSOrigination
    from meshkit.intent.document import dump_intents as dump_intents
    from meshkit.intent.document import load_intents as load_intents
    from meshkit.intent.document import load_values as load_values
    from meshkit.intent.edges.egress import Egress as Egress
    from meshkit.intent.edges.egress import EgressPort as EgressPort
    from meshkit.intent.edges.exposure import Certificate as Certificate
    from meshkit.intent.edges.exposure import ExposedService as ExposedService
    from meshkit.intent.edges.exposure import Exposure as Exposure
    from meshkit.intent.gates import Gate as Gate
    from meshkit.intent.gates import SecretKey as SecretKey
    from meshkit.intent.injection import Injection as Injection
    from meshkit.intent.mesh import ControlPlane as ControlPlane
    from meshkit.intent.mesh import Gateway as Gateway
    from meshkit.intent.observability import Alerts as Alerts
    from meshkit.intent.observability import Observability as Observability
    from meshkit.intent.observability import Tracing as Tracing
    from meshkit.intent.release import Margins as Margins
    from meshkit.intent.release import MirrorFirst as MirrorFirst
    from meshkit.intent.release import Objectives as Objectives
    from meshkit.intent.release import Release as Release
    from meshkit.intent.rules import Cors as Cors
    from meshkit.intent.rules import Fault as Fault
    from meshkit.intent.rules import GrpcMatch as GrpcMatch
    from meshkit.intent.rules import HeaderEdits as HeaderEdits
    from meshkit.intent.rules import Match as Match
    from meshkit.intent.rules import Mirror as Mirror
    from meshkit.intent.rules import OtherService as OtherService
    from meshkit.intent.rules import PathMatch as PathMatch
    from meshkit.intent.rules import Redirect as Redirect
    from meshkit.intent.rules import Respond as Respond
    from meshkit.intent.rules import Retries as Retries
    from meshkit.intent.rules import Rewrite as Rewrite
    from meshkit.intent.rules import Rule as Rule
    from meshkit.intent.rules import TextMatch as TextMatch
    from meshkit.intent.security import Access as Access
    from meshkit.intent.security import Caller as Caller
    from meshkit.intent.security import MutualTLS as MutualTLS
    from meshkit.intent.traffic import HeaderMatch as HeaderMatch
    from meshkit.intent.traffic import Route as Route
    from meshkit.intent.traffic import Version as Version
    from meshkit.intent.train import ReleaseTrain as ReleaseTrain
    from meshkit.observe.graph import service_graph as service_graph
    from meshkit.operations.access.enforcement import AccessWatch as AccessWatch
    from meshkit.operations.access.enforcement import enforce_access as enforce_access
    from meshkit.operations.access.enforcement import plan_access as plan_access
    from meshkit.operations.access.matrix import AccessMatrix as AccessMatrix
    from meshkit.operations.access.matrix import access_matrix as access_matrix
    from meshkit.operations.access.trial import access_denials as access_denials
    from meshkit.operations.change import apply as apply
    from meshkit.operations.change import history as history
    from meshkit.operations.change import plan as plan
    from meshkit.operations.chaos import Chaos as Chaos
    from meshkit.operations.experiments.comparison import compare_experiments as compare_experiments
    from meshkit.operations.experiments.experiment import Experiment as Experiment
    from meshkit.operations.experiments.recording import ExperimentRun as ExperimentRun
    from meshkit.operations.experiments.recording import load_experiment as load_experiment
    from meshkit.operations.experiments.replay import plan_replay as plan_replay
    from meshkit.operations.experiments.settings import ExperimentLimits as ExperimentLimits
    from meshkit.operations.experiments.settings import ExperimentSettings as ExperimentSettings
    from meshkit.operations.experiments.settings import WorkloadBehaviour as WorkloadBehaviour
    from meshkit.operations.experiments.taking_back import stop_experiments as stop_experiments
    from meshkit.operations.explain import Explanation as Explanation
    from meshkit.operations.explain import explain as explain
    from meshkit.operations.export.live_intents import export_intents as export_intents
    from meshkit.operations.export.live_mesh import export_mesh as export_mesh
    from meshkit.operations.glance.model import Glance as Glance
    from meshkit.operations.glance.read import mesh_glance as mesh_glance
    from meshkit.operations.health import Findings as Findings
    from meshkit.operations.health import check as check
    from meshkit.operations.identity.create import plan_identity as plan_identity
    from meshkit.operations.identity.rotate import RotationOptions as RotationOptions
    from meshkit.operations.identity.rotate import identity_status as identity_status
    from meshkit.operations.identity.rotate import plan_rotation as plan_rotation
    from meshkit.operations.observability import observability_files as observability_files
    from meshkit.operations.plan import Plan as Plan
    from meshkit.operations.rehearsal.rehearse import plan_rehearsal as plan_rehearsal
    from meshkit.operations.release.buckets import plan_buckets as plan_buckets
    from meshkit.operations.release.evidence_bundle.bundle import release_evidence as release_evidence
    from meshkit.operations.release.evidence_bundle.verification import verify_evidence as verify_evidence
    from meshkit.operations.release.forecast import forecast_release as forecast_release
    from meshkit.operations.release.gates.approval import approve_gate as approve_gate
    from meshkit.operations.release.listing import releases as releases
    from meshkit.operations.release.plan import plan_release as plan_release
    from meshkit.operations.release.restoring.rollback import plan_rollback as plan_rollback
    from meshkit.operations.release.runner import release_state as release_state
    from meshkit.operations.release.runner import send_command as send_command
    from meshkit.operations.release.train.plan import plan_train as plan_train
    from meshkit.operations.release.train.restoring import plan_train_rollback as plan_train_rollback
    from meshkit.operations.release.train.state import train_state as train_state
    from meshkit.operations.release.unattended.guardian import guard_release as guard_release
    from meshkit.operations.release.unattended.job import plan_in_cluster as plan_in_cluster
    from meshkit.operations.rights.roles import role_objects as role_objects
    from meshkit.operations.routes.convert import plan_convert as plan_convert
    from meshkit.operations.routes.edit import plan_match as plan_match
    from meshkit.operations.routes.edit import plan_split as plan_split
    from meshkit.operations.routes.show import service_routes as service_routes
    from meshkit.operations.setup.guide import Setup as Setup
    from meshkit.operations.shop import deploy_shop as deploy_shop
    from meshkit.operations.shop import route_shop as route_shop
    from meshkit.operations.traffic_gate import TrafficGateOptions as TrafficGateOptions
    from meshkit.operations.undo import undo as undo
    from meshkit.operations.uninstall import plan_uninstall as plan_uninstall
    from meshkit.operations.upgrade.rollback import upgrade_back as upgrade_back
    from meshkit.operations.upgrade.run import plan_retirement as plan_retirement
    from meshkit.operations.upgrade.run import plan_upgrade as plan_upgrade
    from meshkit.operations.upgrade.run import upgrade_status as upgrade_status
    from meshkit.runbooks.execution import run_runbook as run_runbook
    from meshkit.views.experiments.chart import experiment_chart as experiment_chart
    from meshkit.views.experiments.panel import experiment_panel as experiment_panel
    from meshkit.views.glance.panel import mesh_view as mesh_view
    from meshkit.views.release.chart import release_chart as release_chart
    from meshkit.views.release.chooser import releases_panel as releases_panel
    from meshkit.views.release.panel import release_panel as release_panel
    from meshkit.views.setup.stage_report import stage_report as stage_report
    from meshkit.views.setup.wizard import setup_wizard as setup_wizard

_HOMES = {
    "cluster.connect": ("Cluster", "connect"),
    "decide.rollouts.judging": ("judge",),
    "facts": ("ArmCounts", "Samples"),
    "intent.balancing": (
        "ConnectionLimits",
        "Cookie",
        "Keepalive",
        "LoadBalancing",
        "OutlierDetection",
    ),
    "intent.destination": ("DestinationPolicy", "TLSOrigination"),
    "intent.document": ("dump_intents", "load_intents", "load_values"),
    "intent.edges.egress": ("Egress", "EgressPort"),
    "intent.edges.exposure": ("Certificate", "ExposedService", "Exposure"),
    "intent.cohort": ("Cohort",),
    "intent.gates": ("Gate", "SecretKey"),
    "intent.injection": ("Injection",),
    "intent.mesh": ("ControlPlane", "Gateway"),
    "intent.observability": ("Alerts", "Observability", "Tracing"),
    "intent.release": ("Margins", "MirrorFirst", "Objectives", "Release"),
    "intent.rules": (
        "Cors",
        "Fault",
        "GrpcMatch",
        "HeaderEdits",
        "Match",
        "Mirror",
        "OtherService",
        "PathMatch",
        "Redirect",
        "Respond",
        "Retries",
        "Rewrite",
        "Rule",
        "TextMatch",
    ),
    "intent.security": ("Access", "Caller", "MutualTLS"),
    "intent.traffic": ("HeaderMatch", "Route", "Version"),
    "intent.train": ("ReleaseTrain",),
    "observe.graph": ("service_graph",),
    "operations.release.buckets": ("plan_buckets",),
    "operations.release.plan": ("plan_release",),
    "operations.release.runner": ("release_state", "send_command"),
    "operations.release.forecast": ("forecast_release",),
    "operations.release.evidence_bundle.bundle": ("release_evidence",),
    "operations.release.gates.approval": ("approve_gate",),
    "operations.release.listing": ("releases",),
    "operations.release.restoring.rollback": ("plan_rollback",),
    "operations.release.evidence_bundle.verification": ("verify_evidence",),
    "operations.access.enforcement": ("AccessWatch", "enforce_access", "plan_access"),
    "operations.access.matrix": ("AccessMatrix", "access_matrix"),
    "operations.access.trial": ("access_denials",),
    "operations.change": ("apply", "history", "plan"),
    "operations.chaos": ("Chaos",),
    "operations.traffic_gate": ("TrafficGateOptions",),
    "operations.undo": ("undo",),
    "operations.release.train.plan": ("plan_train",),
    "operations.release.train.restoring": ("plan_train_rollback",),
    "operations.release.train.state": ("train_state",),
    "operations.release.unattended.guardian": ("guard_release",),
    "operations.release.unattended.job": ("plan_in_cluster",),
    "operations.rights.roles": ("role_objects",),
    "operations.routes.convert": ("plan_convert",),
    "operations.experiments.comparison": ("compare_experiments",),
    "operations.experiments.experiment": ("Experiment",),
    "operations.experiments.recording": ("ExperimentRun", "load_experiment"),
    "operations.experiments.replay": ("plan_replay",),
    "operations.experiments.settings": ("ExperimentLimits", "ExperimentSettings", "WorkloadBehaviour"),
    "operations.experiments.taking_back": ("stop_experiments",),
    "operations.routes.edit": ("plan_match", "plan_split"),
    "operations.routes.show": ("service_routes",),
    "operations.explain": ("Explanation", "explain"),
    "operations.export.live_intents": ("export_intents",),
    "operations.export.live_mesh": ("export_mesh",),
    "operations.glance.model": ("Glance",),
    "operations.glance.read": ("mesh_glance",),
    "operations.health": ("Findings", "check"),
    "operations.identity.create": ("plan_identity",),
    "operations.observability": ("observability_files",),
    "operations.plan": ("Plan",),
    "operations.rehearsal.rehearse": ("plan_rehearsal",),
    "operations.identity.rotate": ("RotationOptions", "identity_status", "plan_rotation"),
    "operations.setup.guide": ("Setup",),
    "operations.shop": ("deploy_shop", "route_shop"),
    "operations.uninstall": ("plan_uninstall",),
    "operations.upgrade.run": ("plan_retirement", "plan_upgrade", "upgrade_status"),
    "operations.upgrade.rollback": ("upgrade_back",),
    "runbooks.execution": ("run_runbook",),
    "views.experiments.chart": ("experiment_chart",),
    "views.experiments.panel": ("experiment_panel",),
    "views.glance.panel": ("mesh_view",),
    "views.release.chart": ("release_chart",),
    "views.release.chooser": ("releases_panel",),
    "views.release.panel": ("release_panel",),
    "views.setup.stage_report": ("stage_report",),
    "views.setup.wizard": ("setup_wizard",),
}
_HOME_OF = {name: f"meshkit.{module}" for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"meshkit has no public name {name!r}")
    if "IPython" in sys.modules:
        importlib.import_module("meshkit.views.display").install()
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
