"""The list of every published ARN, for programs and for people."""
