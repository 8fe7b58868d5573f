"""Establish and run a service mesh, Istio or Linkerd, on Kubernetes. Use it as ``import meshkit as mk``."""

from __future__ import annotations

from meshkit.version import __version__

__all__ = ["__version__"]


def __getattr__(name: str) -> object:
    raise AttributeError(f"meshkit has no public name {name!r}")
