"""What storage work does on hosts and in the image store: short acts, each of which may be repeated.

As in :mod:`backend.engine.stages`: :class:`StepFailed` when the host answered and the effect is verified
absent, :class:`HostSilent` when it could not be asked.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from backend.engine.disks import disk_spec, source_of, volume_spec
from backend.engine.network_applier import NetworkApplier
from backend.engine.places import moving_name, same_store
from backend.errors import BackendError
from backend.model import (
    Content,
    Host,
    HostState,
    Image,
    Instance,
    Snapshot,
    Task,
    TaskKind,
    Volume,
)
from backend.ports import (
    ContentStore,
    DomainStatus,
    HostDriver,
    HostSilent,
    StepFailed,
    VolumeSpec,
)

_log = logging.getLogger(__name__)
_ASK_AGAIN = 10.0
"""Seconds after which a guest is asked once more to let go of a disk."""
_TELL_EVERY = 1.0


class Tools:
    """What acts on volumes may use: hosts, the image store, and short records on the way.

    ``moved`` commits that a volume's bytes are on another host now; ``tidied`` that what it left there is
    gone. ``tell`` commits a progress in percent.
    """

    def __init__(
        self,
        *,
        driver: Callable[[Host], HostDriver],
        host: Callable[[str | None], Host | None],
        contents: ContentStore,
        key: Callable[[Volume], bytes],
        moved: Callable[[Volume, str, Sequence[str]], None],
        tidied: Callable[[str, str], None],
        littered: Callable[[str, str], bool],
        network: NetworkApplier,
        tell: Callable[[int], None] = lambda _percent: None,
    ) -> None:
        self.driver = driver
        self.host = host
        self.contents = contents
        self.key = key
        self.moved = moved
        self.tidied = tidied
        self.littered = littered
        self.network = network
        self._tell = tell
        self._told_at = 0.0

    def place_of(self, volume: Volume) -> Host:
        """The host that has a volume's bytes."""
        host = self.host(volume.host_id)
        if host is None:
            raise StepFailed(f"The volume {volume.id} is on no host.")
        return host

    def progress(self, first: int, last: int) -> Callable[[int, int], None]:
        """A callback for bytes that are done, told as percent between two."""

        def told(done: int, size: int) -> None:
            now = time.monotonic()
            if now - self._told_at >= _TELL_EVERY:
                self._told_at = now
                try:
                    self._tell(first + (last - first) * done // max(size, 1))
                except Exception:  # what is told is for show: the work itself goes on
                    _log.info("a progress was not recorded", exc_info=True)

        return told


class TaskAct:
    """One step of a task: what it is about, as recorded, and where."""

    def __init__(
        self,
        *,
        task: Task,
        tools: Tools,
        clock: Callable[[], float],
        volume: Volume | None = None,
        snapshot: Snapshot | None = None,
        image: Image | None = None,
        chain: Sequence[Content] = (),
        instance: Instance | None = None,
        host: Host | None = None,
        running: bool = False,
        superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        self.task = task
        self.tools = tools
        self.clock = clock
        self.volume = volume
        self.snapshot = snapshot
        self.image = image
        self.chain = chain
        self.instance = instance
        self.host = host
        self.running = running
        self.superseded = superseded
        self.content: Content | None = None
        self.incremental = False
        self.grown = False
        self.result: dict[str, str] = {}

    @property
    def disk(self) -> Volume:
        """The volume that the task is about."""
        if self.volume is None:
            raise StepFailed("The volume is not there any more.")
        return self.volume

    @property
    def home(self) -> HostDriver:
        """The driver of the host that has the volume's bytes."""
        return self.tools.driver(self.tools.place_of(self.disk))


class GuestKeeps(Exception):  # noqa: N818 - it says what the guest does
    """The guest was asked to let go of a disk, and did not in time."""


class SourceSilent(HostSilent):
    """The host that has a volume's bytes does not answer; that says nothing of the host of its instance."""


class Interrupted(Exception):  # noqa: N818 - not an error: a more urgent job took over
    """The instance's job was superseded while a step waited."""


Step = Callable[[TaskAct], None]


# Moving -------------------------------------------------------------------------------------------------


def bring(tools: Tools, volume: Volume, to: Host) -> None:
    """MV: have a volume's bytes on a host. Copied, verified, recorded; only then the old ones go."""
    if volume.host_id == to.id:
        return
    source = tools.place_of(volume)
    if same_store(source, to):
        tools.moved(volume, to.id, ())
        return
    copy = scratch = moving_name(volume.id)
    if tools.littered(volume.id, to.id) or tools.littered(copy, source.id):
        raise StepFailed(f"An older copy of {volume.id} is still being removed.", transient=True)
    old, new = tools.driver(source), tools.driver(to)
    key = tools.key(volume)
    try:
        form = _fetched(tools, old, volume, copy)
    except HostSilent as error:
        raise SourceSilent(str(error)) from error
    spec = VolumeSpec(name=volume.id, size_bytes=volume.size_bytes, key=key)
    new.put(spec, tools.contents.scratch(scratch), form, tools.progress(50, 100))
    require_whole(new, volume)
    tools.moved(volume, to.id, (volume.id, copy))
    tools.contents.drop(scratch)
    for name in (volume.id, copy):
        with contextlib.suppress(StepFailed, HostSilent):  # else the reaper does it
            old.delete(name)
            tools.tidied(name, source.id)


def _fetched(tools: Tools, old: HostDriver, volume: Volume, copy: str) -> str:
    """Bring a copy of a volume into the store's scratch; answers its format."""
    old.cpds(volume.id, copy, tools.key(volume))
    facts = old.volume(copy)
    if facts is None:
        raise StepFailed(f"The copy of {volume.id} is not there.", transient=True)
    tools.contents.drop(copy)
    old.fetch(copy, tools.contents.scratch(copy), tools.progress(0, 50))
    return facts.format


def require_whole(driver: HostDriver, volume: Volume) -> None:
    """Verify that a volume is there, as large as it is to be."""
    facts = driver.volume(volume.id)
    if facts is None or facts.virtual_bytes < volume.size_bytes:
        raise StepFailed(f"The volume {volume.id} is not there as it should be.")


def make(tools: Tools, driver: HostDriver, volume: Volume, chain: Sequence[Content]) -> None:
    """CLONE or MKIMAGE: a volume as it begins."""
    if volume.content and not chain:
        raise StepFailed(f"What the volume {volume.id} is to be made of is not there any more.")
    spec = volume_spec(volume, chain, tools.key(volume))
    if chain:
        driver.clone(spec)
    else:
        driver.mkimage(spec)
    require_whole(driver, volume)


# Volumes ------------------------------------------------------------------------------------------------


def _create(act: TaskAct) -> None:
    make(act.tools, act.home, act.disk, act.chain)


def _delete(act: TaskAct) -> None:
    if act.disk.host_id is None:
        return
    place = act.tools.place_of(act.disk)
    if place.state is HostState.OFFLINE:
        return  # left for the reaper, should the host ever return
    driver = act.tools.driver(place)
    driver.delete(act.disk.id)
    if driver.volume(act.disk.id) is not None:
        raise StepFailed(f"The volume {act.disk.id} is still there.", transient=True)


def _require_plugged(act: TaskAct, driver: HostDriver) -> None:
    """Verify that the volume is the disk of the running domain that its record says."""
    there = driver.disks(act.instance.id) if act.instance is not None else {}
    if there.get(act.disk.target) != act.disk.id:
        raise StepFailed(f"The instance does not have {act.disk.id} as its disk now.", transient=True)


def _resize(act: TaskAct) -> None:
    volume = act.disk
    driver = act.home
    if act.running and act.instance is not None:
        _require_plugged(act, driver)
        driver.grow(act.instance.id, volume.target, volume.size_bytes)
        require_whole(driver, volume)
        act.grown = True
        driver.limit(act.instance.id, disk_spec(volume, act.tools.key(volume)))
    else:
        driver.resize(volume.id, volume.size_bytes, act.tools.key(volume))
        require_whole(driver, volume)


def _revert(act: TaskAct) -> None:
    if act.running:
        raise StepFailed("The instance of the volume runs.")
    if not act.chain:
        raise StepFailed("The snapshot is not there any more.")
    spec = VolumeSpec(
        name=act.disk.id,
        size_bytes=act.disk.size_bytes,
        source=source_of(act.chain, act.disk.id),
        key=act.tools.key(act.disk),
    )
    act.home.revert(spec)
    require_whole(act.home, act.disk)


def _plug(act: TaskAct) -> None:
    if act.host is None or act.instance is None:
        raise StepFailed("The instance has no host.")
    volume = act.disk
    try:
        bring(act.tools, volume, act.host)
    except SourceSilent as error:  # the instance is well, and is not to wait for another host
        raise StepFailed(f"The host of the volume does not answer: {error}", transient=True) from error
    driver = act.tools.driver(act.host)
    if not act.running:
        driver.ln(volume.id)
        return
    try:
        driver.attach(act.instance.id, disk_spec(volume, act.tools.key(volume)))
    except StepFailed:
        if driver.disks(act.instance.id).get(volume.target) != volume.id:
            raise
    if driver.disks(act.instance.id).get(volume.target) != volume.id:
        raise StepFailed("The host accepted the disk, but it is not there.")


def _unplug(act: TaskAct) -> None:
    """Ask the guest, again and again; at the deadline it keeps the disk. None if it is off."""
    if act.host is None or act.instance is None or not act.running:
        return
    volume, driver, asked = act.disk, act.tools.driver(act.host), -_ASK_AGAIN
    while driver.disks(act.instance.id).get(volume.target) == volume.id:
        facts = driver.domain(act.instance.id)
        if facts is None or facts.status is DomainStatus.OFF:
            return  # a crashed one still holds its files
        now = act.clock()
        if now >= act.task.deadline:
            raise GuestKeeps
        if now - asked >= _ASK_AGAIN:
            driver.detach(act.instance.id, volume.target)
            asked = now
            continue
        if act.superseded():
            raise Interrupted
        driver.wait(act.instance.id, min(1.0, max(0.05, act.task.deadline - now)))


def _plug_nic(act: TaskAct) -> None:
    if act.instance is None:
        raise StepFailed("The instance is not there any more.")
    try:
        act.tools.network.follow([act.task.resource_id])
    except HostSilent as error:  # the instance's host is well
        raise StepFailed(f"The network does not follow: {error}", transient=True) from error
    except StepFailed as error:
        raise StepFailed(f"The network refuses: {error}", transient=True) from error
    if act.host is None or not act.running:
        return
    driver, nic = act.tools.driver(act.host), act.tools.network.plug(act.task.resource_id)
    try:
        driver.attach_nic(act.instance.id, nic)
    except StepFailed:
        if nic.mac not in _plugged(driver, act.instance.id):
            raise
    if nic.mac not in _plugged(driver, act.instance.id):
        raise StepFailed("The host accepted the interface, but it is not there.")


def _plugged(driver: HostDriver, instance_id: str) -> frozenset[str]:
    """What a domain has, asked until that is known: neither plugged nor unplugged may be said by guess."""
    try:
        return driver.nics(instance_id)
    except StepFailed as error:
        raise StepFailed(str(error), transient=True) from error


def _unplug_nic(act: TaskAct) -> None:
    """Ask the guest; one that keeps the interface until the deadline has it on."""
    if act.host is None or act.instance is None or not act.running:
        return
    driver, nic = act.tools.driver(act.host), act.tools.network.plug(act.task.resource_id)
    asked, refused = -_ASK_AGAIN, ""
    while nic.mac in _plugged(driver, act.instance.id):
        facts = driver.domain(act.instance.id)
        if facts is None or facts.status is DomainStatus.OFF:
            return
        now = act.clock()
        if now >= act.task.deadline:
            raise StepFailed(refused or "The guest does not let go of the interface.")
        if now - asked >= _ASK_AGAIN:
            asked, refused = now, ""
            try:
                driver.detach_nic(act.instance.id, nic)
            except StepFailed as error:  # the guest may have been asked all the same, and let go later
                refused = str(error)
            continue
        if act.superseded():
            raise Interrupted
        driver.wait(act.instance.id, min(1.0, max(0.05, act.task.deadline - now)))


# Snapshots ----------------------------------------------------------------------------------------------


def _copy(act: TaskAct) -> None:
    """The volume as it is now, under the snapshot's name on the same host."""
    volume, name = act.disk, act.task.resource_id
    if act.running and act.instance is not None and act.host is not None:
        driver = act.tools.driver(act.host)
        _require_plugged(act, driver)
        since = volume.last_snapshot if act.chain else ""
        act.incremental = driver.backup(
            act.instance.id, volume.target, name, mark=name, since=since, key=act.tools.key(volume)
        )
        return
    act.home.cpds(volume.id, name, act.tools.key(volume))


def _copy_host(act: TaskAct) -> HostDriver:
    host = act.tools.host(act.task.arguments.get("host"))
    if host is None:
        raise StepFailed("The host with the copy is not known any more.")
    return act.tools.driver(host)


def _fetch(act: TaskAct) -> None:
    driver = _copy_host(act)
    if driver.volume(act.task.resource_id) is None:
        raise StepFailed("The copy on the host is not there any more.")
    act.tools.contents.drop(act.task.id)
    driver.fetch(act.task.resource_id, act.tools.contents.scratch(act.task.id), act.tools.progress(10, 90))


def _take(act: TaskAct) -> None:
    """Keep what was fetched; a repetition after the file went into the store fetches it again."""
    facts = _copy_host(act).volume(act.task.resource_id)
    if facts is None:
        raise StepFailed("The copy on the host is not there any more.")
    if act.task.arguments.get("parent") and not (act.chain and all(each.path for each in act.chain)):
        raise StepFailed("What the copy tells the difference to is not there any more.")
    try:
        act.content = act.tools.contents.take(
            act.task.id,
            form=facts.format,
            parent=act.chain[0] if act.chain else None,
            encrypted=act.snapshot is not None and act.snapshot.encrypted,
        )
    except FileNotFoundError:
        _fetch(act)
        raise StepFailed("The copy had to be fetched again.", transient=True) from None


def _drop_copy(act: TaskAct) -> None:
    act.tools.contents.drop(act.task.id)
    _copy_host(act).delete(act.task.resource_id)


# Import and export --------------------------------------------------------------------------------------


def _import(act: TaskAct) -> None:
    try:
        act.content = act.tools.contents.bring(
            act.task.id,
            act.task.arguments["location"],
            act.task.arguments.get("form", ""),
            act.tools.progress(0, 100),
        )
    except BackendError as error:
        raise StepFailed(error.message) from error


def _tidy(act: TaskAct) -> None:
    act.tools.contents.drop(act.task.id)


def _export(act: TaskAct) -> None:
    if not act.chain:
        raise StepFailed("The image's bytes are not there any more.")
    try:
        act.tools.contents.export(
            act.chain[0],
            act.chain[1:],
            act.task.arguments["form"],
            act.task.arguments["path"],
            act.tools.progress(0, 100),
        )
    except BackendError as error:
        raise StepFailed(error.message) from error


STEPS: Mapping[TaskKind, tuple[Step, ...]] = {
    TaskKind.VOLUME_CREATE: (_create,),
    TaskKind.VOLUME_DELETE: (_delete,),
    TaskKind.VOLUME_MODIFY: (_resize,),
    TaskKind.VOLUME_REVERT: (_revert,),
    TaskKind.VOLUME_ATTACH: (_plug,),
    TaskKind.VOLUME_DETACH: (_unplug,),
    TaskKind.SNAPSHOT_CREATE: (_copy, _fetch, _take, _drop_copy),
    TaskKind.IMAGE_IMPORT: (_import, _tidy),
    TaskKind.SNAPSHOT_IMPORT: (_import, _tidy),
    TaskKind.IMAGE_EXPORT: (_export,),
    TaskKind.NIC_ATTACH: (_plug_nic,),
    TaskKind.NIC_DETACH: (_unplug_nic,),
}
"""The acts of each kind of task, in their order."""
