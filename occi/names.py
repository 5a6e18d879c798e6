"""Names of entities: the engine's ids ⇄ paths.

An entity is known here by the engine's id (``i-…``, ``vol-…``), whose prefix tells the kind. A link has no
row of its own: it is the attachment of one volume, and has that volume's digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from backend.model import id_of, uuid_of
from occi import kinds
from occi.errors import OcciError
from rendering.occi_document import Category

#: The kinds that have entities, by the prefix of their ids.
KINDS: Mapping[str, Category] = {
    "i": kinds.COMPUTE,
    "vol": kinds.STORAGE,
    "att": kinds.STORAGELINK,
}
#: What a kind's entities are called in sentences.
WORDS: Mapping[str, str] = {
    kinds.COMPUTE.id: "machine",
    kinds.STORAGE.id: "storage",
    kinds.STORAGELINK.id: "link",
}
_PREFIXES = {kind.location: prefix for prefix, kind in KINDS.items()}


def kind_of(entity_id: str) -> Category:
    """The kind of an entity."""
    return KINDS[entity_id.partition("-")[0]]


def path_of(entity_id: str) -> str:
    """The path of an entity."""
    return f"{kind_of(entity_id).location}{uuid_of(entity_id)}"


def is_path(path: str) -> bool:
    """Whether a path is of the form that entities have."""
    above, _, name = path.rpartition("/")
    return bool(name) and f"{above}/" in _PREFIXES


def id_at(path: str) -> str:
    """The id of the entity at a path, by its UUID or its EC2 id (D3); 404 when there can be none."""
    above, _, name = path.rpartition("/")
    prefix = _PREFIXES.get(f"{above}/")
    entity_id = id_of(prefix, name) if prefix is not None else None
    if entity_id is None:
        raise OcciError(404, f"There is nothing at {path[:200]}.")
    return entity_id


def id_in(uri: str) -> str:
    """The id of the entity that a URI means: clients write paths and absolute URIs (OCCI-REAL-08)."""
    return id_at(path_in(uri))


def id_of_kind(kind: Category, uri: str) -> str:
    """The id of the entity of a kind that a URI, a UUID or an EC2 id means; 404 when it can be none."""
    path = path_in(uri)
    entity_id = id_at(path if "/" in path else f"{kind.location}{path}")
    if kind_of(entity_id) is not kind:
        raise OcciError(404, f"{uri[:200]} is no {kind.term}.")
    return entity_id


def path_in(uri: str) -> str:
    """The path in a URI; 400 for what is none."""
    try:
        return urlsplit(uri).path
    except ValueError as error:
        raise OcciError(400, f"{uri[:200]} is not a URI.") from error


def link_id(volume_id: str) -> str:
    """The id of the link that a volume's attachment is."""
    return f"att-{volume_id.partition('-')[2]}"


def volume_id(link_id: str) -> str:
    """The id of the volume that a link leads to."""
    return f"vol-{link_id.partition('-')[2]}"
