"""What must lie where, recomputed from the database, against what hosts and the image store say.

A file belongs to a volume, an instance, a content, something left for the reaper, or work in progress; and
what the database says is there is there (invariant 22). Work goes on meanwhile, so that a finding counts
only when a second look confirms it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from backend.engine import Engine
from backend.engine.disks import scratch_name
from backend.engine.network_applier import NetworkApplier
from backend.engine.places import moving_name, same_store
from backend.engine.task_steps import TaskAct
from backend.model import (
    AttachState,
    Content,
    Debris,
    Host,
    HostState,
    Instance,
    Task,
    TaskKind,
    Value,
    Volume,
)
from backend.network_model import Nic
from backend.ports import ContentStore, HostDriver, Hosts, HostSilent, StepFailed, StoreFacts

_ASKED = frozenset({HostState.ON, HostState.DISABLED, HostState.MAINTENANCE})
_SECOND_LOOK = 2.0
_IMPORTING = re.compile(r"work/import-[0-9a-f]{16}")
"""What an import without a task has at work; what it leaves when it is killed, the next one removes."""


class Finding(Value, frozen=True, kw_only=True):
    """One difference: ``missing``, ``orphan``, ``temporary``, ``size``, ``disks``, ``interfaces``,
    ``network`` or ``silent``.
    """

    kind: str
    place: str
    name: str
    words: str


class _Known(Value, frozen=True, kw_only=True):
    """What the database says at one moment."""

    hosts: tuple[Host, ...]
    volumes: tuple[Volume, ...]
    instances: tuple[Instance, ...]
    contents: tuple[Content, ...]
    debris: tuple[Debris, ...]
    tasks: tuple[Task, ...]
    nics: tuple[Nic, ...]


class Checker:
    """Looks at everything, for one worker process."""

    def __init__(
        self,
        engine: Engine,
        hosts: Hosts,
        contents: ContentStore,
        network: NetworkApplier,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.engine = engine
        self.hosts = hosts
        self.contents = contents
        self.network = network
        self.wait = wait

    def step(self, act: TaskAct) -> None:
        """The check as a task's only step."""
        found = self.findings()
        act.result = {
            "findings": msgspec.json.encode(found).decode(),
            "count": str(len(found)),
        }

    def findings(self) -> list[Finding]:
        """Differences that two looks have in common."""
        first = list(self._look())
        if not first:
            return []
        self.wait(_SECOND_LOOK)
        second = set(self._look())
        return [finding for finding in first if finding in second]

    def _look(self) -> Iterator[Finding]:
        said = self._ask()  # hosts first: what is recorded after that may be newer, which the next look tells
        known = self._known()
        for host in known.hosts:
            facts = said.get(host.id)
            if facts is None:
                if host.state is not HostState.OFFLINE:
                    yield Finding(kind="silent", place=host.uri, name="", words="The host does not answer.")
                continue
            yield from _store_findings(known, host, facts)
            yield from self._disk_findings(known, host)
        yield from _content_findings(known, self.contents.files())
        yield from self._network_findings()

    def _ask(self) -> dict[str, StoreFacts]:
        said = {}
        for host in self.engine.hosts():
            if host.state not in _ASKED or host.capabilities.get("simulated") == "true":
                continue
            try:
                said[host.id] = self.hosts.driver(host.id, host.uri).monitor()
            except (HostSilent, StepFailed):
                continue
        return said

    def _known(self) -> _Known:
        with self.engine.store.read() as tx:
            every = tx.hosts.all()
            return _Known(
                hosts=tuple(host for host in every if host.capabilities.get("simulated") != "true"),
                volumes=tuple(tx.volumes.all()),
                instances=tuple(item for host in every for item in tx.instances.on_host(host.id)),
                contents=tuple(tx.contents.all()),
                debris=tuple(tx.debris.all()),
                tasks=tuple(task for task in tx.tasks.open() if task.kind is not TaskKind.CHECK),
                nics=tuple(tx.nics.all()),
            )

    def _network_findings(self) -> Iterator[Finding]:
        """In what the network differs from what is drawn."""
        try:
            for line in self.network.differences():
                yield Finding(kind="network", place="network", name="", words=line)
        except (HostSilent, StepFailed) as error:
            yield Finding(kind="silent", place="network", name="", words=str(error))

    def _disk_findings(self, known: _Known, host: Host) -> Iterator[Finding]:
        """What disks and interfaces running domains have, against what is attached."""
        try:
            driver = self.hosts.driver(host.id, host.uri)
            for instance in known.instances:
                if instance.host_id == host.id and instance.detail == "runn" and instance.job_id is None:
                    yield from _plugged_findings(known, host, instance, driver)
                    yield from _interface_findings(known, host, instance, driver)
        except (HostSilent, StepFailed) as error:
            yield Finding(kind="silent", place=host.uri, name="", words=str(error))


def _plugged_findings(known: _Known, host: Host, instance: Instance, driver: HostDriver) -> Iterator[Finding]:
    names = {volume.id for volume in known.volumes}
    have = {target: name for target, name in driver.disks(instance.id).items() if name in names}
    wanted = {
        volume.target: volume.id
        for volume in known.volumes
        if volume.instance_id == instance.id and volume.attach is not AttachState.ATTACHING
    }
    if have != wanted:
        yield Finding(
            kind="disks",
            place=host.uri,
            name=instance.id,
            words=f"plugged: {_listed(have)}; attached: {_listed(wanted)}",
        )


def _interface_findings(
    known: _Known, host: Host, instance: Instance, driver: HostDriver
) -> Iterator[Finding]:
    """What interfaces a running domain has, against those attached; those on their way may be either."""
    mine = [nic for nic in known.nics if nic.instance_id == instance.id]
    wanted = {nic.mac for nic in mine if nic.attach is AttachState.ATTACHED}
    have = driver.nics(instance.id)
    if wanted - have or have - {nic.mac for nic in mine}:
        words = (
            f"plugged: {', '.join(sorted(have)) or 'none'}; attached: {', '.join(sorted(wanted)) or 'none'}"
        )
        yield Finding(kind="interfaces", place=host.uri, name=instance.id, words=words)


def _listed(disks: Mapping[str, str]) -> str:
    return ", ".join(f"{name} as {target}" for target, name in sorted(disks.items())) or "nothing"


def _store_findings(known: _Known, host: Host, facts: StoreFacts) -> Iterator[Finding]:
    sharing = [other for other in known.hosts if same_store(host, other)]
    ids = {other.id for other in sharing}
    here = [volume for volume in known.volumes if volume.host_id in ids]
    living = {instance.id for instance in known.instances if instance.host_id in ids}
    for volume in here:
        if not volume.made:
            continue
        there = facts.volumes.get(volume.id)
        if there is None:
            yield Finding(kind="missing", place=host.uri, name=volume.id, words="The volume is not there.")
        elif there.virtual_bytes < volume.size_bytes:
            words = f"It has {there.virtual_bytes} bytes, and should have {volume.size_bytes}."
            yield Finding(kind="size", place=host.uri, name=volume.id, words=words)
    expected = _expected_names(known, ids, here, living)
    for name in sorted(set(facts.volumes) - expected):
        yield Finding(kind="orphan", place=host.uri, name=name, words="No volume or work has this name.")
    left = {item.instance_id for item in known.debris if item.host_id in ids}
    for name in sorted(facts.instances - living - left):
        yield Finding(kind="orphan", place=host.uri, name=name, words="The instance is not on this host.")
    checksums = {content.checksum for content in known.contents}
    for checksum in sorted(facts.images - checksums):
        yield Finding(kind="orphan", place=host.uri, name=checksum, words="No image has these bytes.")
    if not known.tasks and not any(instance.job_id for instance in known.instances):
        for name in sorted(facts.strays):
            yield Finding(kind="temporary", place=host.uri, name=name, words="Nothing is at work on it.")


def _expected_names(known: _Known, ids: set[str], here: Sequence[Volume], living: set[str]) -> set[str]:
    """Names of volumes, scratch disks and copies that may be on some hosts."""
    names = {volume.id for volume in here} | {scratch_name(instance_id) for instance_id in living}
    names |= {item.instance_id for item in known.debris if item.host_id in ids}
    for task in known.tasks:
        if task.kind is TaskKind.SNAPSHOT_CREATE:
            names.add(task.resource_id)
        if task.kind is TaskKind.VOLUME_ATTACH:
            names |= {task.resource_id, moving_name(task.resource_id)}
    moving = set(_moving(known))
    return names | {moving_name(volume_id) for volume_id in moving} | moving


def _moving(known: _Known) -> Iterator[str]:
    """Volumes on their way to the host of their instance."""
    places = {instance.id: instance.host_id for instance in known.instances}
    for volume in known.volumes:
        there = places.get(volume.instance_id or "")
        if there is not None and there != volume.host_id:
            yield volume.id


def _content_findings(known: _Known, files: frozenset[str]) -> Iterator[Finding]:
    names = {Path(content.path).name: content.checksum for content in known.contents if content.path}
    for name in sorted(set(names) - files):
        yield Finding(
            kind="missing", place="image store", name=names[name], words="The content's file is not there."
        )
    busy = {task.id for task in known.tasks}
    busy |= {moving_name(volume_id) for volume_id in _moving(known)}
    for name in sorted(files - set(names)):
        if not any(each in name for each in busy) and not _IMPORTING.fullmatch(name):
            yield Finding(kind="orphan", place="image store", name=name, words="No image or snapshot is it.")
