"""Commands that write files: documents to begin with, their schemas, and what a cluster holds."""
