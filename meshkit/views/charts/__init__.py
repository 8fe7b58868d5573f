"""What the charts of releases and experiments share: rows above each other on one axis of time (rows.py), the
three representations of a chart (chart.py), its drawing without scripts (svg.py) and its live form in a
notebook (live_chart.py). May not happen here: a word about a release or an experiment.
"""
