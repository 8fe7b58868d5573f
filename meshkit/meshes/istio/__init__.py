"""Istio: its objects, control plane, revisions, metric names and meaning. No other mesh is named here."""
