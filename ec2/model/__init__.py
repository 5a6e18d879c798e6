"""The service models: JSON cut from botocore by ``conformance/ec2_model.py``, read into typed shapes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from rendering.query_shapes import Kind, ListOf, Member, Operation, Scalar, Shape, Structure


class Corrections(msgspec.Struct, frozen=True, kw_only=True):
    """Where the service behaves otherwise than its model says.

    ``open_choices``: shapes whose enumeration is not enforced. ``unbounded``: shapes whose minimum and
    maximum are not enforced here. ``optional``: (shape, member) pairs that are not required after all.
    ``reasons``: the sentence that follows a refused choice, by shape.
    """

    open_choices: frozenset[str] = frozenset()
    unbounded: frozenset[str] = frozenset()
    optional: frozenset[tuple[str, str]] = frozenset()
    reasons: Mapping[str, str] = {}


class ServiceModel(msgspec.Struct, frozen=True, kw_only=True):
    """A service: its newest version, the operations served, all shapes, and the names of all its
    operations.
    """

    version: str
    operations: Mapping[str, Operation]
    shapes: Mapping[str, Shape]
    known: frozenset[str]


_EMPTY = Structure(name="Empty")


def load(service: str, corrections: Corrections) -> ServiceModel:
    """Read the model of ``ec2``, ``ec2_lists`` or ``sts``. Raises ValueError when a shape contains itself."""
    text = resources.files(__package__).joinpath(f"{service}.json").read_bytes()
    document: dict[str, Any] = msgspec.json.decode(text)
    wrapped = document["metadata"]["protocol"] == "query"
    shapes = _Shapes(document["shapes"], corrections, wrapped=wrapped)
    operations = {}
    for name, sides in document["operations"].items():
        output = shapes.structure(sides["output"]["shape"]) if "output" in sides else None
        entered = shapes.structure(sides["input"]["shape"]) if "input" in sides else _EMPTY
        operations[name] = Operation(name=name, input=entered, output=output)
    return ServiceModel(
        version=document["metadata"]["apiVersion"],
        operations=operations,
        shapes=shapes.made,
        known=frozenset(document["known"]),
    )


class _Shapes:
    """Resolves references by name, each shape once.

    Unlike EC2's, the ordinary query protocol has a step between a list and its numbers, and leaves names as
    they are (``wrapped``).
    """

    def __init__(self, raw: Mapping[str, Any], corrections: Corrections, *, wrapped: bool = False) -> None:
        self._wrapped = wrapped
        self.made: dict[str, Shape] = {}
        self._raw = raw
        self._corrections = corrections
        self._open: set[str] = set()

    def structure(self, name: str) -> Structure:
        shape = self.shape(name)
        if not isinstance(shape, Structure):
            raise TypeError(f"{name} is not a structure")
        return shape

    def shape(self, name: str) -> Shape:
        if name not in self.made:
            if name in self._open:
                raise ValueError(f"shape {name} contains itself")
            self._open.add(name)
            self.made[name] = self._make(name, self._raw[name])
        return self.made[name]

    def _make(self, name: str, raw: Mapping[str, Any]) -> Shape:
        bounded = name not in self._corrections.unbounded
        minimum, maximum = (raw.get("min"), raw.get("max")) if bounded else (None, None)
        if raw["type"] == "structure":
            return Structure(
                name=name, members=tuple(self._member(name, raw, member) for member in raw["members"])
            )
        if raw["type"] == "list":
            item = raw["member"]
            return ListOf(
                name=name,
                item=self.shape(item["shape"]),
                item_name=item.get("locationName", "member" if self._wrapped else "item"),
                wrapper=item.get("locationName", "member") if self._wrapped else "",
                minimum=minimum,
                maximum=maximum,
            )
        choices = (
            frozenset(raw.get("enum", ())) if name not in self._corrections.open_choices else frozenset()
        )
        return Scalar(
            name=name,
            kind=Kind(raw["type"]),
            choices=choices,
            minimum=minimum,
            maximum=maximum,
            sensitive=raw.get("sensitive", False),
            reason=self._corrections.reasons.get(name, ""),
        )

    def _member(self, owner: str, raw: Mapping[str, Any], name: str) -> Member:
        reference = raw["members"][name]
        location = reference.get("locationName")
        return Member(
            name=name,
            request_name=reference.get("queryName") or self._request_name(location or name),
            reply_name=location or name,
            shape=self.shape(reference["shape"]),
            required=name in raw.get("required", ()) and (owner, name) not in self._corrections.optional,
            fills_itself=reference.get("idempotencyToken", False),
        )

    def _request_name(self, name: str) -> str:
        return name if self._wrapped else name[:1].upper() + name[1:]
