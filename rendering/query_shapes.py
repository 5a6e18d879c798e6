"""The shapes of a Query protocol: what a request may hold and what a reply is made of.

A service model (a JSON description of operations) is turned into these values once; the request readers of
``query_params`` and the reply writers of ``query_xml`` are compiled from them. Nothing here knows a service.
"""

from __future__ import annotations

import enum

import msgspec


class Kind(enum.StrEnum):
    """The scalar types of a service model, in the model's own words."""

    STRING = "string"
    INTEGER = "integer"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    BLOB = "blob"


class Scalar(msgspec.Struct, frozen=True, kw_only=True):
    """One value: a text, a number, a moment or bytes.

    ``minimum`` and ``maximum`` bound the number itself, or the length of a text in characters. ``choices`` is
    empty where any text is allowed. ``reason`` is the sentence added when a text is not among the choices.
    A ``sensitive`` value is never repeated in an error message.
    """

    name: str
    kind: Kind
    choices: frozenset[str] = frozenset()
    minimum: int | None = None
    maximum: int | None = None
    sensitive: bool = False
    reason: str = ""


class ListOf(msgspec.Struct, frozen=True, kw_only=True):
    """A list; ``item_name`` is the XML element of one entry, ``minimum`` and ``maximum`` bound its length.

    ``wrapper`` is the step between the list's name and its numbers in a request, empty for none.
    """

    name: str
    item: Shape
    item_name: str = "item"
    wrapper: str = ""
    minimum: int | None = None
    maximum: int | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member of a structure under its three names: the SDK's, the request's and the reply's.

    ``fills_itself`` marks an idempotency token, which SDKs invent when the caller gives none.
    """

    name: str
    request_name: str
    reply_name: str
    shape: Shape
    required: bool = False
    fills_itself: bool = False


class Structure(msgspec.Struct, frozen=True, kw_only=True):
    """A structure: members in the order of the model."""

    name: str
    members: tuple[Member, ...] = ()


Shape = Scalar | ListOf | Structure


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a service; ``output`` is None where the reply is a bare ``<return>true</return>``."""

    name: str
    input: Structure
    output: Structure | None
