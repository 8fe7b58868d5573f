"""Benchmarks of the figures that meshkit promises: ``make bench`` prints each median beside its target.

A slow time never fails a run, because machines differ; quote a figure with the machine it was measured on.
A run fails if the simulated verdicts (canaries/, fixed seeds) break a promise.
"""
