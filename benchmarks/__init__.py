"""What is promised here, as numbers: ``make bench`` prints the median of n for each beside its target.

No run fails on a time: machines are noisy, and a figure is quoted with the machine it was measured on. It
fails when the simulated verdicts (canaries/, fixed seeds) break a promise.
"""
