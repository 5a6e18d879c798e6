"""The domain document: one function per device, put together by :func:`domain_document`."""

from __future__ import annotations

import uuid
from typing import Final

from backend.drivers.libvirt import nic_xml
from backend.drivers.libvirt.xml import E, Element, ownership, text_of
from backend.model import Value
from backend.ports import DiskSpec, DomainSpec, StepFailed

MACHINES: Final = {"x86_64": "q35"}
ROOT_PORTS: Final = 32
"""Slots for devices that are plugged in later: one root port for each."""
SEED_TARGET: Final = "vdz"
SERIAL_BYTES: Final = 20
PROBE_PREFIX: Final = "isthmus-probe"
"""Names of guests that only try the acceleration; they are nobody's."""
MIB: Final = 1 << 20
VIDEO_KIB: Final = 16 << 10
_KEYS: Final = uuid.UUID("5b0d1f53-6d2e-5b8e-9d1c-0d3a7c0f5a11")
"""The name space of the UUIDs under which libvirt is told volumes' keys."""


class DiskFile(Value, frozen=True, kw_only=True):
    """A volume's file on its host, and how its bytes are to be read: ``qcow2`` or ``raw``."""

    path: str
    format: str = "qcow2"


class Layout(Value, frozen=True, kw_only=True):
    """Where an instance's files are on its host: disks by target; ``seed``, ``console`` empty when absent."""

    disks: dict[str, DiskFile]
    seed: str = ""
    console: str = ""


def domain_document(spec: DomainSpec, layout: Layout, *, acceleration: str, own_sandbox: bool = False) -> str:
    """A QEMU guest: Q35, virtio devices, serial console with a log, interfaces on bridges or user networks.

    ``own_sandbox``: libvirt makes no sandbox for QEMU on this host, so that it can be one of ours.
    """
    machine = MACHINES.get(spec.architecture)
    if machine is None:
        raise StepFailed(f"no machine type for architecture {spec.architecture}")
    kvm = acceleration == "kvm"
    return text_of(
        E.domain(
            *_identity(spec),
            *_system(spec),
            E.os(E.type("hvm", arch=spec.architecture, machine=machine), E.smbios(mode="sysinfo")),
            E.features(E.acpi(), E.apic()),
            E.cpu(mode="host-passthrough" if kvm else "maximum"),
            E.clock(offset="utc"),
            E.on_poweroff("destroy"),
            E.on_reboot("restart"),
            E.on_crash("preserve"),
            E.devices(
                *_controllers(),
                *(
                    disk_element(disk, layout.disks[disk.target], first=n == 0)
                    for n, disk in enumerate(spec.disks)
                ),
                *_seed(layout.seed),
                *nic_xml.elements(spec.nics),
                *_console(layout.console),
                _display(),
                *_paravirtual(),
            ),
            *nic_xml.command_line(spec.nics, own_sandbox=own_sandbox),
            type="kvm" if kvm else "qemu",
        )
    )


def simulated_document(spec: DomainSpec) -> str:
    """A domain of libvirt's test driver: it has an identity and a size, and nothing boots."""
    return text_of(E.domain(*_identity(spec), E.os(E.type("hvm")), type="test"))


def probe_document(name: str, disk: str, *, acceleration: str) -> str:
    """A small guest whose only disk is the boot probe (see :mod:`.boot_probe`)."""
    kvm = acceleration == "kvm"
    return text_of(
        E.domain(
            E.name(name),
            E.memory("64", unit="MiB"),
            E.vcpu("1"),
            E.os(E.type("hvm", arch="x86_64", machine="q35")),
            E.features(E.acpi(), E.apic()),
            E.cpu(mode="host-passthrough" if kvm else "maximum"),
            E.on_poweroff("destroy"),
            E.on_crash("destroy"),
            E.devices(
                E.disk(
                    E.driver(name="qemu", type="raw"),
                    E.source(file=disk),
                    E.target(dev="vda", bus="virtio"),
                    E.readonly(),
                    E.boot(order="1"),
                    type="file",
                    device="disk",
                ),
                E.controller(type="usb", model="none"),
                E.memballoon(model="none"),
            ),
            type="kvm" if kvm else "qemu",
        )
    )


def _identity(spec: DomainSpec) -> list[Element]:
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in spec.title).split())
    title = [E.title(plain)] if plain else []
    return [
        E.name(spec.instance_id),
        E.uuid(spec.uuid),
        *title,
        E.metadata(ownership(spec.instance_id, spec.epoch)),
        E.memory(str(spec.memory_mib), unit="MiB"),
        E.vcpu(str(spec.vcpus)),
    ]


def _system(spec: DomainSpec) -> list[Element]:
    """What the guest reads of its machine: by a UUID and an equal serial number that begin with ``ec2``,
    unmodified cloud images know that there is a metadata service (spec ec2 §17).
    """
    uuid = spec.uuid.lower()
    entries = {"manufacturer": "Amazon EC2", "serial": uuid, "uuid": uuid}
    return [
        E.sysinfo(
            E.system(*(E.entry(value, name=name) for name, value in entries.items())),
            type="smbios",
        )
    ]


def _controllers() -> list[Element]:
    ports = [E.controller(type="pci", model="pcie-root-port") for _ in range(ROOT_PORTS)]
    return [E.controller(type="pci", model="pcie-root"), *ports, E.controller(type="usb", model="none")]


def disk_element(disk: DiskSpec, file: DiskFile, *, first: bool = False) -> Element:
    """A disk as libvirt takes it, in a domain or on its own; the guest boots from the ``first``."""
    if len(disk.serial.encode()) > SERIAL_BYTES:
        raise StepFailed(f"disk serial {disk.serial!r} is longer than {SERIAL_BYTES} bytes")
    return E.disk(
        E.driver(name="qemu", type=file.format, discard="unmap", detect_zeroes="unmap"),
        E.source(*encryption(disk), file=file.path),
        E.target(dev=disk.target, bus="virtio"),
        *_limits(disk),
        *([E.serial(disk.serial)] if disk.serial else []),
        *([E.boot(order="1")] if first else []),
        type="file",
        device="disk",
    )


def encryption(disk: DiskSpec) -> list[Element]:
    """How libvirt finds the key of an encrypted disk: by the name of a secret, never the key itself."""
    if not disk.key:
        return []
    secret = E.secret(type="passphrase", uuid=key_uuid(disk.name))
    return [E.encryption(secret, format="luks")]


def key_uuid(volume: str) -> str:
    """The UUID of the libvirt secret that holds a volume's key; the same on every host."""
    return str(uuid.uuid5(_KEYS, volume))


def limits(disk: DiskSpec) -> dict[str, int]:
    """What libvirt calls the disk's limits; 0 is no limit."""
    return {"total_bytes_sec": disk.mib_per_second * MIB, "total_iops_sec": disk.iops}


def _limits(disk: DiskSpec) -> list[Element]:
    tuned = [E(name, str(value)) for name, value in limits(disk).items() if value]
    return [E.iotune(*tuned)] if tuned else []


def _seed(path: str) -> list[Element]:
    """The contextualisation disk: virtio, because cloud kernels come without AHCI."""
    if not path:
        return []
    return [
        E.disk(
            E.driver(name="qemu", type="raw"),
            E.source(file=path),
            E.target(dev=SEED_TARGET, bus="virtio"),
            E.readonly(),
            type="file",
            device="disk",
        )
    ]


def _console(path: str) -> list[Element]:
    log = [E.log(file=path, append="on")] if path else []
    return [E.serial(*log, type="pty")]


def _display() -> Element:
    """A plain VGA: what the BIOS and the guest show can be pictured, and nobody is connected to it."""
    return E.video(E.model(type="vga", vram=str(VIDEO_KIB), heads="1", primary="yes"))


def _paravirtual() -> list[Element]:
    return [
        E.channel(E.target(type="virtio", name="org.qemu.guest_agent.0"), type="unix"),
        E.memballoon(model="virtio"),
        E.rng(E.backend("/dev/urandom", model="random"), model="virtio"),
        E.panic(model="isa"),
    ]
