"""Pointers name the version of a layer that its users get; one file per kind."""
