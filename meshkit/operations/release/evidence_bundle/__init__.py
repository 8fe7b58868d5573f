"""The evidence of a release as one file, and its verification without a cluster."""
