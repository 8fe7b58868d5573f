"""Objects, planned or live -> findings, each with a remedy.

preflight.py asks whether the cluster can take an intent, traffic.py whether a route leads to pods, schema.py
whether an object fits a CustomResourceDefinition that is not installed yet. health.py has every check of a
mesh as it is, one file each, over the index in view.py. May not live here: I/O, a clock.
"""
