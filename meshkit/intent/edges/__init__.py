"""The intents for the edges of a mesh: what comes in from outside, and what its programs call outside."""
