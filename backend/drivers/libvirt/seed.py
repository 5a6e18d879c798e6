"""The contextualisation disk: an ISO 9660 image that cloud-init's NoCloud source finds by its label."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import pycdlib

from backend.ports import Seed

LABEL: Final = "cidata"
FILES: Final = {"meta-data": "META_DAT.;1", "user-data": "USER_DAT.;1", "network-config": "NETWORK_.;1"}
"""Names that guests read (Rock Ridge and Joliet), and the ISO 9660 names below them."""


def seed_image(seed: Seed) -> bytes:
    """The image's bytes, with Joliet and Rock Ridge names."""
    contents = {"meta-data": seed.meta_data.encode(), "user-data": seed.user_data}
    if seed.network_config:
        contents["network-config"] = seed.network_config.encode()
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for name, content in contents.items():
        disc.add_fp(BytesIO(content), len(content), f"/{FILES[name]}", rr_name=name, joliet_path=f"/{name}")
    image = BytesIO()
    disc.write_fp(image)
    disc.close()
    return image.getvalue()
