"""Interfaces with everything that is told of them, read in a handful of queries however many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.commands import LaunchedWith
from backend.engine import Engine
from backend.model import Caller
from backend.network_model import Nic, Vpc
from ec2.interface_mapping import Interface


def interfaces(
    engine: Engine,
    caller: Caller,
    nics: Sequence[Nic],
    *,
    public_domain: str = "",
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Interface]:
    """Interfaces that the caller was already shown, in their order.

    ``public_domain`` is the domain of public names, which a VPC has as long as its attributes say so. Tags
    are read, unless they are given.
    """
    ids = [nic.id for nic in nics]
    tags = engine.tags_of(ids) if tags is None else tags
    leases, public = engine.networks.leases_of(ids), engine.networks.public_of(ids)
    groups = engine.networks.groups_by_id(dict.fromkeys(each for nic in nics for each in nic.groups))
    named = _named_vpcs(engine, caller) if public_domain else frozenset()
    return [
        Interface(
            nic=nic,
            addresses=leases.get(nic.id, (nic.address,)),
            public=public.get(nic.id, ()),
            groups=tuple(groups[each] for each in nic.groups if each in groups),
            tags=tags.get(nic.id, {}),
            public_domain=public_domain if nic.vpc_id in named else "",
        )
        for nic in nics
    ]


def interfaces_by_instance(
    engine: Engine, caller: Caller, instance_ids: Sequence[str], *, public_domain: str = ""
) -> dict[str, list[Interface]]:
    """The interfaces of instances that the caller was already shown, the primary one first."""
    nics = engine.networks.nics_of(instance_ids)
    every = [nic for each in nics.values() for nic in each]
    found: dict[str, list[Interface]] = {}
    for interface in interfaces(engine, caller, every, public_domain=public_domain):
        found.setdefault(str(interface.nic.instance_id), []).append(interface)
    return found


def interfaces_made(made: LaunchedWith) -> dict[str, list[Interface]]:
    """The interfaces that were made with instances, by instance, the primary one first; tags are left out."""
    groups = {group.id: group for group in made.groups}
    found: dict[str, list[Interface]] = {}
    for each in made.nics:
        interface = Interface(
            nic=each.nic,
            addresses=each.addresses,
            public=each.public,
            groups=tuple(groups[group_id] for group_id in each.nic.groups),
            tags={},
            public_domain="",
        )
        found.setdefault(str(each.nic.instance_id), []).append(interface)
    return found


def _named_vpcs(engine: Engine, caller: Caller) -> frozenset[str]:
    """The VPCs whose public addresses have names."""
    vpcs = engine.networks.all(caller, Vpc)
    return frozenset(vpc.id for vpc in vpcs if vpc.dns_support and vpc.dns_hostnames)
