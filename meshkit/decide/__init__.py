"""Samples + intent -> Verdict. Pure, no clock, standard library only."""
