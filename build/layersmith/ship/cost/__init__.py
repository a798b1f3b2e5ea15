"""What storage, builds and sessions cost."""
