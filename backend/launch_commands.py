"""The part of the command vocabulary that is about launch templates and placement groups.

See :mod:`backend.commands`. Templates and groups are the caller's in its region.
"""

from __future__ import annotations

from typing import Any

from backend.commands import Command
from backend.errors import Code
from backend.launch_model import LaunchTemplate, PlacementGroup, Strategy, TemplateAndVersion
from backend.model import Instance, Value

Tags = tuple[tuple[str, str], ...]


class CreateLaunchTemplate(Command[LaunchTemplate], frozen=True, kw_only=True):
    """A template with its first version, which is its default (CreateLaunchTemplate).

    ``created_by`` is how the face names the caller. ``token_digest`` is a digest of the normalised request
    beside its ``client_token``.
    """

    name: str
    data: dict[str, Any]
    description: str = ""
    created_by: str = ""
    tags: Tags = ()
    client_token: str = ""
    token_digest: str = ""


class OfTemplate(Value, frozen=True, kw_only=True):
    """What a command about a template there is says of it: its id, or without one its ``name``."""

    template_id: str = ""
    name: str = ""


class CreateLaunchTemplateVersion(OfTemplate, Command[TemplateAndVersion], frozen=True, kw_only=True):
    """The next version of a template: that of ``source`` with the members of ``data`` in place of its own.

    ``source`` is a number, ``$Latest`` or ``$Default``; empty begins with nothing. ``not_inherited`` are
    paths in the data that are not taken from the source.
    """

    data: dict[str, Any]
    source: str = ""
    not_inherited: tuple[tuple[str, ...], ...] = ()
    description: str = ""
    created_by: str = ""
    client_token: str = ""
    token_digest: str = ""


class SetDefaultVersion(OfTemplate, Command[LaunchTemplate], frozen=True, kw_only=True):
    """Make another version the default one (ModifyLaunchTemplate)."""

    version: str


class DeleteLaunchTemplate(OfTemplate, Command[LaunchTemplate], frozen=True, kw_only=True):
    """Delete a template with its versions; answers what it was."""


class VersionDeletion(Value, frozen=True, kw_only=True):
    """What became of a version that was to be deleted: gone, or the reason why not."""

    number: int
    refusal: Code | None = None


class VersionDeletions(Value, frozen=True, kw_only=True):
    """What became of versions of a template, in the order asked."""

    template: LaunchTemplate
    versions: tuple[VersionDeletion, ...]


class DeleteLaunchTemplateVersions(OfTemplate, Command[VersionDeletions], frozen=True, kw_only=True):
    """Delete versions that are there and not the default one, each for itself (DeleteLaunchTemplateVersions).

    At most 200 at once.
    """

    versions: tuple[int, ...]


class CreatePlacementGroup(Command[PlacementGroup], frozen=True, kw_only=True):
    """A placement group (CreatePlacementGroup); ``partitions`` None is the default number."""

    name: str
    strategy: Strategy = Strategy.CLUSTER
    partitions: int | None = None
    spread_level: str = ""
    tags: Tags = ()


class DeletePlacementGroup(Command[None], frozen=True, kw_only=True):
    """Delete a placement group, by name, that no instance belongs to."""

    name: str


class PlaceInstance(Command[Instance], frozen=True, kw_only=True):
    """Move a stopped instance into a placement group, named by name or id, or out of all (empty).

    ``partition`` 0 leaves it to the scheduler (ModifyInstancePlacement).
    """

    instance_id: str
    group: str = ""
    partition: int = 0
