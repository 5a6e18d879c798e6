"""The OVN network driver."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from backend.drivers.ovn.capabilities import CAPABILITIES
from backend.drivers.ovn.connection import use_certificates
from backend.drivers.ovn.difference import Change, Missing, difference
from backend.drivers.ovn.names import BRIDGE
from backend.drivers.ovn.northbound import Chassis, Northbound, NorthboundReplica
from backend.drivers.ovn.plan import plan, rows_of
from backend.drivers.ovn.settings import OvnSettings
from backend.network_model import Nic, Topology
from backend.ports import HostSilent, NetworkCapabilities, NetworkDriver, NicSpec, StepFailed


class OvnNetwork(NetworkDriver):
    """Tenant networks in OVN: packets obey logical flows on every chassis, and nothing of ours runs there."""

    def __init__(self, settings: OvnSettings) -> None:
        self._settings = settings
        if settings.private_key:
            use_certificates(settings.private_key, settings.certificate, settings.ca_certificate)
        self._network = Northbound(
            settings.northbound, settings.southbound, settings.patience, settings.hosts_patience
        )

    @property
    def capabilities(self) -> NetworkCapabilities:
        """What it enforces, and what it cannot."""
        return CAPABILITIES

    def plug(self, topology: Topology, nic: Nic) -> NicSpec:
        """How a domain is to have an interface: plugged into the integration bridge as the port of its id."""
        return NicSpec(
            id=nic.id,
            index=nic.index,
            mac=nic.mac,
            address=nic.address,
            cidr=topology.subnets[nic.subnet_id].cidr,
            mtu=self._settings.mtu,
            up=nic.up,
            bridge=BRIDGE,
            offload=self._settings.offload,
        )

    def apply(self, topology: Topology, scopes: Collection[str] | None = None) -> None:
        """Make the network agree with the topology in one transaction, and wait until chassis do.

        What is waited for, and what the errors mean, is told at
        :meth:`~backend.drivers.ovn.northbound.Northbound.apply`. Of what an object of ``scopes`` refers to
        and the network does not have yet, as much is made as the topology tells; the rest when that is in
        scope.
        """
        self._network.apply(lambda stored: self._changes(stored, topology, scopes))

    def differences(self, topology: Topology) -> Sequence[str]:
        """In what the northbound database differs from the whole topology, and which chassis cannot serve."""
        lines = self._network.differences(lambda stored: self._changes(stored, topology, None))
        try:
            chassis = self._network.chassis()
        except HostSilent as silence:
            return [*lines, str(silence)]
        if chassis is None:
            return lines
        return [*lines, *self._complaints(chassis, self._settings.chassis or topology.chassis)]

    def close(self) -> None:
        """Disconnect from the databases; the network goes on."""
        self._network.close()

    def _complaints(self, chassis: Mapping[str, Chassis], wanted: Collection[str]) -> Iterator[str]:
        for name in wanted:
            if name not in chassis:
                yield f"chassis {name}: not in the southbound database"
        for name, found in sorted(chassis.items()):
            if found.behind:
                yield f"chassis {name}: has not followed the latest changes"
            if self._settings.provider not in found.networks:
                yield f"chassis {name}: no bridge is mapped to the network {self._settings.provider}"

    def _changes(
        self, stored: NorthboundReplica, topology: Topology, scopes: Collection[str] | None
    ) -> list[Change]:
        try:
            plans = plan(topology, scopes, self._settings)
        except ValueError as error:
            raise StepFailed(f"the topology holds what is no address or protocol: {error}") from error
        if scopes is None:
            for owner in stored.owners():
                plans.setdefault(owner, ())
        while True:
            try:
                return difference(stored, plans)
            except Missing as missing:
                owner = missing.ref.owner
                if owner in plans:
                    raise StepFailed(str(missing), transient=True) from missing
                plans[owner] = tuple(rows_of(topology, owner, self._settings))
