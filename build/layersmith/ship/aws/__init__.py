"""AWS: clients, regions, buckets, names, and what refusals mean."""
