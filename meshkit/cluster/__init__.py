"""The only package that opens a connection to an API server.

connect.py selects the cluster; api.py sends requests; client_errors.py converts errors of the client;
snapshot.py reads, diff.py compares, ready.py waits, rights.py checks permissions; executor.py applies steps
(steps/ checks and reads them) and undo.py reverts them, both with journal.py, and side by side where they are
independent; lock.py holds the Lease of a writer. Not allowed here: knowledge of a mesh, decisions
about a release. The code is synchronous; a thread pool sends parallel requests.
"""
