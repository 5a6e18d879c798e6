"""Interfaces of a running domain: plugging, unplugging, links, and the ports that lead to user networks.

An interface is known by its MAC, read from the live definition. What QEMU forwards is asked of QEMU itself
and changed by its monitor: nothing about it is remembered, so an act that was interrupted is simply repeated.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final, Protocol

import libvirt
import libvirt_qemu

from backend.drivers.libvirt import nic_xml
from backend.drivers.libvirt.connection import Caller, Wait
from backend.drivers.libvirt.disks import unplug
from backend.drivers.libvirt.threads import KeyedLocks
from backend.drivers.libvirt.xml import text_of
from backend.ports import Forward, NicSpec, StepFailed

PROTOCOLS: Final = frozenset({"tcp", "udp"})
_LIVE: Final = libvirt.VIR_DOMAIN_AFFECT_LIVE
_HMP: Final = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
_NETWORK: Final = re.compile(r"\S.*\((?P<id>[^()]+)\):")
_FORWARD: Final = re.compile(
    r"\s*(?P<protocol>TCP|UDP)\[HOST_FORWARD\]\s+-?\d+\s+(?P<address>\S+)\s+(?P<port>\d+)"
    r"\s+\S+\s+(?P<guest_port>\d+)\s"
)


class Nics(Protocol):
    """What can be done to the interfaces of an active domain."""

    def macs(self, call: Caller, domain: libvirt.virDomain) -> frozenset[str]:
        """The MACs of its interfaces."""
        ...

    def attach(self, call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
        """Plug an interface in; there already is success."""
        ...

    def detach(self, call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
        """Ask the guest for an interface; absent is success."""
        ...

    def update(self, call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
        """Make link and forwards agree; an interface that is absent has nothing to agree."""
        ...

    def forwards(self, call: Caller, domain: libvirt.virDomain) -> dict[int, frozenset[Forward]]:
        """The ports that lead to it, by index of its interfaces on user networks."""
        ...


class SimulatedNics:
    """What libvirt's test driver cannot do, remembered: a simulated guest obeys at once."""

    def __init__(self) -> None:
        self._plugged: dict[str, dict[str, NicSpec]] = {}

    def started(self, instance_id: str, nics: Sequence[NicSpec]) -> None:
        """The interfaces that a domain was started with."""
        self._plugged[instance_id] = {nic_xml.plain_mac(nic.mac): nic for nic in nics}

    def macs(self, call: Caller, domain: libvirt.virDomain) -> frozenset[str]:
        """What was plugged in and not taken out."""
        return frozenset(self._of(call, domain))

    def attach(self, call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
        """Remember it."""
        self._of(call, domain)[nic_xml.plain_mac(nic.mac)] = nic

    def detach(self, call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
        """Forget it."""
        self._of(call, domain).pop(nic_xml.plain_mac(nic.mac), None)

    def update(self, call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
        """Remember how it is to be."""
        plugged = self._of(call, domain)
        if nic_xml.plain_mac(nic.mac) in plugged:
            plugged[nic_xml.plain_mac(nic.mac)] = nic

    def forwards(self, call: Caller, domain: libvirt.virDomain) -> dict[int, frozenset[Forward]]:
        """What was last asked for."""
        plugged = self._of(call, domain).values()
        return {nic.index: frozenset(nic.forwards) for nic in plugged if not nic.bridge}

    def _of(self, call: Caller, domain: libvirt.virDomain) -> dict[str, NicSpec]:
        return self._plugged.setdefault(call(Wait.FAST, domain.name), {})


class LiveNics:
    """Interfaces of a QEMU guest."""

    def __init__(self) -> None:
        self._turns = KeyedLocks()

    def macs(self, call: Caller, domain: libvirt.virDomain) -> frozenset[str]:
        """By the live definition."""
        return nic_xml.macs_in(call(Wait.NORMAL, domain.XMLDesc))

    def attach(self, call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
        """Plug an interface in that is on a bridge."""
        _refuse_user(nic, "plugged in")
        if nic_xml.plain_mac(nic.mac) in self.macs(call, domain):
            return
        try:
            document = text_of(nic_xml.interface_element(nic))
            call(Wait.NORMAL, domain.attachDeviceFlags, document, _LIVE)
        except StepFailed:
            if nic_xml.plain_mac(nic.mac) not in self.macs(call, domain):  # else another was faster
                raise

    def detach(self, call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
        """Ask once more (see :func:`.disks.unplug`)."""
        document = call(Wait.NORMAL, domain.XMLDesc)
        interface = nic_xml.interface_in(document, nic.mac)
        if interface is None:
            if nic_xml.plain_mac(nic.mac) in nic_xml.macs_in(document):
                _refuse_user(nic, "taken out")
            return
        unplug(call, domain, interface)

    def update(self, call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
        """The link of one on a bridge; link and forwards of one on a user network."""
        document = call(Wait.NORMAL, domain.XMLDesc)
        if nic_xml.user_nics(document).get(nic.index) == nic_xml.plain_mac(nic.mac):
            with self._turns(nic.id):
                _set_user_link(call, domain, nic)
                _forward(call, domain, nic)
            return
        interface = nic_xml.interface_in(document, nic.mac)
        changed = nic_xml.with_link(interface, up=nic.up) if interface is not None else None
        if changed is not None:
            call(Wait.NORMAL, domain.updateDeviceFlags, text_of(changed), _LIVE)

    def forwards(self, call: Caller, domain: libvirt.virDomain) -> dict[int, frozenset[Forward]]:
        """What QEMU says."""
        indexes = nic_xml.user_nics(call(Wait.NORMAL, domain.XMLDesc))
        if not indexes:
            return {}
        found = forwards_in(_monitor(call, domain, "info usernet"))
        return {index: found.get(nic_xml.netdev_id(index), frozenset()) for index in indexes}


def forwards_in(text: str) -> dict[str, frozenset[Forward]]:
    """The forwards in what QEMU's ``info usernet`` says, by its names of user networks.

    Connections that came by a forward stand in the same list, and are none.
    """
    found: dict[str, set[Forward]] = {}
    network = ""
    for line in text.splitlines():
        if header := _NETWORK.match(line):
            network = header["id"]
            found[network] = set()
        elif match := _FORWARD.match(f"{line} "):
            forward = Forward(
                protocol=match["protocol"].lower(),
                address=match["address"],
                port=int(match["port"]),
                guest_port=int(match["guest_port"]),
            )
            found.setdefault(network, set()).add(forward)
    return {name: frozenset(forwards) for name, forwards in found.items()}


def _refuse_user(nic: NicSpec, what: str) -> None:
    if not nic.bridge:
        raise StepFailed(f"{nic.id} is on a user network: it cannot be {what} while the guest runs")


def _set_user_link(call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
    """QEMU does not tell what it is, and setting it again changes nothing. The guest's end follows."""
    network = nic_xml.netdev_id(nic.index)
    if said := _monitor(call, domain, f"set_link {network} {'on' if nic.up else 'off'}"):
        raise StepFailed(f"{nic.id}: {said}")


def _forward(call: Caller, domain: libvirt.virDomain, nic: NicSpec) -> None:
    """Remove what is not wanted, then add what is missing, and look what has come of it.

    They lead to the address that DHCP gives, which need not be said.

    Raises:
        StepFailed: QEMU refused some, as when something else listens there; all others are as they should be.
    """
    network = nic_xml.netdev_id(nic.index)
    wanted = frozenset(map(_checked, nic.forwards))
    there = _forwarded(call, domain, network)
    complaints = [
        *(_monitor(call, domain, f"hostfwd_remove {network} {_listens(one)}") for one in there - wanted),
        *(
            _monitor(call, domain, f"hostfwd_add {network} {_listens(one)}-:{one.guest_port}")
            for one in sorted(wanted - there, key=_listens)
        ),
    ]
    if there != wanted and (now := _forwarded(call, domain, network)) != wanted:
        wrong = ", ".join(sorted(f"{one.address}:{one.port}/{one.protocol}" for one in now ^ wanted))
        said = next((one for one in complaints if one and not one.endswith("removed")), "")
        raise StepFailed(f"{nic.id}: ports cannot be forwarded as they should be: {wrong}: {said}")


def _forwarded(call: Caller, domain: libvirt.virDomain, network: str) -> frozenset[Forward]:
    return forwards_in(_monitor(call, domain, "info usernet")).get(network, frozenset())


def _listens(forward: Forward) -> str:
    return f"{forward.protocol}:{forward.address}:{forward.port}"


def _checked(forward: Forward) -> Forward:
    """A forward that is safe in a line of QEMU's monitor."""
    ports = range(1, 65536)
    try:
        ipaddress.IPv4Address(forward.address)
    except ValueError as error:
        raise StepFailed(f"{forward.address!r} is no address to listen at") from error
    if forward.protocol not in PROTOCOLS or forward.port not in ports or forward.guest_port not in ports:
        raise StepFailed(f"{_listens(forward)} cannot be forwarded")
    return forward


def _monitor(call: Caller, domain: libvirt.virDomain, line: str) -> str:
    """What QEMU's monitor answers to a line for people; mostly nothing."""
    return call(Wait.NORMAL, libvirt_qemu.qemuMonitorCommand, domain, line, _HMP).strip()
