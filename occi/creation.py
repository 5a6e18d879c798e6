"""Creating entities: what a client asks for, checked, and a machine as one Launch command."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backend.commands import Launch
from occi import kinds, names
from occi.context import public_keys, user_data
from occi.errors import OcciError
from occi.mixins import CONTEXT_IDS
from occi.scope import Scope
from occi.values import (
    LONGEST_HOSTNAME,
    check_required,
    checked_all,
    checked_summary,
    checked_title,
    memory_mib,
)
from rendering.occi_document import SUMMARY, TITLE, AttributeSpec, Category, CategoryClass, Link, Request

_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
#: What kind a link is that does not say, by the kind of its target: text leaves that open.
_LINKS_TO: Mapping[str, Category] = {kinds.STORAGE.id: kinds.STORAGELINK}


def described(scope: Scope, kind: Category, request: Request) -> tuple[list[Category], dict[str, Any]]:
    """The mixins and the settable attributes of a new entity.

    What only the server sets is ignored (OCCI-AMB-08, OCCI-REAL-07).

    Raises:
        OcciError: 400, 403 or 404.
    """
    if request.of(CategoryClass.ACTION) or request.locations:
        raise OcciError(400, "A new entity is described by a kind, mixins, attributes and links.")
    associated = scope.mixins_for(kind, request)
    known = scope.catalog.attributes([kind, *associated])
    whose = f"A new {names.WORDS[kind.id]}"
    given = checked_all(_settable(request.attributes, known), known, whose=whose)
    check_required(given, known)
    return associated, given


def _settable(given: Mapping[str, Any], known: Mapping[str, AttributeSpec]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in known or known[name].mutable}


def refuse_links(request: Request) -> None:
    """Refuse inline links to what is no source of any (OCCI-CORE-033)."""
    if request.links:
        raise OcciError(400, "Links begin at machines: describe them there, or by themselves.")


def zone_among(scope: Scope, associated: Sequence[Category]) -> str | None:
    """The availability zone that one of the mixins is, or None; 400 for two (OCCI-EXT-007)."""
    found = [scope.catalog.zones[mixin.id] for mixin in associated if mixin.id in scope.catalog.zones]
    if len(found) > 1:
        raise OcciError(400, "There is at most one availability zone.")
    return found[0] if found else None


def tags_among(scope: Scope, associated: Sequence[Category]) -> tuple[tuple[str, str], ...]:
    """Those of the mixins that are kept with the entity, as scheme and term."""
    kept = scope.catalog.tags.keys() | CONTEXT_IDS
    return tuple((mixin.scheme, mixin.term) for mixin in associated if mixin.id in kept)


def name_tag(given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The tag that the title of a new entity is."""
    title = checked_title(given.get(TITLE, ""))
    return (("Name", title),) if title else ()


# Links --------------------------------------------------------------------------------------------------


def linked_volumes(scope: Scope, request: Request) -> list[tuple[str, str]]:
    """The volumes that inline links lead to, each with the name of its device, if one is wanted.

    Ids and sources that clients make up for the links are ignored (OCCI-REAL-07).

    Raises:
        OcciError: 404 for a kind, an attribute or a target there cannot be, 400 for another kind of link.
    """
    return [_linked_volume(scope, link) for link in request.links]


def _linked_volume(scope: Scope, link: Link) -> tuple[str, str]:
    said = link.kind or next((_LINKS_TO[type_id] for type_id in link.rel if type_id in _LINKS_TO), None)
    if said is None:
        raise OcciError(400, f"The link to {link.target[:200]} needs a category.")
    kind = scope.known(said)
    if kind is not kinds.STORAGELINK:
        raise OcciError(400, f"The kind {kind.id} is none of a machine's links.")
    scope.mixins_for(kind, Request(categories=link.mixins))
    known = scope.catalog.attributes([kind])
    given = checked_all(_settable(link.attributes, known), known, whose="A new link")
    return names.id_of_kind(kinds.STORAGE, link.target), given.get(kinds.LINK_DEVICE, "")


# Machines -----------------------------------------------------------------------------------------------


def launch_command(scope: Scope, request: Request) -> Launch:
    """The command for the machine that a request describes.

    A resource template's sizes win over those of the request (OCCI-INFRA-076). Clock speed and share are
    read, and as nothing here can set them, never rendered. Without a zone the machine comes where the storage
    is that it is linked with.

    Raises:
        OcciError: 400, 403 or 404.
        BackendError: VOLUME_NOT_FOUND.
    """
    associated, given = described(scope, kinds.COMPUTE, request)
    volumes = linked_volumes(scope, request)
    zone = zone_among(scope, associated)
    if zone is None and volumes:
        zone = scope.engine.volume(scope.caller, volumes[0][0]).zone
    image = one_template(associated, scope.catalog.images)
    flavor = one_template(associated, scope.catalog.flavors)
    sizes = {} if flavor else given
    return Launch(
        image_id=image.id if image else None,
        flavor=flavor.name if flavor else None,
        zone=zone,
        public_keys=public_keys(given),
        user_data=user_data(given),
        tags=name_tag(given),
        hostname=checked_hostname(given.get(kinds.HOSTNAME, "")),
        summary=checked_summary(given.get(SUMMARY, "")),
        vcpus=sizes.get(kinds.CORES),
        memory_mib=memory_mib(sizes[kinds.MEMORY]) if kinds.MEMORY in sizes else None,
        mixins=tags_among(scope, associated),
        volumes=tuple(volumes),
    )


def one_template(associated: Sequence[Category], templates: Mapping[str, Any]) -> Any:
    """What the one template among the mixins stands for, or None; 400 for two (OCCI-CRTP-001)."""
    found = [templates[mixin.id] for mixin in associated if mixin.id in templates]
    if len(found) > 1:
        raise OcciError(400, "A machine has at most one OS template and one resource template.")
    return found[0] if found else None


def checked_hostname(name: str) -> str:
    """A host name, plain or fully qualified; 400 when it is none. Nothing is a wish for the default."""
    if name and (len(name) > LONGEST_HOSTNAME or not all(map(_LABEL.fullmatch, name.split(".")))):
        raise OcciError(400, f"{kinds.HOSTNAME} must be a host name.")
    return name
