"""The disk that tells a guest who it is (§1.3 of the contextualisation): NoCloud's files."""

from __future__ import annotations

import json
import re

from backend.model import Instance, SeedKind
from backend.ports import Seed


def hostname_of(instance: Instance) -> str:
    """The guest's name: the one given, else EC2's from the address."""
    return instance.hostname or "ip-" + instance.address.replace(".", "-")


def seed_of(instance: Instance, kind: SeedKind, user_data: bytes) -> Seed | None:
    """The seed of an instance; None when its image wants none."""
    if kind is SeedKind.NONE:
        return None
    lines = [f"instance-id: {instance.id}", f"local-hostname: {_scalar(hostname_of(instance))}"]
    if instance.public_keys:
        lines.append("public-keys:")
        lines.extend(f"  - {_scalar(key)}" for key in instance.public_keys)
    meta = "\n".join(lines) + "\n"
    return Seed(label="cidata", files={"meta-data": meta.encode(), "user-data": user_data})


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 @._+/=-]*\Z")


def _scalar(text: str) -> str:
    return text if _PLAIN.match(text) else json.dumps(text)
