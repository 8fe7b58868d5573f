"""Objects, planned or live -> findings, each with a remedy.

preflight.py asks whether the cluster can take an intent, traffic.py whether a route leads to pods, schema.py
whether an object fits a CustomResourceDefinition that is not installed yet. May not live here: I/O, a clock.
"""
