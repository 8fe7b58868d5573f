"""Read-only measurements of requests, from the sidecars' metrics pages or from Prometheus.

The package has the Observer protocol (counters.py), the reader of the sidecars' metrics pages through the API
server (pages.py, exposition.py), the arithmetic of cumulative counters (rises.py), and their uses: the counts
of a release (scrape.py, prometheus.py), callers (callers.py) and the service graph (graph.py). The folder of
a mesh has the names of its counters (``meshes/<mesh>/metrics.py``). Data comes from cluster/, or from the
user's Prometheus; decide/ evaluates it for a release.
"""
