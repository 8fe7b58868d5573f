"""Changes of a Route: of the intent, and of the file that it stands in."""
