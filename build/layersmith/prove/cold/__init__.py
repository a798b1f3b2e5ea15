"""Measures cold starts and what imports cost."""
