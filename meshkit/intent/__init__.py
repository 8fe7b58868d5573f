"""WHAT is wanted: frozen pydantic models, neutral to the mesh. No I/O, no clock."""
