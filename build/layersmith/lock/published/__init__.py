"""What an index says of who published a file, when, and of the project that it is from."""
