"""What a host truly can do: sizes from libvirt, acceleration by experiment (see :mod:`.boot_probe`)."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Final

import libvirt

from backend.drivers.libvirt.connection import Caller, Wait
from backend.drivers.libvirt.domain_xml import PROBE_PREFIX, probe_document
from backend.drivers.libvirt.storage import Storage
from backend.model import Capacity
from backend.ports import HostFacts, StepFailed

PROBE_SECONDS: Final = 8.0
PROBE_PAUSE: Final = 0.05
LEFT_OVER_SECONDS: Final = 600
USUAL_SHARE: Final = 100
LEAST_SHARES: Final = 2
"""Control groups of version 1 count from 2."""
KVM: Final = "kvm"
TCG: Final = "tcg"


def probe_acceleration(call: Caller, storage: Storage) -> tuple[str, str]:
    """``kvm`` if a guest's CPU ran with it to the end, else ``tcg``; and what was found, for people."""
    try:
        call(Wait.NORMAL, call.connection.getDomainCapabilities, None, "x86_64", "q35", KVM)
    except StepFailed as error:
        return TCG, f"not offered: {_last_line(error)}"
    try:
        passed = _boots(call, storage.probe_disk(), KVM)
    except StepFailed as error:
        return TCG, f"does not start: {_last_line(error)}"
    return (KVM, "works") if passed else (TCG, "offered, but a guest did not get through the boot probe")


def probe_shares(call: Caller, storage: Storage) -> int:
    """What the host calls a usual domain's share of processor time, or 0 where it weighs no domains.

    It is 1024 with control groups of version 1 and 100 with version 2; which there are, and whether libvirt
    may use them, only a domain tells. This one is asked before its CPU runs.
    """
    try:
        with _probe_guest(call, storage.probe_disk(), TCG, libvirt.VIR_DOMAIN_START_PAUSED) as domain:
            found = call(Wait.NORMAL, domain.schedulerParameters)
    except StepFailed:
        return 0
    return int(found.get("cpu_shares", 0))


def shares_of(share: int, usual: int) -> int:
    """A share, of which 100 is the usual one and 0 none of its own, as the host counts it."""
    return max(round(share * usual / USUAL_SHARE), LEAST_SHARES) if share else usual


def host_facts(
    call: Caller, storage: Storage, *, simulated: bool, acceleration: str, capabilities: dict[str, str]
) -> HostFacts:
    """Architecture, totals and versions."""
    architecture, memory_mib, cpus = call(Wait.FAST, call.connection.getInfo)[:3]
    return HostFacts(
        architecture="x86_64" if simulated else str(architecture),
        total=Capacity(cpu=int(cpus) * 100, memory_mib=int(memory_mib), disk_gib=storage.disk_gib()),
        acceleration=acceleration,
        simulated=simulated,
        hypervisor=call(Wait.FAST, call.connection.getType),
        capabilities=capabilities | _versions(call),
    )


def _versions(call: Caller) -> dict[str, str]:
    versions = {"libvirt": _dotted(call(Wait.FAST, call.connection.getLibVersion))}
    with contextlib.suppress(StepFailed):
        versions["hypervisor"] = _dotted(call(Wait.NORMAL, call.connection.getVersion))
    return versions


def _last_line(error: Exception) -> str:
    """What QEMU said last is what stopped it."""
    return str(error).strip().rpartition("\n")[2]


def _dotted(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _boots(call: Caller, disk: str, acceleration: str) -> bool:
    """Whether the probe guest powered itself off in time."""
    with _probe_guest(call, disk, acceleration) as domain:
        return _powers_off(call, domain)


@contextlib.contextmanager
def _probe_guest(call: Caller, disk: str, acceleration: str, flags: int = 0) -> Iterator[libvirt.virDomain]:
    """A probe guest that was started. Others may probe the same host at the same time."""
    _remove_left_over(call)
    name = f"{PROBE_PREFIX}-{acceleration}-{int(time.time())}-{secrets.token_hex(4)}"
    document = probe_document(name, disk, acceleration=acceleration)
    domain = call(Wait.NORMAL, call.connection.defineXML, document)
    try:
        call(Wait.NORMAL, domain.createWithFlags, flags)
        yield domain
    finally:
        _remove(call, domain)


def _powers_off(call: Caller, domain: libvirt.virDomain) -> bool:
    until = time.monotonic() + PROBE_SECONDS
    while time.monotonic() < until:
        state, reason = call(Wait.FAST, domain.state)[:2]
        if state == libvirt.VIR_DOMAIN_SHUTOFF:
            return bool(reason == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN)
        if state not in {libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_SHUTDOWN}:
            return False
        time.sleep(PROBE_PAUSE)
    return False


def _remove_left_over(call: Caller) -> None:
    """Remove probe guests whose maker died before it could: their names say when they were made."""
    for domain in call(Wait.NORMAL, call.connection.listAllDomains):
        with contextlib.suppress(StepFailed):
            name = call(Wait.FAST, domain.name)
            made = name.split("-")[-2] if name.startswith(PROBE_PREFIX) else ""
            if made.isdecimal() and abs(time.time() - int(made)) > LEFT_OVER_SECONDS:
                _remove(call, domain)


def _remove(call: Caller, domain: libvirt.virDomain) -> None:
    with contextlib.suppress(StepFailed):
        call(Wait.NORMAL, domain.destroy)
    with contextlib.suppress(StepFailed):
        call(Wait.NORMAL, domain.undefine)
