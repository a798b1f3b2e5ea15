"""Runs in the Lambda runtime, with the layer at /opt."""

from PIL import Image


def test_an_image_is_scaled() -> None:
    image = Image.new("RGB", (512, 256))
    image.thumbnail((128, 128))
    assert image.size == (128, 64)
