"""Stub of weasel.cli.remote_storage, of which spaCy takes nothing by name."""
