"""Runbooks: papermill notebooks with typed parameters, run headless with an exit code.

Here live finding the shipped runbooks, reading and checking their parameters, and executing them. No step of
a change may live here: a runbook calls public names of the library only, as a person in a notebook would.
"""
