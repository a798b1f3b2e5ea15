"""What `coldstart` times for the layer: import Pillow, and scale a picture once."""

import io

from PIL import Image


def handler(_event, _context):
    target = io.BytesIO()
    Image.new("RGB", (640, 480), (200, 30, 30)).resize((64, 48)).save(target, "JPEG")
    return target.tell()
