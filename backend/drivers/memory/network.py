"""A network in memory: it remembers what it was told to be, object by object, and can be told to misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

from backend.drivers.memory import Fault
from backend.network_model import Nic, Topology
from backend.ports import HostSilent, NetworkCapabilities, NicSpec, StepFailed

CAPABILITIES = NetworkCapabilities(
    name="memory",
    groups=True,
    egress=True,
    routing=True,
    guest_to_guest=True,
    network_acls=True,
    source_dest_check=True,
    nat_gateways=True,
    hotplug=True,
    secondary_addresses=True,
    needs_infra=False,
)


class MemoryNetwork:
    """A network driver whose whole effect is :attr:`there`: by id, what was made for each object."""

    def __init__(self, capabilities: NetworkCapabilities = CAPABILITIES) -> None:
        self.there: dict[str, Any] = {}
        self.fault: Callable[[str], Fault] = lambda _call: Fault.NONE
        self._capabilities = capabilities
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> NetworkCapabilities:
        """What it enforces: everything, in memory."""
        return self._capabilities

    def plug(self, topology: Topology, nic: Nic) -> NicSpec:
        """How a domain is to have an interface."""
        return NicSpec(
            id=nic.id,
            index=nic.index,
            mac=nic.mac,
            address=nic.address,
            cidr=topology.subnets[nic.subnet_id].cidr,
            up=nic.up,
            bridge="memory",
        )

    def apply(self, topology: Topology, scopes: Collection[str] | None = None) -> None:
        """Remember what the topology says of some objects, or of all."""
        fault = self.fault("apply")
        if fault is Fault.FAIL_BEFORE:
            raise StepFailed("told to fail")
        if fault is Fault.SILENT_BEFORE:
            raise HostSilent("told to be silent")
        drawn = draw(topology)
        with self._lock:
            if scopes is None:
                self.there = drawn
            else:
                kept = {key: value for key, value in self.there.items() if key not in scopes}
                self.there = kept | {key: drawn[key] for key in scopes if key in drawn}
        if fault is Fault.FAIL_AFTER:
            raise StepFailed("told to fail afterwards")
        if fault is Fault.SILENT_AFTER:
            raise HostSilent("told to be silent afterwards")

    def differences(self, topology: Topology) -> Sequence[str]:
        """The ids of objects that are not as the topology says."""
        drawn = draw(topology)
        with self._lock:
            every = sorted(drawn.keys() | self.there.keys())
            return [f"{key} differs" for key in every if drawn.get(key) != self.there.get(key)]

    def close(self) -> None:
        """Nothing to let go of."""


def draw(topology: Topology) -> dict[str, Any]:
    """What is to be there for each object: all that its packets depend on."""
    found: dict[str, Any] = {}
    for group_id in topology.groups:
        rules = topology.rules.get(group_id, ())
        found[group_id] = sorted(
            (rule.egress, rule.protocol, rule.from_port, rule.to_port, rule.cidr, rule.peer_group_id)
            for rule in rules
        )
    for nic in topology.nics.values():
        public = sorted((each.ip, each.private_ip) for each in topology.public.get(nic.id, ()) if each.up)
        found[nic.id] = (
            nic.subnet_id,
            nic.mac,
            topology.leases.get(nic.id, ()),
            tuple(sorted(nic.groups)),
            nic.up,
            nic.source_dest_check,
            public,
        )
    for subnet in topology.subnets.values():
        acl = topology.acls.get(subnet.acl_id)
        options = topology.dhcp_options.get(topology.vpcs[subnet.vpc_id].dhcp_options_id)
        found[subnet.id] = (
            subnet.vpc_id,
            subnet.cidr,
            sorted(acl.entries, key=repr) if acl is not None else [],
            dict(options.options) if options is not None else {},
        )
    for vpc in topology.vpcs.values():
        gateway = topology.gateway_of(vpc.id)
        nats = [nat for nat in topology.nat_gateways.values() if nat.vpc_id == vpc.id]
        tables = [
            (subnet.id, table.routes if (table := topology.table_of(subnet)) is not None else ())
            for subnet in topology.subnets.values()
            if subnet.vpc_id == vpc.id
        ]
        found[vpc.id] = (
            vpc.cidrs,
            sorted(tables),
            gateway.id if gateway is not None else "",
            sorted(nat.public_ip for nat in nats if nat.deleted_at is None),
        )
    return found
