"""The state of a release, and how the records of its journal make it."""
