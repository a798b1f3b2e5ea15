"""Garbage collection: old versions and kept files that nothing needs."""
