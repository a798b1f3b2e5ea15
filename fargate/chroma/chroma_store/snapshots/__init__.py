"""Snapshots of a database: what they are made of, how they are taken, restored and kept."""
