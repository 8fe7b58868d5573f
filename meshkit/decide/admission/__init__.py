"""Which measurements count: those that can be true, and latencies of pods that are warm."""
