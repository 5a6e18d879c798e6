"""libvirt's domain states and reasons, in the engine's words (lifecycle §5.1)."""

from __future__ import annotations

from typing import Final

import libvirt

from backend.ports import DomainReason, DomainStatus

STATUS: Final[dict[int, DomainStatus]] = {
    libvirt.VIR_DOMAIN_NOSTATE: DomainStatus.RUNNING,
    libvirt.VIR_DOMAIN_RUNNING: DomainStatus.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: DomainStatus.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: DomainStatus.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: DomainStatus.RUNNING,  # going down, not down yet
    libvirt.VIR_DOMAIN_SHUTOFF: DomainStatus.OFF,
    libvirt.VIR_DOMAIN_CRASHED: DomainStatus.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: DomainStatus.PM_SUSPENDED,
}

REASON: Final[dict[tuple[int, int], DomainReason]] = {
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP): DomainReason.STARTING,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER): DomainReason.USER,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR): DomainReason.IO_ERROR,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): DomainReason.CRASHED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN): DomainReason.GUEST_SHUTDOWN,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED): DomainReason.DESTROYED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED): DomainReason.CRASHED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED): DomainReason.CRASHED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DAEMON): DomainReason.CRASHED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SAVED): DomainReason.SAVED,
    (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED): DomainReason.CRASHED,
    (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_UNKNOWN): DomainReason.CRASHED,
}


def status_of(state: int, reason: int) -> tuple[DomainStatus, DomainReason]:
    """The engine's words for ``virDomainGetState``."""
    status = STATUS.get(state, DomainStatus.RUNNING)
    return status, REASON.get((state, reason), DomainReason.UNKNOWN)
