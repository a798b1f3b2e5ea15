"""Shows what was built, measured and proven."""
