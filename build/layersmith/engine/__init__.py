"""Speaks to the Docker engine; the only package that knows it."""
