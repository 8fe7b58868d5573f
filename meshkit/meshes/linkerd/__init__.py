"""Linkerd: its objects, control plane, identity, metric names and meaning. No other mesh is named here."""
