"""Judge a rollout whose weights another tool shifts: from windows of counts to the same verdict, without I/O.

baseline_meter.py measures the stable version before the first weight; rollout.py follows the canary's share
and judges each window; judging.py does that for recorded windows (``mk.judge``).
"""
