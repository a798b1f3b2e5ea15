"""Starts functions behind the Runtime API: in containers, or as processes of this machine."""
