"""One session: its state, its data, its token, and who watches it."""
