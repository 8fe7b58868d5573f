"""What is promised here, as numbers: ``make bench`` prints the median of n for each beside its target.

No test fails on a number: machines are noisy. A figure is quoted with the machine it was measured on.
"""
