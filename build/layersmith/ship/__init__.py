"""Releases layers and publishes them; the only room that imports boto3."""
