"""Measurements -> Samples. Read-only.

Here live the Observer protocol and the arithmetic of cumulative counters (counters.py), the transport that
reads the sidecars' own metrics pages through the API server (scrape.py, exposition.py), and one table of
metric names and labels for each mesh (istio.py, linkerd.py). Bytes come from cluster/ only; what they mean
for a release is decided in decide/.
"""
