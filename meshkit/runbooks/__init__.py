"""Runbooks: papermill notebooks with typed parameters, run headless with an exit code.

This package finds the shipped runbooks, reads and validates their parameters, and executes them. It contains
no step of a change: a runbook calls only public names of the library, as a user's notebook does.
"""
