"""Checks of what routes do to calls: by themselves, and along the calls that were observed."""
