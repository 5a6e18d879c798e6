"""Volumes: made, changed, plugged in and out, moved and deleted; on hosts and in the database alike."""

from __future__ import annotations

import pytest
from simulation import ADMIN, Cloud, Op

from backend.commands import (
    AttachVolume,
    BlockDevice,
    CreateSnapshot,
    CreateVolume,
    DeleteHost,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    Launch,
    ModifyInstance,
    ModifyVolume,
    PurgeTenant,
    RevertVolume,
    SetQuota,
    SetVolume,
)
from backend.drivers.memory import Fault, Guest
from backend.engine import EngineSettings, snapshots, volumes
from backend.engine.tasks import begin_task, next_task
from backend.errors import BackendError, Code, DryRunPassed
from backend.model import (
    AttachState,
    Capacity,
    Debris,
    HostState,
    JobState,
    Reason,
    SnapshotState,
    TaskKind,
    VolumeState,
)
from backend.ports import DiskSpec, DomainReason, DomainStatus

KEEPS_DISKS = Guest(lets_go=False)
GIB = 1 << 30


@pytest.fixture
def cloud():
    return Cloud()


def refusal(cloud, command, caller=None):
    """The refusal of a command, which changed nothing."""
    before = cloud._standing()
    with pytest.raises(BackendError) as refused:
        cloud.engine.execute(caller or cloud.caller, command)
    assert cloud._standing() == before
    return refused.value


def ask(cloud, command, caller=None):
    """A command, and all the work that follows."""
    answer = cloud.engine.execute(caller or cloud.caller, command)
    cloud.settle()
    return answer


def a_volume(cloud, caller=None, *, data=b"", **parameters):
    """A volume that is available; ``data`` is what somebody wrote to it."""
    parameters.setdefault("size_gib", 2)
    made = cloud.volume(ask(cloud, CreateVolume(**parameters), caller))
    assert (made.state, made.made) == (VolumeState.AVAILABLE, True)
    if data:
        home(cloud, made).write(made.id, data)
    return made


def home(cloud, volume):
    """The host that has a volume."""
    return cloud.hosts.driver(str(cloud.volume(volume).host_id), "")


def data_of(cloud, volume):
    return home(cloud, volume).volumes[volume.id].content


def plugged(cloud, instance):
    """The disks of an instance's domain: target → volume id."""
    return dict(cloud.host_of(instance).disks(instance.id))


def attach(cloud, volume, instance, device="", **flags):
    ask(cloud, AttachVolume(volume_id=volume.id, instance_id=instance.id, device=device, **flags))
    return cloud.volume(volume)


def detach(cloud, volume, **flags):
    ask(cloud, DetachVolume(volume_id=volume.id, **flags))
    return cloud.volume(volume)


def is_free(volume):
    return (volume.state, volume.instance_id, volume.attach, volume.device, volume.target) == (
        VolumeState.AVAILABLE,
        None,
        AttachState.NONE,
        "",
        "",
    )


def all_in_order(cloud):
    """Nothing is left to do, and hosts and store have what the database says, no more and no less."""
    cloud.quiesce()
    assert cloud.wrong_files() == set()
    with cloud.store.read() as tx:
        assert not tx.debris.all()
        assert not tx.tasks.open()
        assert not tx.jobs.open()


# Making and deleting ------------------------------------------------------------------------------------


def test_a_volume_of_zeros_is_made_and_deleted(cloud):
    answer = cloud.engine.execute(cloud.caller, CreateVolume(size_gib=3, tags=(("Name", "data"),)))
    assert (answer.state, answer.made, answer.zone) == (VolumeState.CREATING, False, "us-east-1a")
    assert cloud.host().volumes == {}
    cloud.settle()
    made = cloud.volume(answer)
    assert (made.state, made.host_id) == (VolumeState.AVAILABLE, cloud.host_ids[0])
    assert cloud.host().volumes[made.id].virtual_bytes == 3 * GIB
    assert data_of(cloud, made) == b""
    assert cloud.engine.tags_of([made.id]) == {made.id: {"Name": "data"}}
    going = cloud.engine.execute(cloud.caller, DeleteVolume(volume_id=made.id))
    assert going.state is VolumeState.DELETING
    assert made.id in cloud.host().volumes
    assert refusal(cloud, ModifyVolume(volume_id=made.id, size_gib=9)).code is Code.VOLUME_WRONG_STATE
    assert cloud.engine.execute(cloud.caller, DeleteVolume(volume_id=made.id)).state is VolumeState.DELETING
    cloud.settle()
    assert cloud.volume(made) is None
    assert cloud.engine.tags_of([made.id]) == {}
    assert refusal(cloud, DeleteVolume(volume_id=made.id)).code is Code.VOLUME_NOT_FOUND
    all_in_order(cloud)


def test_a_volume_of_an_image_begins_with_its_bytes(cloud):
    made = a_volume(cloud, image_id=cloud.image.id, size_gib=None)
    assert (made.size_gib, made.image_id, data_of(cloud, made)) == (1, cloud.image.id, b"image guest")


@pytest.mark.parametrize(
    ("parameters", "code", "context"),
    [
        ({}, Code.PARAMETER_MISSING, {}),
        ({"size_gib": 0}, Code.PARAMETER_INVALID, {"parameter": "size"}),
        ({"size_gib": 1, "zone": "nowhere"}, Code.ZONE_NOT_FOUND, {"name": "nowhere"}),
        ({"size_gib": 1, "type": "floppy"}, Code.PARAMETER_INVALID, {"parameter": "volumeType"}),
        ({"size_gib": 1, "type": "gp2", "iops": 300}, Code.PARAMETER_INVALID, {"dependency": True}),
        ({"size_gib": 4, "type": "io1"}, Code.PARAMETER_MISSING, {"parameter": "iops"}),
        ({"size_gib": 4, "type": "io1", "iops": 99}, Code.PARAMETER_INVALID, {"parameter": "iops"}),
        ({"size_gib": 1, "type": "st1"}, Code.PARAMETER_INVALID, {"parameter": "size"}),
        ({"size_gib": 1, "throughput": 200}, Code.PARAMETER_INVALID, {"parameter": "throughput"}),
        ({"size_gib": 2000}, Code.VOLUME_CAPACITY, {}),
        ({"snapshot_id": "snap-0"}, Code.SNAPSHOT_NOT_FOUND, {"ids": ("snap-0",)}),
        ({"image_id": "ami-0", "size_gib": 1}, Code.IMAGE_NOT_FOUND, {"ids": ("ami-0",)}),
        ({"size_gib": 1, "tags": (("aws:x", ""),)}, Code.TAG_RESERVED, {}),
    ],
)
def test_what_cannot_be_made_is_refused(cloud, parameters, code, context):
    refused = refusal(cloud, CreateVolume(**parameters))
    assert refused.code is code
    assert context.items() <= dict(refused.context).items()
    assert cloud.host().is_empty()


def test_nothing_is_smaller_than_what_it_is_made_of(cloud):
    big = cloud.register("big", virtual_bytes=5 * GIB)
    refused = refusal(cloud, CreateVolume(image_id=big.id, size_gib=4))
    assert (refused.code, refused.context["parameter"]) == (Code.PARAMETER_INVALID, "size")


def test_quotas_of_volumes_and_gigabytes(cloud):
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"volumes": 2, "gigabytes": 5}))
    first = a_volume(cloud, size_gib=2)
    assert refusal(cloud, CreateVolume(size_gib=4)).code is Code.QUOTA_GIGABYTES
    assert refusal(cloud, ModifyVolume(volume_id=first.id, size_gib=6)).code is Code.QUOTA_GIGABYTES
    instance = cloud.started()  # its root is the second
    assert refusal(cloud, CreateVolume(size_gib=1)).code is Code.QUOTA_VOLUMES
    assert refusal(cloud, Launch(image_id=cloud.image.id)).code is Code.QUOTA_VOLUMES
    a_volume(cloud, cloud.other, size_gib=20)  # another tenant's count for nothing here
    cloud.do(Op.TERMINATE, instance)
    assert ask(cloud, CreateVolume(size_gib=3))
    assert refusal(cloud, CreateVolume(size_gib=1)).code is Code.QUOTA_VOLUMES


def test_a_token_makes_one_volume(cloud):
    command = CreateVolume(size_gib=2, client_token="t", token_digest="a")
    first = cloud.engine.execute(cloud.caller, command)
    cloud.settle()
    assert cloud.engine.execute(cloud.caller, command) == cloud.volume(first)
    other = CreateVolume(size_gib=3, client_token="t", token_digest="b")
    assert refusal(cloud, other).code is Code.TOKEN_MISMATCH
    theirs = cloud.engine.execute(cloud.other, other)
    assert theirs.id != first.id
    cloud.settle()
    ask(cloud, DeleteVolume(volume_id=first.id))
    assert refusal(cloud, command).code is Code.VOLUME_NOT_FOUND
    assert len(cloud.host().volumes) == 1


def test_a_dry_run_makes_nothing(cloud):
    before = cloud._standing()
    with pytest.raises(DryRunPassed):
        cloud.engine.execute(cloud.caller, CreateVolume(size_gib=1), dry_run=True)
    assert cloud._standing() == before
    assert not cloud.queue.work


def test_a_volume_goes_where_most_disk_is_free_and_only_where_there_is_room():
    cloud = Cloud(hosts=0, settings=EngineSettings(zones=ZONES))
    for size in (20, 30):
        cloud.add_host(Capacity(cpu=400, memory_mib=4096, disk_gib=size))
    cloud.add_host(Capacity(cpu=400, memory_mib=4096, disk_gib=900), zone="us-east-1b")
    cloud.poll()
    where = [cloud.host_ids.index(a_volume(cloud, size_gib=8).host_id) for _ in range(5)]
    assert where == [1, 1, 0, 1, 0]
    assert refusal(cloud, CreateVolume(size_gib=7)).code is Code.VOLUME_CAPACITY
    cloud.set_host(1, HostState.DISABLED)
    assert refusal(cloud, CreateVolume(size_gib=5)).code is Code.VOLUME_CAPACITY


def test_what_cannot_be_made_on_the_host_is_in_error_and_can_be_deleted(cloud):
    cloud.host().broken = {"mkimage"}
    made = cloud.volume(ask(cloud, CreateVolume(size_gib=2)))
    assert (made.state, made.made) == (VolumeState.ERROR, False)
    assert made.message == "mkimage failed"
    cloud.host().broken = set()
    ask(cloud, DeleteVolume(volume_id=made.id))
    assert cloud.volume(made) is None
    all_in_order(cloud)


def test_what_cannot_be_deleted_yet_keeps_its_row(cloud):
    """Lifecycle §9.1: no record goes before the bytes do."""
    made = a_volume(cloud)
    cloud.host().broken = {"delete"}
    cloud.engine.execute(cloud.caller, DeleteVolume(volume_id=made.id))
    for _ in range(20):
        cloud.step()
    assert cloud.volume(made).state is VolumeState.DELETING
    cloud.host().broken = set()
    all_in_order(cloud)
    assert cloud.volume(made) is None


def test_a_silent_host_makes_work_wait_and_nothing_fail(cloud):
    cloud.host().silent = True
    made = cloud.volume(ask(cloud, CreateVolume(size_gib=2)))
    assert made.state is VolumeState.CREATING
    for _ in range(3):
        cloud.poll()
    cloud.sweep()
    cloud.settle()
    assert cloud.volume(made).state is VolumeState.CREATING
    cloud.host().silent = False
    all_in_order(cloud)
    assert cloud.volume(made).state is VolumeState.AVAILABLE
    assert data_of(cloud, made) == b""


# Growing and changing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["detached", "running", "stopped"])
def test_a_volume_grows_and_keeps_its_bytes(cloud, use):
    volume = a_volume(cloud, data=b"kept")
    if use != "detached":
        instance = cloud.started()
        attach(cloud, volume, instance)
        if use == "stopped":
            cloud.do(Op.POWEROFF, instance)
    answer = cloud.engine.execute(cloud.caller, ModifyVolume(volume_id=volume.id, size_gib=6))
    assert (answer.modification.state, answer.modification.old_size_gib, answer.size_gib) == (
        "modifying",
        2,
        6,
    )
    busy = refusal(cloud, ModifyVolume(volume_id=volume.id, size_gib=7))
    assert busy.code is Code.VOLUME_BEING_MODIFIED
    cloud.settle()
    grown = cloud.volume(volume)
    assert (grown.modification.state, grown.modification.size_gib) == ("completed", 6)
    assert grown.modification.ended_at > grown.modification.started_at
    assert home(cloud, volume).volumes[volume.id].virtual_bytes == 6 * GIB
    assert data_of(cloud, volume) == b"kept"
    assert grown.state is (VolumeState.AVAILABLE if use == "detached" else VolumeState.IN_USE)
    all_in_order(cloud)


def test_limits_of_a_running_disk_follow_its_type(cloud):
    instance = cloud.started()
    volume = a_volume(cloud, size_gib=10)
    attach(cloud, volume, instance)
    disk = cloud.host().plugged[instance.id]["vdb"]
    assert (disk.iops, disk.mib_per_second, disk.serial) == (3000, 250, volume.serial)
    ask(cloud, ModifyVolume(volume_id=volume.id, type="io1", iops=400))
    assert cloud.host().plugged[instance.id]["vdb"].iops == 400
    changed = cloud.volume(volume)
    assert (changed.type, changed.iops, changed.modification.old_type) == ("io1", 400, "gp2")
    ask(cloud, ModifyVolume(volume_id=volume.id, type="gp3"))
    assert cloud.volume(volume).iops == 0  # another type's have no meaning
    disk = cloud.host().plugged[instance.id]["vdb"]
    assert (disk.iops, disk.mib_per_second) == (3000, 125)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"size_gib": 1}, Code.PARAMETER_INVALID),
        ({"type": "io2"}, Code.PARAMETER_MISSING),
        ({"type": "sc1"}, Code.PARAMETER_INVALID),
        ({"iops": 500}, Code.PARAMETER_INVALID),
        ({"size_gib": 1000}, Code.VOLUME_CAPACITY),
    ],
)
def test_changes_that_cannot_be_are_refused(cloud, change, code):
    volume = a_volume(cloud)
    assert refusal(cloud, ModifyVolume(volume_id=volume.id, **change)).code is code


def test_a_change_that_fails_gives_back_what_it_claimed(cloud):
    volume = a_volume(cloud, data=b"kept")
    cloud.host().broken = {"resize"}
    ask(cloud, ModifyVolume(volume_id=volume.id, size_gib=9))
    failed = cloud.volume(volume)
    assert (failed.modification.state, failed.size_gib, failed.state) == ("failed", 2, VolumeState.AVAILABLE)
    assert failed.modification.message == "resize failed"
    cloud.host().broken = set()
    ask(cloud, ModifyVolume(volume_id=volume.id, size_gib=3))
    assert cloud.volume(volume).modification.state == "completed"
    assert data_of(cloud, volume) == b"kept"


# Plugging -----------------------------------------------------------------------------------------------


def test_attach_and_detach_of_a_running_instance(cloud):
    instance, volume = cloud.started(), a_volume(cloud, data=b"mine")
    answer = cloud.engine.execute(
        cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id, device="/dev/sdf")
    )
    assert (answer.state, answer.attach, answer.target) == (
        VolumeState.IN_USE,
        AttachState.ATTACHING,
        "vdf",
    )
    assert cloud.get(instance).detail == "hotp@runn"
    assert list(plugged(cloud, instance)) == ["vda"]
    cloud.settle()
    assert cloud.get(instance).detail == "runn"
    attached = cloud.volume(volume)
    assert (attached.attach, attached.device, attached.delete_on_termination) == (
        AttachState.ATTACHED,
        "/dev/sdf",
        False,
    )
    assert attached.attached_at >= attached.asked_at
    assert plugged(cloud, instance)["vdf"] == volume.id
    assert cloud.get(instance).version > instance.version
    assert refusal(cloud, DeleteVolume(volume_id=volume.id)).code is Code.VOLUME_IN_USE
    again = refusal(cloud, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    assert again.code is Code.VOLUME_IN_USE
    going = cloud.engine.execute(cloud.caller, DetachVolume(volume_id=volume.id, instance_id=instance.id))
    assert (going.state, going.attach) == (VolumeState.IN_USE, AttachState.DETACHING)
    cloud.settle()
    assert is_free(cloud.volume(volume))
    assert list(plugged(cloud, instance)) == ["vda"]
    assert data_of(cloud, volume) == b"mine"
    assert cloud.details(instance)[-4:] == ["hotp@runn", "runn", "hotp@runn", "runn"]
    all_in_order(cloud)


def test_attach_and_detach_of_a_stopped_instance(cloud):
    instance, volume = cloud.do(Op.POWEROFF, cloud.started()), a_volume(cloud, data=b"mine")
    assert attach(cloud, volume, instance, "/dev/xvdh").attach is AttachState.ATTACHED
    assert cloud.get(instance).detail == "poff"
    cloud.do(Op.START, instance)
    assert plugged(cloud, instance)["vdh"] == volume.id
    cloud.do(Op.POWEROFF, instance)
    assert is_free(detach(cloud, volume))
    cloud.do(Op.START, instance)
    assert list(plugged(cloud, instance)) == ["vda"]
    assert data_of(cloud, volume) == b"mine"
    all_in_order(cloud)


def test_device_names(cloud):
    """The letter asked for when it is free, else the lowest; the guest finds disks by their serial."""
    instance = cloud.started(flavor="t2.large")  # vdb is its scratch disk
    wanted = ["/dev/sdf", "", "/dev/vdf", "sdb", "/dev/xvdz"]
    targets = [attach(cloud, a_volume(cloud, size_gib=1), instance, device).target for device in wanted]
    assert targets == ["vdf", "vdc", "vdd", "vde", "vdg"]
    names = [volume.device for volume in cloud.disks(instance)]
    assert names == ["/dev/vda", "/dev/vdc", "/dev/vdf", "sdb", "/dev/sdf", "/dev/xvdz"]
    spare = a_volume(cloud, size_gib=1)

    def refused(device):
        return refusal(cloud, AttachVolume(volume_id=spare.id, instance_id=instance.id, device=device)).code

    assert refused("/dev/sdf") is refused("sdf") is refused("/dev/sda1") is Code.DEVICE_IN_USE
    assert refused("/dev/../etc") is refused("/dev/sd") is Code.PARAMETER_INVALID


def test_an_instance_has_only_so_many_disks(cloud):
    cloud.host().total = Capacity(cpu=800, memory_mib=16384, disk_gib=2000)
    instance = cloud.started(
        mappings=tuple(
            BlockDevice(device=f"/dev/sd{letter}", size_gib=1) for letter in "bcdefghijklmnopqrstuvwxy"
        )
    )
    assert len(plugged(cloud, instance)) == 25
    spare = a_volume(cloud, size_gib=1)
    refused = refusal(cloud, AttachVolume(volume_id=spare.id, instance_id=instance.id))
    assert refused.code is Code.DEVICES_EXHAUSTED


def test_several_at_once_are_plugged_in_the_order_accepted(cloud):
    instance = cloud.started()
    volumes = [a_volume(cloud, size_gib=1) for _ in range(3)]
    for volume in volumes:
        cloud.engine.execute(cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    cloud.settle()
    attached = [cloud.volume(volume) for volume in volumes]
    assert [volume.target for volume in attached] == ["vdb", "vdc", "vdd"]
    times = [volume.attached_at for volume in attached]
    assert times == sorted(times)
    assert list(plugged(cloud, instance).values())[1:] == [volume.id for volume in volumes]
    with cloud.store.read() as tx:
        assert [job.op for job in tx.jobs.of_instance(instance.id)] == ["deploy", "hotplug"]


@pytest.mark.parametrize("op", [Op.POWEROFF, Op.REBOOT, Op.START])
def test_what_is_asked_during_other_work_is_done_after_it(cloud, op):
    instance, volume = cloud.started(), a_volume(cloud)
    if op is Op.START:
        cloud.do(Op.POWEROFF, instance)
    cloud.operate(op, instance)
    command = AttachVolume(volume_id=volume.id, instance_id=instance.id)
    if op is not Op.REBOOT:  # it is neither running nor stopped in between
        refused = refusal(cloud, command)
        doing = "it is being shut down" if op is Op.POWEROFF else "it is being started"
        assert (refused.code, refused.message) == (
            Code.INSTANCE_BUSY,
            f"The instance '{instance.id}' is busy: {doing}; try again in a moment.",
        )
        return
    cloud.engine.execute(cloud.caller, command)
    assert cloud.get(instance).detail == "runn"
    cloud.settle()
    assert cloud.volume(volume).attach is AttachState.ATTACHED
    assert plugged(cloud, instance)["vdb"] == volume.id


def test_operations_wait_their_turn_while_disks_are_plugged(cloud):
    instance, volume = cloud.started(), a_volume(cloud)
    cloud.engine.execute(cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    with pytest.raises(BackendError) as refused:
        cloud.operate(Op.POWEROFF, instance, strict=True)
    assert refused.value.code in {Code.INSTANCE_BUSY, Code.INSTANCE_WRONG_STATE}
    cloud.settle()
    assert cloud.do(Op.POWEROFF, instance).detail == "poff"


@pytest.mark.parametrize("state", ["pend", "hibernated", "paused", "ended", "unknown"])
def test_only_running_and_stopped_instances_have_disks_plugged(cloud, state):
    volume = a_volume(cloud)
    if state == "pend":
        (instance,) = cloud.launch(held=True)
    else:
        instance = cloud.started()
        op = {"hibernated": Op.SUSPEND, "paused": Op.PAUSE, "ended": Op.TERMINATE}.get(state)
        if op is not None:
            cloud.do(op, instance)
        else:
            cloud.host().silent = True
            for _ in range(3):
                cloud.poll()
    refused = refusal(cloud, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    unknown = state == "unknown"
    assert refused.code is (Code.INSTANCE_UNREACHABLE if unknown else Code.INSTANCE_WRONG_STATE)


ZONES = {"us-east-1": ("us-east-1a", "us-east-1b")}


def test_volumes_of_another_zone_or_offline_are_not_attached():
    cloud = Cloud(settings=EngineSettings(zones=ZONES))
    cloud.add_host(zone="us-east-1b")
    cloud.poll()
    instance = cloud.started(zone="us-east-1a")
    far = a_volume(cloud, zone="us-east-1b")
    refused = refusal(cloud, AttachVolume(volume_id=far.id, instance_id=instance.id))
    assert refused.code is Code.VOLUME_ZONE_MISMATCH
    near = a_volume(cloud, zone="us-east-1a")
    ask(cloud, SetVolume(volume_id=near.id, online=False))
    refused = refusal(cloud, AttachVolume(volume_id=near.id, instance_id=instance.id))
    assert (refused.code, refused.context["state"]) == (Code.VOLUME_WRONG_STATE, "offline")
    ask(cloud, SetVolume(volume_id=near.id, online=True))
    assert attach(cloud, near, instance).attach is AttachState.ATTACHED


@pytest.mark.parametrize("wrong", [{"instance_id": "i-0"}, {"device": "/dev/sdg"}])
def test_a_detachment_names_the_attachment(cloud, wrong):
    instance, volume = cloud.started(), a_volume(cloud)
    free = refusal(cloud, DetachVolume(volume_id=volume.id))
    assert free.code is Code.VOLUME_WRONG_STATE
    never = refusal(cloud, DetachVolume(volume_id=volume.id, instance_id=instance.id))
    assert never.code is Code.VOLUME_NOT_ATTACHED
    attach(cloud, volume, instance, "/dev/sdf")
    assert refusal(cloud, DetachVolume(volume_id=volume.id, **wrong)).code is Code.VOLUME_NOT_ATTACHED
    assert is_free(detach(cloud, volume, instance_id=instance.id, device="/dev/sdf"))


def test_a_plug_that_fails_leaves_the_volume_available(cloud):
    instance, volume = cloud.started(), a_volume(cloud, data=b"mine")
    cloud.host().broken = {"attach"}
    failed = attach(cloud, volume, instance)
    assert is_free(failed)
    assert failed.message == "attach failed"
    assert cloud.get(instance).detail == "runn"
    cloud.host().broken = set()
    assert attach(cloud, volume, instance).attach is AttachState.ATTACHED
    assert data_of(cloud, volume) == b"mine"


# A guest that keeps its disk ----------------------------------------------------------------------------


def kept(cloud):
    """An instance whose guest was asked for a volume and did not let go."""
    instance, volume = cloud.started(), a_volume(cloud, data=b"mine")
    attach(cloud, volume, instance)
    cloud.host().guest = KEEPS_DISKS
    busy = detach(cloud, volume)
    assert (busy.state, busy.attach, busy.instance_id) == (VolumeState.IN_USE, AttachState.BUSY, instance.id)
    assert plugged(cloud, instance)["vdb"] == volume.id
    assert cloud.get(instance).detail == "runn"
    return instance, volume


def test_a_guest_that_keeps_a_disk_may_let_go_later(cloud):
    instance, volume = kept(cloud)
    cloud.host().release(instance.id)
    cloud.hear()
    cloud.settle()
    assert is_free(cloud.volume(volume))
    assert list(plugged(cloud, instance)) == ["vda"]
    all_in_order(cloud)


def test_a_guest_that_keeps_a_disk_is_asked_again(cloud):
    instance, volume = kept(cloud)
    cloud.host().guest = Guest()
    assert is_free(detach(cloud, volume))
    assert list(plugged(cloud, instance)) == ["vda"]
    all_in_order(cloud)


@pytest.mark.parametrize("op", [Op.POWEROFF, Op.POWEROFF_HARD])
def test_a_stop_completes_a_detachment(cloud, op):
    instance, volume = kept(cloud)
    cloud.do(op, instance)
    cloud.settle()
    assert cloud.get(instance).detail == "poff"
    assert is_free(cloud.volume(volume))
    cloud.do(Op.START, instance)
    assert list(plugged(cloud, instance)) == ["vda"]
    assert data_of(cloud, volume) == b"mine"
    all_in_order(cloud)


def test_force_switches_the_guest_off_and_releases(cloud):
    instance, volume = kept(cloud)
    forced = detach(cloud, volume, force=True)
    assert is_free(forced)
    assert cloud.get(instance).detail == "poff"
    assert cloud.host().running() == set()
    assert data_of(cloud, volume) == b"mine"
    all_in_order(cloud)


def test_force_of_a_guest_that_lets_go_switches_nothing_off(cloud):
    instance, volume = cloud.started(), a_volume(cloud)
    attach(cloud, volume, instance)
    assert is_free(detach(cloud, volume, force=True))
    assert cloud.get(instance).detail == "runn"
    assert len(cloud.host().starts) == 1


def test_a_guest_that_keeps_one_disk_still_gets_others(cloud):
    instance, _ = kept(cloud)
    second = a_volume(cloud)
    assert attach(cloud, second, instance).attach is AttachState.ATTACHED
    assert plugged(cloud, instance)["vdc"] == second.id


def test_a_guest_that_switches_itself_off_lets_go(cloud):
    instance, volume = kept(cloud)
    cloud.clock.advance(1)
    cloud.host().change(instance.id, DomainStatus.OFF, DomainReason.GUEST_SHUTDOWN)
    all_in_order(cloud)
    assert cloud.get(instance).detail == "poff"
    assert is_free(cloud.volume(volume))


# Ends ---------------------------------------------------------------------------------------------------


def test_volumes_end_with_their_instance_or_survive_it(cloud):
    instance = cloud.started()
    ends, stays = a_volume(cloud), a_volume(cloud, data=b"mine")
    attach(cloud, ends, instance, delete_on_termination=True)
    attach(cloud, stays, instance)
    (root, *_) = cloud.disks(instance)
    cloud.do(Op.TERMINATE, instance)
    assert cloud.volume(root) is None
    assert cloud.volume(ends) is None
    assert is_free(cloud.volume(stays))
    assert set(cloud.host().volumes) == {stays.id}
    assert data_of(cloud, stays) == b"mine"
    all_in_order(cloud)


def test_what_becomes_of_volumes_at_the_end_can_be_changed(cloud):
    instance = cloud.started()
    (root,) = cloud.disks(instance)
    volume = a_volume(cloud)
    attach(cloud, volume, instance, "/dev/sdf")
    ask(cloud, SetVolume(volume_id=volume.id, delete_on_termination=True))
    command = ModifyInstance(
        instance_id=instance.id, delete_on_termination=(("/dev/vda", False), ("/dev/sdf", True))
    )
    ask(cloud, command)
    unknown = ModifyInstance(instance_id=instance.id, delete_on_termination=(("/dev/sdx", True),))
    assert refusal(cloud, unknown).code is Code.PARAMETER_INVALID
    cloud.do(Op.TERMINATE, instance)
    assert cloud.volume(volume) is None
    assert is_free(cloud.volume(root))
    assert data_of(cloud, root) == b"image guest"
    other = cloud.started()
    assert attach(cloud, root, other).attach is AttachState.ATTACHED
    all_in_order(cloud)


@pytest.mark.parametrize("when", [1, 2, 3])
@pytest.mark.parametrize("op", [Op.TERMINATE, Op.DELETE])
def test_an_end_while_disks_are_plugged(cloud, op, when):
    instance, volume = cloud.started(), a_volume(cloud, data=b"mine")
    second = a_volume(cloud, data=b"too")
    attach(cloud, second, instance)
    cloud.engine.execute(cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    cloud.engine.execute(cloud.caller, DetachVolume(volume_id=second.id))
    cloud.host().plan = [(when, lambda: cloud.operate(op, instance))]
    cloud.quiesce()
    if cloud.get(instance).detail != "done":
        cloud.do(op, instance)
    all_in_order(cloud)
    assert cloud.get(instance).detail == "done"
    for each, data in ((volume, b"mine"), (second, b"too")):
        found = cloud.volume(each)
        assert found.instance_id is None
        assert found.state in {VolumeState.AVAILABLE, VolumeState.ERROR}
        assert data_of(cloud, each) == data
    assert cloud.host().domains == {}


def test_after_a_delete_what_was_written_to_is_in_error_until_somebody_looked(cloud):
    instance, volume = cloud.started(), a_volume(cloud, data=b"torn")
    attach(cloud, volume, instance)
    cloud.do(Op.DELETE, instance)
    torn = cloud.volume(volume)
    assert (torn.state, torn.instance_id) == (VolumeState.ERROR, None)
    other = cloud.started()
    refused = refusal(cloud, AttachVolume(volume_id=volume.id, instance_id=other.id))
    assert refused.code is Code.VOLUME_WRONG_STATE
    assert is_free(cloud.engine.execute(cloud.caller, SetVolume(volume_id=volume.id, reset=True)))
    assert attach(cloud, volume, other).attach is AttachState.ATTACHED
    assert data_of(cloud, volume) == b"torn"
    all_in_order(cloud)


# Launching with volumes ---------------------------------------------------------------------------------


def a_snapshot(cloud, volume, **parameters):
    made = ask(cloud, CreateSnapshot(volume_id=volume.id, **parameters))
    found = cloud.engine.snapshot(cloud.caller, made.id)
    assert found.state is SnapshotState.COMPLETED
    return found


def test_a_launch_maps_disks(cloud):
    snapshot = a_snapshot(cloud, a_volume(cloud, data=b"from before", size_gib=3))
    instance = cloud.started(
        mappings=(
            BlockDevice(device="/dev/sda1", size_gib=9, delete_on_termination=False),
            BlockDevice(device="/dev/sdf", snapshot_id=snapshot.id),
            BlockDevice(device="/dev/sdg", size_gib=5, type="gp3", delete_on_termination=False),
        ),
        volume_tags=(("k", "v"),),
    )
    root, second, third = cloud.disks(instance)
    shown = [
        (each.device, each.target, each.size_gib, each.delete_on_termination)
        for each in (root, second, third)
    ]
    assert shown == [
        ("/dev/vda", "vda", 9, False),
        ("/dev/sdf", "vdf", 3, True),
        ("/dev/sdg", "vdg", 5, False),
    ]
    assert {each.attach for each in (root, second, third)} == {AttachState.ATTACHED}
    assert (data_of(cloud, second), second.snapshot_id) == (b"from before", snapshot.id)
    assert (data_of(cloud, third), third.type) == (b"", "gp3")
    assert plugged(cloud, instance) == {"vda": root.id, "vdf": second.id, "vdg": third.id}
    assert cloud.engine.tags_of([third.id]) == {third.id: {"k": "v"}}
    cloud.do(Op.TERMINATE, instance)
    assert cloud.volume(second) is None
    assert is_free(cloud.volume(root))
    all_in_order(cloud)


def test_each_instance_of_a_launch_has_volumes_of_its_own(cloud):
    made = cloud.launch(minimum=3, maximum=3, mappings=(BlockDevice(device="/dev/sdf", size_gib=1),))
    cloud.settle()
    disks = [volume for instance in made for volume in cloud.disks(instance)]
    assert len({volume.id for volume in disks}) == 6
    assert set(cloud.host().volumes) == {volume.id for volume in disks}


@pytest.mark.parametrize(
    ("mapping", "code"),
    [
        ([{"device": "/dev/sdf"}], Code.BLOCK_DEVICE_INVALID),
        ([{"device": "", "size_gib": 1}], Code.BLOCK_DEVICE_INVALID),
        (
            [{"device": "/dev/sdf", "size_gib": 1}, {"device": "sdf", "size_gib": 2}],
            Code.BLOCK_DEVICE_INVALID,
        ),
        ([{"device": "/dev/sdf", "snapshot_id": "snap-0"}], Code.SNAPSHOT_NOT_FOUND),
        ([{"device": "/dev/sdf", "size_gib": 0}], Code.PARAMETER_INVALID),
        ([{"device": "floppy", "size_gib": 1}], Code.PARAMETER_INVALID),
        ([{"device": "/dev/sdf", "size_gib": 1, "type": "io1"}], Code.PARAMETER_MISSING),
    ],
)
def test_mappings_that_cannot_be_are_refused(cloud, mapping, code):
    mappings = tuple(BlockDevice(**each) for each in mapping)
    assert refusal(cloud, Launch(image_id=cloud.image.id, mappings=mappings)).code is code


def test_a_root_is_no_smaller_than_its_image(cloud):
    big = cloud.register("big", virtual_bytes=6 * GIB)
    small = (BlockDevice(device="/dev/sda1", size_gib=5),)
    assert refusal(cloud, Launch(image_id=big.id, mappings=small)).code is Code.BLOCK_DEVICE_INVALID
    (root,) = cloud.disks(cloud.started(image_id=big.id))
    assert root.size_gib == 6


def test_volumes_given_at_launch_are_there_from_the_beginning_and_survive(cloud):
    volume = a_volume(cloud, data=b"given")
    instance = cloud.started(volumes=((volume.id, "/dev/sdf"),))
    assert cloud.volume(volume).attach is AttachState.ATTACHED
    assert plugged(cloud, instance)["vdf"] == volume.id
    cloud.do(Op.TERMINATE, instance)
    assert is_free(cloud.volume(volume))
    assert data_of(cloud, volume) == b"given"
    all_in_order(cloud)


def test_a_given_volume_is_brought_to_the_instance():
    cloud = Cloud(hosts=2)
    volume = a_volume(cloud, data=b"given")
    there = cloud.host_ids.index(volume.host_id)
    cloud.set_host(there, HostState.DISABLED)
    instance = cloud.started(volumes=((volume.id, ""),))
    assert instance.host_id != volume.host_id
    assert cloud.volume(volume).host_id == instance.host_id
    assert data_of(cloud, volume) == b"given"
    all_in_order(cloud)
    assert cloud.host(there).volumes == {}


def test_a_launch_that_fails_gives_its_volumes_back():
    cloud = Cloud(hosts=2)
    volume = a_volume(cloud, data=b"given")
    for index in range(2):
        cloud.host(index).broken = {"start"}
    (instance,) = cloud.launch(volumes=((volume.id, ""),))
    cloud.settle()
    ended = cloud.get(instance)
    assert (ended.detail, ended.reason) == ("done", Reason.LAUNCH_FAILED)
    assert is_free(cloud.volume(volume))
    assert data_of(cloud, volume) == b"given"
    all_in_order(cloud)


def test_one_volume_is_not_given_to_many(cloud):
    volume = a_volume(cloud)
    twice = Launch(image_id=cloud.image.id, maximum=2, volumes=((volume.id, ""),))
    assert refusal(cloud, twice).code is Code.PARAMETER_INVALID
    same = Launch(image_id=cloud.image.id, volumes=((volume.id, ""), (volume.id, "")))
    assert refusal(cloud, same).code is Code.PARAMETER_INVALID


def test_a_resubmitted_instance_has_a_new_root_and_its_old_data(cloud):
    snapshot = a_snapshot(cloud, a_volume(cloud, data=b"seeded"))
    instance = cloud.started(mappings=(BlockDevice(device="/dev/sdg", snapshot_id=snapshot.id),))
    volume = a_volume(cloud)
    attach(cloud, volume, instance, "/dev/sdf")
    root, first, second = cloud.disks(instance)
    assert first.id == volume.id
    for each in (root, first, second):
        cloud.host().write(each.id, b"written")
    again = cloud.do(Op.RESUBMIT, instance)
    assert (again.detail, again.epoch) == ("runn", 2)
    assert data_of(cloud, root) == b"image guest"
    assert data_of(cloud, first) == data_of(cloud, second) == b"written"
    assert set(plugged(cloud, instance).values()) == {root.id, first.id, second.id}
    all_in_order(cloud)


def test_a_root_is_swapped_while_the_instance_is_off(cloud):
    instance = cloud.started()
    (root,) = cloud.disks(instance)
    assert refusal(cloud, DetachVolume(volume_id=root.id)).code is Code.VOLUME_IS_ROOT
    cloud.do(Op.POWEROFF, instance)
    assert is_free(detach(cloud, root))
    with pytest.raises(BackendError) as refused:
        cloud.operate(Op.START, instance)
    assert refused.value.code is Code.INSTANCE_WRONG_STATE
    other = a_volume(cloud, image_id=cloud.image.id, size_gib=3, data=b"another system")
    swapped = attach(cloud, other, instance, "/dev/sda1")
    assert (swapped.boot, swapped.target) == (True, "vda")
    cloud.do(Op.START, instance)
    assert plugged(cloud, instance) == {"vda": other.id}
    cloud.do(Op.TERMINATE, instance)
    all_in_order(cloud)
    assert is_free(cloud.volume(root))


# Moving between hosts -----------------------------------------------------------------------------------


def apart(cloud):
    """A volume with bytes on the first host, and an instance that runs on the second."""
    cloud.set_host(1, HostState.DISABLED)
    volume = a_volume(cloud, data=b"precious", size_gib=2)
    cloud.set_host(1, HostState.INIT)
    cloud.poll()
    cloud.set_host(0, HostState.DISABLED)
    instance = cloud.started()
    cloud.set_host(0, HostState.INIT)
    cloud.poll()
    assert (volume.host_id, instance.host_id) == tuple(cloud.host_ids)
    return volume, instance


@pytest.mark.parametrize("running", [True, False])
def test_attaching_moves_a_volume_to_its_instance(running):
    cloud = Cloud(hosts=2)
    volume, instance = apart(cloud)
    if not running:
        cloud.do(Op.POWEROFF, instance)
    moved = attach(cloud, volume, instance)
    assert (moved.host_id, moved.attach) == (cloud.host_ids[1], AttachState.ATTACHED)
    assert set(cloud.host(0).volumes) == set()
    there = cloud.host(1).volumes[volume.id]
    assert (there.content, there.virtual_bytes) == (b"precious", 2 * GIB)
    all_in_order(cloud)


def complete_copies(cloud, volume, data):
    """How many hosts have the volume whole."""
    hosts = [cloud.host(index) for index in range(len(cloud.host_ids))]
    return sum(volume.id in host.volumes and host.volumes[volume.id].content == data for host in hosts)


@pytest.mark.parametrize("death", ["die before", "die after"])
@pytest.mark.parametrize("host", [0, 1])
@pytest.mark.parametrize("call", range(5))
def test_a_worker_that_dies_while_a_volume_moves_loses_nothing(host, call, death):
    cloud = Cloud(hosts=2)
    volume, instance = apart(cloud)
    cloud.engine.execute(cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    cloud.host(host).plan = [(call, death)]
    for _ in range(20):
        cloud.step()
        assert complete_copies(cloud, volume, b"precious") >= 1
    all_in_order(cloud)
    moved = cloud.volume(volume)
    assert (moved.host_id, moved.attach) == (cloud.host_ids[1], AttachState.ATTACHED)
    assert data_of(cloud, volume) == b"precious"
    assert plugged(cloud, instance)["vdb"] == volume.id
    assert complete_copies(cloud, volume, b"precious") == 1


@pytest.mark.parametrize("host", [0, 1])
@pytest.mark.parametrize("call", range(4))
def test_an_end_after_a_death_in_the_middle_of_a_move_leaves_one_copy(host, call):
    cloud = Cloud(hosts=2)
    volume, instance = apart(cloud)
    cloud.engine.execute(cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    cloud.host(host).plan = [(call, "die after")]
    cloud.step()
    cloud.operate(Op.TERMINATE, instance)
    all_in_order(cloud)
    assert is_free(cloud.volume(volume))
    assert data_of(cloud, volume) == b"precious"
    assert complete_copies(cloud, volume, b"precious") == 1


@pytest.mark.parametrize("method", ["cpds", "fetch", "put", "attach", "volume"])
@pytest.mark.parametrize("host", [0, 1])
def test_a_move_that_fails_leaves_the_volume_whole(method, host):
    cloud = Cloud(hosts=2)
    volume, instance = apart(cloud)
    cloud.host(host).broken = {method}
    attach(cloud, volume, instance)
    cloud.host(host).broken = set()
    all_in_order(cloud)
    assert data_of(cloud, volume) == b"precious"
    assert complete_copies(cloud, volume, b"precious") == 1
    attach(cloud, volume, instance) if is_free(cloud.volume(volume)) else None
    assert plugged(cloud, instance)["vdb"] == volume.id
    all_in_order(cloud)


def test_hosts_with_one_store_move_nothing():
    cloud = Cloud(hosts=2)
    for index in range(2):
        cloud.host(index).store.name = "shared"
    shared = cloud.host(0).store
    cloud.host(1).store.hosts.clear()
    shared.hosts.append(cloud.host(1))
    cloud.host(1).store = shared
    for index in range(2):
        cloud.set_host(index, HostState.INIT)
    cloud.poll()
    volume, instance = apart(cloud)
    cloud.host(0).broken = {"cpds", "fetch", "put", "delete"}
    cloud.host(1).broken = {"cpds", "fetch", "put", "delete"}
    moved = attach(cloud, volume, instance)
    assert (moved.host_id, moved.attach) == (cloud.host_ids[1], AttachState.ATTACHED)
    assert data_of(cloud, volume) == b"precious"
    cloud.host(0).broken = cloud.host(1).broken = set()
    all_in_order(cloud)


def test_a_volume_goes_where_its_instance_is_sent():
    """A resubmitted instance comes up on another host, with its data."""
    cloud = Cloud(hosts=2)
    instance, volume = cloud.started(), None
    volume = a_volume(cloud, data=b"precious")
    attach(cloud, volume, instance)
    was = cloud.host_ids.index(instance.host_id)
    cloud.set_host(was, HostState.DISABLED)
    again = cloud.do(Op.RESUBMIT, instance)
    assert (again.detail, again.host_id) == ("runn", cloud.host_ids[1 - was])
    assert cloud.volume(volume).host_id == again.host_id
    assert data_of(cloud, volume) == b"precious"
    assert plugged(cloud, again)["vdb"] == volume.id
    all_in_order(cloud)
    assert cloud.host(was).volumes == {}


# Hosts --------------------------------------------------------------------------------------------------


def test_a_host_that_falls_silent_while_plugging_goes_on_later(cloud):
    instance, volume = cloud.started(), a_volume(cloud)
    cloud.engine.execute(cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    cloud.host().silent = True
    cloud.settle()
    for _ in range(3):
        cloud.poll()
    cloud.clock.advance(4000)
    cloud.sweep()
    cloud.settle()
    assert cloud.get(instance).detail == "unkn"
    assert cloud.volume(volume).attach is AttachState.ATTACHING
    cloud.host().silent = False
    all_in_order(cloud)
    assert cloud.get(instance).detail == "runn"
    assert cloud.volume(volume).attach is AttachState.ATTACHED
    assert plugged(cloud, instance)["vdb"] == volume.id


def test_a_host_with_volumes_is_not_forgotten(cloud):
    volume = a_volume(cloud)
    assert refusal(cloud, DeleteHost(host_id=cloud.host_ids[0]), ADMIN).code is Code.HOST_IN_USE
    ask(cloud, DeleteVolume(volume_id=volume.id))
    cloud.engine.execute(ADMIN, DeleteHost(host_id=cloud.host_ids[0]))
    assert cloud.engine.hosts() == []


def test_a_volume_of_a_host_declared_dead_is_deleted_when_the_host_returns(cloud):
    volume = a_volume(cloud)
    cloud.set_host(0, HostState.OFFLINE)
    ask(cloud, DeleteVolume(volume_id=volume.id))
    assert cloud.volume(volume) is None
    assert volume.id in cloud.host().volumes
    cloud.set_host(0, HostState.INIT)
    all_in_order(cloud)
    assert cloud.host().volumes == {}


def test_a_volume_on_a_dead_host_cannot_be_attached_elsewhere():
    cloud = Cloud(hosts=2)
    volume, instance = apart(cloud)
    cloud.set_host(0, HostState.OFFLINE)
    failed = attach(cloud, volume, instance)
    assert is_free(failed)
    assert "offline" in failed.message
    cloud.set_host(0, HostState.INIT)
    all_in_order(cloud)
    assert attach(cloud, volume, instance).attach is AttachState.ATTACHED
    assert data_of(cloud, volume) == b"precious"
    all_in_order(cloud)


# Encrypted volumes --------------------------------------------------------------------------------------


def passphrase(cloud, owner, sealed):
    return cloud.engine.vault.open(owner, sealed)


def test_an_encrypted_volume_has_a_passphrase_of_its_own(cloud):
    one, two = a_volume(cloud, encrypted=True), a_volume(cloud, encrypted=True)
    keys = [passphrase(cloud, each.id, each.secret) for each in (one, two)]
    assert keys[0] != keys[1]
    assert [home(cloud, each).volumes[each.id].key.decode() for each in (one, two)] == keys
    instance = cloud.started()
    assert attach(cloud, one, instance).attach is AttachState.ATTACHED
    assert cloud.host().plugged[instance.id]["vdb"].key.decode() == keys[0]
    ask(cloud, ModifyVolume(volume_id=one.id, size_gib=4))
    assert cloud.volume(one).modification.state == "completed"


def test_what_is_made_of_an_encrypted_volume_is_encrypted_alike(cloud):
    volume = a_volume(cloud, encrypted=True, data=b"cipher")
    snapshot = a_snapshot(cloud, volume)
    key = passphrase(cloud, volume.id, volume.secret)
    assert snapshot.encrypted
    assert passphrase(cloud, snapshot.id, snapshot.secret) == key
    copy = a_volume(cloud, snapshot_id=snapshot.id, size_gib=None)
    assert copy.encrypted
    assert passphrase(cloud, copy.id, copy.secret) == key
    assert data_of(cloud, copy) == b"cipher"
    instance = cloud.started(mappings=(BlockDevice(device="/dev/sdf", snapshot_id=snapshot.id),))
    (_, mapped) = cloud.disks(instance)
    assert passphrase(cloud, mapped.id, mapped.secret) == key
    assert cloud.host().plugged[instance.id]["vdf"].key.decode() == key
    plain = BlockDevice(device="/dev/sdf", snapshot_id=snapshot.id, encrypted=False)
    assert (
        refusal(cloud, Launch(image_id=cloud.image.id, mappings=(plain,))).code is Code.BLOCK_DEVICE_INVALID
    )


def test_an_encrypted_volume_moves_with_its_passphrase():
    cloud = Cloud(hosts=2)
    cloud.set_host(1, HostState.DISABLED)
    volume = a_volume(cloud, encrypted=True, data=b"cipher")
    cloud.set_host(1, HostState.INIT)
    cloud.poll()
    cloud.set_host(0, HostState.DISABLED)
    instance = cloud.started()
    assert attach(cloud, volume, instance).attach is AttachState.ATTACHED
    there = cloud.host(1).volumes[volume.id]
    assert (there.content, there.key.decode()) == (b"cipher", passphrase(cloud, volume.id, volume.secret))
    all_in_order(cloud)


# Reverting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attached", [False, True])
def test_a_volume_goes_back_to_a_snapshot(cloud, attached):
    volume = a_volume(cloud, data=b"then")
    if attached:
        instance = cloud.started()
        attach(cloud, volume, instance)
    snapshot = a_snapshot(cloud, volume)
    cloud.host().write(volume.id, b"now")
    if attached:
        running = refusal(cloud, RevertVolume(volume_id=volume.id, snapshot_id=snapshot.id))
        assert running.code is Code.INSTANCE_WRONG_STATE
        cloud.do(Op.POWEROFF, instance)
    ask(cloud, RevertVolume(volume_id=volume.id, snapshot_id=snapshot.id))
    assert data_of(cloud, volume) == b"then"
    assert cloud.volume(volume).state is (VolumeState.IN_USE if attached else VolumeState.AVAILABLE)
    all_in_order(cloud)


def test_a_volume_goes_back_to_its_own_snapshots_only(cloud):
    volume, other = a_volume(cloud), a_volume(cloud)
    snapshot = a_snapshot(cloud, other)
    assert refusal(cloud, RevertVolume(volume_id=volume.id, snapshot_id=snapshot.id)).code is (
        Code.PARAMETER_INVALID
    )


def test_a_snapshot_that_goes_before_its_turn_reverts_nothing(cloud):
    volume = a_volume(cloud, data=b"then")
    snapshot = a_snapshot(cloud, volume)
    cloud.host().write(volume.id, b"now")
    cloud.engine.execute(cloud.caller, RevertVolume(volume_id=volume.id, snapshot_id=snapshot.id))
    cloud.engine.execute(cloud.caller, DeleteSnapshot(snapshot_id=snapshot.id))
    all_in_order(cloud)
    assert data_of(cloud, volume) == b"now"
    assert cloud.volume(volume).state is VolumeState.AVAILABLE
    assert cloud.engine.tasks(cloud.caller)[0].state is JobState.FAILED


# Tenants ------------------------------------------------------------------------------------------------


def test_a_purge_takes_volumes_and_snapshots_too(cloud):
    instance = cloud.started()
    attached, free = a_volume(cloud), a_volume(cloud)
    attach(cloud, attached, instance)
    a_snapshot(cloud, free)
    cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=attached.id))
    theirs = a_volume(cloud, cloud.other, data=b"theirs")
    purge = PurgeTenant(tenant_id=cloud.tenant.id, remove=True)
    for _ in range(5):
        if cloud.engine.execute(ADMIN, purge) == 0:
            break
        cloud.quiesce()
    assert cloud.engine.tenant(cloud.tenant.id) is None
    all_in_order(cloud)
    assert set(cloud.host().volumes) == {theirs.id}
    assert data_of(cloud, theirs) == b"theirs"
    assert not cloud.engine.snapshots(ADMIN)


# Work and attachments that cross ------------------------------------------------------------------------


def two_places():
    """A free volume on one host, and an instance that runs on the other; with the volume's host."""
    cloud = Cloud(hosts=2)
    instance, volume = cloud.started(), a_volume(cloud)
    if cloud.volume(volume).host_id == cloud.get(instance).host_id:
        cloud.set_host(cloud.host_ids.index(cloud.get(instance).host_id), HostState.DISABLED)
        volume = a_volume(cloud)
        cloud.set_host(cloud.host_ids.index(cloud.get(instance).host_id), HostState.INIT)
        cloud.poll()
    return cloud, instance, volume, home(cloud, volume)


def test_an_instance_does_not_wait_for_work_elsewhere():
    cloud, instance, volume, there = two_places()
    there.plan = [(calls, Fault.SILENT_BEFORE) for calls in range(3)]
    kept = ask(cloud, CreateSnapshot(volume_id=volume.id))
    ask(cloud, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    assert cloud.get(instance).job_id is None  # nothing spins, and the instance is free for other things
    assert cloud.volume(volume).attach is AttachState.ATTACHING
    assert cloud.do(Op.REBOOT, instance).detail == "runn"
    there.plan = []
    all_in_order(cloud)
    assert cloud.volume(volume).attach is AttachState.ATTACHED
    assert cloud.engine.snapshot(cloud.caller, kept.id).state is SnapshotState.COMPLETED


def test_a_move_stops_where_the_copy_is_to_be_removed():
    cloud, instance, volume, there = two_places()
    here = cloud.host_of(instance)
    item = Debris(instance_id=volume.id, host_id=str(cloud.get(instance).host_id), at=0.0, message="")
    cloud.engine.execute(cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    original = here.put

    def put(*arguments, **named):
        here.put = original
        original(*arguments, **named)
        with cloud.store.begin() as tx:
            tx.debris.put(item)

    here.put = put
    there.write(volume.id, b"precious")
    cloud.settle()
    assert there.volumes[volume.id].content == b"precious"
    assert cloud.volume(volume).attach is AttachState.NONE  # tried again a few times, in vain
    cloud.sweep()
    attach(cloud, volume, instance)
    assert cloud.volume(volume).attach is AttachState.ATTACHED
    all_in_order(cloud)
    assert data_of(cloud, volume) == b"precious"


def test_what_follows_a_detachment_goes_on_alone(cloud):
    instance, volume = cloud.started(), a_volume(cloud, data=b"as it was")
    attach(cloud, volume, instance)
    cloud.engine.execute(cloud.caller, DetachVolume(volume_id=volume.id))
    kept = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=volume.id))
    cloud.engine.execute(cloud.caller, ModifyVolume(volume_id=volume.id, size_gib=4))
    cloud.settle()
    assert cloud.engine.snapshot(cloud.caller, kept.id).state is SnapshotState.COMPLETED
    grown = cloud.volume(volume)
    assert (grown.state, grown.size_gib, grown.modification.state) == (VolumeState.AVAILABLE, 4, "completed")
    all_in_order(cloud)


def test_an_instance_waits_for_what_another_still_does_to_the_volume(cloud):
    first, second, volume = cloud.started(), cloud.started(), a_volume(cloud)
    attach(cloud, volume, first)
    cloud.operate(Op.POWEROFF, first)
    cloud.settle()
    with cloud.store.begin() as tx:
        work = cloud.engine.work(tx, cloud.caller)
        waits = begin_task(work, TaskKind.VOLUME_DETACH, volume.id, tenant_id=first.tenant_id, lock=volume.id)
        tx.tasks.update(waits, instance_id=first.id)
        work = cloud.engine.work(tx, cloud.caller)  # a moment later
        own = begin_task(work, TaskKind.VOLUME_ATTACH, volume.id, tenant_id=first.tenant_id, lock=volume.id)
        tx.tasks.update(own, instance_id=second.id)
        assert next_task(work, second.id, "runn") is None
        assert next_task(work, first.id, "poff").id == waits.id


@pytest.mark.parametrize("order", ["attached first", "attached after"])
def test_work_goes_to_the_instance_that_has_the_volume_by_then(cloud, monkeypatch, order):
    """Whoever asks may have read the volume before somebody else attached it."""
    instance, volume = cloud.started(), a_volume(cloud, data=b"data")
    stale = cloud.volume(volume)
    if order == "attached first":
        cloud.engine.execute(cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id))
        monkeypatch.setattr(snapshots, "own_volume", lambda _work, _id: stale)
    kept = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=volume.id))
    with cloud.store.read() as tx:
        (task,) = tx.tasks.open_of_resource(kept.id)
    assert task.instance_id == (instance.id if order == "attached first" else "")
    if order == "attached after":  # as a launch does, with no task of its own
        with cloud.store.begin() as tx:
            tx.volumes.update(
                tx.volumes.get(volume.id),
                state=VolumeState.IN_USE,
                instance_id=instance.id,
                attach=AttachState.ATTACHED,
                device="/dev/vdf",
                target="vdf",
            )
        cloud.host().attach(instance.id, DiskSpec(target="vdf", name=volume.id, serial="x"))
    cloud.host().broken = {"cpds"}  # which is for disks at rest
    cloud.settle()
    assert cloud.engine.snapshot(cloud.caller, kept.id).state is SnapshotState.COMPLETED


def test_a_revert_sees_that_the_volume_was_attached(cloud, monkeypatch):
    instance, volume = cloud.started(), a_volume(cloud)
    kept = ask(cloud, CreateSnapshot(volume_id=volume.id))
    stale = cloud.volume(volume)
    attach(cloud, volume, instance)
    monkeypatch.setattr(volumes, "own_volume", lambda _work, _id: stale)
    refused = refusal(cloud, RevertVolume(volume_id=volume.id, snapshot_id=kept.id))
    assert refused.code is Code.INSTANCE_WRONG_STATE


@pytest.mark.parametrize("command", [CreateSnapshot, ModifyVolume])
def test_what_is_no_disk_of_the_domain_is_not_worked_on(cloud, command):
    instance, volume, other = cloud.started(), a_volume(cloud), a_volume(cloud, data=b"other's")
    attach(cloud, volume, instance)
    attach(cloud, other, instance)
    with cloud.store.begin() as tx:
        mine, others = tx.volumes.get(volume.id), tx.volumes.get(other.id)
        tx.volumes.update(others, target="vdx")
        tx.volumes.update(mine, target=others.target)
    asked = command(volume_id=volume.id, **({"size_gib": 9} if command is ModifyVolume else {}))
    answer = ask(cloud, asked)
    if command is CreateSnapshot:
        assert cloud.engine.snapshot(cloud.caller, answer.id).state is SnapshotState.ERROR
    else:
        assert cloud.volume(volume).modification.state == "failed"
    assert cloud.host().volumes[other.id].virtual_bytes == 2 * GIB


def test_what_has_grown_stays_so_when_its_limits_fail(cloud):
    instance, volume = cloud.started(), a_volume(cloud)
    attach(cloud, volume, instance)
    cloud.host().broken = {"limit"}
    ask(cloud, ModifyVolume(volume_id=volume.id, size_gib=9, type="gp3", iops=4000))
    after = cloud.volume(volume)
    assert (after.size_gib, after.type, after.iops) == (9, volume.type, volume.iops)
    assert after.modification.state == "failed"
    assert cloud.host().volumes[volume.id].virtual_bytes == 9 * GIB


def test_a_volume_is_not_brought_where_there_is_no_room():
    cloud, instance, volume, _ = two_places()
    a_copy = ask(cloud, CreateSnapshot(volume_id=volume.id))
    here = str(cloud.get(instance).host_id)
    with cloud.store.begin() as tx:
        host = tx.hosts.get(here)
        used = tx.reservations.used_on(host.id).disk_gib + host.foreign.disk_gib
        tx.hosts.update(host, total=Capacity(cpu=8, memory_mib=16384, disk_gib=used + 3))
        room = tx.hosts.get(host.id).limit.disk_gib - used
        where = tx.volumes.get(volume.id).host_id
    second = ask(cloud, CreateVolume(size_gib=2, snapshot_id=a_copy.id))
    assert cloud.volume(second).host_id == where
    assert 2 <= room < 4
    cloud.engine.execute(cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    command = AttachVolume(volume_id=second.id, instance_id=instance.id)
    assert refusal(cloud, command).code is Code.VOLUME_CAPACITY  # what is on its way counts
    all_in_order(cloud)
    assert refusal(cloud, command).code is Code.VOLUME_CAPACITY
    assert cloud.volume(volume).attach is AttachState.ATTACHED


def test_a_deletion_that_fails_keeps_no_place_in_the_queue(cloud):
    volume = a_volume(cloud)
    cloud.host().broken = {"delete"}
    ask(cloud, DeleteVolume(volume_id=volume.id))
    with cloud.store.read() as tx:
        (task,) = tx.tasks.open()
    assert (task.state, task.busy) == (JobState.WAITING, "")
    cloud.sweep()
    assert not cloud.queue.work  # not due yet
    cloud.clock.advance(61)
    cloud.sweep()
    cloud.settle()
    with cloud.store.read() as tx:
        assert tx.tasks.get(task.id).attempt == task.attempt
        assert float(tx.tasks.get(task.id).arguments["due"]) > float(task.arguments["due"])
    cloud.host().broken = set()
    all_in_order(cloud)
    assert cloud.volume(volume) is None
