"""Pictures of displays as JPEG."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from backend.images.jpeg import jpeg_of


def png(mode: str, size: tuple[int, int], colour: object) -> bytes:
    held = BytesIO()
    Image.new(mode, size, colour).save(held, "PNG")
    return held.getvalue()


@pytest.mark.parametrize(
    "data",
    [png("RGB", (720, 400), (255, 0, 0)), png("RGBA", (8, 8), (255, 0, 0, 9)), b"P6 1 1 255 \xff\x00\x00"],
)
def test_a_picture_keeps_its_size_and_colours(data):
    with Image.open(BytesIO(data)) as before, Image.open(BytesIO(jpeg_of(data))) as after:
        assert (after.format, after.size) == ("JPEG", before.size)
        red, green, blue = after.getpixel((0, 0))
        assert red > 240
        assert max(green, blue) < 15


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", b"GIF89a\x01\x00\x01\x00", png("RGB", (9, 9), 0)[:40], b"P6 99999 99999 255 \x00"],
)
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(ValueError, match="picture"):
        jpeg_of(data)
