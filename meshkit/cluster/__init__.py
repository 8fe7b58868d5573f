"""The only package that opens a connection to an API server.

connect.py chooses which one; api.py speaks to it, errors of the client become ours in foreign.py; snapshot.py
reads, diff.py compares, ready.py waits, rights.py asks what is allowed; executor.py carries steps out and
undo.py takes them back, both through journal.py; lock.py is the Lease of a writer. May not live here: what a
mesh is, a decision about a release. Synchronous; parallel requests are a thread pool in here.
"""
