"""Paths as clients write and read them ⇄ paths computed from ids, at the edge of the face.

An entity may have a path that its client chose (OCCI-HTTP-031), and all paths may stand below a prefix, as
those of a project do. Inside, everything is known by the path computed from its id; a request is translated
on its way in, and an answer on its way out. A chosen name is the entity's ``occi.core.id`` as well: clients
build paths of a kind's location and an id (rOCCI's JSON), and take an id from a path's end (OCCI-REAL-03). So
no two entities of a tenant have one name, whatever their kinds (OCCI-CORE-030).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from backend.model import ChosenPath
from occi import kinds, names
from occi.errors import OcciError
from rendering.occi_document import (
    ID,
    SOURCE,
    TARGET,
    Category,
    Collection,
    Created,
    Discovery,
    Document,
    Entity,
    Link,
    Request,
    Value,
)

_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,64}")
_ENDS = (SOURCE, TARGET)
_CHANGED = frozenset({ID, SOURCE, TARGET, kinds.RULES})


def check_name(path: str) -> Category:
    """The kind of the entity that may be made at a path.

    What has the form of an id is refused to everybody alike: whether it is somebody's is not told, and it
    would be in the way of an entity of the tenant's own in another region.

    Raises:
        OcciError: 400, the last part of the path is no name that a client may choose.
    """
    kind, name = names.place(path)
    if not _NAME.fullmatch(name):
        raise OcciError(400, "A chosen name has 1 to 64 letters, digits, dots, hyphens, tildes or _.")
    if names.has_form_of_id(path):
        raise OcciError(400, "There is nothing here, and a name in the form of the server's ids is its own.")
    return kind


class Paths:
    """The paths of one caller's entities, chosen ones read when first asked for.

    ``base`` is the absolute URI of ``/`` without the slash; ``prefix`` is what all paths begin with, without
    a slash at its end.
    """

    def __init__(self, read: Callable[[], Sequence[ChosenPath]], *, base: str, prefix: str) -> None:
        self._read = read
        self._base = base
        self._prefix = prefix

    @cached_property
    def _chosen(self) -> Mapping[str, str]:
        """Paths computed from ids, by the ones chosen."""
        return {each.path: names.path_of(each.resource_id) for each in self._read()}

    @cached_property
    def _shown(self) -> Mapping[str, str]:
        return {computed: chosen for chosen, computed in self._chosen.items()}

    @cached_property
    def _named(self) -> Mapping[str, str]:
        return {_last(chosen): computed for chosen, computed in self._chosen.items()}

    @property
    def _is_plain(self) -> bool:
        """Whether everything is called what it is called inside."""
        return not self._prefix and not self._chosen

    # In -------------------------------------------------------------------------------------------------

    def without_prefix(self, path: str) -> str:
        """A path as it would be written without the prefix, which clients may leave out."""
        if self._prefix and (path == self._prefix or path.startswith(f"{self._prefix}/")):
            return path.removeprefix(self._prefix) or "/"
        return path

    def computed(self, path: str) -> str:
        """The path computed from the id of the entity that a path means; other paths stay as they are."""
        path = self.without_prefix(path)
        if "/" not in path:  # an id alone
            return self._named.get(path, path) if path else path
        return self._chosen.get(path, path) if names.is_path(path) else path

    def request(self, request: Request) -> Request:
        """What a request says, with all that it names called what it is called inside."""
        if request.is_empty or self._is_plain:
            return request
        return msgspec.structs.replace(
            request,
            categories=tuple(map(self._category_in, request.categories)),
            attributes=self._attributes_in(request.attributes),
            overruled=self._attributes_in(request.overruled),
            links=tuple(map(self._link_in, request.links)),
            locations=tuple(map(self._uri_in, request.locations)),
            members=tuple(map(self.request, request.members)),
        )

    def _category_in(self, category: Category) -> Category:
        if not category.location or not self._prefix:
            return category
        return msgspec.structs.replace(category, location=self._uri_in(category.location))

    def _link_in(self, link: Link) -> Link:
        return msgspec.structs.replace(
            link, target=self._uri_in(link.target), attributes=self._attributes_in(link.attributes)
        )

    def _attributes_in(self, given: Mapping[str, Value]) -> Mapping[str, Value]:
        if _CHANGED.isdisjoint(given):
            return given
        found = dict(given)
        for name in _ENDS:
            if isinstance(value := found.get(name), str):
                found[name] = self._uri_in(value)
        own = found.get(ID)
        if isinstance(own, str) and own in self._named:
            found[ID] = _last(self._named[own])
        if kinds.RULES in found:
            found[kinds.RULES] = _regrouped(found[kinds.RULES], self._uri_in)
        return found

    def _uri_in(self, given: str) -> str:
        try:
            parts = urlsplit(given)
        except ValueError:  # whoever reads it says so
            return given
        path = self.computed(parts.path)
        return given if path == parts.path else urlunsplit(parts._replace(path=path))

    # Out ------------------------------------------------------------------------------------------------

    def shown(self, path: str) -> str:
        """A path inside as clients read it; what is no path stays as it is."""
        return f"{self._prefix}{self._shown.get(path, path)}" if path.startswith("/") else path

    def uri(self, path: str) -> str:
        """The absolute URI of a path inside."""
        return f"{self._base}{self.shown(path)}"

    def document(self, document: Document | None) -> Document | None:
        """An answer as clients read it; the locations in lists become absolute URIs (OCCI-AMB-19)."""
        match document:
            case Collection(locations=locations) if locations:
                return Collection(locations=self._uris(locations))
            case Created(locations=locations):
                return Created(locations=self._uris(locations))
            case Discovery(categories=categories):
                if not self._prefix:
                    return document
                return Discovery(categories=tuple(map(self._category, categories)))
            case None:
                return None
            case _ if self._is_plain:
                return document
            case Collection(resources=resources, links=links):
                return Collection(
                    resources=tuple(map(self._entity, resources)), links=tuple(map(self._link, links))
                )
            case Entity():
                return self._entity(document)
            case Link():
                return self._link(document)
            case _:
                return document

    def _uris(self, paths: Sequence[str]) -> tuple[str, ...]:
        return tuple([f"{self._base}{path}" for path in paths] if self._is_plain else map(self.uri, paths))

    def _category(self, category: Category) -> Category:
        if not category.location:
            return category
        return msgspec.structs.replace(category, location=self.shown(category.location))

    def _entity(self, entity: Entity) -> Entity:
        return msgspec.structs.replace(
            entity,
            location=self.shown(entity.location),
            attributes=self._attributes(entity.location, entity.attributes),
            links=tuple(map(self._link, entity.links)),
        )

    def _link(self, link: Link) -> Link:
        return msgspec.structs.replace(
            link,
            location=self.shown(link.location),
            target=self.shown(link.target),
            attributes=self._attributes(link.location, link.attributes),
        )

    def _attributes(self, location: str, given: Mapping[str, Value]) -> Mapping[str, Value]:
        found = dict(given)
        if location in self._shown:
            found[ID] = _last(self._shown[location])
        for name in _ENDS:
            if isinstance(value := found.get(name), str):
                found[name] = self.shown(value)
        if kinds.RULES in found:
            found[kinds.RULES] = _regrouped(found[kinds.RULES], self.shown)
        return found


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _regrouped(rules: Value, renamed: Callable[[str], str]) -> Value:
    """Rules of a security group whose peers are called otherwise; in text they are JSON inside a string."""
    if isinstance(rules, str):
        try:
            rules = msgspec.json.decode(rules)
        except msgspec.DecodeError:  # whoever reads it says so
            return rules
    return [_regrouped_one(each, renamed) for each in rules] if isinstance(rules, list) else rules


def _regrouped_one(rule: Any, renamed: Callable[[str], str]) -> Any:
    group = rule.get("group") if isinstance(rule, dict) else None
    return {**rule, "group": renamed(group)} if isinstance(group, str) and group else rule
