"""Pictures as JPEG."""

from __future__ import annotations

from io import BytesIO
from typing import Final

_QUALITY: Final = 85
_MOST_PIXELS: Final = 16 << 20
"""More than any display with our video memory has."""


def jpeg_of(data: bytes) -> bytes:
    """A PNG or PPM as JPEG; raises ValueError for anything else."""
    from PIL import Image  # only the worker needs it

    try:
        with Image.open(BytesIO(data), formats=("PNG", "PPM")) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ValueError(f"the picture has {picture.width} by {picture.height} dots")
            found = BytesIO()
            picture.convert("RGB").save(found, "JPEG", quality=_QUALITY)
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"the picture cannot be read: {error}") from error
    return found.getvalue()
