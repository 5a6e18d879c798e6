"""Images: registered, saved from instances, copied, published, imported, exported, withdrawn."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from simulation import ADMIN, Cloud, Op

from backend.commands import (
    CopyImage,
    CreateImage,
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeregisterImage,
    ExportImage,
    ImportImage,
    ImportSnapshot,
    Launch,
    ModifyImage,
    ModifySnapshot,
    PublishImage,
    RegisterImage,
    SetQuota,
    TestImage,
)
from backend.engine.image_test import ImageTester
from backend.engine.images import PUBLISHING, may_launch, test_ended
from backend.engine.work import ENGINE
from backend.errors import BackendError, Code
from backend.model import (
    Api,
    AttachState,
    BlockDevice,
    Desired,
    ImageState,
    JobState,
    Publication,
    Role,
    SnapshotState,
    VolumeState,
)

test_ended.__test__ = False  # it is no test of ours


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


def do(cloud, command, caller=None):
    """A command carried out to its end."""
    answer = cloud.engine.execute(caller or cloud.caller, command)
    cloud.settle()
    return answer


def a_snapshot(cloud, data=b"kept", **parameters):
    volume = do(cloud, CreateVolume(size_gib=2, **parameters))
    cloud.host().write(volume.id, data)
    return cloud.engine.snapshot(cloud.caller, do(cloud, CreateSnapshot(volume_id=volume.id)).id)


def image_of(cloud, image):
    return cloud.engine.image(cloud.caller, image.id)


def root_bytes(cloud, instance):
    return cloud.host_of(instance).volumes[cloud.disks(instance)[0].id].content


# Registering --------------------------------------------------------------------------------------------


def test_registered_of_a_snapshot(cloud):
    kept = a_snapshot(cloud, b"bootable")
    data = a_snapshot(cloud, b"data")
    image = do(
        cloud,
        RegisterImage(
            name="of a snapshot",
            snapshot_id=kept.id,
            tags=(("a", "b"),),
            mappings=(
                BlockDevice(device="/dev/sda1", size_gib=4, type="gp3", snapshot_id=kept.id),
                BlockDevice(device="/dev/sdf", snapshot_id=data.id, delete_on_termination=False),
                BlockDevice(device="/dev/sdg", size_gib=1),
                BlockDevice(device="/dev/sdb", virtual_name="ephemeral0"),
            ),
        ),
    )
    assert (image.state, image.checksum, image.snapshot_id) == (ImageState.READY, kept.content, kept.id)
    assert [each.size_gib for each in image.mappings] == [4, 2, 1, None]
    assert image.mappings[0].snapshot_id == ""
    instance = cloud.started(image_id=image.id)
    assert [(disk.size_gib, disk.type) for disk in cloud.disks(instance)] == [
        (4, "gp3"),
        (2, "gp2"),
        (1, "gp2"),
    ]
    assert root_bytes(cloud, instance) == b"bootable"
    second = cloud.disks(instance)[1]
    assert cloud.host().volumes[second.id].content == b"data"
    cloud.do(Op.TERMINATE, instance)
    assert cloud.engine.volume(cloud.caller, second.id).state is VolumeState.AVAILABLE


@pytest.mark.parametrize(
    ("mapping", "code"),
    [
        (BlockDevice(device="/dev/vda", size_gib=0), Code.BLOCK_DEVICE_INVALID),
        (BlockDevice(device="/dev/vda", virtual_name="ephemeral0"), Code.BLOCK_DEVICE_INVALID),
        (BlockDevice(device="/dev/sdf"), Code.BLOCK_DEVICE_INVALID),
        (BlockDevice(device="/dev/sdf", size_gib=0), Code.BLOCK_DEVICE_INVALID),
        (BlockDevice(device="", size_gib=1), Code.BLOCK_DEVICE_INVALID),
        (BlockDevice(device="nonsense", size_gib=1), Code.PARAMETER_INVALID),
        (BlockDevice(device="/dev/sdf", size_gib=1, type="fast"), Code.PARAMETER_INVALID),
        (BlockDevice(device="/dev/sdf", size_gib=4, type="io1"), Code.PARAMETER_MISSING),
        (BlockDevice(device="/dev/sdf", snapshot_id="snap-00000000000000000"), Code.SNAPSHOT_NOT_FOUND),
    ],
)
def test_a_mapping_that_no_launch_could_use_is_refused(cloud, mapping, code):
    content = cloud.contents.add(b"x")
    refused = refusal(cloud, RegisterImage(name="image", content=content, mappings=(mapping,)))
    assert refused.code is code


def test_disks_smaller_than_what_they_are_made_of_are_refused(cloud):
    kept = a_snapshot(cloud)
    small = BlockDevice(device="/dev/sdf", snapshot_id=kept.id, size_gib=1)
    content = cloud.contents.add(b"x", virtual_bytes=(3 << 30) + 1)
    for wrong in (small, BlockDevice(device="/dev/vda", size_gib=3)):
        command = RegisterImage(name="image", content=content, mappings=(wrong,))
        assert refusal(cloud, command).code is Code.BLOCK_DEVICE_INVALID
    twice = BlockDevice(device="/dev/sdf", size_gib=2)
    command = RegisterImage(name="image", content=content, mappings=(twice, twice))
    assert refusal(cloud, command).code is Code.BLOCK_DEVICE_INVALID


def test_registered_of_an_encrypted_snapshot(cloud):
    kept = a_snapshot(cloud, b"secret", encrypted=True)
    data = BlockDevice(device="/dev/sdf", snapshot_id=kept.id)
    image = do(cloud, RegisterImage(name="secret", snapshot_id=kept.id, mappings=(data,)))
    vault = cloud.engine.vault
    assert image.encrypted
    assert vault.open(image.id, image.secret) == vault.open(kept.id, kept.secret)
    disks = cloud.disks(cloud.started(image_id=image.id))
    assert {vault.open(disk.id, disk.secret) for disk in disks} == {vault.open(kept.id, kept.secret)}
    opened = BlockDevice(device="/dev/sdf", snapshot_id=kept.id, encrypted=False)
    command = RegisterImage(name="open", snapshot_id=kept.id, mappings=(opened,))
    assert refusal(cloud, command).code is Code.BLOCK_DEVICE_INVALID


def test_of_somebody_elses_snapshot_an_image_has_a_copy(cloud):
    kept = a_snapshot(cloud, b"shared")
    assert (
        refusal(cloud, RegisterImage(name="mine", snapshot_id=kept.id), cloud.other).code
        is Code.SNAPSHOT_NOT_FOUND
    )
    do(cloud, ModifySnapshot(snapshot_id=kept.id, public=True))
    image = do(cloud, RegisterImage(name="mine", snapshot_id=kept.id), cloud.other)
    assert image.snapshot_id != kept.id
    do(cloud, DeleteSnapshot(snapshot_id=kept.id))  # its owner is not hindered
    cloud.quiesce()
    instance = cloud.started(cloud.other, image_id=image.id)
    assert root_bytes(cloud, instance) == b"shared"


def test_names_ids_and_limits(cloud):
    content = cloud.contents.add(b"x")
    first = do(cloud, RegisterImage(name="image", content=content, image_id="ami-0123456789abcdef0"))
    assert first.id == "ami-0123456789abcdef0"
    taken = refusal(cloud, RegisterImage(name="image", content=content))
    assert (taken.code, taken.context["image"]) == (Code.IMAGE_NAME_EXISTS, first.id)
    again = RegisterImage(name="other", content=content, image_id=first.id)
    assert refusal(cloud, again).code is Code.IMAGE_EXISTS
    for name in ("ab", "x" * 129):
        assert refusal(cloud, RegisterImage(name=name, content=content)).code is Code.PARAMETER_INVALID
    assert refusal(cloud, RegisterImage(name="nothing")).code is Code.PARAMETER_MISSING
    do(cloud, RegisterImage(name="image", content=content), cloud.other)  # another tenant's is another name
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"images": 2}))
    assert refusal(cloud, RegisterImage(name="third", content=content)).code is Code.QUOTA_IMAGES


def test_an_image_of_a_file_that_is_not_there_is_refused(cloud):
    content = cloud.contents.add(b"a disk")
    cloud.contents.remove(content)
    assert refusal(cloud, RegisterImage(name="image", content=content)).code is Code.IMAGE_UNREADABLE
    with cloud.store.read() as tx:
        assert tx.contents.get(content.checksum) is None
    content = cloud.contents.add(b"a disk")
    image = do(cloud, RegisterImage(name="image", content=content))
    with cloud.store.begin() as tx:  # as the reaper does when nothing needs it
        tx.contents.update(tx.contents.get(content.checksum), path="")
    for command in (
        Launch(image_id=image.id),
        CopyImage(source_id=image.id, name="copy"),
    ):
        assert refusal(cloud, command).code is Code.IMAGE_UNAVAILABLE
    with cloud.store.read() as tx:
        assert tx.contents.get(content.checksum).path == ""


# Of an instance -----------------------------------------------------------------------------------------


def test_an_image_of_a_running_instance_without_a_reboot(cloud):
    instance = cloud.started(mappings=(BlockDevice(device="/dev/sdf", size_gib=3, type="gp3"),))
    root, data = cloud.disks(instance)
    cloud.host().write(root.id, b"installed")
    cloud.host().write(data.id, b"data")
    image = cloud.engine.execute(
        cloud.caller,
        CreateImage(instance_id=instance.id, name="saved", no_reboot=True, snapshot_tags=(("s", "t"),)),
    )
    assert (image.state, image.source_instance_id, image.source_image_id) == (
        ImageState.LOCKED,
        instance.id,
        cloud.image.id,
    )
    cloud.settle()
    ready = image_of(cloud, image)
    assert (ready.state, ready.virtual_bytes) == (ImageState.READY, 1 << 30)
    assert "poff" not in cloud.details(instance)
    snapshots = {each.volume_id: each for each in cloud.engine.snapshots(cloud.caller)}
    assert set(snapshots) == {root.id, data.id}
    for each in snapshots.values():
        assert each.description == f"Created by CreateImage({instance.id}) for {image.id}"
        assert cloud.engine.tags_of([each.id]) == {each.id: {"s": "t"}}
    assert ready.snapshot_id == snapshots[root.id].id
    assert [(each.device, each.snapshot_id, each.type) for each in ready.mappings] == [
        ("/dev/vda", "", "gp2"),
        ("/dev/sdf", snapshots[data.id].id, "gp3"),
    ]
    child = cloud.started(image_id=image.id)
    assert root_bytes(cloud, child) == b"installed"
    assert cloud.host().volumes[cloud.disks(child)[1].id].content == b"data"


def test_with_a_reboot_the_guest_is_off_meanwhile_and_runs_again(cloud):
    instance = cloud.started()
    (root,) = cloud.disks(instance)
    cloud.host().write(root.id, b"quiet")
    image = do(cloud, CreateImage(instance_id=instance.id, name="saved"))
    assert image_of(cloud, image).state is ImageState.READY
    steps = [event.new for event in cloud.events(instance)]
    assert steps[-4:] == ["shut.poff", "hotp@poff", "boot.poff", "runn"]
    assert root_bytes(cloud, cloud.started(image_id=image.id)) == b"quiet"


def test_an_image_of_an_instance_that_is_off(cloud):
    for op, detail in ((Op.POWEROFF, "poff"), (Op.SUSPEND, "susp.disk")):
        instance = cloud.started()
        cloud.do(op, instance)
        image = do(cloud, CreateImage(instance_id=instance.id, name=f"of {detail}"))
        assert image_of(cloud, image).state is ImageState.READY
        assert cloud.get(instance).detail == detail


def test_only_what_a_mapping_leaves_in_is_kept(cloud):
    extra = tuple(BlockDevice(device=f"/dev/sd{letter}", size_gib=2) for letter in "fgh")
    instance = cloud.started(mappings=extra)
    mappings = (
        BlockDevice(device="/dev/sdf", no_device=True),
        BlockDevice(device="/dev/sdg", size_gib=5, delete_on_termination=False),
        BlockDevice(device="/dev/sdk", size_gib=7),
        BlockDevice(device="/dev/sda1", delete_on_termination=False),
    )
    image = do(cloud, CreateImage(instance_id=instance.id, name="saved", mappings=mappings))
    assert len(cloud.engine.snapshots(cloud.caller)) == 3
    found = {each.device: each for each in image_of(cloud, image).mappings}
    assert sorted(found) == ["/dev/sdg", "/dev/sdh", "/dev/sdk", "/dev/vda"]
    assert (found["/dev/sdg"].size_gib, found["/dev/sdg"].delete_on_termination) == (5, False)
    assert found["/dev/vda"].delete_on_termination is False
    assert (found["/dev/sdk"].size_gib, found["/dev/sdk"].snapshot_id) == (7, "")
    for wrong in (
        BlockDevice(device="/dev/vda", no_device=True),
        BlockDevice(device="/dev/sdg", size_gib=1),
        BlockDevice(device="/dev/sdq"),
    ):
        command = CreateImage(instance_id=instance.id, name="wrong", mappings=(wrong,))
        assert refusal(cloud, command).code is Code.BLOCK_DEVICE_INVALID


def test_states_in_which_an_instance_cannot_be_saved(cloud):
    pending = cloud.launch()[0]
    assert refusal(cloud, CreateImage(instance_id=pending.id, name="saved")).code is Code.INSTANCE_WRONG_STATE
    cloud.settle()
    cloud.operate(Op.POWEROFF, pending)
    assert refusal(cloud, CreateImage(instance_id=pending.id, name="saved")).code is Code.INSTANCE_BUSY
    cloud.settle()
    first = CreateImage(instance_id=pending.id, name="saved")
    cloud.engine.execute(cloud.caller, first)
    assert refusal(cloud, CreateImage(instance_id=pending.id, name="2nd")).code is Code.INSTANCE_BUSY
    cloud.settle()
    assert refusal(cloud, first).code is Code.IMAGE_NAME_EXISTS
    assert refusal(cloud, first, cloud.other).code is Code.INSTANCE_NOT_FOUND
    cloud.do(Op.TERMINATE, pending)
    command = CreateImage(instance_id=pending.id, name="late")
    assert refusal(cloud, command).code is Code.INSTANCE_NOT_FOUND


def test_an_instance_is_not_saved_with_a_disk_that_lacks_its_bytes(cloud):
    instance = cloud.started(mappings=(BlockDevice(device="/dev/sdf", size_gib=1),))
    with cloud.store.begin() as tx:
        tx.volumes.update(tx.volumes.of_instance(instance.id)[1], state=VolumeState.ERROR)
    command = CreateImage(instance_id=instance.id, name="saved")
    assert refusal(cloud, command).code is Code.VOLUME_WRONG_STATE
    without = (BlockDevice(device="/dev/sdf", no_device=True),)
    image = do(cloud, CreateImage(instance_id=instance.id, name="saved", mappings=without))
    assert image_of(cloud, image).state is ImageState.READY


def test_one_disk_that_cannot_be_kept_fails_the_image(cloud):
    instance = cloud.started(mappings=(BlockDevice(device="/dev/sdf", size_gib=1),))
    cloud.host().broken = {"backup"}
    image = do(cloud, CreateImage(instance_id=instance.id, name="saved", no_reboot=True))
    failed = image_of(cloud, image)
    assert (failed.state, bool(failed.message)) == (ImageState.ERROR, True)
    assert cloud.get(instance).detail == "runn"
    assert {disk.attach for disk in cloud.disks(instance)} == {AttachState.ATTACHED}
    with pytest.raises(BackendError) as refused:
        cloud.launch(image_id=image.id)
    assert refused.value.code is Code.IMAGE_UNAVAILABLE
    assert refusal(cloud, ModifyImage(image_id=image.id, enabled=True)).code is Code.IMAGE_WRONG_STATE
    do(cloud, DeregisterImage(image_id=image.id))
    for each in cloud.engine.snapshots(cloud.caller):
        do(cloud, DeleteSnapshot(snapshot_id=each.id))
    cloud.quiesce()
    assert {disk.id for disk in cloud.disks(instance)} == set(cloud.host().volumes)


def test_the_snapshots_of_an_image_withdrawn_too_early_stay(cloud):
    instance = cloud.started()
    image = cloud.engine.execute(cloud.caller, CreateImage(instance_id=instance.id, name="saved"))
    (begun,) = cloud.engine.snapshots(cloud.caller)
    assert refusal(cloud, DeleteSnapshot(snapshot_id=begun.id)).context["used_by"] == image.id
    do(cloud, DeregisterImage(image_id=image.id))
    (kept,) = cloud.engine.snapshots(cloud.caller)
    assert kept.state is SnapshotState.COMPLETED
    assert cloud.get(instance).detail == "runn"
    do(cloud, DeleteSnapshot(snapshot_id=kept.id))


def test_an_image_of_encrypted_disks_opens_with_the_same_passphrase(cloud):
    instance = cloud.started(mappings=(BlockDevice(device="/dev/vda", encrypted=True),))
    (root,) = cloud.disks(instance)
    assert root.encrypted
    image = image_of(cloud, do(cloud, CreateImage(instance_id=instance.id, name="saved")))
    vault = cloud.engine.vault
    assert image.encrypted
    assert vault.open(image.id, image.secret) == vault.open(root.id, root.secret)
    copy = do(cloud, CopyImage(source_id=image.id, name="copied"))
    assert vault.open(copy.id, copy.secret) == vault.open(root.id, root.secret)
    (disk,) = cloud.disks(cloud.started(image_id=copy.id))
    assert disk.encrypted
    assert vault.open(disk.id, disk.secret) == vault.open(root.id, root.secret)
    wrong = BlockDevice(device="/dev/vda", encrypted=False)
    command = CreateImage(instance_id=instance.id, name="open", mappings=(wrong,))
    assert refusal(cloud, command).code is Code.BLOCK_DEVICE_INVALID
    export = ExportImage(image_id=image.id, form="raw", path="/nowhere")
    assert refusal(cloud, export).code is Code.UNSUPPORTED


def test_instances_wait_for_an_image_that_is_being_made(cloud):
    occi = cloud.login("olga", cloud.tenant, Api.OCCI)
    instance = cloud.started()
    (root,) = cloud.disks(instance)
    cloud.host().write(root.id, b"installed")
    image = cloud.engine.execute(
        cloud.caller, CreateImage(instance_id=instance.id, name="saved", no_reboot=True)
    )
    (waiting,) = cloud.launch(occi, image_id=image.id)
    assert waiting.detail == "pend.image"
    with pytest.raises(BackendError) as refused:
        cloud.launch(image_id=image.id)  # EC2 does not wait
    assert refused.value.code is Code.IMAGE_UNAVAILABLE
    cloud.settle()
    assert cloud.get(waiting).detail == "runn"
    assert root_bytes(cloud, waiting) == b"installed"


def test_instances_that_wait_for_an_image_that_fails(cloud):
    occi = cloud.login("olga", cloud.tenant, Api.OCCI)
    instance = cloud.started()
    image = cloud.engine.execute(
        cloud.caller, CreateImage(instance_id=instance.id, name="saved", no_reboot=True)
    )
    (waiting,) = cloud.launch(occi, image_id=image.id)
    cloud.host().broken = {"backup"}
    cloud.settle()
    assert cloud.get(waiting).detail == "fail.image"
    assert cloud.do(Op.TERMINATE, waiting).detail == "done"


def test_they_wait_for_its_other_disks_too(cloud):
    occi = cloud.login("olga", cloud.tenant, Api.OCCI)
    extra = (
        BlockDevice(device="/dev/sdf", size_gib=2, encrypted=True),
        BlockDevice(device="/dev/sdg", size_gib=1),
    )
    instance = cloud.started(mappings=extra)
    for number, disk in enumerate(cloud.disks(instance)):
        cloud.host().write(disk.id, f"disk {number}".encode())
    image = cloud.engine.execute(cloud.caller, CreateImage(instance_id=instance.id, name="saved"))
    (waiting,) = cloud.launch(occi, image_id=image.id)
    cloud.settle()
    assert cloud.get(waiting).detail == "runn"
    disks = cloud.disks(waiting)
    kept = [cloud.host().volumes[disk.id].content for disk in disks]
    assert kept == [b"disk 0", b"disk 1", b"disk 2"]
    assert [disk.encrypted for disk in disks] == [False, True, False]


def test_what_turns_out_to_be_large_counts_when_it_is_there(cloud):
    occi = cloud.login("olga", cloud.tenant, Api.OCCI)
    cloud.contents.sources["/disk"] = b"large"
    take = cloud.contents.take
    cloud.contents.take = lambda name, **rest: msgspec.structs.replace(
        take(name, **rest), virtual_bytes=7 << 30
    )
    (first, second) = (
        cloud.engine.execute(cloud.caller, ImportImage(location="/disk", name=name))
        for name in ("first", "second")
    )
    (fits,) = cloud.launch(occi, image_id=first.resource_id)
    (does_not,) = cloud.launch(occi, image_id=second.resource_id)
    before = cloud.get(fits).root_gib
    quotas = {"gigabytes": before + 7}
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas=quotas))
    cloud.settle()
    ran, refused = cloud.get(fits), cloud.get(does_not)
    assert (ran.detail, ran.root_gib, cloud.disks(fits)[0].size_gib) == ("runn", 7, 7)
    assert (refused.detail, refused.root_gib) == ("fail.image", before)
    assert "gigabytes" in refused.reason_text
    with cloud.store.read() as tx:
        assert tx.reservations.used_on(cloud.host_ids[0]).disk_gib == 7
        assert tx.volumes.usage(cloud.tenant.id) == (2, before + 7)


def test_who_may_launch_an_image_gets_all_its_disks(cloud):
    instance = cloud.started(mappings=(BlockDevice(device="/dev/sdf", size_gib=2),))
    cloud.host().write(cloud.disks(instance)[1].id, b"data")
    image = do(cloud, CreateImage(instance_id=instance.id, name="saved"))
    do(cloud, ModifyImage(image_id=image.id, add_accounts=(cloud.other.account_id,)))
    child = cloud.started(cloud.other, image_id=image.id)
    assert cloud.host().volumes[cloud.disks(child)[1].id].content == b"data"
    assert cloud.engine.snapshots(cloud.other) == []
    (snapshot,) = {each.snapshot_id for each in image.mappings if each.snapshot_id}
    mapping = (BlockDevice(device="/dev/sdg", snapshot_id=snapshot),)
    with pytest.raises(BackendError) as refused:  # the snapshot itself is not theirs to use
        cloud.launch(cloud.other, mappings=mapping)
    assert refused.value.code is Code.SNAPSHOT_NOT_FOUND


# Copying, changing, withdrawing -------------------------------------------------------------------------


def test_a_copy_is_the_callers_own_with_snapshots_of_its_own(cloud):
    instance = cloud.started(mappings=(BlockDevice(device="/dev/sdf", size_gib=1),))
    cloud.host().write(cloud.disks(instance)[0].id, b"installed")
    image = do(cloud, CreateImage(instance_id=instance.id, name="saved"))
    assert (
        refusal(cloud, CopyImage(source_id=image.id, name="mine"), cloud.other).code is Code.IMAGE_NOT_FOUND
    )
    do(cloud, ModifyImage(image_id=image.id, add_accounts=(cloud.other.account_id,)))
    copy = do(
        cloud,
        CopyImage(source_id=image.id, name="mine", tags=(("a", "b"),), snapshot_tags=(("s", "t"),)),
        cloud.other,
    )
    assert (copy.tenant_id, copy.state, copy.source_image_id) == (
        cloud.other.tenant_id,
        ImageState.READY,
        image.id,
    )
    assert (copy.public, copy.launch_accounts, copy.source_instance_id) == (False, (), "")
    mine = cloud.engine.snapshots(cloud.other)
    assert {each.id for each in mine} == {copy.snapshot_id, copy.mappings[1].snapshot_id}
    tags = cloud.engine.tags_of([copy.id, *(each.id for each in mine)])
    assert tags.pop(copy.id) == {"a": "b"}
    assert list(tags.values()) == [{"s": "t"}] * 2
    do(cloud, DeregisterImage(image_id=image.id))
    for each in cloud.engine.snapshots(cloud.caller):
        do(cloud, DeleteSnapshot(snapshot_id=each.id))
    cloud.quiesce()
    child = cloud.started(cloud.other, image_id=copy.id)
    assert root_bytes(cloud, child) == b"installed"
    again = CopyImage(source_id=copy.id, name="mine")
    assert refusal(cloud, again, cloud.other).code is Code.IMAGE_NAME_EXISTS


def test_a_disabled_image_is_its_owners_alone_and_starts_nothing(cloud):
    image = cloud.register("image")
    account = cloud.other.account_id
    do(cloud, ModifyImage(image_id=image.id, add_accounts=(account,)))
    off = do(cloud, ModifyImage(image_id=image.id, enabled=False))
    assert (off.state, off.public, off.launch_accounts) == (ImageState.DISABLED, False, ())
    with pytest.raises(BackendError) as refused:
        cloud.launch(image_id=image.id)
    assert refused.value.code is Code.IMAGE_UNAVAILABLE
    assert image.id not in {each.id for each in cloud.engine.images(cloud.other)}
    assert image.id in {each.id for each in cloud.engine.images(cloud.caller)}
    for change in ({"public": True}, {"add_accounts": (account,)}):
        assert refusal(cloud, ModifyImage(image_id=image.id, **change)).code is Code.IMAGE_WRONG_STATE
    assert refusal(cloud, CopyImage(source_id=image.id, name="copy")).code is Code.IMAGE_UNAVAILABLE
    do(cloud, ModifyImage(image_id=image.id, enabled=True))
    assert cloud.started(image_id=image.id).detail == "runn"


def test_one_that_is_being_made_is_not_switched_off(cloud):
    instance = cloud.started()
    image = cloud.engine.execute(cloud.caller, CreateImage(instance_id=instance.id, name="saved"))
    export = ExportImage(image_id=image.id, form="raw", path="/nowhere")
    for command in (ModifyImage(image_id=image.id, enabled=False), export):
        assert refusal(cloud, command).code is Code.IMAGE_WRONG_STATE
    assert refusal(cloud, CopyImage(source_id=image.id, name="copy")).code is Code.IMAGE_UNAVAILABLE


def test_an_encrypted_image_is_its_owners_alone(cloud):
    kept = a_snapshot(cloud, encrypted=True)
    image = do(cloud, RegisterImage(name="secret", snapshot_id=kept.id))
    for change in ({"public": True}, {"add_accounts": ("000000000009",)}):
        assert refusal(cloud, ModifyImage(image_id=image.id, **change)).code is Code.UNSUPPORTED
    assert not do(cloud, ModifyImage(image_id=image.id, public=False, description="d")).public
    command = RegisterImage(name="open", snapshot_id=kept.id, public=True)
    assert refusal(cloud, command).code is Code.UNSUPPORTED


def test_deprecation_and_permissions_change_on_their_own(cloud):
    image = cloud.register("image")
    dated = do(cloud, ModifyImage(image_id=image.id, deprecate_at=2e9))
    assert (dated.deprecated_at, dated.public) == (2e9, True)
    assert cloud.started(image_id=image.id).detail == "runn"
    same = do(cloud, ModifyImage(image_id=image.id))
    assert same == dated  # nothing asked, nothing changed
    assert do(cloud, ModifyImage(image_id=image.id, deprecate_at=0)).deprecated_at is None
    assert do(cloud, ModifyImage(image_id=image.id, reset_permissions=True)).public is False


# Publication --------------------------------------------------------------------------------------------


def a_version(cloud, name, **parameters):
    content = cloud.contents.add(name.encode())
    return do(cloud, RegisterImage(name=name, content=content, line="debian", public=True, **parameters))


def publish(cloud, image, publication, reason="", caller=ADMIN):
    return cloud.engine.execute(
        caller, PublishImage(image_id=image.id, publication=publication, reason=reason)
    )


def pass_the_test(cloud, image):
    """What the test agent leaves behind."""
    cloud.engine.execute(ADMIN, PublishImage(image_id=image.id, publication=Publication.TESTING))
    with cloud.store.begin() as tx:
        work = cloud.engine.work(tx, ENGINE)
        return test_ended(work, tx.images.get(image.id), passed=True, report="[]")


def published(cloud, name):
    image = a_version(cloud, name)
    pass_the_test(cloud, image)
    return publish(cloud, image, Publication.PUBLISHED)


def test_versions_of_a_line_count_up_and_know_their_parents(cloud):
    first = a_version(cloud, "debian 1", changelog="first")
    second = a_version(cloud, "debian 2")
    assert (first.line, first.line_version, first.parent_id) == ("debian/x86_64", 1, "")
    assert (second.line, second.line_version, second.parent_id) == ("debian/x86_64", 2, first.id)
    assert {first.publication, second.publication} == {Publication.BUILT}
    do(cloud, DeregisterImage(image_id=second.id))
    assert a_version(cloud, "debian 3").line_version == 3
    arm = do(
        cloud,
        RegisterImage(name="arm", content=cloud.contents.add(b"arm"), line="debian", architecture="arm64"),
    )
    assert (arm.line, arm.line_version) == ("debian/arm64", 1)


def test_publishing_one_deprecates_the_one_before(cloud):
    first, second = published(cloud, "debian 1"), published(cloud, "debian 2")
    old = image_of(cloud, first)
    assert (old.publication, second.publication) == (Publication.DEPRECATED, Publication.PUBLISHED)
    assert old.deprecated_at is not None
    assert second.deprecated_at is None
    assert cloud.started(image_id=first.id).detail == "runn"


def test_every_step_of_publication_that_is_not_in_the_table_is_refused(cloud):
    paths = {
        Publication.BUILT: (),
        Publication.TESTING: (Publication.TESTING,),
        Publication.REJECTED: (Publication.TESTING, Publication.REJECTED),
        Publication.PUBLISHED: (Publication.TESTING, Publication.PUBLISHED),
        Publication.DEPRECATED: (Publication.TESTING, Publication.PUBLISHED, Publication.DEPRECATED),
        Publication.REVOKED: (Publication.TESTING, Publication.PUBLISHED, Publication.REVOKED),
    }
    for number, (start, path) in enumerate(paths.items()):
        for wanted in Publication:
            image = a_version(cloud, f"v{number} {wanted.value or 'none'}")
            for step in path:
                if step is Publication.TESTING:
                    pass_the_test(cloud, image)
                else:
                    publish(cloud, image, step)
            image = image_of(cloud, image)
            assert image.publication is start
            if start is Publication.TESTING or wanted in PUBLISHING[start]:
                continue
            command = PublishImage(image_id=image.id, publication=wanted, reason="why")
            assert refusal(cloud, command, ADMIN).code is Code.IMAGE_WRONG_STATE
    outside = PublishImage(image_id=cloud.image.id, publication=Publication.PUBLISHED)
    assert refusal(cloud, outside, ADMIN).code is Code.IMAGE_WRONG_STATE
    assert refusal(cloud, outside, cloud.caller).code is Code.DENIED


def test_nothing_is_published_untested_and_what_fails_is_rejected(cloud):
    image = a_version(cloud, "debian 1")
    publish(cloud, image, Publication.TESTING)
    command = PublishImage(image_id=image.id, publication=Publication.PUBLISHED)
    assert refusal(cloud, command, ADMIN).code is Code.IMAGE_WRONG_STATE
    with cloud.store.begin() as tx:
        test_ended(cloud.engine.work(tx, ENGINE), tx.images.get(image.id), passed=False, report="[]")
    assert image_of(cloud, image).publication is Publication.REJECTED
    assert refusal(cloud, command, ADMIN).code is Code.IMAGE_WRONG_STATE
    publish(cloud, image, Publication.TESTING)  # without a new test that passes
    assert refusal(cloud, command, ADMIN).code is Code.IMAGE_WRONG_STATE
    with cloud.store.begin() as tx:
        test_ended(cloud.engine.work(tx, ENGINE), tx.images.get(image.id), passed=True, report="[]")
    assert publish(cloud, image, Publication.PUBLISHED).publication is Publication.PUBLISHED


def test_who_may_launch_what(cloud):
    boss = cloud.login("boss", cloud.other_tenant)
    boss = type(boss)(**{name: getattr(boss, name) for name in boss.__struct_fields__} | {"role": Role.ADMIN})
    table = {
        Publication.NONE: (True, True, True),
        Publication.BUILT: (True, False, True),
        Publication.TESTING: (True, False, True),
        Publication.REJECTED: (False, False, False),
        Publication.PUBLISHED: (True, True, True),
        Publication.DEPRECATED: (True, True, True),
        Publication.REVOKED: (False, False, False),
        Publication.PURGED: (False, False, False),
    }
    for publication, expected in table.items():
        with cloud.store.begin() as tx:
            tx.images.update(tx.images.get(cloud.image.id), publication=publication)
        image = image_of(cloud, cloud.image)
        assert tuple(may_launch(each, image) for each in (cloud.caller, cloud.other, boss)) == expected
    assert set(table) == set(Publication)


def test_what_is_not_published_yet_is_not_seen_by_others(cloud):
    image = a_version(cloud, "debian 1")
    seen = {each.id for each in cloud.engine.images(cloud.other)}
    assert image.id not in seen
    with pytest.raises(BackendError) as refused:
        cloud.launch(cloud.other, image_id=image.id)
    assert refused.value.code is Code.IMAGE_NOT_FOUND
    pass_the_test(cloud, image)
    publish(cloud, image, Publication.PUBLISHED)
    assert cloud.started(cloud.other, image_id=image.id).detail == "runn"


def test_a_revoked_image_starts_nothing_new_and_those_who_run_it_are_told(cloud):
    image = published(cloud, "debian 1")
    running = cloud.started(cloud.other, image_id=image.id)
    saved = do(cloud, CreateImage(instance_id=running.id, name="child", no_reboot=True), cloud.other)
    child = cloud.started(cloud.other, image_id=saved.id)
    stranger = cloud.started()
    publish(cloud, image, Publication.REVOKED, "CVE-1")
    for each in (running, child):
        (told,) = [event for event in cloud.events(each) if event.op == "image_revoked"]
        assert "CVE-1" in told.reason
    assert not [event for event in cloud.events(stranger) if event.op == "image_revoked"]
    with pytest.raises(BackendError) as refused:
        cloud.launch(cloud.other, image_id=image.id)
    assert refused.value.code is Code.IMAGE_UNAVAILABLE
    cloud.do(Op.POWEROFF, running, caller=cloud.other)
    assert cloud.do(Op.START, running, caller=cloud.other).detail == "runn"
    assert refusal(cloud, TestImage(image_id=image.id), ADMIN).code is Code.IMAGE_WRONG_STATE
    command = PublishImage(image_id=image.id, publication=Publication.PUBLISHED)
    assert refusal(cloud, command, ADMIN).code is Code.PARAMETER_MISSING
    assert publish(cloud, image, Publication.PUBLISHED, "false alarm").publication is Publication.PUBLISHED


def test_a_purged_version_is_gone_and_its_number_is_not_given_again(cloud):
    first = published(cloud, "debian 1")
    published(cloud, "debian 2")
    gone = publish(cloud, first, Publication.PURGED)
    assert (gone.state, gone.publication) == (ImageState.GONE, Publication.PURGED)
    cloud.quiesce()
    assert first.checksum not in {each.checksum for each in cloud.engine.contents() if each.path}
    assert a_version(cloud, "debian 3").line_version == 3


def test_a_test_is_asked_for_once_and_keeps_the_image(cloud):
    image = a_version(cloud, "debian 1")
    cloud.engine.execute(ADMIN, TestImage(image_id=image.id))
    assert image_of(cloud, image).publication is Publication.TESTING
    for command in (
        TestImage(image_id=image.id),
        DeregisterImage(image_id=image.id),
        PublishImage(image_id=image.id, publication=Publication.PUBLISHED),
    ):
        assert refusal(cloud, command, ADMIN).code is Code.IMAGE_WRONG_STATE
    assert refusal(cloud, TestImage(image_id=image.id)).code is Code.DENIED


# Import and export --------------------------------------------------------------------------------------


def test_a_test_begun_again_has_a_machine_of_its_own(cloud):
    tester = ImageTester(cloud.engine, wait=cloud.clock.advance)
    owner = msgspec.structs.replace(cloud.caller, role=Role.ADMIN, api=Api.CLI)
    machines = []
    for _ in range(3):
        machines.append(tester._fresh(owner, cloud.image, "task-1", "mark"))
        assert [cloud.get(each).desired for each in machines[:-1]] == [Desired.GONE] * (len(machines) - 1)
        cloud.settle()
    assert [cloud.get(each).detail for each in machines] == ["done", "done", "runn"]


def test_an_import_brings_a_snapshot_and_an_image_of_it(cloud):
    cloud.contents.sources["/allowed/disk.vmdk"] = b"imported"
    task = cloud.engine.execute(
        cloud.caller,
        ImportImage(location="/allowed/disk.vmdk", form="vmdk", description="d", tags=(("a", "b"),)),
    )
    assert task.id.startswith("import-ami-")
    begun = cloud.engine.image(cloud.caller, task.resource_id)
    (pending,) = cloud.engine.snapshots(cloud.caller)
    assert (begun.state, begun.name, begun.snapshot_id) == (ImageState.LOCKED, task.id, pending.id)
    assert pending.state is SnapshotState.PENDING
    cloud.settle()
    done = cloud.engine.task(cloud.caller, task.id)
    assert (done.state, done.progress) == (JobState.DONE, 100)
    image, snapshot = image_of(cloud, begun), cloud.engine.snapshot(cloud.caller, pending.id)
    assert (image.state, image.checksum) == (ImageState.READY, snapshot.content)
    assert (snapshot.state, snapshot.size_gib) == (SnapshotState.COMPLETED, 1)
    tags = cloud.engine.tags_of([task.id, image.id, snapshot.id])
    assert list(tags.values()) == [{"a": "b"}] * 3
    assert root_bytes(cloud, cloud.started(image_id=image.id)) == b"imported"


def test_an_import_of_a_snapshot(cloud):
    cloud.contents.sources["https://example.org/disk"] = b"imported"
    task = do(cloud, ImportSnapshot(location="https://example.org/disk"))
    assert task.id.startswith("import-snap-")
    snapshot = cloud.engine.snapshot(cloud.caller, task.resource_id)
    assert (snapshot.state, snapshot.description) == (
        SnapshotState.COMPLETED,
        f"Created by ImportSnapshot({task.id})",
    )
    volume = do(cloud, CreateVolume(snapshot_id=snapshot.id))
    assert cloud.host().volumes[volume.id].content == b"imported"


def test_an_import_of_what_is_not_there_fails_and_says_why(cloud):
    task = do(cloud, ImportImage(location="/nowhere"))
    failed = cloud.engine.task(cloud.caller, task.id)
    assert (failed.state, failed.message) == (JobState.FAILED, "There is nothing at /nowhere.")
    assert [image.id for image in cloud.engine.images(cloud.caller)] == [cloud.image.id]
    assert cloud.engine.snapshots(cloud.caller) == []
    (gone,) = cloud.engine.images_known(cloud.caller, [task.resource_id]).values()
    assert (gone.id, gone.state, gone.message) == (task.resource_id, ImageState.GONE, failed.message)


@pytest.mark.parametrize("kind", [ImportImage, ImportSnapshot])
def test_an_import_called_off_leaves_nothing(cloud, kind):
    cloud.contents.sources["/disk"] = b"imported"
    before = {content.checksum for content in cloud.engine.contents()}
    task = cloud.engine.execute(cloud.caller, kind(location="/disk"))
    end = DeregisterImage(image_id=task.resource_id) if kind is ImportImage else None
    cloud.engine.execute(cloud.caller, end or DeleteSnapshot(snapshot_id=task.resource_id))
    cloud.quiesce()
    assert cloud.engine.task(cloud.caller, task.id).state is JobState.FAILED
    assert cloud.engine.snapshots(cloud.caller) == []
    assert [image.id for image in cloud.engine.images(cloud.caller)] == [cloud.image.id]
    assert {content.checksum for content in cloud.engine.contents()} == before


@pytest.mark.parametrize("kind", [ImportImage, ImportSnapshot])
def test_a_client_token_stands_for_one_import(cloud, kind):
    cloud.contents.sources["/disk"] = b"imported"
    wanted = {"location": "/disk", "client_token": "t", "token_digest": "d"}
    first = cloud.engine.execute(cloud.caller, kind(**wanted))
    assert cloud.engine.execute(cloud.caller, kind(**wanted)) == first
    cloud.settle()
    assert cloud.engine.execute(cloud.caller, kind(**wanted)).state is JobState.DONE
    assert len(cloud.engine.snapshots(cloud.caller)) == 1
    assert refusal(cloud, kind(**(wanted | {"token_digest": "e"}))).code is Code.TOKEN_MISMATCH
    assert cloud.engine.execute(cloud.other, kind(**wanted)).id != first.id


def test_a_client_token_stands_for_one_copy_and_one_export(cloud, tmp_path):
    copy = CopyImage(source_id=cloud.image.id, name="copy", client_token="t")
    first = do(cloud, copy)
    assert do(cloud, copy) == first
    other = CopyImage(source_id=cloud.image.id, name="other", client_token="t")
    assert refusal(cloud, other).code is Code.TOKEN_MISMATCH
    export = ExportImage(
        image_id=cloud.image.id, form="raw", path=f"{tmp_path}/{{task}}", client_token="t", token_digest="d"
    )
    assert do(cloud, export).id == do(cloud, export).id
    assert len(list(tmp_path.iterdir())) == 1


def test_an_export_writes_a_file(cloud, tmp_path):
    task = do(cloud, ExportImage(image_id=cloud.image.id, form="vmdk", path=f"{tmp_path}/to-{{task}}.vmdk"))
    assert (cloud.engine.task(cloud.caller, task.id).state, task.id[:11]) == (JobState.DONE, "export-ami-")
    assert Path(tmp_path, f"to-{task.id}.vmdk").read_bytes() == b"image guest"
    wrong = ExportImage(image_id=cloud.image.id, form="iso", path="/x")
    assert refusal(cloud, wrong).code is Code.PARAMETER_INVALID
    right = ExportImage(image_id=cloud.image.id, form="raw", path="/x")
    assert refusal(cloud, right, cloud.other).code is Code.NOT_OWNER
