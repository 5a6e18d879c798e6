"""One libvirt host as the engine sees it: :class:`LibvirtHost` implements ``HostDriver``."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import libvirt

from backend.drivers.libvirt.capabilities import TCG, host_facts, probe_acceleration, probe_shares, shares_of
from backend.drivers.libvirt.connection import Caller, Links, Wait
from backend.drivers.libvirt.disks import Backup, Disks, LiveDisks, SimulatedDisks, names_in
from backend.drivers.libvirt.display import picture, press_shift
from backend.drivers.libvirt.domain_xml import PROBE_PREFIX, domain_document, simulated_document
from backend.drivers.libvirt.errors import Absent, WrongState
from backend.drivers.libvirt.events import Happenings
from backend.drivers.libvirt.keys import lending
from backend.drivers.libvirt.nics import LiveNics, Nics, SimulatedNics
from backend.drivers.libvirt.seed import seed_image
from backend.drivers.libvirt.states import status_of
from backend.drivers.libvirt.storage import Storage
from backend.drivers.libvirt.xml import NAMESPACE, Ownership, ownership_of, parse, text_of, usage_of
from backend.drivers.libvirt.xml import ownership as ownership_element
from backend.model import Capacity
from backend.ports import (
    DiskSpec,
    DomainFacts,
    DomainSpec,
    DomainStatus,
    Forward,
    HostFacts,
    Inventory,
    NicSpec,
    NoDisplay,
    Progress,
    Seed,
    StepFailed,
    StoreFacts,
    VolumeFacts,
    VolumeSpec,
    no_progress,
)

log = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 10.0
CHECKPOINT: Final = "checkpoint"
_UNDEFINE_SIMULATED: Final = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
)
_UNDEFINE: Final = (
    _UNDEFINE_SIMULATED | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)


class LibvirtHost:
    """Composes connections, storage and events of one host.

    ``acceleration`` is ``auto`` (probe), ``kvm`` or ``tcg`` by the operator's word. ``own_sandbox``: its
    libvirt leaves the sandboxing of QEMU to us.
    """

    def __init__(
        self,
        *,
        links: Links,
        storage: Storage,
        happenings: Happenings,
        simulated: bool,
        acceleration: str = "auto",
        own_sandbox: bool = False,
        capabilities: dict[str, str] | None = None,
    ) -> None:
        self._links = links
        self._storage = storage
        self._happenings = happenings
        self._simulated = (SimulatedDisks(storage), SimulatedNics()) if simulated else None
        self._disks, self._nics = self._simulated or _live(storage)
        self._wanted_acceleration = acceleration
        self._own_sandbox = own_sandbox
        self._capabilities = capabilities or {}
        self._probed: tuple[int, str, str] | None = None
        self._shares: tuple[int, int] | None = None
        self._probing = threading.Lock()

    # Host -----------------------------------------------------------------------------------------------

    def ensure(self) -> None:
        """Have a connection, or raise HostSilent. Once connected, reconnection is by itself."""
        self._links.connect()

    def facts(self) -> HostFacts:
        """Probe the host; the first time on a daemon a guest may be run for some seconds."""
        with self._links.working() as call:
            acceleration, found = self._acceleration(call)
            shares = self._usual_shares(call)
            weighs = {"cpu_shares": str(shares)} if shares else {}
            return host_facts(
                call,
                self._storage,
                simulated=self._simulated is not None,
                acceleration=acceleration,
                capabilities=self._capabilities | {"kvm": found} | weighs | self._chassis(call),
            )

    def inventory(self) -> Inventory:
        """All domains with our metadata, in one listing; what others use is summed."""
        with self._links.reading() as call:
            generation = self._links.generation
            domains, foreign = call(Wait.NORMAL, _read_inventory, call.connection)
            settled = generation == self._links.generation and (
                self._links.in_process or self._links.age >= SETTLE_SECONDS
            )
        return Inventory(domains={one.instance_id: one for one in domains}, foreign=foreign, settled=settled)

    def domain(self, instance_id: str) -> DomainFacts | None:
        """State and reason now, or None when the host says it has no such domain of ours."""
        with self._links.reading() as call:
            try:
                domain = call(Wait.FAST, call.connection.lookupByName, instance_id)
                return call(Wait.FAST, _read_domain, domain)
            except Absent:
                return None

    def close(self) -> None:
        """Let go of connections; guests live on."""
        self._links.close()

    # Transfer manager -----------------------------------------------------------------------------------

    def clone(self, volume: VolumeSpec) -> None:
        """CLONE."""
        self._storage.clone(volume)

    def mkimage(self, volume: VolumeSpec, filesystem: str = "") -> None:
        """MKIMAGE."""
        self._storage.mkimage(volume, filesystem)

    def mkswap(self, volume: VolumeSpec) -> None:
        """MKSWAP."""
        self._storage.mkswap(volume)

    def ln(self, name: str) -> None:
        """LN."""
        self._storage.ln(name)

    def context(self, instance_id: str, seed: Seed) -> None:
        """CONTEXT."""
        self._storage.context(instance_id, seed_image(seed))

    def delete(self, name: str) -> None:
        """DELETE a volume or copy."""
        self._storage.delete(name)

    def delete_files(self, instance_id: str) -> None:
        """DELETE scratch disks, seed and console log, and the checkpoint that libvirt keeps."""
        with self._links.working() as call:
            domain = self._find(call, instance_id)
            if domain is not None:
                _drop_checkpoint(call, domain)
        self._storage.delete_files(instance_id)

    def cpds(self, name: str, copy: str, key: bytes = b"") -> None:
        """CPDS of a volume at rest."""
        self._storage.cpds(name, copy, key)

    def backup(
        self, instance_id: str, target: str, copy: str, *, mark: str = "", since: str = "", key: bytes = b""
    ) -> bool:
        """CPDS of a running domain's disk; a raw disk's copies always hold everything."""

        @contextlib.contextmanager
        def lend() -> Iterator[tuple[Caller, libvirt.virDomain]]:
            with self._links.working() as call:
                yield call, self._active(call, instance_id)

        return self._disks.backup(lend, Backup(target, copy, key=key, mark=mark, since=since))

    def fetch(self, name: str, path: str, progress: Progress = no_progress) -> None:
        """MV, first half."""
        self._storage.fetch(name, path, progress)

    def put(self, volume: VolumeSpec, path: str, form: str, progress: Progress = no_progress) -> None:
        """MV, second half."""
        self._storage.put(volume, path, form, progress)

    def revert(self, volume: VolumeSpec) -> None:
        """SNAP_REVERT."""
        self._storage.revert(volume)

    def resize(self, name: str, size_bytes: int, key: bytes = b"") -> None:
        """RESIZE of a volume at rest."""
        self._storage.resize(name, size_bytes, key)

    def grow(self, instance_id: str, target: str, size_bytes: int) -> None:
        """RESIZE of a running domain's disk."""
        with self._links.working() as call:
            self._disks.grow(call, self._active(call, instance_id), target, size_bytes)

    def limit(self, instance_id: str, disk: DiskSpec) -> None:
        """Set a running domain's disk's limits."""
        with self._links.working() as call:
            self._disks.limit(call, self._active(call, instance_id), disk)

    def weigh(self, instance_id: str, share: int) -> None:
        """Set an active domain's share of processor time."""
        with self._links.working() as call, contextlib.suppress(Absent, WrongState):
            self._weigh(call, self._active(call, instance_id), share)

    def monitor(self) -> StoreFacts:
        """MONITOR."""
        return self._storage.monitor()

    def volume(self, name: str) -> VolumeFacts | None:
        """One volume or copy."""
        return self._storage.volume(name)

    def files(self, instance_id: str) -> frozenset[str]:
        """What of the instance's own is there."""
        facts = self.domain(instance_id)
        checkpoint = {CHECKPOINT} if facts is not None and facts.has_checkpoint else set()
        return self._storage.files(instance_id) | checkpoint

    def forget_image(self, checksum: str) -> bool:
        """Remove an image from the host's cache unless a volume refers to it."""
        return self._storage.forget_image(checksum)

    # Domain ---------------------------------------------------------------------------------------------

    def start(self, domain: DomainSpec) -> None:
        """Define anew and boot, unless active; a checkpoint is dropped, never restored."""
        with self._links.working() as call:
            if not self._active_already(call, domain):
                ours = self._define(call, domain)
                _drop_checkpoint(call, ours)
                flags = 0 if self._simulated else libvirt.VIR_DOMAIN_START_FORCE_BOOT
                self._create(call, ours, domain, flags, Wait.START)
            self._connect(call, domain)

    def restore(self, domain: DomainSpec) -> None:
        """Go on from the checkpoint, unless active; libvirt removes it when the guest runs."""
        with self._links.working() as call:
            if not self._active_already(call, domain):
                ours = self._find(call, domain.instance_id)
                if ours is None or not call(Wait.FAST, ours.hasManagedSaveImage):
                    raise StepFailed(f"{domain.instance_id} has no checkpoint on this host")
                if not self._simulated:
                    self._renew_checkpoint(call, ours, domain)
                ours = self._define(call, domain)
                self._create(call, ours, domain, 0, Wait.SLOW)
            self._connect(call, domain, restored=True)

    def disks(self, instance_id: str) -> Mapping[str, str]:
        """The volumes that an active domain has open, scratch disks included; none when it is off."""
        with self._links.reading() as call:
            domain = self._find(call, instance_id)
            if domain is None or not call(Wait.FAST, domain.isActive):
                return {}
            return self._disks.names(call, domain)

    def attach(self, instance_id: str, disk: DiskSpec) -> None:
        """Plug a disk in, live; the definition for the next start is made anew then."""
        with self._links.working() as call:
            self._disks.attach(call, self._active(call, instance_id), disk)

    def detach(self, instance_id: str, target: str) -> None:
        """Ask the guest for a disk; a domain that is off has none."""
        with self._links.working() as call, contextlib.suppress(Absent, WrongState):
            self._disks.detach(call, self._active(call, instance_id), target)

    def nics(self, instance_id: str) -> frozenset[str]:
        """The MACs of an active domain's interfaces; none when it is off."""
        with self._links.reading() as call:
            domain = self._find(call, instance_id)
            if domain is None or not call(Wait.FAST, domain.isActive):
                return frozenset()
            return self._nics.macs(call, domain)

    def attach_nic(self, instance_id: str, nic: NicSpec) -> None:
        """Plug an interface in, live; the definition for the next start is made anew then."""
        with self._links.working() as call:
            self._nics.attach(call, self._active(call, instance_id), nic)

    def detach_nic(self, instance_id: str, nic: NicSpec) -> None:
        """Ask the guest for an interface; a domain that is off has none."""
        with self._links.working() as call, contextlib.suppress(Absent, WrongState):
            self._nics.detach(call, self._active(call, instance_id), nic)

    def update_nic(self, instance_id: str, nic: NicSpec) -> None:
        """Make link and forwards agree; a domain that is off has neither."""
        with self._links.working() as call, contextlib.suppress(Absent, WrongState):
            self._nics.update(call, self._active(call, instance_id), nic)

    def forwards(self, instance_id: str) -> Mapping[int, frozenset[Forward]]:
        """What leads to an active domain, by interface; nothing when it is off."""
        with self._links.working() as call, contextlib.suppress(Absent, WrongState):
            return self._nics.forwards(call, self._active(call, instance_id))
        return {}

    def shutdown(self, instance_id: str) -> None:
        """Press the power button; a domain that is off needs no pressing."""
        with self._links.working() as call, contextlib.suppress(WrongState):
            domain = self._active(call, instance_id)
            if self._simulated:
                call(Wait.NORMAL, domain.shutdown)
            else:
                call(Wait.NORMAL, domain.shutdownFlags, libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)

    def destroy(self, instance_id: str) -> None:
        """Power off hard."""
        with self._links.working() as call, contextlib.suppress(Absent):
            domain = self._find(call, instance_id)
            if domain is None or not call(Wait.FAST, domain.isActive):
                return
            try:
                call(Wait.NORMAL, domain.destroy)
            except StepFailed:
                if call(Wait.FAST, domain.isActive):  # else it went by itself meanwhile
                    raise

    def undefine(self, instance_id: str) -> None:
        """Remove the definition and all that libvirt keeps with it; refuses while the domain is active."""
        with self._links.working() as call, contextlib.suppress(Absent):
            domain = self._find(call, instance_id)
            if domain is None:
                return
            if call(Wait.FAST, domain.isActive):
                raise StepFailed(f"{instance_id} is still active")
            call(Wait.NORMAL, domain.undefineFlags, _UNDEFINE_SIMULATED if self._simulated else _UNDEFINE)
        self._happenings.forget(instance_id)

    def reboot(self, instance_id: str) -> None:
        """Ask the guest to go down and start again, by the power button."""
        with self._links.working() as call:
            domain = self._active(call, instance_id)
            if self._simulated:
                call(Wait.NORMAL, domain.reboot)
                self._happenings.note(instance_id, reboot=True)
            else:
                call(Wait.NORMAL, domain.reboot, libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)

    def reset(self, instance_id: str) -> None:
        """Reset the CPUs."""
        with self._links.working() as call:
            call(Wait.NORMAL, self._active(call, instance_id).reset)
            if self._simulated:
                self._happenings.note(instance_id, reboot=True)

    def pause(self, instance_id: str) -> None:
        """Stop the vCPUs unless they are stopped."""
        self._toggle(instance_id, DomainStatus.PAUSED, lambda domain: domain.suspend)

    def unpause(self, instance_id: str) -> None:
        """Let the vCPUs run unless they do."""
        self._toggle(instance_id, DomainStatus.RUNNING, lambda domain: domain.resume)

    def save(self, instance_id: str) -> None:
        """Write the checkpoint, to run on when restored; a domain that is saved already is left so."""
        with self._links.working() as call:
            domain = self._present(call, instance_id)
            if call(Wait.FAST, domain.isActive):
                call(Wait.SLOW, domain.managedSave, libvirt.VIR_DOMAIN_SAVE_RUNNING)
            elif not call(Wait.FAST, domain.hasManagedSaveImage):
                raise StepFailed(f"{instance_id} is off and has no checkpoint")

    # Console and events ---------------------------------------------------------------------------------

    def console(self, instance_id: str, limit: int) -> bytes:
        """The last bytes of the console's log."""
        return self._storage.console(instance_id, limit)

    def display(self, instance_id: str, *, wake: bool = False) -> bytes:
        """A picture of the first display; a simulated domain has none."""
        with self._links.reading() as call:
            domain = self._active(call, instance_id)
            if self._simulated:
                raise NoDisplay(f"{instance_id} is simulated")
            if wake:
                call(Wait.NORMAL, press_shift, domain)
            try:
                return call(Wait.NORMAL, picture, domain)
            except WrongState as error:
                if call(Wait.FAST, domain.isActive):  # defined before guests had displays
                    raise NoDisplay(str(error)) from error
                raise

    def wait(self, instance_id: str, seconds: float) -> None:
        """Return when something happened since the last wait, or after so many seconds."""
        self._happenings.wait(instance_id, seconds)

    def rebooted(self, instance_id: str, since: float) -> bool:
        """Whether a reboot event came since then."""
        return self._happenings.rebooted(instance_id, since)

    # Inside ---------------------------------------------------------------------------------------------

    def _acceleration(self, call: Caller) -> tuple[str, str]:
        """The acceleration and how it was found, probed once for each connection generation."""
        if self._simulated:
            return TCG, "simulated"
        if self._wanted_acceleration != "auto":
            return self._wanted_acceleration, "set by the operator"
        generation = self._links.generation
        with self._probing:
            if self._probed is None or self._probed[0] != generation:
                self._probed = (generation, *probe_acceleration(call, self._storage))
            return self._probed[1], self._probed[2]

    def _usual_shares(self, call: Caller) -> int:
        """What the host calls the share of a domain that has none of its own; 0 where it weighs none."""
        if self._simulated:
            return 0
        generation = self._links.generation
        with self._probing:
            if self._shares is None or self._shares[0] != generation:
                self._shares = (generation, probe_shares(call, self._storage))
            return self._shares[1]

    def _weigh(self, call: Caller, domain: libvirt.virDomain, share: int) -> None:
        """Weigh a domain at run time: its checkpoint then has its share, too."""
        usual = self._usual_shares(call)
        if usual:
            parameters = {"cpu_shares": shares_of(share, usual)}
            call(
                Wait.NORMAL,
                domain.setSchedulerParametersFlags,
                parameters,
                libvirt.VIR_DOMAIN_AFFECT_LIVE,
            )

    def _find(self, call: Caller, instance_id: str) -> libvirt.virDomain | None:
        """The domain, if it exists and our metadata says that it is this instance."""
        try:
            domain = call(Wait.FAST, call.connection.lookupByName, instance_id)
        except Absent:
            return None
        owner = call(Wait.FAST, _owner, domain)
        return domain if owner is not None and owner.instance_id == instance_id else None

    def _present(self, call: Caller, instance_id: str) -> libvirt.virDomain:
        domain = self._find(call, instance_id)
        if domain is None:
            raise Absent(f"no domain {instance_id}")
        return domain

    def _active(self, call: Caller, instance_id: str) -> libvirt.virDomain:
        domain = self._present(call, instance_id)
        if not call(Wait.FAST, domain.isActive):
            raise WrongState(f"{instance_id} is off")
        return domain

    def _active_already(self, call: Caller, spec: DomainSpec) -> bool:
        """Whether it runs under the same permit; a copy under another one is not touched."""
        domain = self._find(call, spec.instance_id)
        if domain is None or not call(Wait.FAST, domain.isActive):
            return False
        owner = call(Wait.FAST, _owner, domain)
        if owner is not None and owner.epoch != spec.epoch:
            raise StepFailed(f"{spec.instance_id} is active with epoch {owner.epoch}, not {spec.epoch}")
        return True

    def _define(self, call: Caller, spec: DomainSpec) -> libvirt.virDomain:
        if self._simulated:
            for disk in spec.disks:
                self._storage.ln(disk.name)
            return call(Wait.NORMAL, call.connection.defineXML, simulated_document(spec))
        acceleration, _ = self._acceleration(call)
        layout = self._storage.layout(spec.instance_id, spec.disks)
        document = domain_document(spec, layout, acceleration=acceleration, own_sandbox=self._own_sandbox)
        return call(Wait.NORMAL, call.connection.defineXMLFlags, document, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)

    def _create(
        self, call: Caller, domain: libvirt.virDomain, spec: DomainSpec, flags: int, wait: Wait
    ) -> None:
        if self._simulated is not None:
            disks, nics = self._simulated
            disks.started(spec.instance_id, spec.disks)
            nics.started(spec.instance_id, spec.nics)
        with lending(call, [(disk.name, disk.key) for disk in spec.disks]) as act:
            try:
                act(wait, domain.createWithFlags, flags)
            except StepFailed:
                if not call(Wait.FAST, domain.isActive):  # else another thread was faster
                    raise

    def _connect(self, call: Caller, spec: DomainSpec, *, restored: bool = False) -> None:
        """Links, forwards and share of a domain that has just started: what changes at run time is set at run
        time. One that wakes up has the share that it fell asleep with.

        A port of the host may be taken by something else; a guest runs without it, and who compares what is
        forwarded with what should be will find it.
        """
        for nic in spec.nics:
            try:
                self._nics.update(call, self._active(call, spec.instance_id), nic)
            except StepFailed as error:
                log.warning("%s: %s", spec.instance_id, error)
        if spec.share or restored:
            try:
                self._weigh(call, self._active(call, spec.instance_id), spec.share)
            except StepFailed as error:
                log.warning("%s: %s", spec.instance_id, error)

    def _chassis(self, call: Caller) -> dict[str, str]:
        """The name by which a network knows a host that several can share; a simulated one has no packets."""
        if self._simulated or self._links.in_process:
            return {}
        return {"chassis": call(Wait.FAST, call.connection.getHostname)}

    def _renew_checkpoint(self, call: Caller, domain: libvirt.virDomain, spec: DomainSpec) -> None:
        """Give the definition inside the checkpoint today's epoch; the guest would wake with an old one.

        The guest in it has its disks open: it is not to find others, or one that is somebody else's by now.
        """
        document = call(Wait.NORMAL, domain.managedSaveGetXMLDesc, libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
        if names_in(self._storage, document) != {disk.target: disk.name for disk in spec.disks}:
            raise StepFailed(f"the checkpoint of {spec.instance_id} was made with other disks")
        if (owner := ownership_of(document)) is not None and owner.epoch == spec.epoch:
            return
        root = parse(document)
        for metadata in root.findall("metadata"):
            for old in metadata.findall(f"{{{NAMESPACE}}}instance"):
                metadata.replace(old, ownership_element(spec.instance_id, spec.epoch))
        call(Wait.NORMAL, domain.managedSaveDefineXML, text_of(root), libvirt.VIR_DOMAIN_SAVE_RUNNING)

    def _toggle(
        self,
        instance_id: str,
        wanted: DomainStatus,
        method: Callable[[libvirt.virDomain], Callable[[], int]],
    ) -> None:
        with self._links.working() as call:
            domain = self._active(call, instance_id)
            if _status(call, domain) is wanted:
                return
            try:
                call(Wait.NORMAL, method(domain))
            except WrongState:
                if _status(call, domain) is not wanted:
                    raise


def _live(storage: Storage) -> tuple[Disks, Nics]:
    return LiveDisks(storage), LiveNics()


def _status(call: Caller, domain: libvirt.virDomain) -> DomainStatus:
    state, reason = call(Wait.FAST, domain.state)[:2]
    return status_of(state, reason)[0]


def _drop_checkpoint(call: Caller, domain: libvirt.virDomain) -> None:
    if call(Wait.FAST, domain.hasManagedSaveImage):
        call(Wait.NORMAL, domain.managedSaveRemove)


def _owner(domain: libvirt.virDomain) -> Ownership | None:
    try:
        document = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise
    return ownership_of(document)


def _read_domain(domain: libvirt.virDomain) -> DomainFacts | None:
    owner = _owner(domain)
    if owner is None or domain.name() != owner.instance_id:
        return None  # a copy that somebody made takes the metadata along: it testifies for nobody
    state, reason = domain.state()[:2]
    status, why = status_of(state, reason)
    return DomainFacts(
        instance_id=owner.instance_id,
        epoch=owner.epoch,
        status=status,
        reason=why,
        has_checkpoint=bool(domain.hasManagedSaveImage()),
    )


def _read_inventory(connection: libvirt.virConnect) -> tuple[list[DomainFacts], Capacity]:
    """Every domain, in one thread and under one deadline: nothing is changed, so nothing can be half done."""
    ours: list[DomainFacts] = []
    foreign = Capacity()
    for domain in connection.listAllDomains():
        with _tolerating_departure():
            facts = _read_domain(domain)
            if facts is not None:
                ours.append(facts)
            elif domain.isActive() and not domain.name().startswith(PROBE_PREFIX):
                foreign = foreign.plus(usage_of(domain.XMLDesc()))
    return ours, foreign


@contextlib.contextmanager
def _tolerating_departure() -> Iterator[None]:
    """A domain may go between the listing and the look at it."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
