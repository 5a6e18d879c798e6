"""The contextualisation disk: an ISO 9660 image, which cloud-init's sources find by its label."""

from __future__ import annotations

from io import BytesIO
from pathlib import PurePosixPath

import pycdlib

from backend.ports import Seed, StepFailed


def seed_image(seed: Seed) -> bytes:
    """The image's bytes, with Joliet and Rock Ridge names, which guests read; the names below are numbers.

    Raises:
        StepFailed: A path leads out of the disk, or is a file's and a folder's at once.
    """
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=seed.label)
    try:
        places = _add_folders(disc, seed)
        for number, (name, content) in enumerate(sorted(seed.files.items())):
            path = PurePosixPath(name)
            disc.add_fp(
                BytesIO(content),
                len(content),
                f"{places[path.parent]}/F{number:07}.;1",
                rr_name=path.name,
                joliet_path=f"/{path}",
            )
        image = BytesIO()
        disc.write_fp(image)
    finally:
        disc.close()
    return image.getvalue()


def _add_folders(disc: pycdlib.PyCdlib, seed: Seed) -> dict[PurePosixPath, str]:
    """Make the folders that the files lie in, and answer their names on the level of ISO 9660."""
    top = PurePosixPath()
    files = [PurePosixPath(name) for name in seed.files]
    folders = {parent for file in files for parent in file.parents}
    if any(file.is_absolute() or ".." in file.parts or file == top for file in files) or folders & set(files):
        raise StepFailed(f"a contextualisation disk cannot have the files {', '.join(sorted(seed.files))}")
    places = {top: ""}
    for number, folder in enumerate(sorted(folders - {top})):  # a folder comes before what is in it
        places[folder] = f"{places[folder.parent]}/D{number:07}"
        disc.add_directory(places[folder], rr_name=folder.name, joliet_path=f"/{folder}")
    return places
