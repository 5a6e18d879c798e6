"""What tenants may bring in as disk images: where the operator allows it, and what they have uploaded."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from backend.images import UPLOAD, ImageStore
from backend.images.download import fits
from backend.images.sources import is_url
from backend.model import Content
from gateway.scratch import scratch_name
from gateway.settings import ImageSettings
from gateway.uploads import Uploads


class Importer:
    """Judges locations of tenants and brings them in. Implements the EC2 face's ``ImageImporter``.

    The image store judges once more when it opens them: a link may lead elsewhere by then.
    """

    def __init__(self, images: ImageStore, uploads: Uploads, settings: ImageSettings, *, run: Path) -> None:
        self._images = images
        self._run = run
        self._uploads = uploads
        self._settings = settings

    def resolve(self, location: str, tenant_id: str) -> str | None:
        """What a tenant's location means to the image store, or None for what it may not take."""
        if location.startswith(UPLOAD):
            return self._upload(location.removeprefix(UPLOAD), tenant_id)
        try:
            if is_url(location):
                parts = urlsplit(location)
                return location if any(fits(parts, prefix) for prefix in self._settings.urls) else None
            return self._file(location)
        except (OSError, ValueError, RuntimeError):  # no URL, no path, links that go round
            return None

    def _upload(self, name: str, tenant_id: str) -> str | None:
        if not self._settings.uploads or self._uploads.path(tenant_id, name) is None:
            return None
        return f"{UPLOAD}{tenant_id}/{name}"

    def _file(self, location: str) -> str | None:
        path = location
        if "://" in location:
            parts = urlsplit(location)
            if parts.scheme.lower() != "file" or parts.netloc not in {"", "localhost"}:
                return None
            path = unquote(parts.path)
        if not path.startswith("/"):
            return None
        found = Path(path).resolve()
        inside = any(found.is_relative_to(folder.resolve()) for folder in self._settings.directories)
        return str(found) if inside and found.is_file() else None

    def import_location(self, location: str, form: str) -> Content:
        """Bring a resolved location into the store; ``form`` is its format, empty when not known.

        Raises:
            BackendError: IMAGE_UNREADABLE, it is no whole and self-contained image.
        """
        with scratch_name(self._images, self._run) as name:
            return self._images.bring(name, location, form)
