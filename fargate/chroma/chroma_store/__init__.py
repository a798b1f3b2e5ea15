"""Chroma's data on S3 or on a mounted file system: snapshots, deltas, compaction.

docs/vectors-format.md specifies every object; the modules follow its chapters.
"""
