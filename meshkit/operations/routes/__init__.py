"""Changes of routes that are there, by what they do to requests. No widgets."""
