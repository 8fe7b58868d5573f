"""Access rules from observed calls to enforcement: the matrix of callers, rules on trial, and their end.

Not allowed here: rendering, and differences between meshes other than through their registry entry.
"""
