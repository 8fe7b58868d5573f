"""Measurements -> Samples. Read-only; asks cluster/ for bytes."""
