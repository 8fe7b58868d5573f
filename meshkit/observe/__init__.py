"""Measurements -> Samples. Read-only.

Here live the Observer protocol (counters.py), the one reader of the sidecars' own metrics pages through the
API server (pages.py, exposition.py), the one arithmetic of cumulative counters (rises.py), and what is made
of them: a release's counts (scrape.py, prometheus.py), who calls whom (callers.py), the service graph
(graph.py). How a mesh names its counters stands in its folder (``meshes/<mesh>/metrics.py``). Bytes come from
cluster/, or from the Prometheus that the user names; what they mean for a release is decided in decide/.
"""
