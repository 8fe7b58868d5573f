"""Explain requests: follow them through the meaning of a Snapshot, and compare two Snapshots by them.

Pure: it opens no connection and reads no file.
"""
