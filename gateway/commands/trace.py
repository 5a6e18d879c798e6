"""``isthmus trace``: which rule lets a packet pass, and which one stops it."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec
import typer

from backend.engine.trace import Packet, Step, trace
from backend.model import id_of
from backend.network_model import Nic, Topology
from gateway.context import HomeOption, JsonOption, Refused, command, installation_of
from gateway.output import Output

_PROTOCOLS = ("tcp", "udp", "icmp")


@command
def trace_(
    source: Annotated[
        str, typer.Argument(metavar="VM", help="An instance or interface; or an address of the outside.")
    ],
    target: Annotated[str, typer.Argument(metavar="ADDRESS:PORT", help="An address, or an instance.")],
    protocol: Annotated[str, typer.Option(help="tcp, udp or icmp (then PORT is its type).")] = "tcp",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a packet through the rules as they are drawn. Exit status 1 when it is stopped."""
    if protocol not in _PROTOCOLS:
        raise Refused(f"There is no protocol {protocol}; choose one of {', '.join(_PROTOCOLS)}.")
    installation = installation_of(home)
    topology = installation.engine.networks.topology()
    sender = _nic(topology, source)
    name, port = _split(target, protocol)
    there = _address(topology, name, inside=sender)
    here = sender.address if sender is not None else _parsed(source)
    steps = trace(topology, Packet(source=here, destination=there, protocol=protocol, port=port), sender)
    capabilities = installation.engine.settings.network.capabilities
    drawn = all(step.passes for step in steps)
    if drawn and sender is not None and not capabilities.guest_to_guest and _is_guest(topology, there):
        steps.append(Step(at=capabilities.name, passes=False, words="this network connects no guests"))
    passes = all(step.passes for step in steps)
    waiting = installation.engine.networks.unsettled([step.at for step in steps])
    output = Output(as_json=as_json)
    if as_json:
        built = [msgspec.to_builtins(step) for step in steps]
        output.document({"passes": passes, "steps": built, "pending": sorted(waiting)})
    else:
        _say(output, steps, waiting, capabilities.briefly)
    if not passes:
        raise typer.Exit(1)


def _say(output: Output, steps: list[Step], waiting: set[str], limits: tuple[str, ...]) -> None:
    for step in steps:
        late = " (the network has yet to follow a change of it)" if step.at in waiting else ""
        output.say(f"{'ok  ' if step.passes else 'STOP'} {step.at}: {step.words}{late}")
    for sentence in limits:
        output.say(f"     → {sentence}")


def _is_guest(topology: Topology, address: str) -> bool:
    """Whether an interface has an address, whoever's it is."""
    private = any(address in some for some in topology.leases.values())
    return private or any(each.ip == address for some in topology.public.values() for each in some)


def _nic(topology: Topology, name: str) -> Nic | None:
    """The interface meant by its id, by that of an instance (its primary one); None for an address."""
    instance, interface = id_of("i", name), id_of("eni", name)
    for nic in topology.nics.values():
        if nic.id == interface or (nic.instance_id and nic.instance_id == instance and nic.index == 0):
            return nic
    return None


def _address(topology: Topology, name: str, *, inside: Nic | None) -> str:
    """Where a packet is to go: to an address, or to an instance by its private or public one."""
    nic = _nic(topology, name)
    if nic is None:
        return _parsed(name)
    if inside is not None and inside.vpc_id == nic.vpc_id:
        return nic.address
    public = topology.public.get(nic.id, ())
    if not public:
        raise Refused(f"{name} has no public address, and is in no network of the sender's.")
    return public[0].ip


def _split(target: str, protocol: str) -> tuple[str, int]:
    name, colon, port = target.rpartition(":")
    if not colon:
        if protocol == "icmp":
            return target, 8
        raise Refused(f"To which port? Give {target}:PORT.")
    if not port.isdigit() or int(port) > 65535:
        raise Refused(f"{port} is no port.")
    return name, int(port)


def _parsed(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise Refused(f"{text} is no instance, no interface and no IPv4 address.") from None
