"""The tests and detectors that the verdict is built from. Pure arithmetic on the standard library."""
