"""Run a release: start or resume it in the journal, then measure, judge and act until it has ended."""
