"""Weighs requirements that are not built: sizes, who pulls what, and whether it fits."""
