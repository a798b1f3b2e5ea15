"""Finds what a layer can do without."""
