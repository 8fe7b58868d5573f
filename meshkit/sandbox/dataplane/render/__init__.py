"""Pure functions that render the proxy model as Envoy resources.

All knowledge of Envoy's field names is in this package. It contains no mesh semantics and performs no I/O.
"""
