"""The verbs: plan, apply, undo, canary."""
