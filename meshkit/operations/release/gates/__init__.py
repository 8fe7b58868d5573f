"""The gates of a running release: who answers them, and what the journal says about them."""
