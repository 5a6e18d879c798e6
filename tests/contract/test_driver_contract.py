"""What every host driver must do: in memory, on libvirt's test driver, embedded QEMU, and a daemon over TCP."""

from __future__ import annotations

import contextlib
import gc
import http.server
import io
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from libvirt_hosts import (
    LibvirtDaemon,
    daemon_possible,
    guest_image,
    kill_embedded_guests,
    libvirt_daemon,
    remove_link_to,
)
from ovn_lab import OvnLab, lab_possible, ovn_lab
from PIL import Image

from backend.drivers.libvirt import capabilities
from backend.drivers.libvirt.connection import WORKERS, Link, Pool, Reach
from backend.drivers.libvirt.hosts import QEMU_CONF, LibvirtHosts, kind_of, parts_of
from backend.drivers.libvirt.local_storage import LocalStorage
from backend.drivers.libvirt.nic_xml import port_name
from backend.drivers.libvirt.pool_storage import PoolStorage
from backend.drivers.libvirt.qcow2 import read_qcow2
from backend.drivers.libvirt.threads import Threads
from backend.drivers.memory import Guest, MemoryHost
from backend.images.jpeg import jpeg_of
from backend.model import new_id, uuid_of
from backend.ports import (
    DiskSpec,
    DomainReason,
    DomainSpec,
    DomainStatus,
    Forward,
    HostDriver,
    HostSilent,
    ImageSource,
    NicSpec,
    NoDisplay,
    Seed,
    StepFailed,
    VolumeSpec,
)

KINDS = [
    "simulated",
    pytest.param("embedded", marks=pytest.mark.qemu),
    pytest.param("daemon", marks=pytest.mark.qemu),
]
REAL = KINDS[1:]
GIB = 1 << 30
MIB = 1 << 20
KEY = b"a key that nobody guesses"


class World(SimpleNamespace):
    """A host under test: its driver, and ways around it."""

    driver: HostDriver
    uri: str
    real: bool
    domain: Callable[[str], object]
    kill_guest: Callable[[str], None]
    disk: Callable[[str], Path]


# Hosts ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def hosts() -> LibvirtHosts:
    return LibvirtHosts()


@pytest.fixture(scope="session")
def daemon(tmp_path_factory) -> Iterator[LibvirtDaemon]:
    if not daemon_possible():
        pytest.skip("a private libvirt daemon needs root")
    with libvirt_daemon(tmp_path_factory.mktemp("daemon")) as running:
        yield running


@pytest.fixture
def world(request, hosts) -> World:
    kind = request.param
    if kind == "memory":
        return World(driver=MemoryHost(), uri="memory:x", real=False)
    if kind == "simulated":
        uri = "test:///default?cpus=8&memory_gib=16&disk_gib=100"
    elif kind == "embedded":
        root = request.getfixturevalue("embedded_root")
        uri = f"qemu:///embed?root={root}"
    else:
        daemon = request.getfixturevalue("daemon")
        uri = daemon.uri
    driver = hosts.driver(f"host-{kind}", uri)

    def domain(instance_id: str):
        """The domain behind the driver's back (a simulated host has no other way in)."""
        with driver._links.working() as call:
            return call.connection.lookupByName(instance_id)

    def kill_guest(instance_id: str) -> None:
        daemon.kill_guests() if kind == "daemon" else kill_embedded_guests(root)

    def disk(name: str) -> Path:
        """A volume's file, seen from outside of the daemon's namespace."""
        path = Path(driver._storage.path_of(name))
        return daemon.home / path.relative_to("/") if kind == "daemon" else path

    return World(
        driver=driver, uri=uri, real=kind != "simulated", domain=domain, kill_guest=kill_guest, disk=disk
    )


every_driver = pytest.mark.parametrize("world", ["memory", *KINDS], indirect=True)
every_host = pytest.mark.parametrize("world", KINDS, indirect=True)
real_host = pytest.mark.parametrize("world", REAL, indirect=True)
daemon_host = pytest.mark.parametrize("world", KINDS[2:], indirect=True)
simulated_host = pytest.mark.parametrize("world", KINDS[:1], indirect=True)


def a_disk(target: str, **more: object) -> DiskSpec:
    """A disk with a volume of its own; the serial is as the engine chooses it."""
    name = new_id("vol")
    return DiskSpec(target=target, name=name, serial=name.replace("-", ""), **more)


def a_nic(index: int = 0, **more: object) -> NicSpec:
    """An interface on a user network, as a network driver would have it."""
    wanted = {
        "address": "172.31.9.77",
        "cidr": "172.31.0.0/20",
        "guest_address": "172.31.9.77",
        "guest_cidr": "168.0.0.0/5",
    }
    mac = f"02:00:00:00:00:{index + 1:02x}"
    return NicSpec(id=new_id("eni"), index=index, mac=mac, **(wanted | more))


def seed_of(meta_data: str = "", user_data: bytes = b"") -> Seed:
    return Seed(label="cidata", files={"meta-data": meta_data.encode(), "user-data": user_data})


def volume_of(disk: DiskSpec, size_bytes: int = GIB, source: ImageSource | None = None) -> VolumeSpec:
    return VolumeSpec(name=disk.name, size_bytes=size_bytes, source=source, key=disk.key)


@pytest.fixture
def spec(world) -> Iterator[DomainSpec]:
    instance_id = new_id("i")
    found = DomainSpec(
        instance_id=instance_id,
        epoch=1,
        uuid=uuid_of(instance_id),
        vcpus=1,
        memory_mib=64,
        architecture="x86_64",
        disks=[a_disk("vda")],
        nics=[a_nic()],
        title="contract",
    )
    yield found
    world.driver.destroy(instance_id)
    world.driver.undefine(instance_id)
    world.driver.delete_files(instance_id)
    world.driver.delete(found.disks[0].name)


@pytest.fixture
def guest(world, spec) -> DomainSpec:
    """A started instance with an empty disk: it ends in the BIOS, halted."""
    world.driver.mkimage(volume_of(spec.disks[0]))
    world.driver.start(spec)
    return spec


@pytest.fixture
def more(world) -> Iterator[Callable[..., DiskSpec]]:
    """Makes volumes to plug in."""
    made: list[DiskSpec] = []

    def make(target: str, size_bytes: int = 64 * MIB, **arguments: object) -> DiskSpec:
        made.append(a_disk(target, **arguments))
        world.driver.mkimage(volume_of(made[-1], size_bytes))
        return made[-1]

    yield make
    for disk in made:
        world.driver.delete(disk.name)


@pytest.fixture(scope="session")
def image() -> ImageSource:
    path = guest_image()
    return ImageSource(
        image_id="ami-0123456789abcdef0",
        path=str(path),
        format="qcow2",
        checksum="sha256:0123456789abcdef",
        size_bytes=path.stat().st_size,
        virtual_bytes=read_qcow2(path).virtual_bytes,
    )


def until(true: Callable[[], object], seconds: float = 90.0) -> object:
    """The first true value; the deadline only ends a test that would never end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := true():
            return value
        time.sleep(0.1)
    pytest.fail("it did not happen")


def status(world: World, instance_id: str) -> tuple[DomainStatus, DomainReason] | None:
    facts = world.driver.domain(instance_id)
    return None if facts is None else (facts.status, facts.reason)


# Every host -------------------------------------------------------------------------------------------------


@every_host
def test_facts_say_what_the_host_is(world):
    facts = world.driver.facts()
    assert facts.simulated is not world.real
    assert facts.architecture == "x86_64"
    assert facts.acceleration in {"kvm", "tcg"}
    assert facts.capabilities["kvm"]
    assert facts.total.cpu > 0
    assert facts.total.memory_mib > 0
    assert facts.total.disk_gib > 0


@every_driver
def test_an_unknown_instance_is_absent_and_may_be_taken_away_again_and_again(world):
    stranger = new_id("i")
    assert world.driver.domain(stranger) is None
    assert world.driver.files(stranger) == frozenset()
    assert world.driver.console(stranger, 1000) == b""
    for _ in range(2):
        world.driver.destroy(stranger)
        world.driver.undefine(stranger)
        world.driver.delete_files(stranger)
        assert world.driver.forget_image("sha256:feed")
        world.driver.delete(stranger)
        world.driver.detach(stranger, "vdc")
    assert world.driver.disks(stranger) == {}
    assert world.driver.volume(stranger) is None
    for act in (world.driver.pause, world.driver.save, world.driver.reset):
        with pytest.raises(StepFailed):
            act(stranger)


@every_driver
def test_each_act_may_be_repeated(world, spec):
    driver, name = world.driver, spec.instance_id
    scratch = DiskSpec(target="vdb", name=f"{name}.vdb")
    spec = msgspec.structs.replace(spec, disks=[*spec.disks, scratch])
    for _ in range(2):
        for disk in spec.disks:
            driver.mkimage(volume_of(disk))
        driver.context(name, seed_of("instance-id: x\n"))
    assert driver.files(name) == {"vdb", "seed"}
    for _ in range(2):
        driver.start(spec)
        facts = driver.domain(name)
        assert (facts.instance_id, facts.epoch, facts.status) == (name, 1, DomainStatus.RUNNING)
        assert driver.disks(name) == {disk.target: disk.name for disk in spec.disks}
    for _ in range(2):
        driver.pause(name)
        assert status(world, name) == (DomainStatus.PAUSED, DomainReason.USER)
    for _ in range(2):
        driver.unpause(name)
        assert status(world, name)[0] is DomainStatus.RUNNING
    for _ in range(2):
        driver.save(name)
        assert status(world, name) == (DomainStatus.OFF, DomainReason.SAVED)
        assert "checkpoint" in driver.files(name)
    for _ in range(2):
        driver.restore(spec)
        assert status(world, name)[0] is DomainStatus.RUNNING
        assert not driver.domain(name).has_checkpoint
    for _ in range(2):
        driver.destroy(name)
        assert status(world, name) == (DomainStatus.OFF, DomainReason.DESTROYED)
    for _ in range(2):
        driver.undefine(name)
        assert driver.domain(name) is None
    for _ in range(2):
        driver.delete_files(name)
        assert driver.files(name) == frozenset()
    assert driver.volume(spec.disks[0].name).virtual_bytes == GIB


@every_driver
def test_an_active_domain_is_not_undefined(world, guest):
    with pytest.raises(StepFailed):
        world.driver.undefine(guest.instance_id)
    assert world.driver.domain(guest.instance_id).status is DomainStatus.RUNNING


@every_host
def test_start_never_restores_and_writes_the_new_epoch(world, guest):
    world.driver.save(guest.instance_id)
    assert world.driver.domain(guest.instance_id).has_checkpoint
    world.driver.start(msgspec.structs.replace(guest, epoch=2, memory_mib=80))
    facts = world.driver.domain(guest.instance_id)
    assert (facts.status, facts.epoch, facts.has_checkpoint) == (DomainStatus.RUNNING, 2, False)
    assert world.domain(guest.instance_id).info()[1] == 80 * 1024


@every_host
def test_restore_wakes_under_the_new_epoch(world, guest):
    world.driver.save(guest.instance_id)
    world.driver.restore(msgspec.structs.replace(guest, epoch=9))
    facts = world.driver.domain(guest.instance_id)
    assert (facts.status, facts.epoch, facts.has_checkpoint) == (DomainStatus.RUNNING, 9, False)


@every_driver
def test_restore_without_a_checkpoint_fails_and_starts_nothing(world, guest):
    world.driver.destroy(guest.instance_id)
    with pytest.raises(StepFailed):
        world.driver.restore(guest)
    assert world.driver.domain(guest.instance_id).status is DomainStatus.OFF


@every_driver
def test_a_copy_under_another_epoch_is_not_taken_for_ours(world, guest):
    with pytest.raises(StepFailed, match="epoch"):
        world.driver.start(msgspec.structs.replace(guest, epoch=2))
    assert world.driver.domain(guest.instance_id).epoch == 1


@every_driver
def test_a_checkpoint_goes_with_the_files(world, guest):
    world.driver.save(guest.instance_id)
    world.driver.delete_files(guest.instance_id)
    assert world.driver.files(guest.instance_id) == frozenset()


@every_driver
def test_what_is_off_cannot_be_paused_or_saved(world, guest):
    world.driver.destroy(guest.instance_id)
    for act in (world.driver.pause, world.driver.unpause, world.driver.save, world.driver.reset):
        with pytest.raises(StepFailed):
            act(guest.instance_id)
    world.driver.shutdown(guest.instance_id)


@every_driver
def test_many_starts_at_once_make_one_domain(world, spec):
    world.driver.mkimage(volume_of(spec.disks[0]))
    failures = []

    def start():
        try:
            world.driver.start(spec)
        except StepFailed as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert world.driver.domain(spec.instance_id).status is DomainStatus.RUNNING


@every_host
def test_the_inventory_counts_ours_and_what_others_use(world, guest):
    before = world.driver.inventory()
    assert before.domains[guest.instance_id] == world.driver.domain(guest.instance_id)
    kind = "qemu" if world.real else "test"
    with world.driver._links.working() as call:
        stranger = call.connection.createXML(
            f"<domain type='{kind}'><name>somebody-elses</name><memory unit='MiB'>96</memory><vcpu>2</vcpu>"
            "<os><type>hvm</type></os></domain>",
            1 if world.real else 0,  # VIR_DOMAIN_START_PAUSED
        )
    try:
        after = world.driver.inventory()
        assert "somebody-elses" not in after.domains
        assert after.foreign.cpu - before.foreign.cpu == 200
        assert after.foreign.memory_mib - before.foreign.memory_mib == 96
        world.driver.destroy("somebody-elses")
        assert stranger.isActive()
        assert world.driver.domain("somebody-elses") is None
    finally:
        stranger.destroy()


@every_host
@pytest.mark.timeout(200)
def test_a_wait_ends_when_something_happens_and_hints_are_told(world, guest, hosts):
    hints = []
    hosts.watch(hints.append)
    threading.Timer(0.3, lambda: world.domain(guest.instance_id).suspend()).start()
    while status(world, guest.instance_id) != (DomainStatus.PAUSED, DomainReason.USER):
        world.driver.wait(guest.instance_id, 1000)  # a late hint of the start ends one, too; never a time-out
    until(lambda: any(hint.instance_id == guest.instance_id for hint in hints))


@every_host
def test_what_strangers_do_is_seen(world, guest):
    name = guest.instance_id
    world.domain(name).destroy()
    assert status(world, name) == (DomainStatus.OFF, DomainReason.DESTROYED)
    world.domain(name).create()
    assert status(world, name)[0] is DomainStatus.RUNNING
    world.domain(name).managedSave()
    assert status(world, name) == (DomainStatus.OFF, DomainReason.SAVED)
    world.driver.undefine(name)
    assert world.driver.domain(name) is None


@every_host
def test_a_reset_is_a_reboot(world, guest):
    since = time.time()
    world.driver.reset(guest.instance_id)
    until(lambda: world.driver.rebooted(guest.instance_id, since))
    assert not world.driver.rebooted(guest.instance_id, time.time() + 60)


@every_host
def test_failed_calls_leave_no_garbage(world, guest):
    """libvirt objects in reference cycles are freed by the collector, which resets the thread's last error."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert world.driver.domain("i-00000000000000000") is None
            with pytest.raises(StepFailed):
                world.driver.pause("i-00000000000000000")
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [one for one in gc.garbage if type(one).__module__ in {"libvirt", "concurrent.futures._base"}]
        assert left == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


# Simulated hosts --------------------------------------------------------------------------------------------


@simulated_host
def test_a_simulated_guest_obeys_at_once(world, guest):
    since = time.time()
    world.driver.reboot(guest.instance_id)
    assert world.driver.rebooted(guest.instance_id, since)
    world.driver.shutdown(guest.instance_id)
    assert status(world, guest.instance_id) == (DomainStatus.OFF, DomainReason.GUEST_SHUTDOWN)


@simulated_host
def test_simulated_hosts_have_states_and_sizes_of_their_own(world, guest, hosts):
    other = hosts.driver("host-other", "test:///default?cpus=2&memory_gib=3&disk_gib=7")
    assert other.domain(guest.instance_id) is None
    total = other.facts().total
    assert (total.cpu, total.memory_mib, total.disk_gib) == (200, 3072, 7)
    assert world.driver.facts().total.cpu == 800
    hosts.forget("host-other")


# Real disks and guests --------------------------------------------------------------------------------------


@daemon_host
@pytest.mark.timeout(200)
def test_more_launches_than_connections_get_through(world, image):
    """Each takes its connections one after another, never one while it holds one."""
    specs = [
        DomainSpec(
            instance_id=new_id("i"), epoch=1, uuid=str(uuid.uuid4()), vcpus=1, memory_mib=32,
            architecture="x86_64", disks=[a_disk("vda")],
        )
        for _ in range(WORKERS + 3)
    ]  # fmt: skip
    failures = []

    def launch(spec):
        try:
            world.driver.clone(volume_of(spec.disks[0], source=image))
            world.driver.start(spec)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=launch, args=(spec,)) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [world.driver.domain(spec.instance_id) for spec in specs]
    for spec in specs:
        world.driver.destroy(spec.instance_id)
        world.driver.undefine(spec.instance_id)
        world.driver.delete_files(spec.instance_id)
        world.driver.delete(spec.disks[0].name)
    assert failures == []
    assert {facts.status for facts in states} == {DomainStatus.RUNNING}


@real_host
@pytest.mark.timeout(200)
def test_probes_at_the_same_time_do_not_disturb_each_other(world):
    found = []

    def probe():
        with world.driver._links.working() as call:
            found.append(capabilities._boots(call, world.driver._storage.probe_disk(), "tcg"))

    threads = [threading.Thread(target=probe) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 3
    with world.driver._links.working() as call:
        names = [domain.name() for domain in call.connection.listAllDomains()]
        assert [name for name in names if "probe" in name] == []
        left = capabilities.probe_document("isthmus-probe-tcg-1000000000-ab", "/nowhere", acceleration="tcg")
        call.connection.defineXML(left)  # by a worker that died long ago
        capabilities._remove_left_over(call)
        assert not any("probe" in domain.name() for domain in call.connection.listAllDomains())


@every_host
def test_a_copy_of_a_domain_testifies_for_nobody(world, guest):
    """Somebody clones one of ours, and its metadata with it."""
    original = world.domain(guest.instance_id)
    document = original.XMLDesc().replace(f"<name>{guest.instance_id}<", "<name>copy<")
    document = document.replace(original.UUIDString(), str(uuid.uuid4()))
    with world.driver._links.working() as call:
        copy = call.connection.defineXML(document)
    try:
        facts = world.driver.inventory().domains[guest.instance_id]
        assert facts.status is DomainStatus.RUNNING
    finally:
        copy.undefine()


@real_host
def test_a_killed_guest_is_off_and_crashed(world, guest):
    world.kill_guest(guest.instance_id)
    until(lambda: status(world, guest.instance_id) == (DomainStatus.OFF, DomainReason.CRASHED))
    world.driver.start(guest)
    assert status(world, guest.instance_id)[0] is DomainStatus.RUNNING


TRESPASSER = b"""#!/bin/sh
for place in 172.31.0.1:@PORT@ 172.31.0.2:@PORT@ @HOST@:@PORT@ 127.100.0.1:@PORT@ 169.254.169.254:80; do
    answer=$(printf 'hello\\n' | timeout 3 nc "${place%:*}" "${place#*:}" 2>/dev/null)
    echo "tried $place: [$answer]"
done
echo tried all
"""


def ready(world: World, spec: DomainSpec, boots: int) -> dict:
    """The guest's own report of its boot number so much, from the console."""

    def found():
        said = world.driver.console(spec.instance_id, 65536).decode(errors="replace")
        for line in said.splitlines(keepends=True):
            if "isthmus-guest: ready " in line and line.endswith("\n"):  # else it is still being said
                report = msgspec.json.decode(line.partition("ready ")[2])
                if report["boots"] == boots:
                    return report
        return None

    return until(found, 180)


def weight(world: World, instance_id: str) -> int:
    """A running domain's share of processor time as the host counts it."""
    if isinstance(world.driver, MemoryHost):
        return world.driver.shares[instance_id]
    return int(world.domain(instance_id).schedulerParameters()["cpu_shares"])


@pytest.mark.parametrize("world", ["memory", *REAL], indirect=True)
def test_a_share_of_processor_time_counts_from_the_start_while_it_runs_and_after_a_restore(world, guest):
    driver, name = world.driver, guest.instance_id
    usual = int(driver.facts().capabilities.get("cpu_shares", "0"))
    if not usual and world.real:  # it weighs nobody: guests run all the same
        driver.weigh(name, 300)
        driver.destroy(name)
        driver.start(msgspec.structs.replace(guest, share=50))
        assert status(world, name) == (DomainStatus.RUNNING, DomainReason.UNKNOWN)
        return
    assert (usual in {1024, 100}) is world.real

    def counted(share: int) -> int:
        return share * usual // 100 if usual else share

    usually = weight(world, name)
    driver.weigh(name, 300)
    assert weight(world, name) == counted(300) != usually
    driver.save(name)
    driver.weigh(name, 1)  # nobody to be weighed
    driver.restore(msgspec.structs.replace(guest, share=50))
    assert weight(world, name) == counted(50)
    driver.weigh(name, 0)
    assert weight(world, name) == usually
    driver.destroy(name)
    driver.start(msgspec.structs.replace(guest, share=200))
    assert weight(world, name) == counted(200)


@real_host
def test_a_real_guest_from_boot_to_power_off(world, spec, image, listener):
    driver, name = world.driver, spec.instance_id
    spec = msgspec.structs.replace(
        spec,
        memory_mib=192,
    )
    script = TRESPASSER.replace(b"@PORT@", b"%d" % listener.port).replace(
        b"@HOST@", listener.address.encode()
    )
    driver.clone(volume_of(spec.disks[0], 2 * GIB, image))
    driver.context(name, seed_of(f"instance-id: {name}\nlocal-hostname: alpha\n", script))
    driver.start(spec)
    report = ready(world, spec, 1)
    assert (report["instance_id"], report["hostname"], report["source"]) == (name, "alpha", "nocloud")
    assert report["ip"] == "172.31.9.77"
    assert report["disks"]["vda"] == {"size": 2 * GIB, "serial": spec.disks[0].serial}

    words = driver.console(name, 65536).decode(errors="replace")
    assert words.count("]") >= 5
    assert "tried 172.31.0.1" in words
    assert "tried all" in words
    assert listener.visitors == []
    assert all(line.rstrip().endswith("[]") for line in words.splitlines() if "tried 1" in line)
    assert driver.console(name, 10) == driver.console(name, 65536)[-10:]

    since = time.time()
    driver.reboot(name)
    ready(world, spec, 2)
    assert driver.rebooted(name, since)

    driver.save(name)
    driver.restore(spec)
    driver.shutdown(name)
    until(lambda: status(world, name) == (DomainStatus.OFF, DomainReason.GUEST_SHUTDOWN))
    words = driver.console(name, 65536).decode(errors="replace")
    assert words.count("isthmus-guest: power button") == 2
    assert '"boots":3' not in words


@real_host
def test_the_display_of_a_real_guest_shows_what_its_bios_says(world, guest):
    """Both ends of a picture: text is bright on black."""

    def seen(**more: bool) -> tuple[int, int]:
        with Image.open(io.BytesIO(jpeg_of(world.driver.display(guest.instance_id, **more)))) as picture:
            assert picture.format == "JPEG"
            assert (640, 350) <= picture.size <= (1280, 1024)
            return picture.convert("L").getextrema()

    until(lambda: seen()[1] > 100)
    assert seen(wake=True)[0] < 20


@simulated_host
def test_a_simulated_guest_has_no_display(world, guest):
    with pytest.raises(NoDisplay):
        world.driver.display(guest.instance_id)


@every_driver
def test_what_is_off_shows_nothing(world, guest):
    world.driver.destroy(guest.instance_id)
    with pytest.raises(StepFailed) as caught:
        world.driver.display(guest.instance_id)
    assert not isinstance(caught.value, NoDisplay)


@real_host
def test_a_guest_that_powers_itself_off(world, spec, image):
    spec = msgspec.structs.replace(spec, memory_mib=192)
    world.driver.clone(volume_of(spec.disks[0], source=image))
    world.driver.context(spec.instance_id, seed_of(user_data=b"#!/bin/sh\nsync\npoweroff -f\n"))
    world.driver.start(spec)
    until(lambda: status(world, spec.instance_id) == (DomainStatus.OFF, DomainReason.GUEST_SHUTDOWN), 180)


# Disks that come and go -------------------------------------------------------------------------------------


@every_driver
def test_a_missing_disk_starts_nothing(world, spec):
    with pytest.raises(StepFailed):
        world.driver.start(spec)
    assert world.driver.domain(spec.instance_id) is None


@every_driver
def test_disks_are_plugged_in_once_and_belong_to_the_checkpoint(world, guest, more):
    driver, name = world.driver, guest.instance_id
    disk = more("vdf")
    for _ in range(2):
        driver.attach(name, disk)
        assert driver.disks(name) == {"vda": guest.disks[0].name, "vdf": disk.name}
    with pytest.raises(StepFailed, match="taken"):
        driver.attach(name, more("vdf"))
    driver.save(name)
    assert driver.disks(name) == {}
    if world.real:
        with pytest.raises(StepFailed, match="other disks"):
            driver.restore(guest)
        assert driver.domain(name).has_checkpoint
    driver.restore(msgspec.structs.replace(guest, disks=[*guest.disks, disk]))
    assert set(driver.disks(name)) == {"vda", "vdf"}
    driver.destroy(name)
    assert driver.disks(name) == {}
    with pytest.raises(StepFailed):
        driver.attach(name, disk)
    driver.detach(name, "vdf")


@every_driver
def test_a_disk_that_is_not_there_cannot_be_plugged_in_or_grown(world, guest):
    driver, name = world.driver, guest.instance_id
    with pytest.raises(StepFailed):
        driver.attach(name, a_disk("vdf"))
    with pytest.raises(StepFailed):
        driver.grow(name, "vdf", GIB)
    with pytest.raises(StepFailed):
        driver.backup(name, "vdf", "snap-0")
    driver.detach(name, "vdf")
    assert set(driver.disks(name)) == {"vda"}


@every_driver
def test_a_running_disk_grows_and_never_shrinks(world, guest):
    driver, disk = world.driver, guest.disks[0]
    for size in (2 * GIB, 2 * GIB, GIB):
        driver.grow(guest.instance_id, "vda", size)
        assert driver.volume(disk.name).virtual_bytes == 2 * GIB


def test_in_memory_a_guest_may_keep_a_disk_and_let_go_later():
    host = MemoryHost()
    disk = a_disk("vda")
    host.mkimage(volume_of(disk))
    host.start(
        DomainSpec(
            instance_id="i-1", epoch=1, uuid="", vcpus=1, memory_mib=64, architecture="x86_64", disks=[disk]
        )
    )
    host.write(disk.name, b"hello")
    host.tracks_changes = True
    assert not host.backup("i-1", "vda", "snap-1", mark="snap-1", since="snap-0")
    assert host.backup("i-1", "vda", "snap-2", mark="snap-2", since="snap-1")
    assert host.volumes["snap-1"].content == b"hello"
    assert host.volumes["snap-2"].content == b"since snap-1\nhello"
    host.guest = Guest(lets_go=False)
    host.detach("i-1", "vda")
    assert host.disks("i-1") == {"vda": disk.name}
    with pytest.raises(StepFailed, match="in use"):
        host.delete(disk.name)
    host.release("i-1")
    assert host.disks("i-1") == {}
    host.delete(disk.name)


COUNTER = b"""#!/bin/sh
count() {
    while n=$((n + 1)); do
        for place in 0 1024; do  # the first place is never behind the second, nor ahead by more than one
            printf "%-4096d" $n | dd of=/dev/$1 bs=1k seek=$place conv=notrunc,fsync 2>/dev/null || return
        done
    done
}
while :; do
    for disk in /sys/block/vd[b-z]; do
        serial=$(cat $disk/serial 2>/dev/null)
        if [ "$serial" ] && [ ! -e /tmp/$serial ]; then
            touch /tmp/$serial
            count ${disk##*/} &
        fi
    done
    sleep 0.2
done &
"""


@pytest.fixture
def counting(world, spec, image) -> DomainSpec:
    """A guest that writes rising numbers to each disk that it sees for the first time."""
    spec = msgspec.structs.replace(spec, memory_mib=192)
    world.driver.clone(volume_of(spec.disks[0], source=image))
    world.driver.context(spec.instance_id, seed_of(user_data=COUNTER))
    world.driver.start(spec)
    ready(world, spec, 1)
    return spec


def said(world: World, spec: DomainSpec, words: str) -> None:
    """Wait until the guest says so on its console."""
    until(lambda: words in world.driver.console(spec.instance_id, 65536).decode(errors="replace"))


def raw(file: Path, folder: Path, key: bytes = b"") -> Path:
    """A qcow2 as the guest sees it."""
    output = folder / f"{file.name}.raw"
    if key:
        secret = ["--object", f"secret,id=key,data={key.decode()}"]
        source = ["--image-opts", f"driver=qcow2,encrypt.key-secret=key,file.filename={file}"]
    else:
        secret, source = [], ["-f", "qcow2", str(file)]
    subprocess.run(["qemu-img", "convert", "-U", *secret, *source, "-O", "raw", output], check=True)
    return output


def numbers(file: Path) -> tuple[int, int]:
    """What the counter had written at both places; 0 for nothing yet."""
    with file.open("rb") as disk:
        places = []
        for offset in (0, MIB):
            disk.seek(offset)
            places.append(int(disk.read(4096).strip(b"\0 ") or b"0"))
    return places[0], places[1]


@real_host
@pytest.mark.timeout(300)
def test_three_disks_at_once_are_found_by_serial_written_copied_and_given_back(
    world, counting, more, tmp_path
):
    driver, name = world.driver, counting.instance_id
    disks = [more("vdf"), more("vdg", key=KEY), more("vdh", iops=500)]
    threads = [threading.Thread(target=driver.attach, args=(name, disk)) for disk in disks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert driver.disks(name) == {"vda": counting.disks[0].name} | {one.target: one.name for one in disks}
    for disk in disks:
        said(world, counting, f"size={64 * MIB} serial={disk.serial}")

    # Live size and limits.
    driver.grow(name, "vdh", 96 * MIB)
    said(world, counting, f"resized size={96 * MIB}")
    domain = world.domain(name)
    assert domain.blockIoTune("vdh")["total_iops_sec"] == 500
    driver.limit(name, msgspec.structs.replace(disks[2], iops=0, mib_per_second=7))
    tuned = domain.blockIoTune("vdh")
    assert (tuned["total_iops_sec"], tuned["total_bytes_sec"]) == (0, 7 * MIB)
    driver.limit(name, msgspec.structs.replace(disks[2], iops=0))
    assert not any(value for value in domain.blockIoTune("vdh").values() if isinstance(value, int))

    # Copies while the guest writes: each is one moment, and changes put onto the whole are the later moment.
    for disk in disks[:2]:
        names = [f"snap-{disk.target}{n}" for n in range(2)]
        until(lambda disk=disk: numbers(raw(world.disk(disk.name), tmp_path, disk.key))[1] > 2)
        whole = driver.backup(name, disk.target, names[0], mark=names[0], since="snap-never", key=disk.key)
        assert not whole
        first = numbers(raw(world.disk(names[0]), tmp_path, disk.key))
        time.sleep(1)
        driver.pause(name)
        for _ in range(2):  # a repetition, as after a crash
            assert driver.backup(name, disk.target, names[1], mark=names[1], since=names[0], key=disk.key)
        second = numbers(raw(world.disk(disk.name), tmp_path, disk.key))
        assert first[0] - first[1] in {0, 1}
        assert 0 < first[1] < second[1]
        if not disk.key:
            on = ["-F", "qcow2", "-b", str(world.disk(names[0])), str(world.disk(names[1]))]
            subprocess.run(["qemu-img", "rebase", "-u", *on], check=True)
            assert (
                raw(world.disk(names[1]), tmp_path).read_bytes()
                == raw(world.disk(disk.name), tmp_path).read_bytes()
            )
        driver.unpause(name)
        kept = {one.getName() for one in domain.listAllCheckpoints()}
        assert names[1] in kept
        for copy in names:
            driver.delete(copy)

    # A guest that is paused keeps its disk, and lets go when it runs.
    driver.pause(name)
    for _ in range(2):
        driver.detach(name, "vdf")
    assert driver.disks(name)["vdf"] == disks[0].name
    driver.unpause(name)
    until(lambda: "vdf" not in driver.disks(name))
    driver.detach(name, "vdf")
    for disk in disks[1:]:
        driver.detach(name, disk.target)
        until(lambda disk=disk: disk.target not in driver.disks(name))
    said(world, counting, "removed")

    # What was in it is there, in another place, with what it had been tracked by elsewhere.
    before = numbers(raw(world.disk(disks[0].name), tmp_path))
    other = msgspec.structs.replace(disks[0], target="vdk")
    driver.attach(name, other)
    assert not driver.backup(name, "vdk", "snap-k", mark="snap-k", since="snap-vdf1")
    assert numbers(raw(world.disk("snap-k"), tmp_path)) == before
    driver.delete("snap-k")
    driver.detach(name, "vdk")
    until(lambda: "vdk" not in driver.disks(name))


@real_host
def test_an_encrypted_disk_needs_its_key_and_none_is_left_behind(world, spec):
    driver, name = world.driver, spec.instance_id
    disk = msgspec.structs.replace(spec.disks[0], key=KEY)
    spec = msgspec.structs.replace(spec, disks=[disk])
    driver.mkimage(volume_of(disk))
    with pytest.raises(StepFailed):
        driver.start(msgspec.structs.replace(spec, disks=[msgspec.structs.replace(disk, key=b"another")]))
    driver.undefine(name)
    driver.start(spec)
    driver.save(name)
    driver.restore(spec)
    assert KEY.decode() not in world.domain(name).XMLDesc(1)
    with driver._links.working() as call:
        if call.connection.getURI().startswith("qemu:///embed"):
            root = Path(world.uri.partition("root=")[2])
            assert list((root / "etc/secrets").glob("*")) == []
        else:
            assert call.connection.listAllSecrets() == []


@daemon_host
@pytest.mark.timeout(200)
def test_a_copy_that_a_killed_daemon_interrupts_is_made_anew(world, guest, daemon):
    driver, name, disk = world.driver, guest.instance_id, guest.disks[0]
    driver.destroy(name)
    subprocess.run(["qemu-io", "-c", "write -q -P 7 0 700M", str(world.disk(disk.name))], check=True)
    driver.start(guest)
    failures: list[Exception] = []

    def copy():
        try:
            driver.backup(name, "vda", "snap-killed", mark="snap-killed")
        except HostSilent as silence:
            failures.append(silence)

    thread = threading.Thread(target=copy)
    thread.start()
    until(lambda: world.domain(name).jobStats().get("type"))
    daemon.kill()
    daemon.start()
    thread.join()
    assert failures

    def absent() -> bool:
        with contextlib.suppress(HostSilent):  # it connects again after a moment
            return driver.volume("snap-killed") is None
        return False

    assert until(absent)

    def copied():
        try:
            return not driver.backup(name, "vda", "snap-killed", mark="snap-killed", since="snap-none")
        except HostSilent:
            return False

    until(copied)
    assert driver.domain(name).status is DomainStatus.RUNNING
    compared = subprocess.run(
        ["qemu-img", "compare", "-U", str(world.disk(disk.name)), str(world.disk("snap-killed"))]
    )
    assert compared.returncode == 0
    driver.delete("snap-killed")


@pytest.fixture
def listener() -> Iterator[SimpleNamespace]:
    """A service of the host's on every address: a guest must not reach it."""
    server = socket.create_server(("0.0.0.0", 0))
    visitors: list[object] = []

    def serve():
        while True:
            try:
                client, peer = server.accept()
            except OSError:
                return
            visitors.append(peer)
            client.sendall(b"secret\n")
            client.close()

    threading.Thread(target=serve, daemon=True).start()
    yield SimpleNamespace(port=server.getsockname()[1], visitors=visitors, address="127.0.0.1")
    server.close()


# Interfaces -------------------------------------------------------------------------------------------------

BRIDGED = {"bridge": "br-int", "guest_address": "", "guest_cidr": ""}


def a_forward(
    port: int, guest_port: int = 22, address: str = "127.100.7.1", protocol: str = "tcp"
) -> Forward:
    return Forward(protocol=protocol, address=address, port=port, guest_port=guest_port)


def with_forwards(spec: DomainSpec, *forwards: Forward) -> NicSpec:
    return msgspec.structs.replace(spec.nics[0], forwards=forwards)


@pytest.fixture
def ports() -> list[int]:
    """Ports that nobody listens at."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.100.7.1", 0))) for _ in range(4)]
        return [server.getsockname()[1] for server in servers]


@every_driver
def test_what_is_off_has_no_interfaces_and_nothing_to_agree(world, guest):
    driver, name, nic = world.driver, guest.instance_id, guest.nics[0]
    assert driver.nics(name) == {nic.mac}
    driver.destroy(name)
    for absent in (name, new_id("i")):
        assert driver.nics(absent) == frozenset()
        assert driver.forwards(absent) == {}
        driver.update_nic(absent, with_forwards(guest, a_forward(9)))
        driver.detach_nic(absent, nic)
        with pytest.raises(StepFailed):
            driver.attach_nic(absent, a_nic(1, **BRIDGED))
    assert driver.forwards(name) == {}


@pytest.mark.parametrize("world", ["memory", "simulated"], indirect=True)
def test_interfaces_come_and_go(world, guest):
    driver, name, nic = world.driver, guest.instance_id, a_nic(1, **BRIDGED)
    for _ in range(2):
        driver.attach_nic(name, nic)
        assert driver.nics(name) == {guest.nics[0].mac, nic.mac}
        driver.update_nic(name, msgspec.structs.replace(nic, up=False))
    assert driver.forwards(name) == {0: frozenset()}
    for _ in range(2):
        driver.detach_nic(name, nic)
        assert driver.nics(name) == {guest.nics[0].mac}


def test_in_memory_a_guest_may_keep_an_interface_and_let_go_later():
    host = MemoryHost()
    host.start(
        DomainSpec(
            instance_id="i-1", epoch=1, uuid="", vcpus=1, memory_mib=64, architecture="x86_64", disks=[]
        )
    )
    nic = a_nic(0, **BRIDGED)
    host.attach_nic("i-1", nic)
    host.guest = Guest(lets_go=False)
    host.detach_nic("i-1", nic)
    assert host.nics("i-1") == {nic.mac}
    host.release("i-1")
    assert host.nics("i-1") == frozenset()


@pytest.mark.parametrize("world", ["memory", *REAL], indirect=True)
def test_a_user_network_is_neither_plugged_in_nor_taken_out_of_a_running_guest(world, guest):
    with pytest.raises(StepFailed):
        world.driver.attach_nic(guest.instance_id, a_nic(1))
    with pytest.raises(StepFailed):
        world.driver.detach_nic(guest.instance_id, guest.nics[0])
    world.driver.detach_nic(guest.instance_id, a_nic(1))
    assert world.driver.nics(guest.instance_id) == {guest.nics[0].mac}


@every_driver
def test_forwards_become_exactly_what_they_are_to_be(world, guest, ports):
    driver, name = world.driver, guest.instance_id
    assert driver.forwards(name) == {0: frozenset()}
    for wanted in (
        [a_forward(ports[0]), a_forward(ports[1], 80)],
        [a_forward(ports[0], 8022), a_forward(ports[0], 53, protocol="udp")],
        [a_forward(ports[0], 8022), a_forward(ports[0], 8022, address="127.100.7.2")],
        [],
    ):
        for _ in range(2):
            driver.update_nic(name, with_forwards(guest, *wanted))
            assert driver.forwards(name) == {0: frozenset(wanted)}
        if world.real:
            assert [listens(one) for one in wanted if one.protocol == "tcp"].count(False) == 0
    assert not world.real or not listens(a_forward(ports[0]))


def listens(forward: Forward) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((forward.address, forward.port), 5):
        return True
    return False


@every_driver
def test_forwards_are_there_from_the_start_and_after_a_restore(world, spec, ports):
    driver, name = world.driver, spec.instance_id
    spec = msgspec.structs.replace(spec, nics=[with_forwards(spec, a_forward(ports[0]))])
    driver.mkimage(volume_of(spec.disks[0]))
    for _ in range(2):  # a worker may have died between the start and the forwards
        driver.start(spec)
        assert driver.forwards(name) == {0: {a_forward(ports[0])}}
        driver.update_nic(name, with_forwards(spec))
    driver.save(name)
    later = msgspec.structs.replace(spec, nics=[with_forwards(spec, a_forward(ports[1]))])
    for _ in range(2):
        driver.restore(later)
        assert driver.forwards(name) == {0: {a_forward(ports[1])}}
        driver.update_nic(name, with_forwards(spec))


@real_host
def test_a_port_that_is_taken_keeps_no_guest_from_running(world, spec, ports):
    driver, name = world.driver, spec.instance_id
    spec = msgspec.structs.replace(
        spec, nics=[with_forwards(spec, a_forward(ports[0]), a_forward(ports[1], 80))]
    )
    driver.mkimage(volume_of(spec.disks[0]))
    with socket.create_server(("127.100.7.1", ports[0])):
        driver.start(spec)
        assert driver.forwards(name) == {0: {a_forward(ports[1], 80)}}
        for _ in range(2):
            with pytest.raises(StepFailed, match=f"127.100.7.1:{ports[0]}/tcp.*forwarding rule"):
                driver.update_nic(name, spec.nics[0])
    driver.update_nic(name, spec.nics[0])
    assert driver.forwards(name) == {0: set(spec.nics[0].forwards)}


@real_host
@pytest.mark.parametrize(
    "wrong",
    [
        a_forward(0),
        a_forward(65536),
        a_forward(9, 0),
        a_forward(9, protocol="sctp"),
        a_forward(9, address="127.0.0.1\nquit"),
    ],
)
def test_nothing_but_forwards_gets_into_the_monitor(world, guest, wrong):
    with pytest.raises(StepFailed):
        world.driver.update_nic(guest.instance_id, with_forwards(guest, wrong))
    assert world.driver.forwards(guest.instance_id) == {0: frozenset()}


@daemon_host
def test_a_host_with_a_daemon_says_its_name_as_a_chassis(world):
    with world.driver._links.working() as call:
        assert world.driver.facts().capabilities["chassis"] == call.connection.getHostname()


@pytest.mark.parametrize("world", KINDS[:2], indirect=True)
def test_a_host_in_this_process_is_no_chassis(world):
    assert "chassis" not in world.driver.facts().capabilities


class Metadata:
    """A service behind a UNIX socket that answers each path with itself, after a moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[str] = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append(self.path)
                time.sleep(0.02)
                body = f"answer to {self.path}.".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Handler

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = socketserver.ThreadingUnixStreamServer(str(self.path), self._handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def metadata(tmp_path) -> Iterator[Metadata]:
    with tempfile.TemporaryDirectory(prefix="md,") as folder:  # a comma is QEMU's own sign
        found = Metadata(Path(folder) / "eni 1")
        found.start()
        yield found
        found.stop()


ASKER = b"""#!/bin/sh
ask() {
    answer=$(printf 'GET /%s HTTP/1.0\\r\\n\\r\\n' $1 | timeout 9 nc 169.254.169.254 80 | tail -n 1)
    [ "$answer" = "answer to /$1." ] && echo "right $1" || echo "wrong $1: $answer"
}
for one in 1 2 3 4; do
    (for n in 1 2 3 4 5; do ask $one.$n; done) &
done
wait
echo asked all
ip -4 -o addr show | sed -n 's/.*: \\(eth[0-9]\\) .*inet \\([0-9.]*\\).*/has \\1 \\2/p'
while :; do
    sleep 0.5
    ask again
done &
"""


@pytest.fixture
def asking(world, spec, image, metadata, ports) -> DomainSpec:
    """A guest that asks the metadata service, many times at once, and then now and then."""
    nics = [
        msgspec.structs.replace(spec.nics[0], metadata_socket=str(metadata.path)),
        a_nic(1, guest_address="10.3.4.5", guest_cidr="10.3.4.0/24"),
    ]
    spec = msgspec.structs.replace(spec, memory_mib=192, nics=nics)
    world.driver.clone(volume_of(spec.disks[0], source=image))
    world.driver.context(spec.instance_id, seed_of(user_data=ASKER))
    world.driver.start(spec)
    return spec


@pytest.mark.parametrize("world", KINDS[1:2], indirect=True)
@pytest.mark.timeout(300)
def test_a_guest_asks_the_metadata_service_and_is_reached_by_its_ports(world, asking, metadata, ports):
    driver, name, nic = world.driver, asking.instance_id, asking.nics[0]
    said(world, asking, "asked all")
    words = driver.console(name, 65536).decode(errors="replace")
    assert (len(re.findall(r"right \d", words)), words.count("wrong")) == (20, 0)
    assert driver.nics(name) == {one.mac for one in asking.nics}
    assert ready(world, asking, 1)["ip"] == "172.31.9.77"

    # Its ports are opened, closed and opened elsewhere; connections that are there go on.
    forward = a_forward(ports[0])
    assert not listens(forward)
    driver.update_nic(name, msgspec.structs.replace(nic, forwards=(forward,)))
    with greeted(forward) as session:
        driver.update_nic(name, msgspec.structs.replace(nic, forwards=(a_forward(ports[1]),)))
        assert not listens(forward)
        session.sendall(b"SSH-2.0-still-here\r\n")
        assert session.recv(100)
    with greeted(a_forward(ports[1])):
        pass

    # The service goes and comes: nothing but the requests meanwhile is lost.
    metadata.stop()
    metadata.asked.clear()
    until(lambda: "wrong again" in driver.console(name, 65536).decode(errors="replace"))
    metadata.start()
    until(lambda: metadata.asked.count("/again") > 2)

    # All that outlives sleep.
    driver.save(name)
    driver.restore(asking)
    metadata.asked.clear()
    until(lambda: metadata.asked.count("/again") > 2)

    # A link that is down carries nothing.
    driver.update_nic(name, msgspec.structs.replace(nic, forwards=(forward,), up=False))
    time.sleep(1)
    metadata.asked.clear()
    time.sleep(2)
    assert metadata.asked == []
    driver.update_nic(name, msgspec.structs.replace(nic, forwards=(forward,)))
    until(lambda: metadata.asked)
    with greeted(forward):
        pass


@contextlib.contextmanager
def greeted(forward: Forward) -> Iterator[socket.socket]:
    """A connection to the guest's ssh server, which speaks first."""

    def connected() -> socket.socket | None:
        found = socket.create_connection((forward.address, forward.port), 10)
        with contextlib.suppress(OSError):
            if found.recv(100).startswith(b"SSH-2.0"):
                return found
        found.close()
        return None

    connection = until(connected)
    with connection:
        yield connection


@daemon_host
@pytest.mark.timeout(200)
def test_a_guest_that_nobody_relays_for_asks_in_vain_and_lives(world, asking, metadata):
    said(world, asking, "asked all")
    assert metadata.asked == []
    assert status(world, asking.instance_id)[0] is DomainStatus.RUNNING


@pytest.mark.qemu
def test_an_embedded_root_of_an_older_version_gets_the_sandbox_of_this_one(tmp_path):
    uri = f"qemu:///embed?root={tmp_path}"
    settings = tmp_path / "etc/qemu.conf"
    settings.parent.mkdir()
    for text, own in [
        (QEMU_CONF, True),
        ("# mine\n", False),
        ("# mine\nseccomp_sandbox = 0\n", True),
        ("# mine\nseccomp_sandbox = 1\n", False),
    ]:
        settings.write_text(text)
        for _ in range(2):
            kind_of(parts_of(uri)).prepare(parts_of(uri))
        assert kind_of(parts_of(uri)).own_sandbox(parts_of(uri)) is own
        assert settings.read_text().startswith(text)
        assert settings.read_text().count("seccomp_sandbox") == (0 if text == "# mine\n" else 1)
    remove_link_to(tmp_path)


# Interfaces on a bridge -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab() -> Iterator[OvnLab]:
    if not lab_possible():
        pytest.skip("a lab of namespaces with Open vSwitch needs root and its packages")
    with ovn_lab(["h1"]) as found:
        yield found


@pytest.fixture(scope="module")
def chassis(lab, hosts) -> Iterator[World]:
    """A host with libvirt, Open vSwitch and a switch of OVN's, with a neighbour on it."""
    uri = lab.hosts["h1"].libvirtd()
    driver = hosts.driver("host-h1", uri)
    lab.nbctl("ls-add", "wire", "--", "set", "logical_switch", "wire", "other_config:subnet=10.0.1.0/24")
    options = "server_id=10.0.1.1 server_mac=02:00:00:00:ff:01 lease_time=3600 mtu=1400".split()
    dhcp = lab.nbctl("create", "dhcp_options", "cidr=10.0.1.0/24").strip()
    lab.nbctl("dhcp-options-set-options", dhcp, *options)

    def port(nic: NicSpec) -> None:
        lab.nbctl(
            "lsp-add", "wire", port_name(nic.id),
            "--", "lsp-set-addresses", port_name(nic.id), f"{nic.mac} {nic.address}",
            "--", "lsp-set-dhcpv4-options", port_name(nic.id), dhcp, wait=True,
        )  # fmt: skip

    neighbour = a_nic(8, **BRIDGED, address="10.0.1.8")
    port(neighbour)
    space = lab.guest(lab.hosts["h1"], port_name(neighbour.id), neighbour.mac)
    space.static("10.0.1.8/24", mtu=1400)

    def domain(instance_id: str):
        with driver._links.working() as call:
            return call.connection.lookupByName(instance_id)

    yield World(
        driver=driver,
        uri=uri,
        real=True,
        domain=domain,
        port=port,
        reaches=lambda address: space.space.ping(address, count=1, seconds=1),
    )
    hosts.forget("host-h1")


@pytest.mark.qemu
@pytest.mark.timeout(400)
def test_interfaces_on_a_bridge_are_ports_of_the_network(chassis, lab, image):
    driver, instance_id = chassis.driver, new_id("i")
    on_wire = BRIDGED | {"cidr": "10.0.1.0/24", "mtu": 1400, "offload": False}
    first, second = (a_nic(n, **on_wire, address=f"10.0.1.{20 + n}") for n in range(2))
    for nic in (first, second):
        chassis.port(nic)
    spec = DomainSpec(
        instance_id=instance_id, epoch=1, uuid=uuid_of(instance_id), vcpus=1, memory_mib=192,
        architecture="x86_64", disks=[a_disk("vda")], nics=[first],
    )  # fmt: skip
    driver.clone(volume_of(spec.disks[0], source=image))
    driver.context(instance_id, seed_of("instance-id: x\n"))
    assert driver.facts().capabilities["chassis"] == "h1"
    try:
        driver.start(spec)
        assert ready(chassis, spec, 1)["ip"] == "10.0.1.20"
        assert driver.forwards(instance_id) == {}
        assert chassis.reaches("10.0.1.20")

        # A link that is down carries nothing.
        for _ in range(2):
            driver.update_nic(instance_id, msgspec.structs.replace(first, up=False))
        until(lambda: not chassis.reaches("10.0.1.20"))
        for _ in range(2):
            driver.update_nic(instance_id, first)
        until(lambda: chassis.reaches("10.0.1.20"))

        # A second one comes, with the daemon dying meanwhile, and goes.
        driver.attach_nic(instance_id, second)
        lab.kill("h1/libvirtd")
        lab.start("h1/libvirtd")
        until(lambda: _again(lambda: driver.attach_nic(instance_id, second)))
        said(chassis, spec, f"added mac={second.mac}")
        said(chassis, spec, "address=10.0.1.21")
        assert driver.nics(instance_id) == {first.mac, second.mac}
        assert chassis.reaches("10.0.1.21")
        names = chassis.domain(instance_id).XMLDesc()
        assert f"ua-{second.id}" in names

        # All outlives sleep, the second one without having been there when the domain was defined.
        driver.save(instance_id)
        driver.restore(msgspec.structs.replace(spec, nics=[first, second]))
        until(lambda: chassis.reaches("10.0.1.21"))
        assert driver.nics(instance_id) == {first.mac, second.mac}

        # A guest that is paused keeps it; when it runs, it lets go.
        driver.pause(instance_id)
        for _ in range(2):
            driver.detach_nic(instance_id, second)
        assert driver.nics(instance_id) == {first.mac, second.mac}
        driver.unpause(instance_id)
        until(lambda: driver.nics(instance_id) == {first.mac})
        driver.detach_nic(instance_id, second)
        said(chassis, spec, "eth1 removed")
        assert not chassis.reaches("10.0.1.21")

        # Plugged in with its link down, it says nothing until that is up.
        driver.attach_nic(instance_id, msgspec.structs.replace(second, up=False))
        assert driver.nics(instance_id) == {first.mac, second.mac}
        time.sleep(3)
        assert not chassis.reaches("10.0.1.21")
    finally:
        driver.destroy(instance_id)
        driver.undefine(instance_id)
        driver.delete_files(instance_id)
        driver.delete(spec.disks[0].name)


def _again(act: Callable[[], None]) -> bool:
    """Whether the host answers again, and the act succeeded."""
    try:
        act()
    except HostSilent:
        return False
    return True


@pytest.mark.qemu
@pytest.mark.timeout(400)
def test_a_guest_has_room_for_many_devices(chassis):
    driver, instance_id = chassis.driver, new_id("i")
    spec = DomainSpec(
        instance_id=instance_id, epoch=1, uuid=uuid_of(instance_id), vcpus=1, memory_mib=64,
        architecture="x86_64", disks=[a_disk("vda")], nics=[a_nic(0, **BRIDGED)],
    )  # fmt: skip
    driver.mkimage(volume_of(spec.disks[0]))
    try:
        driver.start(spec)
        more = [a_nic(n, **BRIDGED) for n in range(1, 16)]
        for nic in more:
            driver.attach_nic(instance_id, nic)
        assert len(driver.nics(instance_id)) == 16
    finally:
        driver.destroy(instance_id)
        driver.undefine(instance_id)
        driver.delete_files(instance_id)
        driver.delete(spec.disks[0].name)


# Daemons that die and hang ----------------------------------------------------------------------------------


@daemon_host
def test_a_killed_daemon_is_silence_and_its_guests_are_found_again(world, guest, daemon, hosts):
    hints = []
    hosts.watch(hints.append)
    daemon.kill()
    with pytest.raises(HostSilent):
        world.driver.domain(guest.instance_id)
    with pytest.raises(HostSilent):
        world.driver.destroy(guest.instance_id)
    daemon.start()

    def answered():
        try:
            return world.driver.inventory()
        except HostSilent:
            return None

    inventory = until(answered)
    assert inventory.domains[guest.instance_id].status is DomainStatus.RUNNING
    assert not inventory.settled
    until(lambda: any(hint.host_id == "host-daemon" and hint.instance_id is None for hint in hints))
    world.driver.wait(guest.instance_id, 0.1)
    world.driver.pause(guest.instance_id)
    until(lambda: any(hint.instance_id == guest.instance_id for hint in hints))


@daemon_host
def test_a_guest_that_dies_while_the_daemon_is_down_is_off_afterwards(world, guest, daemon):
    daemon.kill()
    daemon.kill_guests()
    daemon.start()

    def seen():
        try:
            return status(world, guest.instance_id) == (DomainStatus.OFF, DomainReason.CRASHED)
        except HostSilent:
            return False

    until(seen)


@daemon_host
def test_a_hung_daemon_is_silence_and_slows_no_other_host(world, guest, daemon, hosts):
    other = hosts.driver("host-swift", "test:///default")
    daemon.stop()
    try:
        silences = []

        def ask():
            try:
                world.driver.domain(guest.instance_id)
            except HostSilent as silence:
                silences.append(silence)

        asking = [threading.Thread(target=ask) for _ in range(6)]
        for thread in asking:
            thread.start()
        for _ in range(200):
            assert other.domain(guest.instance_id) is None
        assert all(thread.is_alive() for thread in asking)
        for thread in asking:
            thread.join(60)
        assert len(silences) == 6
    finally:
        daemon.go()

    def answered():
        try:
            return world.driver.domain(guest.instance_id)
        except HostSilent:
            return None

    assert until(answered).status is DomainStatus.RUNNING


def test_a_host_that_nobody_answers_for_is_silent(hosts):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(HostSilent):
        hosts.driver("host-nobody", f"qemu+tcp://127.0.0.1:{port}/system")
    hosts.forget("host-nobody")


def test_a_host_that_accepts_and_never_answers_costs_two_threads(hosts):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        uri = f"qemu+tcp://127.0.0.1:{mute.getsockname()[1]}/system"
        reach, threads = Reach(uri), Threads()

        def ask():
            link = Link(reach, threads, in_process=False, lost=lambda: None)
            with pytest.raises(HostSilent):
                link.caller()

        def calls() -> int:
            return sum(thread.name == "libvirt-call" for thread in threading.enumerate())

        before = calls()
        first = [threading.Thread(target=ask) for _ in range(2)]
        for thread in first:
            thread.start()
        for thread in first:
            thread.join()
        time.sleep(1)  # longer than the back-off
        for _ in range(5):
            ask()
        assert calls() <= before + 2


@pytest.mark.qemu
def test_twenty_acts_at_once_reach_a_host_that_is_well(daemon):
    driver = LibvirtHosts().driver("host-busy", daemon.uri)
    failures: list[Exception] = []

    def look() -> None:
        try:
            driver.monitor()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=look) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    driver.close()
    assert failures == []


def test_who_waits_too_long_for_a_connection_does_not_blame_the_host():
    pool = Pool(1, lambda: SimpleNamespace(caller=lambda: "connection"), patience=SimpleNamespace(value=0.05))
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            with pool.lend():
                pass
        except StepFailed as error:
            failures.append(error)

    with pool.lend():
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert [failure.transient for failure in failures] == [True]


@pytest.mark.parametrize(
    "uri", ["xen:///system", "qemu:///elsewhere", "qemu:///embed", "qemu:///embed?root=here", "nonsense"]
)
def test_a_uri_without_driver_is_refused(hosts, uri):
    with pytest.raises(StepFailed):
        hosts.driver("host-wrong", uri)


def test_our_options_are_not_libvirts():
    parts = parts_of("qemu+tls://host/system?no_verify=1&pool=fast&acceleration=tcg")
    assert parts.uri == "qemu+tls://host/system?no_verify=1"
    assert parts.options == {"pool": "fast", "acceleration": "tcg"}
    for wrong in ("test:///default?cpus=many", "qemu:///system?acceleration=magic"):
        with pytest.raises(StepFailed):
            parts_of(wrong)


# A worker that dies -----------------------------------------------------------------------------------------

STARTER = """
import os, signal, sys
from backend.drivers.libvirt.hosts import LibvirtHosts
from backend.ports import DiskSpec, DomainSpec, VolumeSpec
root, name = sys.argv[1:]
driver = LibvirtHosts().driver("h", f"qemu:///embed?root={root}&acceleration=tcg")
disk = DiskSpec(target="vda", name="vol-1")
driver.mkimage(VolumeSpec(name="vol-1", size_bytes=1 << 30))
driver.start(DomainSpec(instance_id=name, epoch=4, uuid="00000000-0000-4000-8000-000000000001", vcpus=1,
                        memory_mib=64, architecture="x86_64", disks=[disk]))
driver.pause(name)
os.kill(os.getpid(), signal.SIGKILL)
"""

ADOPTER = """
import sys
from backend.drivers.libvirt.hosts import LibvirtHosts
root, name = sys.argv[1:]
driver = LibvirtHosts().driver("h", f"qemu:///embed?root={root}")
inventory = driver.inventory()
facts = inventory.domains[name]
assert inventory.settled
print(facts.status.value, facts.epoch)
driver.unpause(name)
print(driver.domain(name).status.value)
driver.destroy(name)
driver.undefine(name)
driver.delete_files(name)
"""


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.qemu
def test_guests_outlive_a_killed_worker_and_are_adopted(tmp_path):
    root, name = tmp_path / "root", new_id("i")
    try:
        starter = run(STARTER, root, name)
        assert starter.returncode == -9, starter.stderr
        adopter = run(ADOPTER, root, name)
        assert adopter.returncode == 0, adopter.stderr
        assert adopter.stdout.split() == ["paused", "4", "running"]
    finally:
        kill_embedded_guests(root)
        remove_link_to(root)


def test_the_storages_are_told_apart_by_the_uri(tmp_path):
    local = kind_of(parts_of(f"qemu:///embed?root={tmp_path}"))
    assert isinstance(local.storage(parts_of(f"qemu:///embed?root={tmp_path}"), None, "h"), LocalStorage)
    for uri in ("qemu:///system", "qemu+ssh://root@host/system", "qemu+tls://host/system"):
        assert isinstance(kind_of(parts_of(uri)).storage(parts_of(uri), None, "h"), PoolStorage)
