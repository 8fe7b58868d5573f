"""Objects, planned or live -> findings. Pure: no I/O."""
