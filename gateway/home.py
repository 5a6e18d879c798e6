"""The home directory: where everything of one installation lies, and who may read it (its owner alone)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

from backend.model import Value

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
_DATABASE: Final = "isthmus.db"
_OURS: Final = frozenset({"keys", "images", "uploads", "run", "hosts", "location"})


class Home(Value, frozen=True, kw_only=True):
    """The paths in a home directory."""

    path: Path

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.path / "isthmus.toml"

    @property
    def database(self) -> Path:
        """The SQLite database, unless another is set."""
        return self.path / _DATABASE

    @property
    def location(self) -> Path:
        """The file that says where this home was made."""
        return self.path / "location"

    @property
    def keys(self) -> Path:
        """Key files: of the secrets at rest and of page tokens."""
        return self.path / "keys"

    @property
    def images(self) -> Path:
        """The image store."""
        return self.path / "images"

    @property
    def uploads(self) -> Path:
        """What tenants have uploaded, a directory for each."""
        return self.path / "uploads"

    @property
    def run(self) -> Path:
        """What concerns the running processes only."""
        return self.path / "run"

    @property
    def embedded_host(self) -> str:
        """The libvirt URI of this machine's QEMU, run without a daemon."""
        return f"qemu:///embed?root={quote(os.fsencode(self.path / 'hosts' / 'embed'))}"

    def is_vacant(self) -> bool:
        """Whether nothing is there but what an ``init`` that failed left, or the root of a file system."""
        if not self.path.exists():
            return True
        names = {each.name for each in self.path.iterdir()} - _OURS - {"lost+found"}
        return all(name.startswith(_DATABASE) for name in names)

    def make(self) -> None:
        """Make the directories that are missing, closed to everybody else, and note where they are.

        What is there already keeps its mode: it may be somebody else's too.
        """
        self.path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        write_private(self.location, os.fsencode(self.path))
        for folder in (self.keys, self.images, self.uploads, self.run, self.path / "hosts"):
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)

    def moved_from(self) -> Path | None:
        """Where this home was made, if that is another place: rows and disks name files by paths there.

        A path that leads here by a link is this place.
        """
        try:
            made = Path(os.fsdecode(self.location.read_bytes()))
        except FileNotFoundError:
            return None
        with contextlib.suppress(OSError):
            if made.samefile(self.path):
                return None
        return made


def write_private(path: Path, data: bytes, *, exclusive: bool = False) -> None:
    """Write a file that nobody else can read at any moment.

    Raises:
        FileExistsError: with ``exclusive``, when it is there already.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if exclusive else os.O_TRUNC)
    descriptor = os.open(path, flags, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def open_to_others(path: Path) -> bool:
    """Whether anybody but the owner can read a file or directory."""
    return bool(path.stat().st_mode & 0o077)
