"""Measurements -> Samples. Read-only.

Here live the Observer protocol and the arithmetic of cumulative counters (counters.py), the transport that
reads the sidecars' own metrics pages through the API server (scrape.py, exposition.py), the one that asks a
Prometheus (prometheus.py), and one table of metric names and labels for each mesh (istio.py, linkerd.py).
Bytes come from cluster/, or from the Prometheus that the user names; what they mean for a release is decided
in decide/.
"""
