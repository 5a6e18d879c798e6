"""What launches refer to besides images and flavors: launch templates and placement groups."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from backend.model import Owned, Value


class LaunchTemplate(Owned, frozen=True, kw_only=True):
    """A launch that was written down, in numbered versions.

    ``latest_version`` is the highest version there is, ``last_version`` the highest number given so far:
    numbers are never used twice. ``created_by`` names who made it as the face knows him. ``token_digest`` is
    a digest of the request that made it, for its client token.
    """

    name: str
    created_by: str
    default_version: int = 1
    latest_version: int = 1
    last_version: int = 1
    token_digest: str = ""


class LaunchTemplateVersion(Value, frozen=True, kw_only=True):
    """One version: ``data`` are the launch's parameters as the face that made it knows them, not resolved."""

    template_id: str
    number: int
    created_at: float
    created_by: str
    description: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    client_token: str = ""
    token_digest: str = ""


class TemplateAndVersion(Value, frozen=True, kw_only=True):
    """A version with the template that it is of."""

    template: LaunchTemplate
    version: LaunchTemplateVersion


class Strategy(StrEnum):
    """What a placement group asks of the hosts of its instances.

    ``cluster``: one host for all. ``spread``: a host for each. ``partition``: no host for two partitions.
    """

    CLUSTER = "cluster"
    SPREAD = "spread"
    PARTITION = "partition"


class PlacementGroup(Owned, frozen=True, kw_only=True):
    """Instances whose places have to do with one another.

    ``partitions`` is how many a group of that strategy has, else 0. ``spread_level`` is ``rack`` or ``host``
    for a spread group (each libvirt host counts as a rack of its own), else empty.
    """

    name: str
    strategy: Strategy
    partitions: int = 0
    spread_level: str = ""
