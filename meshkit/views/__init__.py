"""Widgets, HTML and text for people, made from immutable snapshots of a cluster, a plan or a release.

display.py holds the tables that a notebook shows for plans and findings, plan_html.py a plan field by field,
report.py and demo_page.py the pages that open offline, cluster_text.py the tables for a terminal. charts/
holds what charts over time share; release/, experiments/, glance/ and setup/ hold the views of these
operations. Every function that makes HTML returns ``markupsafe.Markup``, which escapes each plain string that
is put into it. May not happen here: a decision, or a request to a cluster on the event loop of the notebook.
A request runs in a thread (live_box.py).
"""
