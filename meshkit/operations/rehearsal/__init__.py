"""Rehearsal of the loss of a zone: forecast, drain, measurement. No widgets."""
