"""Commands of releases: plan, run, look at and control them, and keep their evidence."""
