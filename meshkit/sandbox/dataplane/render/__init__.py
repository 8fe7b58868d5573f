"""The proxy model as Envoy's resources. Pure: the same model gives the same JSON.

Lives here: everything that knows Envoy's field names. May not live here: what a mesh means, and any reading
or writing.
"""
