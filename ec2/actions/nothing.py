"""Listing what this cloud has none of: inventories, consoles and Terraform ask for all there might be."""

from __future__ import annotations

from collections.abc import Iterator

from ec2.context import Document, Params
from ec2.ids import IdKind, kind_of, not_found
from ec2.service import Endpoint

_NOT_THERE = frozenset({IdKind.LAUNCH_TEMPLATE, IdKind.PLACEMENT_GROUP})
"""Kinds of things that there are none of. About the others, too, there may be nothing to list."""


def list_nothing(endpoint: Endpoint, params: Params) -> Document:
    """Empty lists for everything the operation tells; raises NotFound for a thing that is named by its id."""
    for text in _ids(params):
        kind = kind_of(text)
        if kind is not None and kind in _NOT_THERE:
            raise not_found(kind, [text])
    assert endpoint.shape.output is not None
    return {member.name: [] for member in endpoint.shape.output.members}


def _ids(params: Params) -> Iterator[str]:
    for name, value in params.items():
        if name.endswith(("Id", "Ids")):
            yield from [value] if isinstance(value, str) else value
