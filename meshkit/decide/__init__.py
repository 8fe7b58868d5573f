"""Samples and a release -> a verdict. Pure: no clock, no I/O, standard library only.

Here live the statistics (sequential.py: e-processes on 2x2 tables), the rule that turns them into
continue | promote | rollback | undecided (rule.py; verdict.py is that as data, sentences.py in words), and
the arithmetic of the ladder of weights (ladder.py). What measures belongs to observe/, what waits or writes
to operate/.
"""
