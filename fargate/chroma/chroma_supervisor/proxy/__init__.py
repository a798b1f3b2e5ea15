"""What faces the network: requests are judged here before Chroma sees them."""
