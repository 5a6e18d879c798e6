"""The part of the command vocabulary that is about launch templates and placement groups.

See :mod:`backend.commands`. A template is named by its id, or by its name in the caller's region.
"""

from __future__ import annotations

from typing import Any

from backend.commands import Command
from backend.launch_model import LaunchTemplate, LaunchTemplateVersion, PlacementGroup, Strategy
from backend.model import Instance

Tags = tuple[tuple[str, str], ...]


class CreateLaunchTemplate(Command[LaunchTemplate], frozen=True, kw_only=True):
    """A template with its first version, which is its default (CreateLaunchTemplate).

    ``token_digest`` is a digest of the normalised request beside its ``client_token``.
    """

    name: str
    data: dict[str, Any]
    description: str = ""
    tags: Tags = ()
    client_token: str = ""
    token_digest: str = ""


class CreateLaunchTemplateVersion(Command[LaunchTemplateVersion], frozen=True, kw_only=True):
    """The next version of a template: that of ``source`` with the members of ``data`` in place of its own.

    ``source`` is a number, ``$Latest`` or ``$Default``; empty begins with nothing.
    """

    template: str
    data: dict[str, Any]
    source: str = ""
    description: str = ""
    client_token: str = ""
    token_digest: str = ""


class SetDefaultVersion(Command[LaunchTemplate], frozen=True, kw_only=True):
    """Make another version the default one (ModifyLaunchTemplate)."""

    template: str
    version: str


class DeleteLaunchTemplate(Command[LaunchTemplate], frozen=True, kw_only=True):
    """Delete a template with its versions."""

    template: str


class DeleteLaunchTemplateVersion(Command[LaunchTemplateVersion], frozen=True, kw_only=True):
    """Delete one version that is not the default one."""

    template: str
    version: str


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
