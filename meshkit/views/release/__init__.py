"""The live chart, the panel and the pictures of a release."""
