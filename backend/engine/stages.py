"""What each stage of a job does on its host: short idempotent acts, each verified by asking again.

A step raises :class:`StepFailed` when the host answered and the effect is verified absent, and lets
:class:`HostSilent` pass when the host could not be asked. It never decides what follows: the life-cycle
table does (:mod:`backend.engine.runner`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence

from backend.engine.disks import SCRATCH_TARGET, by_target, disk_spec, scratch_name
from backend.engine.leaving import ends_with, is_remade
from backend.engine.settings import EngineSettings
from backend.engine.task_steps import STEPS as TASK_STEPS
from backend.engine.task_steps import Interrupted, TaskAct, Tools, bring, make, require_whole
from backend.model import AttachState, Content, Host, HostState, Instance, Job, Placement, Task, Value, Volume
from backend.ports import (
    DiskSpec,
    DomainFacts,
    DomainReason,
    DomainSpec,
    DomainStatus,
    HostDriver,
    HostSilent,
    Seed,
    StepFailed,
    VolumeSpec,
)

CONSOLE_LIMIT = 64 * 1024
_POLL = 1.0
_TIME_TO_RECORD = 10.0
"""Seconds within which what a step came to is surely recorded."""
_PRESSES = (0.0, 0.1, 0.25, 0.5)
"""When the button is pressed, in shares of the patience: a guest that still boots misses the first."""
_ALIVE = frozenset(
    {DomainStatus.RUNNING, DomainStatus.PAUSED, DomainStatus.CRASHED, DomainStatus.PM_SUSPENDED}
)


class Place(Value, frozen=True, kw_only=True):
    """An open placement with its host."""

    placement: Placement
    host: Host


class Act:
    """What a step may use: the instance and its job as recorded, its hosts, the clock, and a way out."""

    def __init__(
        self,
        *,
        instance: Instance,
        job: Job,
        places: Sequence[Place],
        volumes: Sequence[Volume],
        chains: Mapping[str, Sequence[Content]],
        tools: Tools,
        nic_ids: Sequence[str],
        seed: Seed | None,
        settings: EngineSettings,
        clock: Callable[[], float],
        superseded: Callable[[], bool],
        keep_console: Callable[[str, bytes], None],
        task: TaskAct | None = None,
        deferred: Sequence[Task] = (),
    ) -> None:
        self.instance = instance
        self.job = job
        self.places = places
        self.volumes = volumes
        self.chains = chains
        self.tools = tools
        self.nic_ids = nic_ids
        self.seed = seed
        self.settings = settings
        self.clock = clock
        self.task = task
        self.deferred = deferred
        self.superseded = superseded
        self._keep_console = keep_console
        self.debris: list[tuple[str, str, str]] = []
        self.notes: list[str] = []

    @property
    def copies(self) -> dict[str, str]:
        """The hosts of the copies that deferred snapshots are made of, by task."""
        if self.job.stages[self.job.stage] != "epil.done":
            return {}
        dead = {place.host.id for place in self.places if place.host.state is HostState.OFFLINE}
        hosts = {volume.id: volume.host_id for volume in self.volumes if volume.host_id not in dead}
        found = {task.id: hosts.get(task.arguments["volume"]) for task in self.deferred}
        return {task_id: host_id for task_id, host_id in found.items() if host_id is not None}

    @property
    def id(self) -> str:
        """The instance's id."""
        return self.instance.id

    @property
    def place(self) -> Place:
        """The newest open placement: where the instance is."""
        if not self.places:
            raise StepFailed("The instance has no placement.")
        return self.places[-1]

    @property
    def host(self) -> HostDriver:
        """The driver of the instance's host."""
        return self.driver(self.place.host)

    def driver(self, host: Host) -> HostDriver:
        """A host's driver; an administrator's word that the host is dead counts as its testimony (§5.4)."""
        return OFFLINE if host.state is HostState.OFFLINE else self.tools.driver(host)

    def save_console(self, driver: HostDriver) -> None:
        """Keep the console log before its file goes or the guest is forgotten; never a reason to fail."""
        with contextlib.suppress(StepFailed, HostSilent):
            data = driver.console(self.id, CONSOLE_LIMIT)
            if data:
                self._keep_console(self.id, data)


Step = Callable[[Act], None]


# What an instance looks like to a hypervisor ------------------------------------------------------------


def disks_of(act: Act) -> list[DiskSpec]:
    """The disk to boot from, the flavor's scratch disk (§10), and what else is attached."""
    first_boot = act.instance.launched_at is None
    volumes = [
        volume
        for volume in by_target(act.volumes)
        if first_boot or volume.made is False or volume.attach is not AttachState.ATTACHING
    ]
    disks = [disk_spec(volume, act.tools.key(volume)) for volume in volumes]
    if act.instance.ephemeral_gib:
        scratch = DiskSpec(target=SCRATCH_TARGET, name=scratch_name(act.id), serial="ephemeral0")
        disks.insert(min(len(disks), 1), scratch)
    return disks


def domain_uuid(instance_id: str) -> str:
    """The domain's UUID: begins with ``ec2``, by which unmodified cloud images know where they are."""
    digits = instance_id.partition("-")[2].rjust(17, "0")
    text = f"ec2{digits}{hashlib.sha256(instance_id.encode()).hexdigest()[:12]}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def domain_of(act: Act) -> DomainSpec:
    """The domain that the instance is to be, at its current placement."""
    instance = act.instance
    return DomainSpec(
        instance_id=instance.id,
        epoch=act.place.placement.epoch,
        uuid=domain_uuid(instance.id),
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        architecture=instance.architecture,
        share=instance.cpu_share,
        disks=disks_of(act),
        nics=act.tools.network.plugs(instance),
        title=instance.id,
    )


# Prolog and boot ----------------------------------------------------------------------------------------


def _prolog_steps(act: Act) -> list[Step]:
    scratch = [_scratch] if act.instance.ephemeral_gib else []
    return [*(_volume_step(volume) for volume in by_target(act.volumes)), *scratch, _context, _verify_files]


def _volume_step(volume: Volume) -> Step:
    def place(act: Act) -> None:
        if not volume.made:
            make(act.tools, act.host, volume, act.chains.get(volume.content, ()))
            return
        bring(act.tools, volume, act.place.host)
        act.host.ln(volume.id)

    return place


def _scratch(act: Act) -> None:
    act.host.mkimage(VolumeSpec(name=scratch_name(act.id), size_bytes=act.instance.ephemeral_gib << 30))


def _grown_scratch(act: Act) -> None:
    """The scratch disk as large as the size that the instance was given while it was off."""
    if act.instance.ephemeral_gib:
        _scratch(act)
        act.host.resize(scratch_name(act.id), act.instance.ephemeral_gib << 30)


def _context(act: Act) -> None:
    if act.seed is not None:
        act.host.context(act.id, act.seed)


def _verify_files(act: Act) -> None:
    if act.place.host.capabilities.get("simulated") == "true":
        return
    wanted = {"seed"} if act.seed is not None else set()
    wanted |= {SCRATCH_TARGET} if act.instance.ephemeral_gib else set()
    missing = wanted - act.host.files(act.id)
    if missing:
        raise StepFailed(f"Files are missing after the prolog: {', '.join(sorted(missing))}")
    for volume in act.volumes:
        require_whole(act.host, volume)


def _network(act: Act) -> None:
    """Let the network know the interfaces before a guest has them: it is never without its rules."""
    try:
        act.tools.network.follow(act.nic_ids)
    except HostSilent as error:  # it is not the host that is silent: nothing has been started there
        if act.clock() + _TIME_TO_RECORD < act.job.deadline:
            raise
        raise StepFailed(f"The network does not follow: {error}", transient=True) from error
    except StepFailed as error:  # it may be for what somebody else changes just now
        raise StepFailed(f"The network refuses: {error}", transient=True) from error


def _start(act: Act) -> None:
    spec = domain_of(act)
    _tolerate(lambda: act.host.start(spec), lambda: _runs(act))


def _restore(act: Act) -> None:
    if act.instance.checkpoint == "ram":
        _tolerate(lambda: act.host.unpause(act.id), lambda: _runs(act))
        return
    spec = domain_of(act)
    _tolerate(lambda: act.host.restore(spec), lambda: _runs(act))


def _runs(act: Act) -> bool:
    facts = act.host.domain(act.id)
    if facts is not None and facts.reason is DomainReason.STARTING:
        # A daemon that died over it finds it so, and ends it in its own time: it is neither there nor not.
        raise HostSilent("The host has begun the start and not ended it.")
    if facts is None or facts.status is not DomainStatus.RUNNING:
        return False
    return facts.epoch == act.place.placement.epoch


def _tolerate(do: Callable[[], None], proven: Callable[[], bool]) -> None:
    """Act, then ask: only the hypervisor testifies, whatever the act returned."""
    failure: StepFailed | None = None
    try:
        do()
    except StepFailed as error:
        failure = error
    try:
        there = proven()
    except StepFailed as error:  # a question that failed is no testimony that the effect is absent
        raise HostSilent(str(error)) from error
    if not there:
        raise failure or StepFailed("The host accepted the request, but its effect is not there.")


# Stopping -----------------------------------------------------------------------------------------------


def _off(facts: DomainFacts | None) -> bool:
    return facts is None or facts.status not in _ALIVE


def _shutdown(act: Act) -> None:
    """Press the power button now and then, and wait; force it at the end when that was asked."""
    driver = act.host
    if act.job.op == "poweroff_hard":
        _destroy(act)
        return
    presses = _presses(act)
    while not _off(driver.domain(act.id)):
        now = act.clock()
        if now >= act.job.deadline:
            if act.job.force and act.job.op == "poweroff":
                act.notes.append("The guest ignored the shutdown and was powered off.")
                _destroy(act)
                return
            raise StepFailed("The guest ignored the shutdown.")
        if presses and now >= presses[0]:
            driver.shutdown(act.id)
            presses = [time for time in presses if time > now]
        if act.superseded():
            raise Interrupted
        driver.wait(act.id, min(_POLL, max(0.05, act.job.deadline - now)))
    act.save_console(driver)


def _presses(act: Act) -> list[float]:
    """When the button is to be pressed, from the stage's beginning to its deadline."""
    patience = act.job.deadline - act.job.stage_started
    return [act.job.stage_started + patience * share for share in _PRESSES]


def _destroy(act: Act) -> None:
    for place in act.places:
        driver = act.driver(place.host)
        _tolerate(
            lambda driver=driver: driver.destroy(act.id),  # type: ignore[misc]
            lambda driver=driver: _off(driver.domain(act.id)),  # type: ignore[misc]
        )
        act.save_console(driver)


def _undefine(act: Act) -> None:
    for place in act.places:
        driver = act.driver(place.host)
        _tolerate(
            lambda driver=driver: driver.undefine(act.id),  # type: ignore[misc]
            lambda driver=driver: driver.domain(act.id) is None,  # type: ignore[misc]
        )


def _delete_files(act: Act) -> None:
    for place in act.places:
        driver = act.driver(place.host)
        if driver is OFFLINE:  # left for the reaper, should the host ever return
            act.debris.append((place.host.id, "The host is offline.", act.id))
            continue
        _tolerate(
            lambda driver=driver: driver.delete_files(act.id),  # type: ignore[misc]
            lambda driver=driver: not driver.files(act.id),  # type: ignore[misc]
        )


def _copy_deferred(act: Act) -> None:
    """CPDS what a deferred save asked for, now that the disks are at rest and before they go (§4.5)."""
    volumes = {volume.id: volume for volume in act.volumes}
    for task in act.deferred:
        volume = volumes.get(task.arguments["volume"])
        host = act.tools.host(volume.host_id) if volume is not None else None
        if volume is None or host is None:
            continue
        driver = act.driver(host)
        if driver is OFFLINE:
            continue  # its bytes are out of reach, and the end is not to wait for them
        driver.cpds(volume.id, task.resource_id, act.tools.key(volume))
        if driver.volume(task.resource_id) is None:
            raise StepFailed(f"The copy of {volume.id} is not there.", transient=True)


def _delete_volumes(act: Act) -> None:
    """DELETE the volumes that end with the instance, or begin anew, wherever they are."""
    for volume in _ending(act):
        host = act.tools.host(volume.host_id)
        if host is None:
            continue
        driver = act.driver(host)
        if driver is OFFLINE:
            act.debris.append((host.id, "The host is offline.", volume.id))
            continue
        _tolerate(
            lambda driver=driver, volume=volume: driver.delete(volume.id),  # type: ignore[misc]
            lambda driver=driver, volume=volume: driver.volume(volume.id) is None,  # type: ignore[misc]
        )


def _discard_volumes(act: Act) -> None:
    """Like deleting, but what cannot be deleted becomes debris instead of holding the instance (§4.3)."""
    for volume in _ending(act):
        host = act.tools.host(volume.host_id)
        if host is None:
            continue
        try:
            act.driver(host).delete(volume.id)
        except StepFailed as error:
            act.debris.append((host.id, str(error), volume.id))


def _ending(act: Act) -> list[Volume]:
    if act.job.stages[act.job.stage] == "epil.resubmit":
        return [volume for volume in act.volumes if is_remade(act.instance, volume)]
    return [volume for volume in act.volumes if ends_with(volume)]


def _discard_files(act: Act) -> None:
    """Like deleting, but what cannot be deleted becomes debris instead of holding the instance (§4.3)."""
    for place in act.places:
        try:
            act.driver(place.host).delete_files(act.id)
        except StepFailed as error:
            act.debris.append((place.host.id, str(error), act.id))


def _save(act: Act) -> None:
    _tolerate(lambda: act.host.save(act.id), lambda: _saved(act))


def _saved(act: Act) -> bool:
    facts = act.host.domain(act.id)
    if facts is not None and facts.status is DomainStatus.PAUSED:
        act.host.unpause(act.id)  # a failed save may leave the vCPUs stopped
    return facts is not None and facts.status is DomainStatus.OFF and facts.has_checkpoint


# In place -----------------------------------------------------------------------------------------------


def _reboot(act: Act) -> None:
    """Ask the guest to reboot now and then until it was seen; reset it at the end when that was asked."""
    driver = act.host
    presses = _presses(act)
    while not driver.rebooted(act.id, act.job.stage_started):
        now = act.clock()
        if now >= act.job.deadline:
            act.notes.append("The guest did not reboot in time.")
            if act.job.force:
                driver.reset(act.id)
            return
        if act.superseded() or _off(driver.domain(act.id)):
            return
        if presses and now >= presses[0]:
            driver.reboot(act.id)
            presses = [time for time in presses if time > now]
        driver.wait(act.id, _POLL)


def _reset(act: Act) -> None:
    _tolerate(lambda: act.host.reset(act.id), lambda: _runs(act))


def _pause(act: Act) -> None:
    _tolerate(lambda: act.host.pause(act.id), lambda: _paused(act))


def _paused(act: Act) -> bool:
    facts = act.host.domain(act.id)
    return facts is not None and facts.status is DomainStatus.PAUSED


# Disks --------------------------------------------------------------------------------------------------


def _disk_work(act: Act) -> None:
    """One act of the next thing to do to the instance's disks; nothing left is success."""
    if act.task is not None:
        steps = TASK_STEPS[act.task.task.kind]
        steps[min(act.task.task.step, len(steps) - 1)](act.task)


STEPS: Mapping[str, tuple[Step, ...]] = {
    "boot.new": (_network, _start),
    "boot.poff": (_grown_scratch, _context, _network, _start),
    "boot.unkn": (_context, _network, _start),
    "boot.susp": (_network, _restore),
    "shut.done": (_shutdown,),
    "shut.poff": (_shutdown,),
    "shut.cancel": (_destroy,),
    "epil.done": (_destroy, _undefine, _copy_deferred, _delete_files, _delete_volumes),
    "epil.delete": (_destroy, _undefine, _discard_files, _discard_volumes),
    "epil.resubmit": (_destroy, _undefine, _discard_files, _discard_volumes),
    "save.susp": (_save,),
    "hotp@runn": (_disk_work,),
    "hotp@poff": (_disk_work,),
    "hotp@susp.disk": (_disk_work,),
    "runn.reboot": (_reboot,),
    "runn.reset": (_reset,),
    "runn.cold": (_destroy, _network, _start),
    "runn.pause": (_pause,),
}
"""The steps of each stage; those of ``prol.new`` depend on the instance's disks."""


def steps_of(stage: str, act: Act) -> Sequence[Step]:
    """The steps of a stage, always the same for the same instance, so that a step number means something."""
    return _prolog_steps(act) if stage == "prol.new" else STEPS[stage]


class _Offline:
    """The host that an administrator declared dead: nothing runs there, and nothing can be done there."""

    def domain(self, instance_id: str) -> DomainFacts | None:  # noqa: ARG002
        """Nothing is there: the administrator said so."""
        return None

    def destroy(self, instance_id: str) -> None:
        """Proven by the administrator."""

    def undefine(self, instance_id: str) -> None:
        """Proven by the administrator."""

    def files(self, instance_id: str) -> frozenset[str]:  # noqa: ARG002
        """Not reachable any more."""
        return frozenset()

    def disks(self, instance_id: str) -> Mapping[str, str]:  # noqa: ARG002
        """Nothing is there: the administrator said so."""
        return {}

    def console(self, instance_id: str, limit: int) -> bytes:  # noqa: ARG002
        """Nothing can be read."""
        return b""

    def delete_files(self, instance_id: str) -> None:  # noqa: ARG002
        """Left for the reaper, should the host ever return."""
        raise StepFailed("The host is offline.")

    def __getattr__(self, name: str) -> Callable[..., None]:
        def refuse(*_arguments: object) -> None:
            raise StepFailed("The host is offline.")

        return refuse


OFFLINE: HostDriver = _Offline()  # type: ignore[assignment]
