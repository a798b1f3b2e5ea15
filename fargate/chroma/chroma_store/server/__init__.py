"""Chroma's own server: as a child process, and over HTTP."""
