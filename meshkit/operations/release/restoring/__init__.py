"""Restore the weights from before a release: after its end, on an undo, or when its records are lost."""
