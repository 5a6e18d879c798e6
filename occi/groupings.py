"""Security groups as resources, their rules as JSON (OCCI-EXT-004), and memberships as links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from backend.model import Instance, uuid_of
from backend.network_commands import RuleSpec
from backend.network_model import ALL_PROTOCOLS, ANYWHERE, SecurityGroup, SecurityRule
from occi import kinds, names
from occi.catalog import Catalog
from occi.errors import OcciError
from occi.networking import message
from occi.plugs import is_active
from rendering.occi_document import (
    ID,
    SOURCE,
    SOURCE_KIND,
    SUMMARY,
    TARGET,
    TARGET_KIND,
    TITLE,
    Entity,
    Link,
    Value,
)

_DIRECTIONS: Mapping[str, bool] = {"inbound": False, "outbound": True, "ingress": False, "egress": True}
_EVERY_PROTOCOL = frozenset({"", "all", "any", "*", ALL_PROTOCOLS})
_EVERY_PORT = frozenset({"", "all", "any", "*", ALL_PROTOCOLS})
_PORTED = frozenset({"tcp", "udp", "6", "17"})
_TYPED = frozenset({"icmp", "icmpv6", "1", "58"})
_MEMBERS = frozenset({"type", "protocol", "port", "range", "ipversion", "group", "description"})
_ANYWHERE_V6 = "::/0"


# Rules ⇄ JSON -------------------------------------------------------------------------------------------


def shown_rule(rule: SecurityRule) -> dict[str, Value]:
    """A rule as it is rendered: what it allows, and nothing about what it leaves open."""
    values: dict[str, Value] = {
        "type": "outbound" if rule.egress else "inbound",
        "protocol": "all" if rule.protocol == ALL_PROTOCOLS else rule.protocol,
        "port": _shown_port(rule),
        "range": rule.cidr,
        "group": names.path_of(rule.peer_group_id) if rule.peer_group_id else "",
        "ipversion": f"ipv{ip_network(rule.cidr).version}" if rule.cidr else "",
        "description": rule.description,
    }
    return {name: value for name, value in values.items() if value}


def _place(rule: SecurityRule) -> tuple[Any, ...]:
    """Where a rule stands among those of its group: what may come in first, of that the oldest."""
    peer = (rule.cidr, rule.peer_group_id)
    return (rule.egress, rule.created_at, rule.protocol, rule.from_port, rule.to_port, *peer)


def _shown_port(rule: SecurityRule) -> str:
    first, last = rule.from_port, rule.to_port
    if rule.protocol in _TYPED:
        return "" if first < 0 else str(first) if last < 0 else f"{first}:{last}"
    if rule.protocol not in _PORTED or (first, last) == (0, 65535):
        return ""
    return str(first) if first == last else f"{first}-{last}"


def rule_specs(given: Sequence[Any]) -> tuple[RuleSpec, ...]:
    """The rules that a client gives, each once.

    Raises:
        OcciError: 400, one is no rule.
    """
    return tuple(dict.fromkeys(_rule_spec(each) for each in given))


def _rule_spec(given: Any) -> RuleSpec:
    if not isinstance(given, dict) or not all(isinstance(each, (str, int)) for each in given.values()):
        raise OcciError(400, f"Each of {kinds.RULES} is an object of strings.")
    unknown = sorted(given.keys() - _MEMBERS)
    if unknown:
        raise OcciError(400, f"A rule has no member {unknown[0][:80]}.")
    said = {name: str(value).strip() for name, value in given.items()}
    direction = _DIRECTIONS.get(said.get("type", "").lower())
    if direction is None:
        raise OcciError(400, "The type of a rule is inbound or outbound.")
    protocol = said.get("protocol", "").lower()
    protocol = ALL_PROTOCOLS if protocol in _EVERY_PROTOCOL else protocol
    first, last = _ports(protocol, said.get("port", "").lower())
    group = said.get("group", "")
    return RuleSpec(
        egress=direction,
        protocol=protocol,
        from_port=first,
        to_port=last,
        cidr="" if group else _range(said.get("range", ""), said.get("ipversion", "").lower()),
        peer_group=names.id_of_kind(kinds.SECURITYGROUP, group) if group else "",
        description=said.get("description", ""),
    )


def _ports(protocol: str, given: str) -> tuple[int | None, int | None]:
    """Ports as ``22`` or ``22-80``; of ICMP the type, or type and code as ``8:0``; nothing for all."""
    every = given in _EVERY_PORT
    if protocol in _TYPED:
        return (-1, -1) if every else _pair(given, -1)
    if protocol in _PORTED:
        return (0, 65535) if every else _pair(given, None)
    if not every:
        raise OcciError(400, "Only tcp, udp and icmp have ports.")
    return None, None


def _pair(given: str, alone: int | None) -> tuple[int, int]:
    first, mark, last = given.replace(":", "-").partition("-")
    if not _is_number(first) or (mark and not _is_number(last)):
        raise OcciError(400, f"{given[:80]} is no port: expected one, or two with a hyphen.")
    return int(first), int(last) if mark else int(first) if alone is None else alone


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5


def _range(given: str, version: str) -> str:
    version = version.removeprefix("ipv")
    if version not in {"", "4", "6"}:
        raise OcciError(400, "The ipversion of a rule is ipv4 or ipv6.")
    cidr = given or (_ANYWHERE_V6 if version == "6" else ANYWHERE)
    try:
        block = ip_network(cidr, strict=False)
    except ValueError as error:
        raise OcciError(400, f"{cidr[:80]} is no range in CIDR form.") from error
    if version and int(version) != block.version:
        raise OcciError(400, f"{cidr} is no range of IPv{version}.")
    return str(block)


# Groups and memberships ---------------------------------------------------------------------------------


def title_of(group: SecurityGroup, tags: Mapping[str, str]) -> str:
    """What a group is called: by its owner, or by its name in its VPC."""
    return tags.get("Name", "") or group.name


def entity(
    group: SecurityGroup,
    rules: Sequence[SecurityRule],
    catalog: Catalog,
    *,
    tags: Mapping[str, str],
    associated: Sequence[tuple[str, str]] = (),
    unsettled: bool = False,
    limits: Iterable[str] = (),
) -> Entity:
    """A security group as a resource."""
    values: dict[str, Value] = {
        ID: uuid_of(group.id),
        TITLE: title_of(group, tags),
        SUMMARY: group.description,
        kinds.RULES: [dict(shown_rule(rule)) for rule in sorted(rules, key=_place)],
        kinds.GROUP_STATE: "active",
        kinds.GROUP_MESSAGE: message(f"in {group.vpc_id}", unsettled=unsettled, limits=limits),
    }
    return Entity(
        kind=kinds.SECURITYGROUP,
        location=names.path_of(group.id),
        mixins=tuple(catalog.own_tags(associated)),
        attributes={name: value for name, value in values.items() if value != ""},
    )


def link(own_id: str, instance: Instance, group_id: str, notes: Mapping[str, str]) -> Link:
    """The membership of a machine's interfaces in a group as the link between them."""
    target = names.path_of(group_id)
    return Link(
        target=target,
        rel=(kinds.SECURITYGROUP.id,),
        location=names.path_of(own_id),
        kind=kinds.SECURITYGROUPLINK,
        attributes={
            ID: uuid_of(own_id),
            **({TITLE: notes[TITLE]} if TITLE in notes else {}),
            SOURCE: names.path_of(instance.id),
            SOURCE_KIND: kinds.COMPUTE.id,
            TARGET: target,
            TARGET_KIND: kinds.SECURITYGROUP.id,
            kinds.GROUPLINK_STATE: "active" if is_active(instance) else "inactive",
        },
    )
