"""Deltas of a database: their log, their replay and their compaction."""
