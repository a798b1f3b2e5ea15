"""Reads and validates layers.yaml."""
