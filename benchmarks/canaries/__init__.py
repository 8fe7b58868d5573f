"""Compares the verdict with other tools on the same simulated traffic: ``python -m benchmarks.canaries``.

traffic.py makes the traces, ours.py drives meshkit/decide over them, peers.py holds the rules of Flagger,
Argo Rollouts and Kayenta, contest.py runs all and holds the results against the targets. numpy is used here
and in tests only.
"""
