"""What is in a layer: distributions, the parts inside their wheels, and the terms of all."""
