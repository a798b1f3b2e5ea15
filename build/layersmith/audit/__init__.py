"""Says what is in a layer and whether its runtime can load it."""
