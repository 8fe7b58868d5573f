"""``meshkit release``: the loop that shifts traffic to a new version, its state, commands and undo.

No widgets and no HTML.
"""
