"""Networks without root: each interface is a QEMU user network of its own (D6, mode *user*).

Guests are led to nothing but the metadata service. What comes in comes by forwarded ports: a public address
is an address of the host's, and its ports listen where the guest's security groups let everybody in. They are
opened and closed while guests run. All else is recorded, and declared as without effect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, Protocol

from backend.drivers.user_network.plan import RANGE_LIMIT, SHIFT, forwards_of, lowest_port, place
from backend.model import Value
from backend.network_model import Nic, Topology
from backend.ports import Forward, HostDriver, HostSilent, NetworkCapabilities, NicSpec, StepFailed

__all__ = ["CAPABILITIES", "Doors", "UserNetwork", "capabilities", "lowest_port"]

log = logging.getLogger(__name__)

_LIMITS: Final = (
    "Guests do not reach each other, whatever their subnet, VPC and security groups.",
    (
        "Security groups open ports of public addresses: TCP and UDP ports that a rule allows from "
        "0.0.0.0/0 (or, if the address is a loopback address, from 127.0.0.1) are open to everybody who can "
        "connect. Other sources open nothing."
    ),
    (
        f"Security groups: a rule for more than {RANGE_LIMIT} ports, or for all protocols, opens none. ICMP "
        "is not forwarded. Rules that name a group have no effect."
    ),
    "Security groups: removing a rule refuses new connections; those that are open go on.",
    (
        "Public addresses are addresses of the host that the guest is on, by default of its loopback "
        "interface. The guest sees connections come from its gateway."
    ),
    f"Where only root may listen at a port, it is forwarded from the one {SHIFT} higher (22: {SHIFT + 22}).",
    (
        "A guest whose private address is in 172.16.0.0/12 or 192.168.0.0/16 has that address. Others have "
        "link-local ones."
    ),
    "Secondary private addresses have no effect.",
    (
        "Route tables, internet gateways, NAT gateways, network ACLs, DHCP options and source/destination "
        "checks have no effect."
    ),
    "The metadata service answers guests on embedded hosts only. Its hop limit has no effect.",
)
_NOTHING_LEAVES: Final = "Guests reach nothing outside: rules for egress have no effect."
_ALL_LEAVES: Final = (
    "Guests reach all that their host reaches, its loopback interface included, whatever the rules for "
    "egress. All of them have link-local addresses."
)


def capabilities(*, outbound: bool = False) -> NetworkCapabilities:
    """What is enforced; ``outbound`` lets guests out through their hosts."""
    return NetworkCapabilities(
        name="user",
        groups=True,
        egress=False,
        routing=False,
        guest_to_guest=False,
        network_acls=False,
        source_dest_check=False,
        nat_gateways=False,
        hotplug=False,
        secondary_addresses=False,
        needs_infra=False,
        by_member=True,
        limits=(*_LIMITS, _ALL_LEAVES if outbound else _NOTHING_LEAVES),
    )


CAPABILITIES: Final = capabilities()
"""Of an installation whose guests are not let out."""


class Doors(Protocol):
    """The metadata service's UNIX sockets, one for each interface, by which it knows who asks."""

    def path(self, nic_id: str) -> str:
        """Where an interface's socket is, or will be."""
        ...

    def open(self, nic_id: str) -> str:
        """Listen for an interface, unless that is so; the socket's path. Raises OSError."""
        ...

    def close(self, nic_id: str) -> None:
        """Listen for an interface no more; absent is success."""
        ...


class _Placed(Value, frozen=True, kw_only=True):
    """An interface whose instance is on a host."""

    host_id: str
    instance_id: str
    nic: NicSpec


class UserNetwork:
    """The network driver of user networks. Implements ``NetworkDriver``.

    ``host`` finds the driver of a host, or None when there is no such host (any more). ``lowest`` is the
    lowest port that a guest's QEMU may listen at.
    """

    def __init__(
        self,
        host: Callable[[str], HostDriver | None],
        doors: Doors,
        *,
        outbound: bool = False,
        lowest: int | None = None,
    ) -> None:
        self._host = host
        self._doors = doors
        self._outbound = outbound
        self._lowest = lowest_port() if lowest is None else lowest
        self._capabilities = capabilities(outbound=outbound)

    @property
    def capabilities(self) -> NetworkCapabilities:
        """Forwarded ports by security groups, and nothing else."""
        return self._capabilities

    def plug(self, topology: Topology, nic: Nic) -> NicSpec:
        """A user network with the guest's address, its way to the metadata service and its ports."""
        cidr = topology.subnets[nic.subnet_id].cidr
        address, network = place(nic.address, cidr, index=nic.index, outbound=self._outbound)
        return NicSpec(
            id=nic.id,
            index=nic.index,
            mac=nic.mac,
            address=nic.address,
            cidr=cidr,
            up=nic.up,
            guest_address=address,
            guest_cidr=network,
            metadata_socket="" if nic.index else self._doors.path(nic.id),
            outbound=self._outbound,
            forwards=forwards_of(topology, nic, lowest=self._lowest),
        )

    def apply(self, topology: Topology, scopes: Collection[str] | None = None) -> None:
        """Open the interfaces' doors to the metadata service, and make their ports agree.

        An interface that cannot have a port is tried again after the others: another one may have been about
        to lose it. A port that something else on the host listens at is left out, and told by
        :meth:`differences`.
        """
        self._open_doors(topology, scopes)
        failures: list[HostSilent | StepFailed] = []
        again: list[_Placed] = []
        for placed in self._placed(topology, scopes):
            try:
                self._update(placed)
            except HostSilent as error:
                failures.append(error)
            except StepFailed:
                again.append(placed)
        for placed in again:
            try:
                self._update_as_possible(placed)
            except (HostSilent, StepFailed) as error:
                failures.append(error)
        for failure in failures:
            raise failure

    def differences(self, topology: Topology) -> Sequence[str]:
        """Ports that are open and should not be, or the other way round, of guests that run."""
        found: list[str] = []
        for placed in self._placed(topology, None):
            try:
                found += self._differences(placed)
            except (HostSilent, StepFailed) as error:
                found.append(f"{placed.nic.id}: host {placed.host_id} does not tell its ports: {error}")
        return found

    def close(self) -> None:
        """Nothing to let go of: hosts are others'."""

    def _placed(self, topology: Topology, scopes: Collection[str] | None) -> Iterator[_Placed]:
        """The interfaces concerned whose guests may run: those changed, and members of groups changed."""
        for nic in topology.nics.values():
            host_id = topology.places.get(nic.id)
            concerned = scopes is None or nic.id in scopes or not frozenset(nic.groups).isdisjoint(scopes)
            if concerned and host_id is not None and nic.instance_id is not None:
                spec = self.plug(topology, nic)
                yield _Placed(host_id=host_id, instance_id=nic.instance_id, nic=spec)

    def _open_doors(self, topology: Topology, scopes: Collection[str] | None) -> None:
        """Before guests start: an interface of an instance has a door, one that is gone has none."""
        for nic_id in topology.nics if scopes is None else scopes:
            nic = topology.nics.get(nic_id)
            try:
                if nic is not None and nic.instance_id is not None and not nic.index:
                    self._doors.open(nic_id)
                elif nic_id.startswith("eni-"):
                    self._doors.close(nic_id)
            except OSError as error:
                raise StepFailed(f"{nic_id}: no metadata service: {error}", transient=True) from error

    def _update(self, placed: _Placed) -> None:
        driver = self._host(placed.host_id)
        if driver is not None:
            driver.update_nic(placed.instance_id, placed.nic)

    def _update_as_possible(self, placed: _Placed) -> None:
        """Ports that cannot be opened are missed by somebody; one that cannot be closed is a failure."""
        try:
            self._update(placed)
        except StepFailed as error:
            if error.transient or self._forwarded(placed) - frozenset(placed.nic.forwards):
                raise
            log.warning("%s", error)

    def _differences(self, placed: _Placed) -> Iterator[str]:
        there, wanted = self._there(placed), frozenset(placed.nic.forwards)
        if placed.nic.index not in there:
            return  # it does not run, or has yet to be plugged in
        on = f"{placed.nic.id} on host {placed.host_id}"
        now = there[placed.nic.index]
        yield from (f"{on}: {_told(one)} is not open" for one in sorted(wanted - now, key=_told))
        yield from (
            f"{on}: {_told(one)} is open against the rules" for one in sorted(now - wanted, key=_told)
        )

    def _forwarded(self, placed: _Placed) -> frozenset[Forward]:
        return self._there(placed).get(placed.nic.index, frozenset())

    def _there(self, placed: _Placed) -> Mapping[int, frozenset[Forward]]:
        driver = self._host(placed.host_id)
        return driver.forwards(placed.instance_id) if driver is not None else {}


def _told(forward: Forward) -> str:
    return f"{forward.protocol} {forward.address}:{forward.port} to port {forward.guest_port}"
