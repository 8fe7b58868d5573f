"""Istio: its objects, control plane, revisions, metrics and meaning, independent of other meshes."""
