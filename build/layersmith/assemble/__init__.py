"""Turns a target into a zip, a manifest and an SBOM."""
