"""A network in memory: it remembers what it was told to be, object by object, and misbehaves when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from backend.drivers.memory import Fault
from backend.network_model import NatState, Nic, Topology
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

Drawing: TypeAlias = Mapping[str, Hashable]
"""By id, what is made for each object. What is hashable is immutable all through: it stays as it was."""


class MemoryNetwork:
    """A network driver whose whole effect is :attr:`there`: by id, what was made for each object.

    What a real one may do wrong can be asked of it: ``fault`` is consulted with the call's name, and may
    itself take its time; while ``silent`` nobody answers.
    """

    def __init__(self, capabilities: NetworkCapabilities = CAPABILITIES) -> None:
        self.there: Drawing = {}
        self.fault: Callable[[str], Fault] = lambda _call: Fault.NONE
        self.silent = False
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
        with self._call("apply"):
            drawn = draw(topology)
            if scopes is None:
                self.there = drawn
            else:
                kept = {key: value for key, value in self.there.items() if key not in scopes}
                self.there = kept | {key: drawn[key] for key in scopes if key in drawn}

    def differences(self, topology: Topology) -> Sequence[str]:
        """The ids of objects that are not as the topology says."""
        with self._call("differences"):
            drawn = draw(topology)
            every = sorted(drawn.keys() | self.there.keys())
            return [f"{key} differs" for key in every if drawn.get(key) != self.there.get(key)]

    def close(self) -> None:
        """Nothing to let go of."""

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        """One call with its possible fault: before the effect, or after it."""
        if self.silent:
            raise HostSilent("the network does not answer")
        fault = self.fault(name)
        if fault is Fault.FAIL_BEFORE:
            raise StepFailed(f"{name}: told to fail")
        if fault is Fault.SILENT_BEFORE:
            raise HostSilent(f"{name}: told to be silent")
        with self._lock:
            yield
        if fault is Fault.FAIL_AFTER:
            raise StepFailed(f"{name}: told to fail afterwards")
        if fault is Fault.SILENT_AFTER:
            raise HostSilent(f"{name}: told to be silent afterwards")


def draw(topology: Topology) -> dict[str, Hashable]:
    """What is to be there for each object: all that its packets depend on."""
    found: dict[str, Hashable] = {each: _group(topology, each) for each in topology.groups}
    found |= {each: _interface(topology, nic) for each, nic in topology.nics.items()}
    found |= {each: _subnet(topology, each) for each in topology.subnets}
    found |= {each: _router(topology, each) for each in topology.vpcs}
    return found


def _group(topology: Topology, group_id: str) -> Hashable:
    return frozenset(
        (rule.egress, rule.protocol, rule.from_port, rule.to_port, rule.cidr, rule.peer_group_id)
        for rule in topology.rules.get(group_id, ())
    )


def _interface(topology: Topology, nic: Nic) -> Hashable:
    public = topology.public.get(nic.id, ())
    return (
        nic.subnet_id,
        nic.mac,
        topology.leases.get(nic.id, ()),
        topology.infra.get(nic.id, ""),
        frozenset(nic.groups),
        nic.up,
        nic.source_dest_check,
        frozenset((each.ip, each.private_ip) for each in public if each.up),
    )


def _subnet(topology: Topology, subnet_id: str) -> Hashable:
    subnet = topology.subnets[subnet_id]
    acl = topology.acls.get(subnet.acl_id)
    options = topology.dhcp_options.get(topology.vpcs[subnet.vpc_id].dhcp_options_id)
    return (
        subnet.vpc_id,
        subnet.cidr,
        frozenset(acl.entries) if acl is not None else None,
        frozenset(options.options.items()) if options is not None else None,
    )


def _router(topology: Topology, vpc_id: str) -> Hashable:
    gateway = topology.gateway_of(vpc_id)
    tables = (
        (subnet.id, frozenset(table.routes) if (table := topology.table_of(subnet)) is not None else None)
        for subnet in topology.subnets.values()
        if subnet.vpc_id == vpc_id
    )
    return (
        topology.vpcs[vpc_id].cidrs,
        frozenset(tables),
        gateway.id if gateway is not None else "",
        frozenset(
            (nat.public_ip, nat.subnet_id)
            for nat in topology.nat_gateways.values()
            if nat.vpc_id == vpc_id and nat.state is NatState.AVAILABLE
        ),
    )
