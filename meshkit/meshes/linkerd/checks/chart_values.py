"""The values that Linkerd's charts were installed with, as they note them in a ConfigMap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from meshkit.kube import yaml_input
from meshkit.meshes.view import View

CONFIG_MAP = "linkerd-config"


def chart_values(view: View) -> Mapping[str, Any]:
    """The values of the charts; empty where Linkerd was not installed by them or they cannot be read."""
    config = view.named("ConfigMap", CONFIG_MAP) or {}
    try:
        values = yaml_input.load((config.get("data") or {}).get("values") or "")
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def uses_node_agent(view: View) -> bool:
    """Whether the values say that a CNI node agent captures the traffic of new pods."""
    return bool(chart_values(view).get("cniEnabled"))
