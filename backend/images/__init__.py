"""Disk images: the store that keeps them, and everything that reads bytes from outside.

The author of an image is nobody's friend: what it says is judged here, by our own reading of its headers,
before any program opens it.
"""

from backend.images.formats import FORMATS
from backend.images.reading import Limits
from backend.images.sources import IN_PLACE, UPLOAD, Sources
from backend.images.store import ImageStore
from backend.images.template import ImageTemplate, parse_template

__all__ = [
    "FORMATS",
    "IN_PLACE",
    "UPLOAD",
    "ImageStore",
    "ImageTemplate",
    "Limits",
    "Sources",
    "parse_template",
]
