"""Network ACLs: numbered rules at the border of subnets, packet by packet and without memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from backend import network_commands as commands
from backend.engine.cidrs import network_of
from backend.engine.network_access import own
from backend.engine.network_limits import Limit
from backend.engine.network_reads import may_see, not_found
from backend.engine.replays import id_for, replayed
from backend.engine.tagging import give_tags
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import new_id
from backend.network_model import ALL_PROTOCOLS, ANYWHERE, AclEntry, NetworkAcl, Vpc

LAST_NUMBER = 32766
"""The highest number that a tenant's entry may have; the next one denies what nobody decided."""

_FIRST_DEFAULT = 100
_NUMBERS: Mapping[str, str] = {"icmp": "1", "tcp": "6", "udp": "17", "icmpv6": "58", "all": ALL_PROTOCOLS}
_ICMP, _WITH_PORTS = "1", frozenset({"6", "17"})
_MOST_PROTOCOL = 255


def final_entries() -> tuple[AclEntry, ...]:
    """What every network ACL ends with: everything else is denied, in and out."""
    return tuple(
        AclEntry(number=LAST_NUMBER + 1, egress=egress, allow=False, protocol=ALL_PROTOCOLS, cidr=ANYWHERE)
        for egress in (True, False)
    )


def default_entries() -> tuple[AclEntry, ...]:
    """What a VPC's default network ACL begins with: everything may pass."""
    first = [msgspec.structs.replace(each, number=_FIRST_DEFAULT, allow=True) for each in final_entries()]
    return _ordered([*first, *final_entries()])


def _ordered(entries: list[AclEntry]) -> tuple[AclEntry, ...]:
    return tuple(sorted(entries, key=lambda each: (not each.egress, each.number)))


# The lists ----------------------------------------------------------------------------------------------


def create_network_acl(work: Work, command: commands.CreateNetworkAcl) -> NetworkAcl:
    """A list that denies everything, for no subnet yet (CreateNetworkAcl)."""
    vpc = own(work, Vpc, command.vpc_id, lock=True)
    identity = id_for(work, "acl", command.client_token)
    known = replayed(work, NetworkAcl, identity, vpc_id=vpc.id)
    if known is not None:
        return known
    Limit.NETWORK_ACLS.check(len(work.tx.network_acls.of_vpc(vpc.id)))
    acl = NetworkAcl(
        id=identity,
        tenant_id=vpc.tenant_id,
        account_id=vpc.account_id,
        region=vpc.region,
        created_at=work.now,
        vpc_id=vpc.id,
        entries=final_entries(),
    )
    work.tx.network_acls.insert(acl)
    give_tags(work, [acl.id], "network-acl", command.tags)
    return acl


def delete_network_acl(work: Work, command: commands.DeleteNetworkAcl) -> None:
    """Delete a list that no subnet uses (DeleteNetworkAcl)."""
    acl = own(work, NetworkAcl, command.acl_id, lock=True)
    if acl.default:
        raise BackendError(
            Code.PARAMETER_INVALID, f"cannot delete default network ACL {acl.id}", ids=(acl.id,)
        )
    if work.tx.subnets.of("acl_id", [acl.id]):
        raise BackendError(
            Code.DEPENDENCY,
            f"The networkAcl '{acl.id}' has dependencies and cannot be deleted.",
            ids=(acl.id,),
        )
    work.tx.network_acls.delete(acl.id)
    work.tx.tags.drop([acl.id])


def replace_association(work: Work, command: commands.ReplaceAclAssociation) -> commands.Association:
    """Let a subnet use another list (ReplaceNetworkAclAssociation)."""
    found = work.tx.subnets.of("acl_association_id", [command.association_id])
    subnet = work.tx.subnets.lock(found[0].id) if found else None
    if (
        subnet is None
        or subnet.acl_association_id != command.association_id
        or not may_see(work.caller, subnet)
    ):
        raise not_found([command.association_id])
    acl = own(work, NetworkAcl, command.acl_id, lock=True)
    if acl.vpc_id != subnet.vpc_id:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"network acl {acl.id} and subnet {subnet.id} belong to different networks",
            ids=(acl.id, subnet.id),
        )
    changed = work.tx.subnets.update(subnet, acl_id=acl.id, acl_association_id=new_id("aclassoc"))
    work.network_changed(subnet.id)
    return commands.Association(id=changed.acl_association_id, subnet_id=subnet.id)


# Entries ------------------------------------------------------------------------------------------------


def put_entry(work: Work, command: commands.PutAclEntry) -> NetworkAcl:
    """Add an entry, or replace one (CreateNetworkAclEntry, ReplaceNetworkAclEntry)."""
    acl = own(work, NetworkAcl, command.acl_id, lock=True)
    entry = _normal(command.entry)
    there = _entry(acl, entry.number, egress=entry.egress)
    if command.replace and there is None:
        raise _no_entry(entry.number)
    if not command.replace and there is not None:
        raise BackendError(
            Code.ACL_ENTRY_EXISTS,
            f"The network acl entry identified by {entry.number} already exists.",
            ids=(acl.id,),
        )
    others = [each for each in acl.entries if each != there]
    Limit.ACL_ENTRIES.check(
        sum(each.egress is entry.egress and each.number <= LAST_NUMBER for each in others)
    )
    return _with(work, acl, [*others, entry])


def delete_entry(work: Work, command: commands.DeleteAclEntry) -> NetworkAcl:
    """Remove an entry (DeleteNetworkAclEntry)."""
    acl = own(work, NetworkAcl, command.acl_id, lock=True)
    _check_number(command.number)
    there = _entry(acl, command.number, egress=command.egress)
    if there is None:
        raise _no_entry(command.number)
    return _with(work, acl, [each for each in acl.entries if each != there])


def _with(work: Work, acl: NetworkAcl, entries: list[AclEntry]) -> NetworkAcl:
    changed = work.tx.network_acls.update(acl, entries=_ordered(entries))
    work.network_changed(*(subnet.id for subnet in work.tx.subnets.of("acl_id", [acl.id])))
    return changed


def _entry(acl: NetworkAcl, number: int, *, egress: bool) -> AclEntry | None:
    return next((each for each in acl.entries if (each.number, each.egress) == (number, egress)), None)


def _no_entry(number: int) -> BackendError:
    return BackendError(
        Code.ACL_ENTRY_NOT_FOUND, f"The network acl entry identified by {number} does not exist."
    )


def _check_number(number: int) -> None:
    if not 1 <= number <= LAST_NUMBER:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"It must be in the range 1-{LAST_NUMBER}.",
            parameter="ruleNumber",
            value=number,
        )


def _normal(entry: AclEntry) -> AclEntry:
    """An entry as it is kept: its protocol a number, its CIDR without bits of a host, and only the ports or
    the type that go with the protocol.
    """
    _check_number(entry.number)
    protocol = _protocol(entry.protocol)
    ports, types = (entry.from_port, entry.to_port), (entry.icmp_type, entry.icmp_code)
    if protocol in _WITH_PORTS:
        _check_ports(*ports)
    elif protocol == _ICMP:
        _check_type(*types)
    return msgspec.structs.replace(
        entry,
        protocol=protocol,
        cidr=str(network_of(entry.cidr)),
        from_port=ports[0] if protocol in _WITH_PORTS else None,
        to_port=ports[1] if protocol in _WITH_PORTS else None,
        icmp_type=types[0] if protocol == _ICMP else None,
        icmp_code=types[1] if protocol == _ICMP else None,
    )


def _protocol(word: str) -> str:
    number = _NUMBERS.get(word.lower(), word)
    if number == ALL_PROTOCOLS:
        return number
    if number.isascii() and number.isdigit() and int(number) <= _MOST_PROTOCOL:
        return str(int(number))
    raise BackendError(Code.PARAMETER_INVALID, "Unknown protocol.", parameter="protocol", value=word[:40])


def _check_ports(first: int | None, last: int | None) -> None:
    if first is None or last is None:
        raise BackendError(
            Code.PARAMETER_MISSING, "TCP and UDP need ports.", parameter="portRange.from, portRange.to"
        )
    if not 0 <= first <= last <= 65535:
        raise BackendError(
            Code.PARAMETER_INVALID,
            "This is not a range of ports.",
            parameter="portRange",
            value=f"{first}-{last}",
        )


def _check_type(kind: int | None, code: int | None) -> None:
    if kind is None or code is None:
        raise BackendError(Code.PARAMETER_MISSING, "ICMP needs a type and a code.", parameter="icmpTypeCode")
    if not (-1 <= kind <= 255 and -1 <= code <= 255):
        raise BackendError(
            Code.PARAMETER_INVALID,
            "Types and codes are numbers up to 255; -1 means all.",
            parameter="icmpTypeCode",
            value=f"{kind}/{code}",
        )


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    commands.CreateNetworkAcl: create_network_acl,
    commands.DeleteNetworkAcl: delete_network_acl,
    commands.PutAclEntry: put_entry,
    commands.DeleteAclEntry: delete_entry,
    commands.ReplaceAclAssociation: replace_association,
}
