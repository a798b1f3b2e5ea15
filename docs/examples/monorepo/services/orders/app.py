"""The function that takes orders."""

from prices import key


def handler(event: dict[str, str], context: object) -> dict[str, str]:
    """Return the key of what was ordered."""
    return {"key": key(event["title"])}
