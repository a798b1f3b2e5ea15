"""Releases a layer: how large the change is, the changelog, commit and tag."""
