"""Brings an existing repository in: what it holds, and the layers.yaml that follows from it."""
