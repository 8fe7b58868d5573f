"""What objects may look like: schemas, validation, defaults, decoding and CEL rules."""
