"""The commands that release a version, judge releases of other tools, and verify evidence."""
