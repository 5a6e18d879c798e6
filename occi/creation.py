"""Creating entities: what a client asks for, checked, and a machine as one Launch command."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backend.commands import Launch, NicRequest
from occi import kinds, names
from occi.context import public_keys, user_data
from occi.drawn import Drawn
from occi.errors import OcciError
from occi.mixins import (
    CONNECTIVITY,
    CONTEXT_IDS,
    IPNETWORK,
    IPNETWORKINTERFACE,
    OPENSTACK_KEY_NAME,
    PRIVATE_NET,
    PUBLIC_NET,
    REACHES,
)
from occi.scope import Scope
from occi.values import (
    LONGEST_HOSTNAME,
    check_required,
    checked_all,
    checked_summary,
    checked_title,
    memory_mib,
)
from rendering.occi_document import SUMMARY, TITLE, AttributeSpec, Category, CategoryClass, Document, Request

#: What images and hosts call the architectures of OCCI, the usual name first.
ARCHITECTURES: Mapping[str, tuple[str, ...]] = {
    "x64": ("x86_64",),
    "x86": ("i386", "i486", "i586", "i686"),
}
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
#: What goes with all entities of a kind here.
_IMPLIED: Mapping[str, tuple[Category, ...]] = {
    kinds.NETWORK.id: (IPNETWORK,),
    kinds.NETWORKINTERFACE.id: (IPNETWORKINTERFACE,),
}


def described(scope: Scope, kind: Category, request: Request) -> tuple[list[Category], dict[str, Any]]:
    """The mixins and the settable attributes of a new entity.

    What only the server sets is ignored (OCCI-AMB-08, OCCI-REAL-07).

    Raises:
        OcciError: 400, 403 or 404.
    """
    if request.of(CategoryClass.ACTION) or request.locations:
        raise OcciError(400, "A new entity is described by a kind, mixins, attributes and links.")
    associated = scope.mixins_for(kind, request)
    known = scope.catalog.attributes([kind, *associated, *implied(kind)])
    whose = f"A new {names.WORDS[kind.id]}"
    given = checked_all(settable(request.attributes, known), known, whose=whose)
    check_required(given, known)
    return associated, given


def settable(given: Mapping[str, Any], known: Mapping[str, AttributeSpec]) -> dict[str, Any]:
    """The attributes without those that only the server sets (OCCI-AMB-08)."""
    return {name: value for name, value in given.items() if name not in known or known[name].mutable}


def implied(kind: Category) -> tuple[Category, ...]:
    """The mixins that every entity of a kind has here; clients leave them out, and give their attributes."""
    return _IMPLIED.get(kind.id, ())


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


class Floating(Document, frozen=True, kw_only=True):
    """A public address that is to lead to a machine: a reserved one, or one to be allocated from a pool.

    ``subnet_id`` is the network that the client named with the pool: the interface there is meant, if any.
    """

    allocation_id: str = ""
    pool: str = ""
    ip: str = ""
    subnet_id: str = ""
    title: str = ""


class Links(Document, frozen=True, kw_only=True):
    """What a request links a machine with, each in the order given.

    ``volumes`` are ids of storage with device names or nothing; ``groups`` ids of security groups. ``notes``
    are what is to be noted of the links to these, by their ids.
    """

    volumes: tuple[tuple[str, str], ...] = ()
    interfaces: tuple[NicRequest, ...] = ()
    floating: tuple[Floating, ...] = ()
    groups: tuple[str, ...] = ()
    notes: Mapping[str, tuple[tuple[str, str], ...]] = {}


# Machines -----------------------------------------------------------------------------------------------


def launch_command(
    scope: Scope, request: Request, links: Links
) -> tuple[Launch, tuple[tuple[str, str], ...]]:
    """The command for the machine that a request describes, with the interfaces and storage that it links;
    and what is to be noted of the machine.

    A resource template's sizes win over those of the request (OCCI-INFRA-076). Without a zone the machine
    comes where the networks or else the storage are that it is linked with.

    Raises:
        OcciError: 400, 403 or 404.
        BackendError: VOLUME_NOT_FOUND.
    """
    associated, given = described(scope, kinds.COMPUTE, request)
    zone = zone_among(scope, associated)
    if zone is None and links.volumes and not links.interfaces:
        zone = scope.engine.volume(scope.caller, links.volumes[0][0]).zone
    image = one_template(associated, scope.catalog.images)
    flavor = one_template(associated, scope.catalog.flavors)
    sizes = {} if flavor else given
    command = Launch(
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
        architectures=ARCHITECTURES.get(given.get(kinds.ARCHITECTURE, ""), ()),
        cpu_share=given.get(kinds.SHARE, 0),
        mixins=tags_among(scope, associated),
        volumes=links.volumes,
        **_plugs(scope, links, given.get(CONNECTIVITY, ""), zone),
    )
    noted = (kinds.SPEED, OPENSTACK_KEY_NAME)
    return command, tuple((name, str(given[name])) for name in noted if given.get(name))


def _plugs(scope: Scope, links: Links, connectivity: str, zone: str | None) -> dict[str, Any]:
    """Where the interfaces of a new machine are: in the networks linked, or in one of the reach asked for."""
    if links.interfaces:
        nics = (
            msgspec.structs.replace(each, index=index, groups=links.groups)
            for index, each in enumerate(links.interfaces)
        )
        return {"nics": tuple(nics)}
    if not connectivity:
        return {"groups": links.groups}
    drawn = Drawn(scope)
    wanted = REACHES[connectivity]
    inside = (each for each in drawn.subnets.values() if zone in {None, each.zone} and each.up)
    found = next((each for each in inside if drawn.reach(each) is wanted), None)
    if found is None and wanted is not PRIVATE_NET:
        raise OcciError(409, f"There is no {wanted.term} for the machine.")
    subnet_id = found.id if found is not None else ""  # in the default network, but without a public address
    return {"groups": links.groups, "subnet_id": subnet_id, "public_ip": wanted is PUBLIC_NET}


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
