"""The published schemas of Linkerd's kinds, written down as facts: fields, types, limits and defaults."""
