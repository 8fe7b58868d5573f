"""Derive a verdict from samples and a release, in pure functions: no clock, no I/O, standard library only.

statistics/ has the tests and detectors (sequential.py: e-processes on 2x2 tables); rule.py turns evidence
into continue | promote | rollback | undecided; verdict.py has the verdict as data, sentences.py as text;
ladder.py has the arithmetic of the steps. Measurement belongs to observe/, waiting and writing to
operations/.
"""
