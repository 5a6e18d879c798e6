"""Network interfaces in domain documents: on an Open vSwitch bridge, or on QEMU's user network.

libvirt's own element for a user network knows neither the guest's address nor ``restrict``, and has no way
to the metadata service. So these are QEMU's own arguments, which libvirt hands on: an interface of index 1 is
the network ``n1``.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from backend.drivers.libvirt import relay
from backend.drivers.libvirt.xml import QEMU, QEMU_NAMESPACE, E, Element, parse
from backend.model import uuid_of
from backend.network_model import METADATA_ADDRESS
from backend.ports import NicSpec, StepFailed

FIRST_SLOT: Final = 0x10
LAST_SLOT: Final = 0x1E
"""Where interfaces on user networks are on the root bus; libvirt does not know of them."""
ALIAS: Final = "ua-"
"""What libvirt wants names of devices to begin with that are not its own."""
METADATA_PORT: Final = 80
SANDBOX: Final = "on,obsolete=deny,resourcecontrol=deny"
SANDBOX_WITHOUT_PROGRAMS: Final = "elevateprivileges=deny,spawn=deny"
"""What QEMU forbids itself, as libvirt would have it, and what nobody can forbid who runs a program. Even so
nothing gains privileges that way: the kernel wants that promise of whoever makes a sandbox."""
_OFF: Final = dict.fromkeys(("csum", "gso", "tso4", "tso6", "ecn", "ufo"), "off")
_DEVICE: Final = re.compile(r"virtio-net-pci,netdev=n(?P<index>\d+),mac=(?P<mac>[0-9a-f:]{17})\b")


# On a bridge --------------------------------------------------------------------------------------------


def interface_element(nic: NicSpec) -> Element:
    """An interface on an Open vSwitch bridge, as libvirt takes it, in a domain or on its own.

    libvirt wants a UUID for the logical port's name: it is :func:`port_name`.
    """
    return E.interface(
        E.mac(address=plain_mac(nic.mac)),
        E.source(bridge=nic.bridge),
        E.virtualport(E.parameters(interfaceid=port_name(nic.id)), type="openvswitch"),
        E.model(type="virtio"),
        *([] if nic.offload else [_without_offloads()]),
        *([E.mtu(size=str(nic.mtu))] if nic.mtu else []),
        E.link(state=_link(up=nic.up)),
        E.alias(name=f"{ALIAS}{nic.id}"),
        type="bridge",
    )


def port_name(nic_id: str) -> str:
    """The name of the logical port of an interface: its UUID."""
    return uuid_of(nic_id)


def interface_in(document: str, mac: str) -> Element | None:
    """The element of one interface of a domain, or None."""
    for interface in parse(document).findall("devices/interface"):
        if _mac_of(interface) == plain_mac(mac):
            return interface
    return None


def with_link(interface: Element, *, up: bool) -> Element | None:
    """The element with that state of its link; None when it is so already."""
    link = interface.find("link")
    now = link.get("state", "") if link is not None else _link(up=True)
    if now == _link(up=up):
        return None
    if link is not None:
        interface.remove(link)
    interface.append(E.link(state=_link(up=up)))
    return interface


def _link(*, up: bool) -> str:
    return "up" if up else "down"


def _without_offloads() -> Element:
    """The guest's card does everything itself: a userspace datapath has nobody to do it later."""
    guest = {name: state for name, state in _OFF.items() if name != "gso"}
    return E.driver(E.host(**_OFF), E.guest(**guest))


# On a user network --------------------------------------------------------------------------------------


def command_line(nics: Sequence[NicSpec], *, own_sandbox: bool = False) -> list[Element]:
    """QEMU's own arguments: for the interfaces on user networks, and the sandbox where libvirt makes none.

    With ``own_sandbox`` QEMU may run the relay to the metadata service (:mod:`.relay`), for each connection
    of a guest. Without it there is no way to the service: libvirt's sandbox kills a QEMU that runs a program,
    and cannot be widened.
    """
    users = [nic for nic in nics if not nic.bridge]
    arguments: list[str] = []
    for nic in users:
        arguments += ["-netdev", user_netdev(nic, relayed=own_sandbox), "-device", _user_device(nic)]
    if own_sandbox:
        relayed = any(nic.metadata_socket for nic in users)
        arguments += ["-sandbox", SANDBOX if relayed else f"{SANDBOX},{SANDBOX_WITHOUT_PROGRAMS}"]
    return [QEMU.commandline(*(QEMU.arg(value=one) for one in arguments))] if arguments else []


def _user_device(nic: NicSpec) -> str:
    slot = FIRST_SLOT + nic.index
    if slot > LAST_SLOT:
        raise StepFailed(f"interface {nic.index} is more than user networks can have")
    return f"virtio-net-pci,netdev={netdev_id(nic.index)},mac={plain_mac(nic.mac)},bus=pcie.0,addr={slot:#x}"


def user_netdev(nic: NicSpec, *, relayed: bool = True) -> str:
    """QEMU's ``-netdev`` value: DHCP gives the fixed address, and nothing else answers.

    ``restrict=on`` keeps the guest from the host's services, from outside and from 169.254.0.0/16, which the
    host itself might reach with the operator's own cloud credentials. Forwarded ports are not here: QEMU
    would not start at all when one of them is taken.
    """
    network = ipaddress.IPv4Network(nic.guest_cidr)
    address = ipaddress.IPv4Address(nic.guest_address)
    if address not in network:
        raise StepFailed(f"address {address} is outside {network}")
    gateway, resolver = _neighbours(address, network, ipaddress.IPv4Network(nic.cidr))
    metadata = _metadata(nic.metadata_socket) if relayed and nic.metadata_socket else ""
    return (
        f"user,id={netdev_id(nic.index)},ipv4=on,ipv6=off,net={network},host={gateway},dns={resolver},"
        f"dhcpstart={address},restrict={'off' if nic.outbound else 'on'}{metadata}"
    )


def _neighbours(
    address: ipaddress.IPv4Address, network: ipaddress.IPv4Network, subnet: ipaddress.IPv4Network
) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    """The addresses of gateway and resolver: those of the subnet when the guest has its address there."""
    taken = {address, ipaddress.IPv4Address(METADATA_ADDRESS)}
    place = subnet if address in subnet and subnet.subnet_of(network) else network
    free = (one for one in place.hosts() if one not in taken)
    gateway, resolver = next(free, None), next(free, None)
    if gateway is None or resolver is None:
        raise StepFailed(f"network {place} has no room for gateway and resolver")
    return gateway, resolver


def _metadata(path: str) -> str:
    # The interpreter itself, not a link to it: guests outlive a virtual environment.
    program = [str(Path(sys.executable).resolve()), "-I", "-S", relay.__file__, path]
    escaped = shlex.join(program).replace(",", ",,")
    return f",guestfwd=tcp:{METADATA_ADDRESS}:{METADATA_PORT}-cmd:{escaped}"


def netdev_id(index: int) -> str:
    """QEMU's name of a user network."""
    return f"n{index}"


def user_nics(document: str) -> dict[int, str]:
    """The MACs of a domain's interfaces on user networks, by index."""
    values = parse(document).iterfind(f"{{{QEMU_NAMESPACE}}}commandline/{{{QEMU_NAMESPACE}}}arg")
    found = (_DEVICE.match(one.get("value", "")) for one in values)
    return {int(match["index"]): match["mac"] for match in found if match}


# Both ---------------------------------------------------------------------------------------------------


def elements(nics: Sequence[NicSpec]) -> list[Element]:
    """The interfaces that libvirt knows of."""
    return [interface_element(nic) for nic in nics if nic.bridge]


def macs_in(document: str) -> frozenset[str]:
    """The MACs of all interfaces of a domain."""
    known = (_mac_of(one) for one in parse(document).findall("devices/interface"))
    return frozenset(known) | frozenset(user_nics(document).values())


def plain_mac(text: str) -> str:
    """A MAC in plain form: it goes into QEMU's comma-separated arguments."""
    digits = text.replace(":", "").replace("-", "").lower()
    if len(digits) != 12 or not set(digits) <= set("0123456789abcdef"):
        raise StepFailed(f"{text!r} is not a MAC address")
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def _mac_of(interface: Element) -> str:
    mac = interface.find("mac")
    return mac.get("address", "").lower() if mac is not None else ""
