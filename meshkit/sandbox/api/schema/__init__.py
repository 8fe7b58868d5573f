"""Schemas of the API's kinds, with decoding, defaults, validation and CEL rules."""
