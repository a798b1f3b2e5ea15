"""What the functions of the shop share."""

from slugify import slugify


def key(title: str) -> str:
    """Return the key under which the price of a product is kept."""
    return slugify(title)
