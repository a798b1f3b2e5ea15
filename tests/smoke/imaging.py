"""Opens, resizes and encodes the formats that people put into a Lambda, inside the runtime."""

import io

import pytest
from PIL import Image, ImageChops, ImageDraw, features

WIDTH, HEIGHT = 96, 64

LOSSLESS = ("PNG", "TIFF", "WEBP")


@pytest.fixture
def picture():
    image = Image.new("RGB", (WIDTH, HEIGHT), (20, 40, 60))
    draw = ImageDraw.Draw(image)
    draw.rectangle((8, 8, 48, 40), fill=(200, 30, 30))
    draw.ellipse((40, 20, 88, 60), fill=(30, 200, 90))
    return image


def encode(image, kind, **options):
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def largest_difference(a, b):
    return max(high for _, high in ImageChops.difference(a, b).getextrema())


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_keep_every_pixel(picture, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    again = Image.open(io.BytesIO(encode(picture, kind, **options)))
    assert again.format == kind
    assert largest_difference(again.convert("RGB"), picture) == 0


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_stay_close(kind):
    gradient = Image.linear_gradient("L").resize((WIDTH, HEIGHT)).convert("RGB")
    again = Image.open(io.BytesIO(encode(gradient, kind, quality=90)))
    assert again.size == (WIDTH, HEIGHT)
    assert largest_difference(again.convert("RGB"), gradient) < 24


def test_tiff_compressed_by_libtiff(picture):
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        again = Image.open(io.BytesIO(encode(picture, "TIFF", compression=compression)))
        again.load()
        assert again.size == picture.size


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_open_resize_encode(picture, kind):
    small = Image.open(io.BytesIO(encode(picture, kind))).convert("RGB")
    small = small.resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.LANCZOS)
    again = Image.open(io.BytesIO(encode(small, kind)))
    assert again.size == (WIDTH // 2, HEIGHT // 2)
    # The middle of the red rectangle stays red whatever the format does to edges.
    red, green, blue = again.convert("RGB").getpixel((12, 8))
    assert red > 150
    assert max(green, blue) < 90


def test_codecs_are_compiled_in():
    missing = [name for name in ("jpg", "zlib", "libtiff", "webp") if not features.check(name)]
    assert missing == []


def test_truncated_file_is_refused(picture):
    half = encode(picture, "PNG")[:60]
    with pytest.raises(OSError):
        Image.open(io.BytesIO(half)).load()
