"""Experiments: change how traffic flows, measure what follows, and put it back.

experiment.py holds ``mk.Experiment``. settings.py has what may be set, presets.py the schedules,
measurement.py the samples by version and caller, recording.py a run as tables and its file, comparison.py two
runs side by side. taking_back.py reads the journal and restores what a run changed, also for another process
whose kernel has died. Not in this package: a widget (views), or a change that the journal does not record
first.
"""
