"""Intent -> ordered steps with their undo. Pure: no I/O, no clock; golden-tested."""
