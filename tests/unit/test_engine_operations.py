"""What owners ask of their instances, and guests, hosts and strangers answer."""

from __future__ import annotations

import msgspec
import pytest
from simulation import ADMIN, Cloud, Op

from backend.commands import (
    CreateImage,
    CreateSnapshot,
    CreateTags,
    CreateVolume,
    DeleteVolume,
    DeregisterImage,
    ImportImage,
    ModifyInstance,
    ModifyVolume,
    PurgeTenant,
    SetQuota,
)
from backend.drivers.memory import Fault, Guest
from backend.errors import BackendError, Code
from backend.model import (
    Api,
    BlockDevice,
    Desired,
    GuestShutdown,
    HostState,
    ImageState,
    JobState,
    Reason,
    SnapshotState,
    VolumeState,
)
from backend.ports import DomainReason, DomainStatus

STUBBORN = Guest(obeys_power_button=False, obeys_reboot=False)


@pytest.fixture
def cloud():
    return Cloud()


def refused(cloud, op, instance, caller=None, **flags):
    with pytest.raises(BackendError) as refusal:
        cloud.operate(op, instance, caller=caller, **flags)
    return refusal.value.code


def walk_to(cloud, instance, detail):
    """Let the worker go on until the instance is in a detail."""
    for _ in range(200):
        if cloud.get(instance).detail == detail:
            return
        cloud.step()
    raise AssertionError((detail, cloud.details(instance)))


# Off and on ---------------------------------------------------------------------------------------------


def test_power_off_asks_the_guest_and_on_starts_it_on_its_host(cloud):
    instance = cloud.started()
    off = cloud.do(Op.POWEROFF, instance)
    assert (off.detail, off.reason, off.desired) == ("poff", Reason.USER_SHUTDOWN, Desired.OFF)
    on = cloud.do(Op.START, off)
    assert (on.detail, on.reason, on.desired) == ("runn", Reason.NONE, Desired.RUN)
    assert (on.host_id, on.epoch, on.launched_at) == (instance.host_id, instance.epoch, instance.launched_at)


def test_a_guest_that_ignores_the_button_keeps_running(cloud):
    instance = cloud.started()
    cloud.host().guest = STUBBORN
    kept = cloud.do(Op.POWEROFF, instance)
    assert (kept.detail, kept.desired, kept.reason) == ("runn", Desired.RUN, Reason.NONE)
    assert any("ignored" in event.reason for event in cloud.events(instance))


def test_a_forced_power_off_ends_even_so(cloud):
    instance = cloud.started()
    cloud.host().guest = STUBBORN
    assert cloud.do(Op.POWEROFF, instance, force_at_timeout=True).detail == "poff"
    assert not cloud.host().running()


def test_a_hard_power_off_takes_over_from_a_patient_one(cloud):
    instance = cloud.started()
    cloud.host().guest = STUBBORN
    cloud.operate(Op.POWEROFF, instance)
    started = cloud.clock.now
    assert cloud.do(Op.POWEROFF_HARD, instance).detail == "poff"
    assert cloud.clock.now - started < 100
    assert [job.state for job in cloud.engine.jobs(cloud.caller, instance_id=instance.id)][1:] == [
        JobState.SUPERSEDED,
        JobState.DONE,
    ]


def test_a_reboot_that_is_ignored_becomes_a_reset_only_when_asked(cloud):
    instance = cloud.started()
    cloud.host().guest = STUBBORN
    cloud.do(Op.REBOOT, instance)
    assert instance.id not in cloud.host().reboots
    cloud.do(Op.REBOOT, instance, force_at_timeout=True)
    assert instance.id in cloud.host().reboots
    assert cloud.details(instance)[-1] == "runn"


def test_a_guest_that_misses_the_first_asking_is_asked_to_reboot_again(cloud):
    instance = cloud.started()
    host = cloud.host()
    host.guest = STUBBORN  # it still boots
    began = cloud.clock.now
    wait = host.wait

    def waits(instance_id, seconds):
        wait(instance_id, seconds)
        if cloud.clock.now - began > 20:
            host.guest = Guest()

    host.wait = waits
    cloud.do(Op.REBOOT, instance)
    assert instance.id in host.reboots
    assert cloud.clock.now - began < 60


def test_a_cold_restart_starts_anew_on_the_same_host(cloud):
    instance = cloud.started()
    again = cloud.do(Op.RESTART_COLD, instance)
    assert (again.detail, again.host_id) == ("runn", instance.host_id)
    assert cloud.host().starts == [(instance.id, 1), (instance.id, 1)]


def test_a_report_from_the_middle_of_a_cold_restart_changes_nothing(cloud):
    """The machine was off when the monitor asked, and has been started when it reports."""
    instance = cloud.started()
    seen = {}

    def look():
        seen.update(cloud.host().domains)

    cloud.operate(Op.RESTART_COLD, instance)
    cloud.step()
    before = cloud.get(instance)
    look()
    cloud.settle()
    assert seen[instance.id].status is DomainStatus.OFF
    testimony = cloud.monitors[cloud.host_ids[0]].testimony
    testimony.instance(cloud.host(), before, seen[instance.id])
    assert cloud.get(instance).detail == "runn"


def test_hibernation_keeps_memory_and_the_host(cloud):
    instance = cloud.started()
    saved = cloud.do(Op.SUSPEND, instance)
    assert (saved.detail, saved.checkpoint, saved.reason) == ("susp.disk", "disk", Reason.USER_HIBERNATE)
    assert cloud.host().domains[instance.id].has_checkpoint
    back = cloud.do(Op.START, instance)
    assert (back.detail, back.checkpoint) == ("runn", "none")
    assert cloud.host().starts == [(instance.id, 1)] * 2


def test_a_save_that_fails_leaves_the_guest_running(cloud):
    instance = cloud.started()
    cloud.host().broken = {"save"}
    assert cloud.do(Op.SUSPEND, instance).detail == "runn"
    assert cloud.host().running() == {instance.id}


def test_a_pause_keeps_it_in_memory(cloud):
    instance = cloud.started()
    paused = cloud.do(Op.PAUSE, instance)
    assert (paused.detail, paused.checkpoint) == ("susp.ram", "ram")
    assert cloud.do(Op.START, instance).detail == "runn"
    assert len(cloud.host().starts) == 1


def test_one_call_for_many_starts_all_or_none(cloud):
    first, second = cloud.started(), cloud.launch(held=True)[0]
    with pytest.raises(BackendError):
        cloud.operate(Op.REBOOT, first, second)
    with pytest.raises(BackendError) as refusal:
        cloud.operate(Op.REBOOT, first, "i-0000000000000000a", "i-0000000000000000b")
    assert refusal.value.context["ids"] == ("i-0000000000000000a", "i-0000000000000000b")
    assert cloud.get(first).job_id is None


# Ends ---------------------------------------------------------------------------------------------------


def nothing_left(cloud, instance):
    cloud.quiesce()
    ended = cloud.get(instance)
    assert ended.detail == "done"
    for index in range(len(cloud.host_ids)):
        assert instance.id not in cloud.host(index).domains
        assert not cloud.host(index).files_of(instance.id)
    assert not cloud.disks(instance)
    assert cloud.wrong_files() == set()
    with cloud.store.read() as tx:
        assert not tx.reservations.of(instance.id)
        assert not tx.placements.open_of(instance.id)
        assert not tx.debris.all()
        assert not tx.jobs.open()
    return ended


def test_terminate_asks_then_kills_then_cleans(cloud):
    instance = cloud.started()
    cloud.host().guest = STUBBORN
    cloud.do(Op.TERMINATE, instance)
    assert cloud.details(instance)[-4:] == ["shut.done", "shut.cancel", "epil.done", "done"]
    assert nothing_left(cloud, instance).reason is Reason.USER_SHUTDOWN


STAGES = {
    "prol.new": None,
    "boot.new": None,
    "shut.poff": Op.POWEROFF,
    "shut.done": Op.SHUTDOWN,
    "save.susp": Op.SUSPEND,
    "epil.resubmit": Op.RESUBMIT,
    "epil.done": Op.CANCEL,
    "epil.delete": Op.DELETE,
}


@pytest.mark.parametrize("op", [Op.TERMINATE, Op.DELETE, Op.CANCEL])
@pytest.mark.parametrize("stage", STAGES)
def test_an_end_is_asked_for_in_the_middle_of_everything(cloud, stage, op):
    """Also when the worker dies in that very step."""
    if STAGES[stage] is None:
        instance = cloud.launch()[0]
    else:
        instance = cloud.started()
        cloud.operate(STAGES[stage], instance)
    walk_to(cloud, instance, stage)
    asked, refusals = [], []

    def ask():
        try:
            asked.extend(cloud.operate(op, instance))
        except BackendError as refusal:
            refusals.append(refusal.code)

    cloud.host().plan = [(0, ask), (1, "die after")]
    cloud.quiesce()
    assert len(asked) + len(refusals) == 1
    if refusals:
        assert op is Op.CANCEL or stage == "epil.delete"  # which is what is asked for
        assert refusals[0] in {Code.INSTANCE_BUSY, Code.INSTANCE_WRONG_STATE}
        cloud.operate(Op.TERMINATE, instance)
    nothing_left(cloud, instance)


def test_an_end_that_fails_is_tried_again_later_not_at_once(cloud):
    instance = cloud.started()
    cloud.host().broken = {"shutdown", "destroy"}
    cloud.do(Op.TERMINATE, instance)  # settles: nothing goes round and round
    stuck = cloud.get(instance)
    assert (stuck.detail, stuck.desired) == ("runn", Desired.GONE)
    assert refused(cloud, Op.POWEROFF, instance) is Code.INSTANCE_WRONG_STATE
    cloud.host().broken = set()
    nothing_left(cloud, instance)


def test_a_failed_epilog_is_repeated_until_it_succeeds(cloud):
    instance = cloud.started()
    cloud.host().broken = {"delete_files"}
    assert cloud.do(Op.TERMINATE, instance).detail == "fail.epilog"
    assert cloud.host().files_of(instance.id)
    cloud.host().broken = set()
    nothing_left(cloud, instance)


def test_files_that_a_delete_cannot_remove_are_debris_until_the_reaper_can(cloud):
    instance = cloud.started()
    cloud.host().broken = {"delete_files"}
    assert cloud.do(Op.DELETE, instance).detail == "done"
    with cloud.store.read() as tx:
        assert [item.instance_id for item in tx.debris.all()] == [instance.id]
    cloud.host().broken = set()
    nothing_left(cloud, instance)


def test_a_resubmitted_instance_stays_away_from_its_own_debris(cloud):
    """Else the prolog would take old files for its own, or the reaper would remove the new ones."""
    instance = cloud.started()
    cloud.host().broken = {"delete_files"}
    waiting = cloud.do(Op.RESUBMIT, instance)
    assert waiting.detail == "pend"
    assert "files of it" in waiting.reason_text
    cloud.host().broken = set()
    cloud.quiesce()
    again = cloud.get(instance)
    assert (again.detail, again.epoch, again.address) == ("runn", 2, instance.address)
    assert cloud.host().files_of(instance.id) == {"seed"}
    assert list(cloud.host().disks(instance.id)) == ["vda"]
    assert cloud.wrong_files() == set()


def test_the_termination_lock_stands_against_every_end(cloud):
    instance = cloud.started(locked_terminate=True)
    for op in (Op.TERMINATE, Op.CANCEL, Op.DELETE, Op.SHUTDOWN):
        assert refused(cloud, op, instance) is Code.INSTANCE_LOCKED
    cloud.engine.execute(cloud.caller, ModifyInstance(instance_id=instance.id, locked_terminate=False))
    assert cloud.do(Op.TERMINATE, instance).detail == "done"


def test_the_stop_lock_stands_against_power_off(cloud):
    instance = cloud.started(locked_stop=True)
    for op in (Op.POWEROFF, Op.POWEROFF_HARD):
        assert refused(cloud, op, instance) is Code.INSTANCE_LOCKED
    assert cloud.do(Op.REBOOT, instance).detail == "runn"


def test_an_administrator_alone_takes_the_wish_to_be_gone_back(cloud):
    instance = cloud.started()
    cloud.host().broken = {"delete_files"}
    cloud.do(Op.TERMINATE, instance)
    cloud.host().broken = set()
    assert refused(cloud, Op.RECOVER_RECREATE, instance) is Code.DENIED
    again = cloud.do(Op.RECOVER_RECREATE, instance, caller=ADMIN)
    assert (again.detail, again.desired) == ("runn", Desired.RUN)


# Behind our back ----------------------------------------------------------------------------------------

OFF, RUNNING, PAUSED = DomainStatus.OFF, DomainStatus.RUNNING, DomainStatus.PAUSED


def happens(cloud, instance, status, reason=DomainReason.UNKNOWN):
    cloud.clock.advance(1)
    cloud.host().change(instance.id, status, reason)
    cloud.hear()
    cloud.settle()
    return cloud.get(instance)


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (DomainReason.GUEST_SHUTDOWN, Reason.GUEST_SHUTDOWN),
        (DomainReason.DESTROYED, Reason.DESTROYED_OUTSIDE),
        (DomainReason.CRASHED, Reason.CRASHED),
        (DomainReason.UNKNOWN, Reason.VANISHED),
    ],
)
def test_what_goes_off_by_itself_is_off_with_the_reason(cloud, reason, why):
    instance = cloud.started()
    off = happens(cloud, instance, OFF, reason)
    assert (off.detail, off.reason, off.by_user) == ("poff", why, False)
    assert off.crash_count == (why is Reason.CRASHED)
    assert cloud.do(Op.START, instance).detail == "runn"


def test_a_guest_that_powers_itself_off_may_end_the_instance(cloud):
    instance = cloud.started(on_guest_shutdown=GuestShutdown.TERMINATE)
    ended = happens(cloud, instance, OFF, DomainReason.GUEST_SHUTDOWN)
    assert (ended.detail, ended.reason, ended.by_user) == ("done", Reason.GUEST_SHUTDOWN, False)
    nothing_left(cloud, instance)


def test_what_is_saved_or_started_by_a_stranger_is_known(cloud):
    instance = cloud.started()
    saved = happens(cloud, instance, OFF, DomainReason.SAVED)
    assert (saved.detail, saved.checkpoint) == ("susp.disk", "disk")
    assert happens(cloud, instance, RUNNING).detail == "runn"
    cloud.do(Op.POWEROFF, instance)
    assert happens(cloud, instance, RUNNING).detail == "runn"


def test_a_pause_by_a_stranger_counts_when_it_lasts(cloud):
    instance = cloud.started()
    assert happens(cloud, instance, PAUSED, DomainReason.USER).detail == "runn"
    cloud.poll()
    paused = cloud.get(instance)
    assert (paused.detail, paused.checkpoint, paused.reason) == ("susp.ram", "ram", Reason.PAUSED_OUTSIDE)
    assert happens(cloud, instance, OFF).detail == "poff"


def test_a_machine_that_a_stranger_started_and_paused_is_found(cloud):
    instance = cloud.started()
    cloud.do(Op.POWEROFF, instance)
    cloud.host().change(instance.id, PAUSED, DomainReason.USER)
    for _ in range(4):
        cloud.clock.advance(30)
        cloud.poll()
    assert cloud.get(instance).detail == "susp.ram"


def test_a_checkpoint_that_is_gone_leaves_a_machine_that_is_off(cloud):
    instance = cloud.started()
    cloud.do(Op.SUSPEND, instance)
    cloud.clock.advance(1)
    del cloud.host().domains[instance.id]
    cloud.poll()
    assert cloud.get(instance).detail == "poff"
    assert cloud.do(Op.START, instance).detail == "runn"


def test_a_full_disk_or_a_preserved_crash_is_poor_health(cloud):
    instance = cloud.started()
    assert happens(cloud, instance, PAUSED, DomainReason.IO_ERROR).health == "impaired"
    assert happens(cloud, instance, RUNNING).health == "ok"
    assert happens(cloud, instance, DomainStatus.CRASHED, DomainReason.CRASHED).health == "impaired"
    off = cloud.do(Op.POWEROFF_HARD, instance)
    assert (off.detail, off.health) == ("poff", "ok")


def test_files_that_vanished_are_a_failure(cloud):
    instance = cloud.started()
    cloud.clock.advance(1)
    cloud.host().volumes.clear()
    cloud.host().own.clear()
    cloud.host().domains.clear()
    cloud.poll()
    assert cloud.get(instance).detail == "fail.epilog"


# Changes ------------------------------------------------------------------------------------------------


def test_size_changes_claim_quota_and_the_hosts_room(cloud):
    instance = cloud.do(Op.POWEROFF, cloud.started())

    def resize(**size):
        return cloud.engine.execute(cloud.caller, ModifyInstance(instance_id=instance.id, **size))

    for size, code in (
        ({"memory_mib": 10**6}, Code.NO_CAPACITY),
        ({"vcpus": 0}, Code.PARAMETER_INVALID),
        ({"flavor": "none"}, Code.FLAVOR_NOT_FOUND),
        ({"vcpus": 2, "expected_version": 1}, Code.STALE),
    ):
        with pytest.raises(BackendError) as refusal:
            resize(**size)
        assert refusal.value.code is code
    assert resize(flavor="t2.large").memory_mib == 8192
    with cloud.store.read() as tx:
        (held,) = tx.reservations.of(instance.id)
    assert (held.cpu, held.memory_mib) == (200, 8192)
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"memory_mib": 100}))
    with pytest.raises(BackendError) as refusal:
        resize(memory_mib=9000)
    assert refusal.value.code is Code.QUOTA_MEMORY
    assert resize(flavor="t2.nano").memory_mib == 512  # less is always allowed


def test_tags_have_limits_and_raise_versions(cloud):
    instance = cloud.started()
    some = tuple((str(number), "v") for number in range(40))
    more = tuple((f"x{number}", "v") for number in range(11))
    cloud.engine.execute(cloud.caller, CreateTags(ids=(instance.id, cloud.image.id), tags=some))
    assert cloud.get(instance).version == instance.version + 1
    with pytest.raises(BackendError) as refusal:
        cloud.engine.execute(cloud.caller, CreateTags(ids=(cloud.image.id, instance.id), tags=more))
    assert refusal.value.code is Code.TAG_LIMIT
    assert len(cloud.engine.tags_of([instance.id])[instance.id]) == 40
    cloud.engine.execute(cloud.caller, CreateTags(ids=(instance.id,), tags=some))  # overwriting is no more


def stored(cloud, image):
    """Whether the image store has an image's file."""
    return f"{image.checksum}.qcow2" in cloud.contents.files()


def test_bytes_of_a_withdrawn_image_stay_until_its_last_user_ended(cloud):
    image = cloud.register("mine")
    instance = cloud.started(image_id=image.id)
    cloud.engine.execute(cloud.caller, DeregisterImage(image_id=image.id))
    cloud.quiesce()
    assert stored(cloud, image)
    assert cloud.do(Op.RESUBMIT, instance).detail == "runn"  # and it can be made anew from it
    assert cloud.host().volumes[cloud.disks(instance)[0].id].content == b"image mine"
    cloud.do(Op.TERMINATE, instance)
    cloud.quiesce()
    assert not stored(cloud, image)
    assert image.checksum not in cloud.host().images
    assert cloud.wrong_files() == set()


def test_bytes_that_two_images_share_go_with_the_last(cloud):
    first, second = (cloud.register(name, data=b"the same") for name in ("one", "two"))
    assert first.checksum == second.checksum
    cloud.engine.execute(cloud.caller, DeregisterImage(image_id=first.id))
    cloud.quiesce()
    assert stored(cloud, second)
    cloud.engine.execute(cloud.caller, DeregisterImage(image_id=second.id))
    cloud.quiesce()
    assert not stored(cloud, second)
    assert cloud.wrong_files() == set()


# Records ------------------------------------------------------------------------------------------------


def test_every_change_has_one_event_in_order_with_its_actor(cloud):
    instance = cloud.started()
    cloud.do(Op.POWEROFF, instance)
    cloud.do(Op.START, instance, caller=cloud.login("eve", cloud.tenant, Api.OCCI))
    happens(cloud, instance, OFF, DomainReason.CRASHED)
    cloud.do(Op.TERMINATE, instance)
    events = [event for event in cloud.events(instance) if event.old != event.new]
    assert [event.old for event in events[1:]] == [event.new for event in events[:-1]]
    actors = {event.new: event.actor for event in events}
    assert actors["pend"] == "ec2:ann"
    assert actors["prol.new"] == "engine:engine"
    assert actors["shut.poff"] == actors["epil.done"] == "ec2:ann"
    assert actors["boot.poff"] == "occi:eve"
    assert [event.actor for event in events if event.op == "crashed"] == ["engine:engine"]


def test_several_events_of_one_moment_keep_their_order(cloud):
    """A launch that fails for good ends in the same transaction."""
    cloud.host().broken = {"clone"}
    for _ in range(5):
        (instance,) = cloud.launch()
        cloud.settle()
        assert cloud.details(instance) == ["pend", "prol.new", "fail.prolog", "epil.delete", "done"]


def test_accounting_has_one_record_for_each_stay(cloud):
    instance = cloud.started()
    cloud.do(Op.POWEROFF, instance)
    cloud.do(Op.START, instance)
    cloud.do(Op.SUSPEND, instance)
    cloud.do(Op.START, instance)
    cloud.do(Op.TERMINATE, instance)
    stays = cloud.engine.stays(cloud.caller, instance.id)
    assert [(stay.seq, stay.reason) for stay in stays] == [(1, "stop"), (2, "stop"), (3, "none")]
    for stay in stays:
        assert stay.running_at is not None
        assert stay.running_until is not None
        assert stay.started_at <= stay.running_at < stay.running_until <= stay.ended_at


def test_a_purge_ends_and_removes_all_that_a_tenant_has(cloud):
    image = cloud.register("shared")
    for flags in ({}, {"held": True}, {"locked_terminate": True}):
        cloud.launch(image_id=image.id, **flags)
    cloud.settle()
    guest = cloud.started(cloud.other, image_id=image.id)
    purge = PurgeTenant(tenant_id=cloud.tenant.id, remove=True)
    assert cloud.engine.execute(ADMIN, purge) > 0
    cloud.quiesce()
    assert cloud.engine.execute(ADMIN, purge) == 0
    assert stored(cloud, image)  # the other tenant's instance still needs the bytes
    cloud.do(Op.TERMINATE, guest, caller=cloud.other)
    cloud.quiesce()
    assert not stored(cloud, image)
    assert cloud.engine.tenant(cloud.tenant.id) is None
    assert cloud.get(guest).image_id == image.id  # its history still names the image
    with cloud.store.read() as tx:
        assert [row.state for row in tx.images.all()] == [ImageState.GONE]
    assert cloud.host().is_empty()


def test_a_host_declared_dead_gives_everything_back_and_is_cleaned_when_it_returns(cloud):
    instance = cloud.started()
    off = cloud.do(Op.POWEROFF, cloud.started())
    cloud.host().silent = True
    cloud.set_host(0, HostState.OFFLINE)
    cloud.do(Op.TERMINATE, instance)
    cloud.do(Op.TERMINATE, off)
    with cloud.store.read() as tx:
        assert {item.closed_by for item in tx.placements.all()} == {"administrator"}
        assert not tx.reservations.all()
    cloud.host().silent = False
    cloud.set_host(0, HostState.INIT)
    for item in (instance, off):
        nothing_left(cloud, item)


def test_two_faults_in_a_row_are_still_one_launch(cloud):
    cloud.host().plan = [(1, Fault.SILENT_AFTER), (4, "die after"), (6, Fault.SILENT_BEFORE)]
    (instance,) = cloud.launch()
    cloud.quiesce()
    assert cloud.get(instance).detail == "runn"
    assert cloud.host().starts == [(instance.id, cloud.get(instance).epoch)]


def test_a_query_that_fails_is_no_testimony(cloud):
    """The start worked, the question after it did not: the machine must not be taken for off."""
    instance = cloud.do(Op.POWEROFF, cloud.started())
    cloud.operate(Op.START, instance)
    walk_to(cloud, instance, "boot.poff")
    cloud.host().plan = [(2, Fault.FAIL_BEFORE)]  # context, start, and then the question
    cloud.quiesce()
    assert "poff" not in cloud.details(instance)[-2:]
    assert cloud.get(instance).detail == "runn"


def test_a_start_that_a_daemon_died_over_is_neither_there_nor_not(cloud):
    """It finds the domain begun when it is back, and ends it in its own time: then it is started anew."""
    instance = cloud.do(Op.POWEROFF, cloud.started())
    cloud.operate(Op.START, instance)
    walk_to(cloud, instance, "boot.poff")
    starts = len(cloud.host().starts)
    cloud.host().plan = [(1, Fault.SILENT_AFTER)]  # context, then the start
    cloud.settle()
    cloud.host().change(instance.id, DomainStatus.PAUSED, DomainReason.STARTING)
    for _ in range(3):
        cloud.poll()
        cloud.sweep()
        cloud.settle()
        assert cloud.get(instance).detail == "boot.poff"
    cloud.host().change(instance.id, DomainStatus.OFF, DomainReason.CRASHED)
    cloud.quiesce()
    assert cloud.get(instance).detail == "runn"
    assert len(cloud.host().starts) == starts + 2
    assert not {"fail.boot", "poff"} & set(cloud.details(instance)[-2:])


@pytest.mark.parametrize(
    "op", [Op.POWEROFF, Op.POWEROFF_HARD, Op.SUSPEND, Op.TERMINATE, Op.SHUTDOWN, Op.DELETE]
)
def test_stop_protection_stands_against_every_kind_of_stop_and_end(cloud, op):
    instance = cloud.started(locked_stop=True, hibernation=True)
    with pytest.raises(BackendError) as refused:
        cloud.operate(op, instance)
    assert (refused.value.code, refused.value.context["lock"]) == (Code.INSTANCE_LOCKED, "stop")
    assert cloud.get(instance).detail == "runn"


# Ends without an epilog ---------------------------------------------------------------------------------


def test_an_end_before_the_beginning_leaves_no_work_behind(cloud):
    volume = cloud.engine.execute(cloud.caller, CreateVolume(size_gib=2))
    cloud.settle()
    (instance,) = cloud.launch(held=True, volumes=((volume.id, "/dev/sdf"),))
    cloud.engine.execute(cloud.caller, ModifyVolume(volume_id=volume.id, size_gib=5))
    kept = cloud.engine.execute(cloud.caller, CreateSnapshot(volume_id=volume.id))
    assert cloud.do(Op.TERMINATE, instance).detail == "done"
    with cloud.store.read() as tx:
        assert tx.tasks.open() == []
    free = cloud.volume(volume)
    assert (free.state, free.size_gib, free.modification.state) == (VolumeState.AVAILABLE, 2, "failed")
    assert cloud.engine.snapshot(cloud.caller, kept.id).state is SnapshotState.COMPLETED
    cloud.engine.execute(cloud.caller, DeleteVolume(volume_id=volume.id))
    cloud.quiesce()
    assert cloud.volume(volume) is None


def test_disks_of_an_instance_that_ends_in_the_queue_go_too(cloud):
    instance = cloud.started(mappings=(BlockDevice(device="/dev/sdg", size_gib=3),))
    extra = cloud.disks(instance)[1]
    cloud.set_host(0, HostState.DISABLED)
    assert cloud.do(Op.RESUBMIT, instance).detail == "pend"
    assert list(cloud.host().volumes) == [extra.id]
    (going,) = (change.after for change in cloud.operate(Op.TERMINATE, instance))
    assert (going.detail, cloud.volume(extra).state) == ("done", VolumeState.DELETING)
    cloud.settle()
    assert (cloud.volume(extra), cloud.host().volumes) == (None, {})


def test_a_deferred_image_is_not_waited_for_when_the_host_is_dead(cloud):
    instance = cloud.started()
    image = cloud.engine.execute(
        cloud.caller, CreateImage(instance_id=instance.id, name="later", deferred=True)
    )
    cloud.set_host(0, HostState.OFFLINE)
    assert cloud.do(Op.TERMINATE, instance).detail == "done"
    assert cloud.engine.image(cloud.caller, image.id).state is ImageState.ERROR


def test_nobody_waits_for_an_image_of_a_purged_tenant(cloud):
    task = cloud.engine.execute(cloud.caller, ImportImage(location="/disk", public=True))
    (waiting,) = cloud.launch(msgspec.structs.replace(cloud.other, api=Api.OCCI), image_id=task.resource_id)
    assert waiting.detail == "pend.image"
    cloud.engine.execute(ADMIN, PurgeTenant(tenant_id=cloud.tenant.id))
    assert cloud.get(waiting).detail == "fail.image"
