"""The verbs.

change.py is plan, apply, undo and history for every intent, planned.py what they return; canary*.py is the
loop of a release; shop.py is the demo's application. May not live here: what one mesh is made of (planners),
how to speak to a server (cluster), widgets (views).
"""
