"""What the search functions decide: neighbours, labels and merchants."""
