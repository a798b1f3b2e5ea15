"""Smoke tests: every module imports, nothing forbidden is loaded, the smoke file passes."""
