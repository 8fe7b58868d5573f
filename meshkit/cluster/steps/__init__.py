"""What a change and its undo do with one step or with many: check, read, apply as shown, go side by side.

dry_run.py checks steps against the API server; reading.py reads many objects by few requests; as_shown.py
applies an object only in the state that was shown; side_by_side.py works on several at a time. Not allowed
here: the journal, and the order of steps.
"""
