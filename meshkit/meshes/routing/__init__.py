"""The routes of a Service port: planned ones, those that hold for callers, and what stands in the way."""
