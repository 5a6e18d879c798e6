"""What libvirt's error codes mean to the engine: one table."""

from __future__ import annotations

from enum import Enum, auto

import libvirt

from backend.ports import HostSilent, StepFailed


class Meaning(Enum):
    """The classes of failure that the driver treats differently."""

    SILENT = auto()
    TRANSIENT = auto()
    ABSENT = auto()
    EXISTS = auto()
    WRONG_STATE = auto()
    FAILED = auto()


class Absent(StepFailed):
    """The host says that there is no such thing."""


class AlreadyThere(StepFailed):
    """The host says that there is one already."""


class WrongState(StepFailed):
    """The host says that the domain's state does not allow it (running already, not running)."""


MEANINGS: dict[int, Meaning] = {
    # The call failed, and libvirt does not know why any more: asking again will tell.
    libvirt.VIR_ERR_OK: Meaning.TRANSIENT,
    libvirt.VIR_ERR_NO_CONNECT: Meaning.SILENT,
    libvirt.VIR_ERR_INVALID_CONN: Meaning.SILENT,
    libvirt.VIR_ERR_RPC: Meaning.SILENT,
    libvirt.VIR_ERR_GNUTLS_ERROR: Meaning.SILENT,
    libvirt.VIR_ERR_AUTH_FAILED: Meaning.SILENT,
    libvirt.VIR_ERR_AUTH_CANCELLED: Meaning.SILENT,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE: Meaning.SILENT,
    libvirt.VIR_ERR_NO_CLIENT: Meaning.SILENT,
    # Another act holds the domain's job lock for more than libvirt's own 30 s.
    libvirt.VIR_ERR_OPERATION_TIMEOUT: Meaning.TRANSIENT,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE: Meaning.TRANSIENT,
    libvirt.VIR_ERR_RESOURCE_BUSY: Meaning.TRANSIENT,
    libvirt.VIR_ERR_NO_MEMORY: Meaning.TRANSIENT,
    libvirt.VIR_ERR_NO_DOMAIN: Meaning.ABSENT,
    libvirt.VIR_ERR_NO_STORAGE_POOL: Meaning.ABSENT,
    libvirt.VIR_ERR_NO_STORAGE_VOL: Meaning.ABSENT,
    libvirt.VIR_ERR_NO_DOMAIN_METADATA: Meaning.ABSENT,
    libvirt.VIR_ERR_NO_SECRET: Meaning.ABSENT,
    libvirt.VIR_ERR_NO_DOMAIN_BACKUP: Meaning.ABSENT,
    libvirt.VIR_ERR_NO_DOMAIN_CHECKPOINT: Meaning.ABSENT,
    libvirt.VIR_ERR_DEVICE_MISSING: Meaning.ABSENT,
    libvirt.VIR_ERR_DOM_EXIST: Meaning.EXISTS,
    libvirt.VIR_ERR_STORAGE_VOL_EXIST: Meaning.EXISTS,
    libvirt.VIR_ERR_OPERATION_INVALID: Meaning.WRONG_STATE,
}

_CLASSES: dict[Meaning, type[StepFailed]] = {
    Meaning.ABSENT: Absent,
    Meaning.EXISTS: AlreadyThere,
    Meaning.WRONG_STATE: WrongState,
}


def translate(error: libvirt.libvirtError, *, alive: bool) -> HostSilent | StepFailed:
    """Our exception for libvirt's. Whatever a dead connection says is silence: the effect is unknown."""
    text = error.get_error_message() or str(error)
    code = error.get_error_code() or libvirt.VIR_ERR_OK
    meaning = MEANINGS.get(code, Meaning.FAILED) if alive else Meaning.SILENT
    if meaning is Meaning.SILENT:
        return HostSilent(text)
    kind = _CLASSES.get(meaning)
    return StepFailed(text, transient=meaning is Meaning.TRANSIENT) if kind is None else kind(text)
