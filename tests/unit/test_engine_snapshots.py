"""Snapshots: of volumes attached or not, copied, shared, deleted; and of nothing that must not be kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from simulation import ADMIN, Cloud, Op, WorkerKilled

from backend.commands import (
    AttachVolume,
    CopySnapshot,
    CreateSnapshot,
    CreateSnapshots,
    CreateTags,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DeregisterImage,
    ModifySnapshot,
    RegisterImage,
    SetQuota,
)
from backend.drivers.memory import Fault
from backend.errors import BackendError, Code
from backend.model import AttachState, BlockDevice, JobState, SnapshotState, TaskKind, VolumeState


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


def a_volume(cloud, **parameters):
    parameters.setdefault("size_gib", 2)
    made = cloud.engine.execute(cloud.caller, CreateVolume(**parameters))
    cloud.settle()
    return cloud.engine.volume(cloud.caller, made.id)


def a_snapshot(cloud, volume, caller=None, **parameters):
    made = cloud.engine.execute(caller or cloud.caller, CreateSnapshot(volume_id=volume.id, **parameters))
    cloud.settle()
    return cloud.engine.snapshot(cloud.caller, made.id)


def bytes_of(cloud, snapshot):
    """What a snapshot holds in the image store."""
    (content,) = (each for each in cloud.engine.contents() if each.checksum == snapshot.content)
    return Path(content.path).read_bytes()


def test_of_a_volume_that_is_free(cloud):
    volume = a_volume(cloud)
    cloud.host().write(volume.id, b"as it was")
    begun = cloud.engine.execute(
        cloud.caller, CreateSnapshot(volume_id=volume.id, description="d", tags=(("a", "b"),))
    )
    assert (begun.state, begun.progress, begun.size_gib) == (SnapshotState.PENDING, 0, 2)
    cloud.settle()
    kept = cloud.engine.snapshot(cloud.caller, begun.id)
    assert (kept.state, kept.progress, kept.description) == (SnapshotState.COMPLETED, 100, "d")
    assert kept.completed_at is not None
    assert bytes_of(cloud, kept) == b"as it was"
    assert cloud.engine.tags_of([kept.id]) == {kept.id: {"a": "b"}}
    assert (volume.state, volume.id) == (VolumeState.AVAILABLE, kept.volume_id)
    assert set(cloud.host().volumes) == {volume.id}  # the copy on the host is gone


def test_of_the_disk_of_a_running_instance_which_goes_on(cloud):
    instance = cloud.started()
    (root,) = cloud.disks(instance)
    cloud.host().write(root.id, b"first")
    begun = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=root.id))
    assert cloud.get(instance).detail == "hotp@runn"
    cloud.settle()
    cloud.host().write(root.id, b"second")
    kept = cloud.engine.snapshot(cloud.caller, begun.id)
    assert (kept.state, bytes_of(cloud, kept)) == (SnapshotState.COMPLETED, b"first")
    assert cloud.get(instance).detail == "runn"
    assert cloud.host().running() == {instance.id}
    assert "poff" not in cloud.details(instance)


def test_all_disks_of_an_instance_but_those_excluded(cloud):
    extra = (BlockDevice(device="/dev/sdf", size_gib=1), BlockDevice(device="/dev/sdg", size_gib=3))
    instance = cloud.started(mappings=extra, volume_tags=(("of", "volume"),))
    root, first, second = cloud.disks(instance)
    made = cloud.engine.execute(
        cloud.caller, CreateSnapshots(instance_id=instance.id, copy_tags=True, tags=(("k", "v"),))
    )
    assert [each.volume_id for each in made] == [root.id, first.id, second.id]
    cloud.settle()
    assert {each.state for each in cloud.engine.snapshots(cloud.caller)} == {SnapshotState.COMPLETED}
    tags = cloud.engine.tags_of([each.id for each in made])
    assert all(each == {"of": "volume", "k": "v"} for each in tags.values())
    assert len(tags) == 3
    (only,) = cloud.engine.execute(
        cloud.caller, CreateSnapshots(instance_id=instance.id, exclude_boot=True, exclude=(first.id,))
    )
    assert only.volume_id == second.id
    cloud.settle()
    for wrong in ((root.id,), ("vol-00000000000000000",)):
        assert (
            refusal(cloud, CreateSnapshots(instance_id=instance.id, exclude=wrong)).code
            is Code.PARAMETER_INVALID
        )
    nothing = CreateSnapshots(instance_id=instance.id, exclude_boot=True, exclude=(first.id, second.id))
    assert refusal(cloud, nothing).code is Code.PARAMETER_INVALID


def test_of_nothing_that_is_not_there(cloud):
    unmade = cloud.engine.execute(cloud.caller, CreateVolume(size_gib=1))
    assert refusal(cloud, CreateSnapshot(volume_id=unmade.id)).code is Code.VOLUME_WRONG_STATE
    cloud.settle()
    cloud.engine.execute(cloud.caller, DeleteVolume(volume_id=unmade.id))
    assert refusal(cloud, CreateSnapshot(volume_id=unmade.id)).code is Code.VOLUME_WRONG_STATE
    cloud.settle()
    assert refusal(cloud, CreateSnapshot(volume_id=unmade.id)).code is Code.VOLUME_NOT_FOUND
    other = a_volume(cloud)
    assert refusal(cloud, CreateSnapshot(volume_id=other.id), cloud.other).code is Code.VOLUME_NOT_FOUND


def test_the_limit_holds_for_all_of_a_call_or_for_none(cloud):
    instance = cloud.started(mappings=(BlockDevice(device="/dev/sdf", size_gib=1),))
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"snapshots": 1}))
    assert refusal(cloud, CreateSnapshots(instance_id=instance.id)).code is Code.QUOTA_SNAPSHOTS
    assert cloud.engine.snapshots(cloud.caller) == []
    first = a_snapshot(cloud, cloud.disks(instance)[0])
    again = CreateSnapshot(volume_id=first.volume_id)
    assert refusal(cloud, again).code is Code.QUOTA_SNAPSHOTS
    assert refusal(cloud, CopySnapshot(source_id=first.id)).code is Code.QUOTA_SNAPSHOTS
    cloud.engine.execute(cloud.caller, DeleteSnapshot(snapshot_id=first.id))
    a_snapshot(cloud, cloud.disks(instance)[0])


def test_one_that_fails_is_in_error_and_the_volume_as_before(cloud):
    instance = cloud.started()
    (root,) = cloud.disks(instance)
    cloud.host().broken = {"backup"}
    kept = a_snapshot(cloud, root)
    assert kept.state is SnapshotState.ERROR
    assert kept.message
    assert cloud.get(instance).detail == "runn"
    assert cloud.disks(instance)[0].attach is AttachState.ATTACHED
    cloud.engine.execute(cloud.caller, DeleteSnapshot(snapshot_id=kept.id))
    cloud.host().broken = set()
    assert a_snapshot(cloud, root).state is SnapshotState.COMPLETED


# Volumes of snapshots, copies, deletion -----------------------------------------------------------------


def test_deleted_in_any_order_what_was_made_of_them_lives_on(cloud):
    volume = a_volume(cloud)
    snapshots = []
    for text in (b"one", b"two", b"three"):
        cloud.host().write(volume.id, text)
        snapshots.append(a_snapshot(cloud, volume))
    made = [a_volume(cloud, size_gib=None, snapshot_id=each.id) for each in snapshots]
    for each in (snapshots[1], snapshots[0], snapshots[2]):
        cloud.engine.execute(cloud.caller, DeleteSnapshot(snapshot_id=each.id))
        cloud.quiesce()
    assert [cloud.host().volumes[each.id].content for each in made] == [b"one", b"two", b"three"]
    assert cloud.engine.snapshots(cloud.caller) == []


def test_one_is_not_deleted_while_a_volume_is_being_made_of_it(cloud):
    kept = a_snapshot(cloud, a_volume(cloud))
    making = cloud.engine.execute(cloud.caller, CreateVolume(snapshot_id=kept.id))
    refused = refusal(cloud, DeleteSnapshot(snapshot_id=kept.id))
    assert (refused.code, refused.context["used_by"]) == (Code.SNAPSHOT_IN_USE, making.id)
    cloud.settle()
    cloud.engine.execute(cloud.caller, DeleteSnapshot(snapshot_id=kept.id))


def test_one_is_not_deleted_while_an_image_is_made_of_it(cloud):
    kept = a_snapshot(cloud, a_volume(cloud))
    image = cloud.engine.execute(cloud.caller, RegisterImage(name="of it", snapshot_id=kept.id))
    refused = refusal(cloud, DeleteSnapshot(snapshot_id=kept.id))
    assert (refused.code, refused.context["used_by"]) == (Code.SNAPSHOT_IN_USE, image.id)
    cloud.engine.execute(cloud.caller, DeregisterImage(image_id=image.id))
    cloud.engine.execute(cloud.caller, DeleteSnapshot(snapshot_id=kept.id))


def test_one_that_is_not_completed_is_called_off(cloud):
    volume = a_volume(cloud)
    begun = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=volume.id))
    cloud.engine.execute(cloud.caller, CreateTags(ids=(begun.id,), tags=(("a", "b"),)))
    cloud.step()  # the copy on the host is there
    cloud.engine.execute(cloud.caller, DeleteSnapshot(snapshot_id=begun.id))
    cloud.quiesce()
    assert cloud.engine.snapshots(cloud.caller) == []
    assert cloud.engine.tags_of([begun.id]) == {}
    (task,) = cloud.engine.tasks(cloud.caller, (TaskKind.SNAPSHOT_CREATE,))
    assert task.state is JobState.FAILED
    assert set(cloud.host().volumes) == {volume.id}
    assert not [name for name in cloud.contents.files() if "part" in name]
    assert a_snapshot(cloud, volume).state is SnapshotState.COMPLETED


def test_a_copy_has_the_same_bytes_and_another_life(cloud):
    volume = a_volume(cloud)
    cloud.host().write(volume.id, b"shared")
    kept = a_snapshot(cloud, volume)
    assert refusal(cloud, CopySnapshot(source_id=kept.id), cloud.other).code is Code.SNAPSHOT_NOT_FOUND
    cloud.engine.execute(
        cloud.caller, ModifySnapshot(snapshot_id=kept.id, add_accounts=(cloud.other.account_id,))
    )
    copy = cloud.engine.execute(cloud.other, CopySnapshot(source_id=kept.id, tags=(("a", "b"),)))
    assert (copy.state, copy.source_id, copy.tenant_id) == (
        SnapshotState.COMPLETED,
        kept.id,
        cloud.other.tenant_id,
    )
    assert refusal(cloud, DeleteSnapshot(snapshot_id=kept.id), cloud.other).code is Code.NOT_OWNER
    cloud.engine.execute(cloud.caller, DeleteSnapshot(snapshot_id=kept.id))
    cloud.quiesce()
    assert bytes_of(cloud, copy) == b"shared"
    assert cloud.engine.tags_of([copy.id]) == {copy.id: {"a": "b"}}
    cloud.engine.execute(cloud.other, DeleteSnapshot(snapshot_id=copy.id))
    cloud.quiesce()
    assert copy.content not in {each.checksum for each in cloud.engine.contents() if each.path}


def test_a_pending_one_is_of_no_use_yet(cloud):
    begun = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=a_volume(cloud).id))
    for command in (
        CopySnapshot(source_id=begun.id),
        RegisterImage(name="too soon", snapshot_id=begun.id),
        CreateVolume(snapshot_id=begun.id),
    ):
        assert refusal(cloud, command).code is Code.SNAPSHOT_WRONG_STATE


def test_who_may_use_it(cloud):
    kept = a_snapshot(cloud, a_volume(cloud))
    modify = cloud.engine.execute
    shared = modify(cloud.caller, ModifySnapshot(snapshot_id=kept.id, public=True, add_accounts=("1" * 12,)))
    assert (shared.public, shared.accounts) == (True, ("1" * 12,))
    assert [each.id for each in cloud.engine.snapshots(cloud.other)] == [kept.id]
    assert (
        refusal(cloud, ModifySnapshot(snapshot_id=kept.id, public=False), cloud.other).code is Code.NOT_OWNER
    )
    private = modify(cloud.caller, ModifySnapshot(snapshot_id=kept.id, reset_permissions=True))
    assert (private.public, private.accounts) == (False, ())
    assert cloud.engine.snapshots(cloud.other) == []


def test_an_encrypted_one_takes_the_passphrase_along(cloud):
    volume = a_volume(cloud, encrypted=True)
    kept = a_snapshot(cloud, volume)
    assert kept.encrypted
    vault = cloud.engine.vault
    assert vault.open(kept.id, kept.secret) == vault.open(volume.id, volume.secret)
    copy = cloud.engine.execute(cloud.caller, CopySnapshot(source_id=kept.id, encrypted=True))
    assert vault.open(copy.id, copy.secret) == vault.open(volume.id, volume.secret)
    assert refusal(cloud, ModifySnapshot(snapshot_id=kept.id, public=True)).code is Code.UNSUPPORTED
    plain = a_snapshot(cloud, a_volume(cloud))
    assert refusal(cloud, CopySnapshot(source_id=plain.id, encrypted=True)).code is Code.UNSUPPORTED


@pytest.mark.parametrize(
    "death", [(0, False), (0, True), (1, False), (1, True), (2, True), (3, False), (4, True)]
)
def test_the_worker_dies_and_nothing_is_lost_or_left(cloud, death):
    instance = cloud.started()
    (root,) = cloud.disks(instance)
    cloud.host().write(root.id, b"precious")
    begun = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=root.id))
    cloud.store.death = death
    cloud.settle()
    assert cloud.store.death is None  # it died
    cloud.quiesce()
    kept = cloud.engine.snapshot(cloud.caller, begun.id)
    assert (kept.state, bytes_of(cloud, kept)) == (SnapshotState.COMPLETED, b"precious")
    assert set(cloud.host().volumes) == {root.id}
    assert cloud.get(instance).detail == "runn"


def test_a_host_that_answers_no_more_is_waited_for(cloud):
    volume = a_volume(cloud)
    cloud.host().plan = [(0, Fault.SILENT_BEFORE)]
    begun = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=volume.id))
    cloud.settle()
    cloud.quiesce()
    assert cloud.engine.snapshot(cloud.caller, begun.id).state is SnapshotState.COMPLETED


def test_of_an_instance_that_is_switched_off_or_asleep(cloud):
    for op, detail in ((Op.POWEROFF, "poff"), (Op.SUSPEND, "susp.disk")):
        instance = cloud.started()
        (root,) = cloud.disks(instance)
        cloud.do(op, instance)
        cloud.host().write(root.id, detail.encode())
        kept = a_snapshot(cloud, root)
        assert bytes_of(cloud, kept) == detail.encode()
        assert cloud.get(instance).detail == detail


# Moments at which others are faster --------------------------------------------------------------------


def meanwhile(host, method, deed):
    """Something that happens when a host has carried out a call, once."""
    original = getattr(host, method)

    def called(*arguments, **named):
        setattr(host, method, original)
        answer = original(*arguments, **named)
        deed()
        return answer

    setattr(host, method, called)


def a_tracked_volume(cloud):
    """A volume of a running instance, and a snapshot to which the next one tells the difference."""
    instance, volume = cloud.started(), a_volume(cloud)
    cloud.host().tracks_changes = True
    cloud.engine.execute(cloud.caller, AttachVolume(volume_id=volume.id, instance_id=instance.id))
    cloud.settle()
    return volume, a_snapshot(cloud, volume)


def test_what_a_difference_is_told_to_stays_while_it_is_copied(cloud):
    volume, base = a_tracked_volume(cloud)

    def delete_base():
        cloud.engine.execute(cloud.caller, DeleteSnapshot(snapshot_id=base.id))
        cloud.worker.reap()

    meanwhile(cloud.host(), "backup", delete_base)
    kept = a_snapshot(cloud, volume)
    assert kept.state is SnapshotState.COMPLETED
    with cloud.store.read() as tx:
        difference, whole = tx.contents.chain(kept.content)
    assert whole.checksum == base.content
    assert Path(difference.path).is_file()
    assert Path(whole.path).is_file()
    cloud.quiesce()
    assert cloud.wrong_files() == set()


def test_a_difference_to_what_is_not_there_is_no_snapshot(cloud):
    volume, base = a_tracked_volume(cloud)

    def lose_base():
        with cloud.store.begin() as tx:
            tx.contents.update(tx.contents.lock(base.content), path="")

    meanwhile(cloud.host(), "fetch", lose_base)
    kept = a_snapshot(cloud, volume)
    assert (kept.state, kept.content) == (SnapshotState.ERROR, "")
    assert kept.message == "What the copy tells the difference to is not there any more."


def test_a_copy_that_was_whole_names_nothing(cloud):
    volume, _ = a_tracked_volume(cloud)
    host = cloud.host()
    host.volumes[volume.id] = msgspec.structs.replace(host.volumes[volume.id], marks=frozenset())
    kept = a_snapshot(cloud, volume)
    with cloud.store.read() as tx:
        (only,) = tx.contents.chain(kept.content)
    assert (kept.state, only.parent) == (SnapshotState.COMPLETED, "")


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("running", [False, True])
def test_a_copy_that_is_called_off_while_it_is_made_is_removed(cloud, running, dies):
    volume = cloud.disks(cloud.started())[0] if running else a_volume(cloud)
    begun = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=volume.id))
    host = cloud.host()
    method = "backup" if running else "cpds"
    original = getattr(host, method)

    def called(*arguments, **named):
        setattr(host, method, original)
        cloud.engine.execute(cloud.caller, DeleteSnapshot(snapshot_id=begun.id))
        cloud.worker.reap()
        answer = original(*arguments, **named)
        if dies:
            raise WorkerKilled
        return answer

    setattr(host, method, called)
    cloud.settle()
    with cloud.store.read() as tx:
        (task,) = (each for each in tx.tasks.all() if each.kind is TaskKind.SNAPSHOT_CREATE)
        assert (task.state, task.busy, tx.snapshots.get(begun.id)) == (JobState.FAILED, "", None)
        assert tx.debris.get(begun.id, str(volume.host_id)) is not None
    cloud.quiesce()
    assert cloud.wrong_files() == set()


def test_a_copy_whose_task_went_meanwhile_is_removed(cloud):
    volume = a_volume(cloud)
    begun = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=volume.id))

    def forget():
        with cloud.store.begin() as tx:
            (task,) = tx.tasks.open()
            tx.tasks.delete(task.id)
            tx.snapshots.delete(begun.id)

    meanwhile(cloud.host(), "cpds", forget)
    cloud.quiesce()
    assert cloud.wrong_files() == set()


def test_a_progress_that_cannot_be_recorded_fails_nothing(cloud, monkeypatch):
    def refuse(*_):
        raise BackendError(Code.STALE, "The task was changed by somebody else.")

    volume = a_volume(cloud)
    monkeypatch.setattr(cloud.worker.tasks, "_tell", refuse)
    assert a_snapshot(cloud, volume).state is SnapshotState.COMPLETED


def test_what_is_in_the_queue_twice_is_done_once(cloud):
    volume = a_volume(cloud)
    begun = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=volume.id))
    (entry,) = cloud.queue.work
    cloud.queue.work.append(entry)
    answers = []
    host = cloud.host()
    original = host.fetch

    def fetch(*arguments, **named):
        answers.append(cloud.worker.run_job(entry[1]))
        return original(*arguments, **named)

    host.fetch = fetch
    cloud.settle()
    assert answers == [None]
    assert cloud.engine.snapshot(cloud.caller, begun.id).state is SnapshotState.COMPLETED


def test_the_job_of_an_instance_is_done_once_too(cloud):
    instance = cloud.started()
    (root,) = cloud.disks(instance)
    begun = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=root.id))
    (entry,) = cloud.queue.work
    answers = []
    meanwhile(cloud.host(), "backup", lambda: answers.append(cloud.worker.run_job(entry[1])))
    cloud.settle()
    assert answers == [None]
    assert cloud.engine.snapshot(cloud.caller, begun.id).state is SnapshotState.COMPLETED
    assert cloud.get(instance).detail == "runn"
