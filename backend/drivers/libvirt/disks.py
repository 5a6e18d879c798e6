"""Disks of a running domain: plugging, unplugging, growing, limits, and copies while the guest goes on.

A disk is known by its target and by the volume whose file it has open, both read from the live definition.
The seed is not among them: it is no volume.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeAlias

import libvirt

from backend.drivers.libvirt.connection import Caller, Wait
from backend.drivers.libvirt.domain_xml import SEED_TARGET, disk_element, encryption, limits
from backend.drivers.libvirt.errors import Absent
from backend.drivers.libvirt.keys import lending
from backend.drivers.libvirt.storage import QCOW2, Storage
from backend.drivers.libvirt.xml import E, Element, parse, text_of
from backend.ports import DiskSpec, HostSilent, StepFailed, VolumeSpec

log = logging.getLogger(__name__)

STALLED_SECONDS: Final = 300.0
"""A copy that makes no progress for so long has failed."""
FIRST_LOOK: Final = 0.02
LAST_LOOK: Final = 1.0
AGENT_SECONDS: Final = 2
"""How long a guest agent has to answer; a guest without one is copied as it is."""
ABORT_SECONDS: Final = 30.0
_LIVE: Final = libvirt.VIR_DOMAIN_AFFECT_LIVE
_UNPLUGGING: Final = ("already in the process of unplug", "rejected by the guest")
"""What QEMU and libvirt say when the guest has been asked before, or says no: both are the guest's affair."""


Lend: TypeAlias = Callable[[], AbstractContextManager[tuple[Caller, libvirt.virDomain]]]
"""Lends a connection and an active domain for a moment; a copy takes longer, and others wait for them."""


class Disks(Protocol):
    """What can be done to the disks of an active domain."""

    def names(self, call: Caller, domain: libvirt.virDomain) -> dict[str, str]:
        """The volumes that an active domain has open, by target."""
        ...

    def attach(self, call: Caller, domain: libvirt.virDomain, disk: DiskSpec) -> None:
        """Plug a disk in; there already is success."""
        ...

    def detach(self, call: Caller, domain: libvirt.virDomain, target: str) -> None:
        """Ask the guest for a disk; absent is success."""
        ...

    def grow(self, call: Caller, domain: libvirt.virDomain, target: str, size_bytes: int) -> None:
        """Make a disk larger; as large already is success."""
        ...

    def limit(self, call: Caller, domain: libvirt.virDomain, disk: DiskSpec) -> None:
        """Set a disk's limits."""
        ...

    def backup(self, lend: Lend, copy: Backup) -> bool:
        """Copy a disk as it is now; whether the copy holds only changes."""
        ...


class Backup:
    """A copy to be made: of which disk, under which name, encrypted by which key, since when."""

    def __init__(self, target: str, name: str, *, key: bytes, mark: str, since: str) -> None:
        self.target = target
        self.name = name
        self.key = key
        self.mark = mark
        self.since = since


class SimulatedDisks:
    """What libvirt's test driver cannot do, remembered: a simulated guest obeys at once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._plugged: dict[str, dict[str, str]] = {}

    def started(self, instance_id: str, disks: Sequence[DiskSpec]) -> None:
        """The disks that a domain was started with."""
        self._plugged[instance_id] = {disk.target: disk.name for disk in disks}

    def names(self, call: Caller, domain: libvirt.virDomain) -> dict[str, str]:
        """What was plugged in and not taken out."""
        return dict(self._of(call, domain))

    def attach(self, call: Caller, domain: libvirt.virDomain, disk: DiskSpec) -> None:
        """Remember it."""
        if not _there(self.names(call, domain), disk):
            self._storage.ln(disk.name)
            self._of(call, domain)[disk.target] = disk.name

    def detach(self, call: Caller, domain: libvirt.virDomain, target: str) -> None:
        """Forget it."""
        self._of(call, domain).pop(target, None)

    def grow(self, call: Caller, domain: libvirt.virDomain, target: str, size_bytes: int) -> None:
        """Remember the size."""
        self._storage.resize(_volume(self.names(call, domain), target), size_bytes)

    def limit(self, call: Caller, domain: libvirt.virDomain, disk: DiskSpec) -> None:
        """Nothing is fast here, and nothing slow."""
        _volume(self.names(call, domain), disk.target)

    def backup(self, lend: Lend, copy: Backup) -> bool:
        """Remember a copy of that size."""
        with lend() as (call, domain):
            volume = _volume(self.names(call, domain), copy.target)
        self._storage.cpds(volume, copy.name, copy.key)
        return False

    def _of(self, call: Caller, domain: libvirt.virDomain) -> dict[str, str]:
        return self._plugged.setdefault(call(Wait.FAST, domain.name), {})


class LiveDisks:
    """Disks of a QEMU guest."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def names(self, call: Caller, domain: libvirt.virDomain) -> dict[str, str]:
        """By the live definition; a disk that is no volume of ours goes by an empty name."""
        return names_in(self._storage, call(Wait.NORMAL, domain.XMLDesc))

    def attach(self, call: Caller, domain: libvirt.virDomain, disk: DiskSpec) -> None:
        """Plug a disk in, and have the guest's controller say so."""
        if _there(self.names(call, domain), disk):
            return
        file = self._storage.layout(call(Wait.FAST, domain.name), [disk]).disks[disk.target]
        with lending(call, [(disk.name, disk.key)]) as act:
            try:
                act(Wait.NORMAL, domain.attachDeviceFlags, text_of(disk_element(disk, file)), _LIVE)
            except StepFailed:
                if self.names(call, domain).get(disk.target) != disk.name:  # else another was faster
                    raise

    def detach(self, call: Caller, domain: libvirt.virDomain, target: str) -> None:
        """Ask once more (see :func:`unplug`).

        What is noted about the disk's changes goes first: it would stay in the file for ever.
        """
        disk = disk_in(call(Wait.NORMAL, domain.XMLDesc), target)
        if disk is None:
            return
        _Marks(call, domain, target).remove(lambda _name: True)
        unplug(call, domain, disk)

    def grow(self, call: Caller, domain: libvirt.virDomain, target: str, size_bytes: int) -> None:
        """The guest's driver is told the new size at once."""
        if call(Wait.NORMAL, domain.blockInfo, target)[0] < size_bytes:
            flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
            call(Wait.NORMAL, domain.blockResize, target, size_bytes, flags)

    def limit(self, call: Caller, domain: libvirt.virDomain, disk: DiskSpec) -> None:
        """Bursts are cleared with the limits: libvirt refuses to lift a limit that has one."""
        tuned = limits(disk)
        bursts = {f"{name}_max": 0 for name in tuned}
        call(Wait.NORMAL, domain.setBlockIoTune, disk.target, tuned | bursts, _LIVE)

    def backup(self, lend: Lend, copy: Backup) -> bool:
        """A push backup to a file that the storage has made, with a checkpoint when changes are to be known.

        An attempt that was interrupted is stopped, and its checkpoint removed, before the next begins.
        """
        with lend() as (call, domain):
            _abort(call, domain)
            size = call(Wait.NORMAL, domain.blockInfo, copy.target)[0]
        path = self._storage.begin_copy(VolumeSpec(name=copy.name, size_bytes=size, key=copy.key))
        with lend() as (call, domain):
            changes = self._begin(call, domain, copy, path)
        try:
            _finish(lend)
        except StepFailed:
            self._storage.drop_copy(copy.name)
            raise
        self._storage.end_copy(copy.name)
        with lend() as (call, domain):
            _Marks(call, domain, copy.target).remove(lambda name: name not in {copy.mark, copy.since})
        return changes

    def _begin(self, call: Caller, domain: libvirt.virDomain, copy: Backup, path: str) -> bool:
        document = call(Wait.NORMAL, domain.XMLDesc)
        disk = disk_in(document, copy.target)
        if disk is None:
            raise StepFailed(f"the domain has no disk {copy.target}")
        marks = _Marks(call, domain, copy.target)
        marks.remove(lambda name: name == copy.mark)
        tracked = _format(disk) == QCOW2
        others = [one for one in _targets(document) if one != copy.target]
        begin = _Begin(copy, path, others, copy.mark if tracked else "")
        return self._start(call, domain, begin, copy.since if copy.since in marks.names() else "")

    def _start(self, call: Caller, domain: libvirt.virDomain, begin: _Begin, since: str) -> bool:
        """Start the copy, of changes if that can be done.

        QEMU may have forgotten in a crash what changed, and a volume may come with a mark of that name from
        another domain: then everything is copied, in the worst case without noting what changes next.
        """
        attempts = dict.fromkeys([(since, begin.mark), ("", begin.mark), ("", "")])
        with lending(call, [(begin.copy.name, begin.copy.key)]) as act, _frozen(call, domain):
            for attempt in attempts:
                documents = begin.backup(attempt[0]), begin.checkpoint(attempt[1])
                try:
                    act(Wait.NORMAL, domain.backupBegin, *documents, _REUSE)
                except StepFailed as error:
                    if attempt == ("", ""):
                        raise
                    log.warning("%s: changes cannot be told: %s", begin.copy.name, error)
                else:
                    return bool(attempt[0])
        raise AssertionError  # the last attempt has returned or raised


_REUSE: Final = libvirt.VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL


class _Begin:
    """The documents that begin a backup of one disk of several."""

    def __init__(self, copy: Backup, path: str, others: Sequence[str], mark: str) -> None:
        self.copy = copy
        self._path = path
        self._others = others
        self.mark = mark

    def backup(self, since: str) -> str:
        """The backup's document."""
        encrypted = encryption(DiskSpec(target=self.copy.target, name=self.copy.name, key=self.copy.key))
        disk = E.disk(
            E.target(*encrypted, file=self._path),
            E.driver(type=QCOW2),
            name=self.copy.target,
            backup="yes",
            type="file",
        )
        return text_of(
            E.domainbackup(
                *([E.incremental(since)] if since else []),
                E.disks(*(E.disk(name=other, backup="no") for other in self._others), disk),
                mode="push",
            )
        )

    def checkpoint(self, mark: str) -> str | None:
        """The document of a checkpoint of that name, when one is wanted."""
        if not mark:
            return None
        disk = E.disk(name=self.copy.target, checkpoint="bitmap")
        others = (E.disk(name=other, checkpoint="no") for other in self._others)
        return text_of(E.domaincheckpoint(E.name(mark), E.disks(*others, disk)))


class _Marks:
    """The checkpoints of a domain that are about one of its disks."""

    def __init__(self, call: Caller, domain: libvirt.virDomain, target: str) -> None:
        self._call = call
        self._target = target
        checkpoints = call(Wait.NORMAL, domain.listAllCheckpoints)
        self._found = {
            name: one
            for one in checkpoints
            if (name := call(Wait.FAST, one.getName)) and self._mine(call(Wait.NORMAL, one.getXMLDesc, _BARE))
        }

    def names(self) -> frozenset[str]:
        """Their names."""
        return frozenset(self._found)

    def remove(self, unwanted: Callable[[str], bool]) -> None:
        """Remove those whose names are unwanted, their bitmaps too if QEMU still has them."""
        for name in [one for one in self._found if unwanted(one)]:
            checkpoint = self._found.pop(name)
            try:
                self._call(Wait.NORMAL, checkpoint.delete)
            except StepFailed as error:
                log.warning("checkpoint %s: %s", name, error)
                with contextlib.suppress(Absent):
                    self._call(Wait.NORMAL, checkpoint.delete, _METADATA)

    def _mine(self, document: str) -> bool:
        disks = parse(document).findall("disks/disk[@checkpoint='bitmap']")
        return self._target in {disk.get("name") for disk in disks}


_BARE: Final = libvirt.VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN
_METADATA: Final = libvirt.VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY


# The copy in progress -----------------------------------------------------------------------------------


def _finish(lend: Lend) -> None:
    """Return when the backup job has ended well. Raises StepFailed when it failed, or stands still."""
    pause, progressed, moved = FIRST_LOOK, -1, time.monotonic()
    while (done := _progress(lend)) is not None:
        if done != progressed:
            progressed, moved = done, time.monotonic()
        elif time.monotonic() - moved > STALLED_SECONDS:
            with lend() as (call, domain):
                _abort(call, domain)
            raise StepFailed("the copy makes no progress", transient=True)
        time.sleep(pause)
        pause = min(pause * 1.5, LAST_LOOK)


def _progress(lend: Lend) -> int | None:
    """How many bytes the backup has done, or None when it has ended well."""
    with lend() as (call, domain):
        stats = call(Wait.NORMAL, domain.jobStats)
        if stats.get("type", libvirt.VIR_DOMAIN_JOB_NONE) != libvirt.VIR_DOMAIN_JOB_NONE:
            return int(stats.get("disk_processed", 0))
        ended = call(Wait.NORMAL, domain.jobStats, libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
    if ended.get("type") != libvirt.VIR_DOMAIN_JOB_COMPLETED or not ended.get("success", True):
        raise StepFailed(f"the copy failed: {ended.get('errmsg', 'it was aborted')}")
    return None


def _abort(call: Caller, domain: libvirt.virDomain) -> None:
    """Stop a backup that goes on, whoever began it; none is success."""
    until = time.monotonic() + ABORT_SECONDS
    while _backup_goes_on(call, domain):
        if time.monotonic() > until:
            raise StepFailed("an earlier copy does not end", transient=True)
        with contextlib.suppress(StepFailed):
            call(Wait.NORMAL, domain.abortJob)
        time.sleep(LAST_LOOK / 10)


def _backup_goes_on(call: Caller, domain: libvirt.virDomain) -> bool:
    try:
        call(Wait.NORMAL, domain.backupGetXMLDesc)
    except Absent:
        return False
    return True


@contextlib.contextmanager
def _frozen(call: Caller, domain: libvirt.virDomain) -> Iterator[None]:
    """Freeze the guest's file systems meanwhile, if an agent is there and answers at once."""
    if not _agent_is_there(call(Wait.NORMAL, domain.XMLDesc)):
        yield
        return
    with contextlib.suppress(StepFailed):
        call(Wait.FAST, domain.agentSetResponseTimeout, AGENT_SECONDS)
        call(Wait.NORMAL, domain.fsFreeze)
    try:
        yield
    finally:
        try:
            call(Wait.NORMAL, domain.fsThaw)
        except (StepFailed, HostSilent) as error:
            log.warning("file systems may still be frozen: %s", error)


def _agent_is_there(document: str) -> bool:
    targets = parse(document).findall("devices/channel/target[@name='org.qemu.guest_agent.0']")
    return any(target.get("state") == "connected" for target in targets)


def unplug(call: Caller, domain: libvirt.virDomain, device: Element) -> None:
    """Ask the guest for a device of its live definition; absent is success.

    libvirt waits 5 s for the guest and then says success, whatever the guest did.
    """
    try:
        call(Wait.NORMAL, domain.detachDeviceFlags, text_of(device), _LIVE)
    except Absent:
        return
    except StepFailed as error:
        if not any(words in str(error) for words in _UNPLUGGING):
            raise


# Documents ----------------------------------------------------------------------------------------------


def names_in(storage: Storage, document: str) -> dict[str, str]:
    """The volumes in a domain's document, by target."""
    found = {}
    for disk in parse(document).findall("devices/disk"):
        target, source = disk.find("target"), disk.find("source")
        if target is not None and target.get("dev") != SEED_TARGET:
            path = source.get("file", "") if source is not None else ""
            found[target.get("dev", "")] = storage.name_of(path)
    return found


def disk_in(document: str, target: str) -> Element | None:
    """The element of one disk of a domain, or None."""
    for disk in parse(document).findall("devices/disk"):
        found = disk.find("target")
        if found is not None and found.get("dev") == target:
            return disk
    return None


def _targets(document: str) -> list[str]:
    found = parse(document).findall("devices/disk/target")
    return [target.get("dev", "") for target in found]


def _format(disk: Element) -> str:
    driver = disk.find("driver")
    return driver.get("type", "") if driver is not None else ""


def _there(names: Mapping[str, str], disk: DiskSpec) -> bool:
    """Whether the disk is plugged in; raises StepFailed when something else is at its place."""
    there = names.get(disk.target)
    if there is not None and there != disk.name:
        raise StepFailed(f"{disk.target} is taken by {there or 'another disk'}")
    return there is not None


def _volume(names: Mapping[str, str], target: str) -> str:
    if target not in names:
        raise StepFailed(f"the domain has no disk {target}")
    return names[target]
