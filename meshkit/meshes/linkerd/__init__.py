"""Linkerd: its objects, control plane, identity, metrics and meaning, independent of other meshes."""
