"""Upgrade of a mesh: where it stands, the steps of what comes next, and the way back. No widgets."""
