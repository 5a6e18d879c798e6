"""The tables of what is judged, as they are in the TOML files beside this."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from conformance.checks import Value


class Operation(Value, frozen=True, kw_only=True):
    """What one operation answers; see operations.toml."""

    members: tuple[str, ...] = ()
    void: bool = False
    at: str = ""
    required: bool = False
    with_: dict[str, Any] = msgspec.field(name="with", default_factory=dict)
    from_: str = msgspec.field(name="from", default="")


class Refused(Value, frozen=True, kw_only=True):
    """A request that must be refused; see refusals.toml."""

    op: str
    why: str
    code: tuple[str, ...]
    with_: dict[str, Any] = msgspec.field(name="with", default_factory=dict)
    also: tuple[str, ...] = ()


class Filters(Value, frozen=True, kw_only=True):
    """The filters of one operation; see filters.toml."""

    items: str
    id: str
    with_: dict[str, Any] = msgspec.field(name="with", default_factory=dict)
    take: dict[str, str] = {}
    known: tuple[str, ...] = ()
    required: bool = False


class Undo(Value, frozen=True, kw_only=True):
    """What undoes a call; see undo.toml. ``each`` is one call for each value."""

    action: str
    with_: dict[str, str] = msgspec.field(name="with", default_factory=dict)
    each: dict[str, str] = {}


def table(name: str) -> dict[str, Any]:
    """A TOML file of this package."""
    return tomllib.loads(resources.files("conformance.ec2").joinpath(name).read_text("utf-8"))


OPERATIONS: Mapping[str, Operation] = msgspec.convert(table("operations.toml"), dict[str, Operation])
REFUSED: list[Refused] = msgspec.convert(table("refusals.toml")["refused"], list[Refused])
FILTERS: Mapping[str, Filters] = msgspec.convert(table("filters.toml"), dict[str, Filters])
OPTIONAL = frozenset(name for name, each in OPERATIONS.items() if not each.required)
UNDO: Mapping[str, Undo] = msgspec.convert(table("undo.toml"), dict[str, Undo])
