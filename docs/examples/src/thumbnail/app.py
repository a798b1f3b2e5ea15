"""A function that has Pillow from the layer `imaging`."""

import base64
import io

from PIL import Image


def handler(event: dict[str, str], context: object) -> dict[str, str]:
    """Return the image of an event, scaled to at most 128 pixels a side, as base64."""
    with Image.open(io.BytesIO(base64.b64decode(event["image"]))) as image:
        image.thumbnail((128, 128))
        written = io.BytesIO()
        image.save(written, format="PNG")
    return {"image": base64.b64encode(written.getvalue()).decode()}
