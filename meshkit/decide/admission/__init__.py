"""Which measurements count, and for which version; latencies count once their pods are warm."""
