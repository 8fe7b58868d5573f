"""From the objects that a plan wrote back to the intent: the inverse of the planners beside this package."""
