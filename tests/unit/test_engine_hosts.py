"""Where instances go, what happens when hosts fail or fall silent, and who may know of whom."""

from __future__ import annotations

import msgspec
import pytest
from simulation import ADMIN, Cloud, Op

from backend import commands, identity_commands, network_commands, request_commands
from backend.commands import DeleteHost, DeregisterImage, ImportKeyPair, ModifyImage, ModifyInstance
from backend.drivers.memory import Fault
from backend.engine import EngineSettings
from backend.engine.scheduler import _deploy, litter
from backend.engine.tasks import begin_task
from backend.engine.worker import Worker
from backend.errors import BackendError, Code
from backend.launch_commands import (
    CreateLaunchTemplate,
    CreateLaunchTemplateVersion,
    CreatePlacementGroup,
    DeleteLaunchTemplate,
    DeleteLaunchTemplateVersions,
    DeletePlacementGroup,
    PlaceInstance,
    SetDefaultVersion,
)
from backend.model import (
    Api,
    BlockDevice,
    Capacity,
    Content,
    Debris,
    Desired,
    HostState,
    JobState,
    Publication,
    Reason,
    TaskKind,
)
from backend.ports import DomainReason, DomainStatus, VolumeSpec


def cloud_of(*memory_mib, settings=None):
    """A cloud with hosts of so much memory."""
    cloud = Cloud(hosts=0, settings=settings)
    for size in memory_mib:
        cloud.add_host(Capacity(cpu=400, memory_mib=size, disk_gib=100))
    cloud.poll()
    return cloud


def silence(cloud, index=0):
    """A host stops answering, and is noticed."""
    cloud.host(index).silent = True
    for _ in range(3):
        cloud.poll()


# Scheduling ---------------------------------------------------------------------------------------------


def test_instances_go_where_most_memory_is_free():
    cloud = cloud_of(1024, 2048)
    where = [cloud.host_ids.index(cloud.started().host_id) for _ in range(6)]
    assert sorted(where) == [0, 0, 1, 1, 1, 1]
    assert where[:2] == [1, 1]


def test_a_host_takes_what_fits_exactly_and_not_one_more():
    cloud = cloud_of(1024)
    made = cloud.launch(minimum=3, maximum=3)
    cloud.settle()
    states = sorted(cloud.get(item).detail for item in made)
    assert states == ["pend", "runn", "runn"]
    (waiting,) = [cloud.get(item) for item in made if cloud.get(item).detail == "pend"]
    assert waiting.reason is Reason.NO_CAPACITY
    assert waiting.reason_text == "1 hosts: 1 with too little memory (needs 512 MiB)"
    cloud.do(Op.TERMINATE, next(item for item in made if item.id != waiting.id))
    assert cloud.get(waiting).detail == "runn"


@pytest.mark.parametrize(
    ("flavor", "why"),
    [({"vcpus": 100}, "too few cores"), ({"memory_mib": 9000}, "too little memory")],
)
def test_what_fits_nowhere_never_holds_up_the_next(flavor, why):
    cloud = cloud_of(1024, 1024)
    (big,) = cloud.launch(**flavor)
    (small,) = cloud.launch()
    cloud.settle()
    assert cloud.get(small).detail == "runn"
    assert why in cloud.get(big).reason_text
    assert cloud.get(big).reason_text.startswith("2 hosts: 2 ")


def test_only_hosts_that_are_on_take_instances():
    cloud = cloud_of(2048, 2048, 2048)
    cloud.set_host(0, HostState.DISABLED)
    cloud.set_host(1, HostState.MAINTENANCE)
    assert cloud.started().host_id == cloud.host_ids[2]
    silence(cloud, 2)
    (waiting,) = cloud.launch()
    cloud.settle()
    assert cloud.get(waiting).reason_text == "3 hosts: 1 not on (dsbl), 1 not on (err), 1 not on (maint)"
    cloud.set_host(0, HostState.INIT)
    cloud.poll()
    cloud.settle()
    assert cloud.get(waiting).host_id == cloud.host_ids[0]


def test_what_is_off_or_saved_keeps_its_room():
    cloud = cloud_of(1024)
    first, second = cloud.started(), cloud.started()
    cloud.do(Op.POWEROFF, first)
    cloud.do(Op.SUSPEND, second)
    (waiting,) = cloud.launch()
    cloud.settle()
    assert cloud.get(waiting).detail == "pend"
    assert cloud.do(Op.START, first).detail == "runn"


def test_a_wait_may_be_limited():
    cloud = cloud_of(100, settings=EngineSettings(pending_timeout=60))
    (instance,) = cloud.launch()
    cloud.settle()
    cloud.clock.advance(61)
    cloud.sweep()
    ended = cloud.get(instance)
    assert (ended.detail, ended.reason) == ("done", Reason.NO_CAPACITY)


# Launches that fail -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["clone", "context", "start"])
def test_a_launch_that_fails_is_tried_on_another_host(method):
    cloud = cloud_of(1024, 2048)
    cloud.host(1).broken = {method}
    instance = cloud.started()
    assert instance.host_id == cloud.host_ids[0]
    assert "epil.resubmit" in cloud.details(instance)
    assert instance.excluded == ()
    assert cloud.host(1).is_empty()
    assert cloud.wrong_files() == set()


@pytest.mark.parametrize("method", ["clone", "start"])
def test_an_ec2_launch_that_fails_everywhere_ends_with_its_reason(method):
    cloud = cloud_of(1024, 2048)
    for index in range(2):
        cloud.host(index).broken = {method}
    (instance,) = cloud.launch()
    cloud.settle()
    ended = cloud.get(instance)
    assert (ended.detail, ended.reason, ended.by_user) == ("done", Reason.LAUNCH_FAILED, False)
    assert ended.reason_text == f"{method} failed"
    assert cloud.details(instance).count("prol.new") == 2
    assert all(cloud.host(index).is_empty() for index in range(2))
    assert cloud.wrong_files() == set()


@pytest.mark.parametrize("api", [Api.OCCI, Api.CLI])
def test_others_stay_failed_and_an_operator_retries(api):
    cloud = cloud_of(1024)
    cloud.host().broken = {"start"}
    (instance,) = cloud.launch(cloud.login("x", cloud.tenant, api))
    cloud.settle()
    failed = cloud.get(instance)
    assert (failed.detail, failed.reason) == ("fail.boot", Reason.LAUNCH_FAILED)
    with cloud.store.read() as tx:
        assert len(tx.reservations.of(instance.id)) == 1
    cloud.host().broken = set()
    assert cloud.do(Op.RECOVER_RETRY, instance, caller=ADMIN).detail == "runn"


def test_a_resubmitted_failure_may_go_to_every_host_again():
    cloud = cloud_of(1024, 2048)
    for index in range(2):
        cloud.host(index).broken = {"start"}
    (instance,) = cloud.launch(cloud.login("x", cloud.tenant, Api.OCCI))
    cloud.settle()
    assert cloud.get(instance).excluded
    cloud.host(1).broken = set()
    again = cloud.do(Op.RESUBMIT, instance)
    assert (again.detail, again.host_id) == ("runn", cloud.host_ids[1])


# Silence ------------------------------------------------------------------------------------------------


def test_on_a_silent_host_nothing_is_known_and_nothing_freed():
    cloud = cloud_of(2048)
    running, off, paused = (cloud.started() for _ in range(3))
    cloud.do(Op.POWEROFF, off)
    cloud.do(Op.PAUSE, paused)
    silence(cloud)
    assert [cloud.get(item).detail for item in (running, off, paused)] == ["unkn", "poff", "unkn"]
    assert cloud.get(running).reason is Reason.HOST_SILENT
    with cloud.store.read() as tx:
        assert len(tx.reservations.all()) == 3
    with pytest.raises(BackendError) as refusal:
        cloud.operate(Op.POWEROFF, running)
    assert refusal.value.code is Code.INSTANCE_UNREACHABLE
    cloud.host().silent = False
    cloud.quiesce()
    assert [cloud.get(item).detail for item in (running, off, paused)] == ["runn", "poff", "susp.ram"]


def test_one_silence_is_not_an_error():
    cloud = cloud_of(2048)
    instance = cloud.started()
    cloud.host().silent = True
    cloud.poll()
    cloud.host().silent = False
    cloud.poll()
    assert cloud.details(instance)[-1] == "runn"
    assert cloud.engine.hosts()[0].failures == 0


def test_a_host_that_rebooted_in_silence_has_its_guests_off():
    cloud = cloud_of(2048)
    instance = cloud.started()
    silence(cloud)
    cloud.host().power_cycle()
    cloud.host().silent = False
    cloud.quiesce()
    assert cloud.get(instance).detail == "poff"


def test_a_guest_that_crashed_in_silence_is_known_and_unwell():
    cloud = cloud_of(2048)
    instance = cloud.started()
    silence(cloud)
    facts = cloud.host().domains[instance.id]
    crashed = msgspec.structs.replace(facts, status=DomainStatus.CRASHED, reason=DomainReason.CRASHED)
    cloud.host().domains[instance.id] = crashed
    cloud.host().silent = False
    cloud.quiesce()
    assert (cloud.get(instance).detail, cloud.get(instance).health) == ("runn", "impaired")


def test_a_stale_copy_is_never_taken_for_the_instance():
    """The host was declared dead, the instance went back to it, and an old domain of it runs there."""
    cloud = cloud_of(2048)
    instance = cloud.started()
    old = cloud.host().domains[instance.id]
    cloud.do(Op.RESUBMIT, instance)
    off = cloud.do(Op.POWEROFF, instance)
    assert off.epoch == old.epoch + 1
    cloud.host().domains[instance.id] = old
    cloud.clock.advance(1)
    cloud.poll()
    assert cloud.get(instance).detail == "poff"
    cloud.do(Op.TERMINATE, instance)
    assert cloud.host().domains == {}


def test_terminate_waits_for_the_host_and_goes_on():
    cloud = cloud_of(2048)
    instance = cloud.started()
    silence(cloud)
    cloud.operate(Op.TERMINATE, instance)
    cloud.settle()
    assert cloud.get(instance).detail == "shut.cancel"
    cloud.clock.advance(3600)
    cloud.poll()
    cloud.sweep()
    cloud.settle()
    lost = cloud.get(instance)
    assert (lost.detail, lost.desired) == ("unkn", Desired.GONE)
    cloud.host().silent = False
    cloud.quiesce()
    assert cloud.get(instance).detail == "done"
    assert cloud.host().domains == {}


LOST = {
    Op.POWEROFF: ("shut.poff", "unkn"),
    Op.SHUTDOWN: ("shut.done", "unkn"),
    Op.SUSPEND: ("save.susp", "unkn"),
    Op.REBOOT: ("runn", "unkn"),
    Op.PAUSE: ("runn", "unkn"),
    Op.RESUBMIT: ("epil.resubmit", "epil.resubmit"),
    Op.DELETE: ("epil.delete", "epil.delete"),
    Op.CANCEL: ("shut.cancel", "unkn"),
}


@pytest.mark.parametrize("op", LOST)
def test_a_host_that_falls_silent_during_work_makes_it_lost_at_the_deadline(op):
    """Also when the host was heard of once more in between."""
    cloud = cloud_of(2048)
    instance = cloud.started()
    cloud.operate(op, instance)
    cloud.host().plan = [(0, Fault.SILENT_BEFORE)]
    cloud.settle()
    (*_, job) = cloud.engine.jobs(cloud.caller, instance_id=instance.id)
    assert job.state is JobState.WAITING
    cloud.host().plan = [(0, Fault.SILENT_BEFORE)]
    cloud.sweep()
    cloud.settle()
    during, after = LOST[op]
    assert cloud.get(instance).detail == during
    silence(cloud)
    cloud.clock.advance(4000)
    cloud.sweep()
    cloud.settle()
    assert cloud.get(instance).detail == after
    cloud.host().silent = False
    cloud.quiesce()
    assert cloud.get(instance).detail in {"runn", "done", "poff", "susp.disk", "susp.ram"}


def test_a_silent_host_during_the_prolog_sends_the_launch_elsewhere():
    cloud = cloud_of(1024, 2048)
    (instance,) = cloud.launch()
    cloud.worker.scheduler.run()
    cloud.step()
    assert cloud.get(instance).host_id == cloud.host_ids[1]
    silence(cloud, 1)
    cloud.settle()
    cloud.sweep()
    cloud.settle()
    assert cloud.get(instance).host_id == cloud.host_ids[0]
    (root,) = cloud.disks(instance)
    with cloud.store.read() as tx:
        left = {(item.instance_id, item.host_id) for item in tx.debris.all()}
        assert left == {(instance.id, cloud.host_ids[1]), (root.id, cloud.host_ids[1])}
        assert [item.closed_by for item in tx.placements.of(instance.id)] == ["never_booted", ""]
    cloud.host(1).silent = False
    cloud.quiesce()
    assert cloud.host(1).is_empty()
    assert cloud.wrong_files() == set()


def test_the_only_host_is_used_again_when_it_is_back():
    cloud = cloud_of(1024)
    (instance,) = cloud.launch()
    cloud.step()
    silence(cloud)
    cloud.settle()
    cloud.sweep()
    cloud.settle()
    assert cloud.get(instance).detail == "pend"
    cloud.host().silent = False
    cloud.quiesce()
    assert cloud.get(instance).detail == "runn"


def test_a_boot_that_is_lost_is_never_started_elsewhere():
    cloud = cloud_of(1024, 2048)
    (instance,) = cloud.launch()
    while cloud.get(instance).detail != "boot.new":
        cloud.step()
    cloud.host(1).plan = [(0, Fault.SILENT_AFTER)]
    while not cloud.host(1).starts:
        cloud.step()
    silence(cloud, 1)
    cloud.clock.advance(200)
    cloud.sweep()
    cloud.settle()
    assert cloud.get(instance).detail == "unkn"
    cloud.host(1).silent = False
    cloud.quiesce()
    assert cloud.get(instance).detail == "runn"
    assert cloud.host(0).starts == []
    assert cloud.host(1).starts == [(instance.id, 1)]


def test_a_host_in_use_is_not_forgotten():
    cloud = cloud_of(1024)
    instance = cloud.started()
    forget = DeleteHost(host_id=cloud.host_ids[0])
    with pytest.raises(BackendError) as refusal:
        cloud.engine.execute(ADMIN, forget)
    assert refusal.value.code is Code.HOST_IN_USE
    cloud.do(Op.TERMINATE, instance)
    cloud.engine.execute(ADMIN, forget)
    assert cloud.engine.hosts() == []


def test_an_offline_host_leaves_files_to_the_reaper():
    cloud = cloud_of(1024)
    instance = cloud.do(Op.POWEROFF, cloud.started())
    cloud.host().domains.clear()
    cloud.set_host(0, HostState.OFFLINE)
    assert cloud.do(Op.TERMINATE, instance).detail == "done"
    assert cloud.host().files_of(instance.id)
    assert len(cloud.host().volumes) == 1
    cloud.set_host(0, HostState.INIT)
    cloud.quiesce()
    assert cloud.host().is_empty()


def test_one_stray_that_resists_does_not_make_its_host_look_ill():
    cloud = cloud_of(1024)
    instance = cloud.started()
    cloud.set_host(0, HostState.OFFLINE)
    cloud.do(Op.TERMINATE, instance)
    cloud.host().broken = {"destroy"}
    cloud.set_host(0, HostState.INIT)
    for _ in range(4):
        cloud.poll()
    assert cloud.engine.hosts()[0].state is HostState.ON
    cloud.host().broken = set()
    cloud.quiesce()
    assert cloud.host().domains == {}


# Tenants ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared():
    """Bob's things, which Ann may not know of; nothing here changes them."""
    cloud = Cloud()
    instance = cloud.started(cloud.other)
    image = cloud.register("private", cloud.other, public=False)
    pair = cloud.engine.execute(
        cloud.other, ImportKeyPair(name="k", key_type="rsa", fingerprint="f", public_key="ssh-rsa AAAA")
    )
    mixin = commands.CreateMixin(scheme="http://x/#", term="m", title="", location="/m/")
    cloud.engine.execute(cloud.other, mixin)
    cloud.engine.execute(cloud.caller, mixin)
    volume = cloud.engine.execute(cloud.other, commands.CreateVolume(size_gib=1))
    cloud.settle()
    snapshot = cloud.engine.execute(cloud.other, commands.CreateSnapshot(volume_id=volume.id))
    cloud.settle()
    group = cloud.engine.execute(cloud.other, CreatePlacementGroup(name="g"))
    template = cloud.engine.execute(cloud.other, CreateLaunchTemplate(name="bobs", data={}))
    of_template = CreateLaunchTemplateVersion(template_id=template.id, data={})
    cloud.engine.execute(cloud.other, of_template)
    role = identity_commands.CreateRole(tenant_id=cloud.other_tenant.id, name="bobs")
    cloud.engine.execute(ADMIN, role)
    ids = {"i": instance.id, "ami": image.id, "key": pair.id, "vol": volume.id, "snap": snapshot.id}
    return cloud, ids | {"pg": group.id, "lt": template.id, "name": "bobs"}


CONTENT = Content(checksum="a" * 64, path="/a", format="raw", size_bytes=1, virtual_bytes=1)


def disk_of(snapshot_id):
    return BlockDevice(device="/dev/sdf", snapshot_id=snapshot_id)


KINDS = ("i", "ami", "key", "vol", "snap", "pg", "lt")
UNKNOWN = {kind: f"{kind}-00000000000000000" for kind in KINDS} | {"name": "nobodys"}
BY_ID = {
    **{f"Operate {op.value}": lambda ids, op=op: commands.Operate(op=op, ids=(ids["i"],)) for op in Op},
    "ModifyInstance": lambda ids: ModifyInstance(instance_id=ids["i"], summary="x"),
    "ModifyInstance stale": lambda ids: ModifyInstance(instance_id=ids["i"], expected_version=99),
    "Launch": lambda ids: commands.Launch(image_id=ids["ami"]),
    "ModifyImage": lambda ids: ModifyImage(image_id=ids["ami"], description="x"),
    "DeregisterImage": lambda ids: DeregisterImage(image_id=ids["ami"]),
    "CreateImage": lambda ids: commands.CreateImage(instance_id=ids["i"], name="mine"),
    "CopyImage": lambda ids: commands.CopyImage(source_id=ids["ami"], name="mine"),
    "ExportImage": lambda ids: commands.ExportImage(image_id=ids["ami"], form="raw", path="/none"),
    "RegisterImage snapshot": lambda ids: commands.RegisterImage(name="mine", snapshot_id=ids["snap"]),
    "RegisterImage mapping": lambda ids: commands.RegisterImage(
        name="mine", content=CONTENT, mappings=(disk_of(ids["snap"]),)
    ),
    "Launch volume": lambda ids: commands.Launch(volumes=((ids["vol"], ""),)),
    "Launch mapping": lambda ids: commands.Launch(mappings=(disk_of(ids["snap"]),)),
    "CreateVolume snapshot": lambda ids: commands.CreateVolume(snapshot_id=ids["snap"]),
    "CreateVolume image": lambda ids: commands.CreateVolume(image_id=ids["ami"], size_gib=9),
    "DeleteVolume": lambda ids: commands.DeleteVolume(volume_id=ids["vol"]),
    "ModifyVolume": lambda ids: commands.ModifyVolume(volume_id=ids["vol"], size_gib=0),
    "SetVolume": lambda ids: commands.SetVolume(volume_id=ids["vol"], online=False),
    "AttachVolume": lambda ids: commands.AttachVolume(volume_id=ids["vol"], instance_id=ids["i"]),
    "DetachVolume": lambda ids: commands.DetachVolume(volume_id=ids["vol"]),
    "DetachVolume from": lambda ids: commands.DetachVolume(volume_id=ids["vol"], instance_id=ids["i"]),
    "RevertVolume": lambda ids: commands.RevertVolume(volume_id=ids["vol"], snapshot_id=ids["snap"]),
    "CreateSnapshot": lambda ids: commands.CreateSnapshot(volume_id=ids["vol"]),
    "CreateSnapshots": lambda ids: commands.CreateSnapshots(instance_id=ids["i"]),
    "CopySnapshot": lambda ids: commands.CopySnapshot(source_id=ids["snap"]),
    "ModifySnapshot": lambda ids: commands.ModifySnapshot(snapshot_id=ids["snap"], public=True),
    "DeleteSnapshot": lambda ids: commands.DeleteSnapshot(snapshot_id=ids["snap"]),
    "DeleteKeyPair": lambda ids: commands.DeleteKeyPair(key_pair_id=ids["key"]),
    "DeletePlacementGroup": lambda ids: DeletePlacementGroup(name=ids["pg"]),
    "PlaceInstance": lambda ids: PlaceInstance(instance_id=ids["i"]),
    "Launch group": lambda ids: commands.Launch(group=ids["pg"]),
    **{
        f"{kind.__name__} by {name}": lambda ids, kind=kind, name=name, key=key, more=more: kind(
            **{name: ids[key]}, **more
        )
        for kind, more in {
            CreateLaunchTemplateVersion: {"data": {}, "source": "1"},
            SetDefaultVersion: {"version": "2"},
            DeleteLaunchTemplateVersions: {"versions": (2, 9)},
            DeleteLaunchTemplate: {},
        }.items()
        for name, key in (("template_id", "lt"), ("name", "name"))
    },
    "AskPicture": lambda ids: commands.AskPicture(instance_id=ids["i"]),
    "AssumeRole": lambda ids: identity_commands.AssumeRole(
        account_id="444455556666",
        role=ids["name"],
        name="me",
        seconds=900,
        key_id="ASIA",
        secret=b"s",
        token_digest="d",
    ),
    "Associate": lambda ids: commands.Associate(scheme="http://x/#", term="m", add=(ids["i"],)),
    "Associate remove": lambda ids: commands.Associate(scheme="http://x/#", term="m", remove=(ids["i"],)),
    **{
        f"SetNotes {name}": lambda ids, name=name: commands.SetNotes(
            resource_id=ids[name], notes=(("a", "b"),)
        )
        for name in ("i", "vol", "pg", "lt")
    },
    **{
        f"Hold {name}": lambda ids, name=name: request_commands.Hold(resource_id=ids[name])
        for name in ("i", "vol", "pg", "lt")
    },
    "ChoosePath": lambda ids: request_commands.ChoosePath(path="/compute/web", resource_id=ids["i"]),
    **{
        f"{kind.__name__} {name}": lambda ids, kind=kind, name=name: kind(
            ids=(ids[name],), tags=(("a", "b"),)
        )
        for kind in (commands.CreateTags, commands.DeleteTags)
        for name in KINDS
    },
}
WITHOUT_IDS = {
    "BeginSession",  # the caller's own
    "EncryptByDefault",  # in the caller's tenant: below
    "ImportKeyPair",
    "CreateLaunchTemplate",
    "CreatePlacementGroup",
    "CreateMixin",
    "ImportImage",
    "ImportSnapshot",
    "DeleteMixin",
    "ClaimKey",  # the tenant's own
    "FillKey",
}


@pytest.mark.parametrize("name", BY_ID)
def test_a_foreign_id_is_answered_like_an_unknown_one(shared, name):
    cloud, known = shared
    before = everything(cloud)

    def answer(ids):
        try:
            return cloud.engine.execute(cloud.caller, BY_ID[name](ids))
        except BackendError as refusal:
            context = {key: value for key, value in refusal.context.items() if key != "ids"}
            if context.get("name") == ids["name"]:
                context["name"] = "name"
            text = refusal.message
            for prefix in ids:
                text = text.replace(ids[prefix], prefix)
            return (refusal.code, text, context)

    assert answer(known) == answer(UNKNOWN)
    assert everything(cloud) == before


def everything(cloud):
    """What stands, and what is only written down."""
    with cloud.store.read() as tx:
        templates = tx.launch_templates.all()
        versions = [tx.launch_template_versions.of_template(each.id) for each in templates]
        rows = (tx.placement_groups, tx.roles, tx.sessions, tx.tenants, tx.tags)
        written = [table.all() for table in rows]
    return [cloud._standing(), templates, versions, written]


def test_encryption_by_default_is_of_ones_own_tenant_only(shared):
    cloud, _ = shared

    def regions():
        with cloud.store.read() as tx:
            return [tx.tenants.get(each.id).encrypted_regions for each in (cloud.tenant, cloud.other_tenant)]

    before = regions()
    cloud.engine.execute(cloud.caller, commands.EncryptByDefault(enabled=True))
    assert regions() == [(cloud.caller.region,), ()]
    cloud.engine.execute(cloud.caller, commands.EncryptByDefault(enabled=False))
    assert regions() == before


def test_every_command_of_a_member_is_covered_above():
    from backend.engine.access import POLICY
    from backend.model import Role

    members = {kind.__name__ for kind, role in POLICY.items() if role is Role.MEMBER}
    members -= {kind.__name__ for kind in network_commands.ALL}  # in test_engine_networks_tenants
    assert {name.split()[0] for name in BY_ID} | WITHOUT_IDS == members


def test_what_administrators_do_is_denied_to_members_before_anything_is_looked_up(shared):
    cloud, known = shared
    before = cloud._standing()
    for command in (
        DeleteHost(host_id=cloud.host_ids[0]),
        commands.SetHostState(host_id="h-none", state="dsbl"),
        commands.PurgeTenant(tenant_id=cloud.other_tenant.id),
        commands.SetQuota(tenant_id=cloud.tenant.id, quotas={"instances": -2}),
        commands.CreateUser(tenant_id=cloud.other_tenant.id, name="mallory", password_hash="x"),
        commands.SetPassword(name="bob", password_hash="x"),
        commands.CreateToken(digest="d", user_name="bob"),
        commands.DeleteToken(token_id="d" * 12),
        commands.DeleteUser(name="bob"),
        commands.PublishImage(image_id=known["ami"], publication=Publication.REVOKED),
        commands.TestImage(image_id=known["ami"]),
        commands.Check(),
        commands.DeleteAccessKey(key_id="k"),
        commands.CreateAccessKey(key_id="k", user_name="bob", secret=b""),
    ):
        with pytest.raises(BackendError) as refusal:
            cloud.engine.execute(cloud.caller, command)
        assert refusal.value.code is Code.DENIED
    assert cloud._standing() == before
    assert known


def test_listings_show_a_tenants_own(shared):
    cloud, known = shared
    engine, ann = cloud.engine, cloud.caller
    assert engine.instances(ann) == []
    assert known["ami"] not in {image.id for image in engine.images(ann)}
    assert engine.key_pairs(ann) == engine.volumes(ann) == engine.snapshots(ann) == []
    assert engine.tasks(ann) == []
    assert engine.jobs(ann) == engine.events(ann) == []
    for read in (engine.instance, engine.user_data, engine.console, engine.stays):
        with pytest.raises(BackendError) as refusal:
            read(ann, known["i"])
        assert refusal.value.code is Code.INSTANCE_NOT_FOUND
    for read in (engine.jobs, engine.events):
        with pytest.raises(BackendError) as refusal:
            read(ann, instance_id=known["i"])
        assert refusal.value.code is Code.INSTANCE_NOT_FOUND
    with pytest.raises(BackendError) as refusal:
        engine.image(ann, known["ami"])
    assert refusal.value.code is Code.IMAGE_NOT_FOUND


def test_an_ended_instance_leaves_its_mixins_and_in_time_the_listing():
    cloud = Cloud()
    mixin = commands.CreateMixin(scheme="http://x/#", term="m", title="", location="/m/")
    cloud.engine.execute(cloud.caller, mixin)
    (instance,) = cloud.launch(held=True)
    cloud.engine.execute(cloud.caller, commands.Associate(scheme="http://x/#", term="m", add=(instance.id,)))
    cloud.operate(Op.TERMINATE, instance)
    assert cloud.engine.mixin_members(cloud.caller, "http://x/#", "m") == []
    assert cloud.engine.instance(cloud.caller, instance.id).detail == "done"
    cloud.clock.advance(3601)
    assert cloud.engine.instances(cloud.caller) == []
    with pytest.raises(BackendError) as refusal:
        cloud.operate(Op.TERMINATE, instance)
    assert refusal.value.code is Code.INSTANCE_NOT_FOUND


# What a second pair of eyes found ---------------------------------------------------------------------------


def test_an_end_asked_of_an_unknown_instance_comes_when_its_host_is_declared_dead():
    cloud = cloud_of(2048)
    instance = cloud.started()
    silence(cloud)
    cloud.operate(Op.TERMINATE, instance)
    cloud.settle()
    cloud.clock.advance(3600)
    cloud.sweep()
    cloud.settle()
    assert cloud.get(instance).detail == "unkn"
    cloud.set_host(0, HostState.OFFLINE)
    cloud.clock.advance(60)
    cloud.sweep()
    cloud.settle()
    assert cloud.get(instance).detail == "done"
    with cloud.store.read() as tx:
        assert tx.reservations.of(instance.id) == []
        assert tx.placements.of(instance.id)[-1].closed_by == "administrator"


def test_a_question_still_open_when_its_host_is_declared_dead_changes_nothing():
    """The monitor's call fails after the administrator's word: jobs there must not wait for an answer."""
    cloud = cloud_of(2048)
    instance = cloud.started()
    silence(cloud)
    cloud.host().plan = [(0, lambda: cloud.set_host(0, HostState.OFFLINE))]
    cloud.poll()
    cloud.host().plan = []
    cloud.operate(Op.TERMINATE, instance)
    cloud.settle()
    cloud.sweep()
    cloud.settle()
    assert cloud.get(instance).detail == "done"


def test_events_do_not_put_off_the_poll():
    cloud = cloud_of(2048)
    instance = cloud.started()
    monitor = cloud.monitors[cloud.host_ids[0]]
    monitor._round()
    cloud.host().change(instance.id, DomainStatus.OFF, DomainReason.GUEST_SHUTDOWN)
    monitor._hints.clear()  # its event was lost
    for _ in range(40):
        cloud.clock.advance(1)
        monitor.hint("i-00000000000000000")  # another guest is busy
        monitor._round()
    assert cloud.get(instance).detail == "poff"


def test_hints_that_met_silence_are_followed_up():
    cloud = cloud_of(2048)
    instance = cloud.started()
    monitor = cloud.monitors[cloud.host_ids[0]]
    monitor._round()
    cloud.host().change(instance.id, DomainStatus.OFF, DomainReason.GUEST_SHUTDOWN)
    cloud.host().silent = True
    monitor._round()
    cloud.host().silent = False
    cloud.clock.advance(1)
    monitor._round()
    assert cloud.get(instance).detail == "poff"


@pytest.mark.parametrize("state", [HostState.ERR, HostState.OFFLINE, HostState.MAINTENANCE])
def test_nothing_is_started_on_a_host_that_is_not_there(state):
    cloud = cloud_of(2048)
    instance = cloud.started()
    cloud.do(Op.POWEROFF, instance)
    if state is HostState.ERR:
        silence(cloud)
    else:
        cloud.set_host(0, state)
    with pytest.raises(BackendError) as refused:
        cloud.operate(Op.START, instance)
    assert refused.value.code is Code.HOST_UNAVAILABLE
    assert cloud.get(instance).detail == "poff"


def test_a_disabled_host_still_starts_what_it_has():
    cloud = cloud_of(2048)
    instance = cloud.started()
    cloud.do(Op.POWEROFF, instance)
    cloud.set_host(0, HostState.DISABLED)
    assert cloud.do(Op.START, instance).detail == "runn"


def test_an_instance_that_ends_between_a_look_and_a_claim_holds_nobody_up(monkeypatch):
    cloud = cloud_of(2048)
    first, *others = cloud.launch(minimum=3, maximum=3)
    claim, ended = cloud.worker.scheduler._claim, []

    def meanwhile(instance, host):
        if not ended:
            ended.append(cloud.operate(Op.TERMINATE, first))
        return claim(instance, host)

    monkeypatch.setattr(cloud.worker.scheduler, "_claim", meanwhile)
    cloud.worker.scheduler.run()
    assert cloud.get(first).detail == "done"
    assert {cloud.get(item).detail for item in others} == {"prol.new"}


def test_a_clock_that_is_set_back_blinds_nobody():
    cloud = cloud_of(2048)
    instance = cloud.started()
    cloud.clock.now -= 3600
    cloud.host().change(instance.id, DomainStatus.OFF, DomainReason.GUEST_SHUTDOWN)
    cloud.poll()
    assert cloud.get(instance).detail == "poff"


def test_epochs_increase_even_when_a_host_was_deleted_in_between():
    cloud = cloud_of(2048)
    instance = cloud.started()
    cloud.set_host(0, HostState.DISABLED)
    cloud.do(Op.RESUBMIT, instance)
    cloud.engine.execute(ADMIN, DeleteHost(host_id=cloud.host_ids[0]))
    cloud.monitors.pop(cloud.host_ids[0])
    before = cloud.get(instance).epoch
    cloud.add_host()
    cloud.poll(cloud.host_ids[1])
    cloud.settle()
    again = cloud.get(instance)
    assert (again.detail, again.epoch) == ("runn", before + 1)


def test_a_broken_image_file_does_not_stop_the_clean_up():
    cloud = cloud_of(2048)
    bad, good = (cloud.register(name) for name in ("bad", "good"))
    file = cloud.contents.folder / f"{bad.checksum}.qcow2"
    file.unlink()
    file.mkdir()
    for image in (bad, good):
        cloud.engine.execute(cloud.caller, DeregisterImage(image_id=image.id))
    cloud.sweep()
    assert f"{good.checksum}.qcow2" not in cloud.contents.files()
    assert file.name in cloud.contents.files()


def test_a_host_that_cannot_be_asked_keeps_an_image_from_being_forgotten():
    """Its cache may have a copy: the file goes, the record stays until that copy is gone."""
    cloud = cloud_of(2048, 2048)
    image = cloud.register("old")
    instances = [cloud.started(image_id=image.id) for _ in range(2)]
    for instance in instances:
        cloud.do(Op.TERMINATE, instance)
    assert all(image.checksum in cloud.host(index).images for index in range(2))
    cloud.engine.execute(cloud.caller, DeregisterImage(image_id=image.id))
    silence(cloud)
    cloud.sweep()
    with cloud.store.read() as tx:
        assert tx.contents.get(image.checksum) is not None
    cloud.host().silent = False
    cloud.poll()
    cloud.sweep()
    with cloud.store.read() as tx:
        assert tx.contents.get(image.checksum) is None
    assert cloud.wrong_files() == set()


def test_what_a_difference_is_being_made_to_is_kept_for_it():
    cloud = cloud_of(2048)
    image = cloud.register("old")
    cloud.engine.execute(cloud.caller, DeregisterImage(image_id=image.id))
    with cloud.store.begin() as tx:
        begun = begin_task(
            cloud.engine.work(tx, ADMIN),
            TaskKind.SNAPSHOT_CREATE,
            "snap-1",
            tenant_id=cloud.tenant.id,
            arguments={"parent": image.checksum},
        )
    cloud.worker.reap()
    assert f"{image.checksum}.qcow2" in cloud.contents.files()
    with cloud.store.begin() as tx:
        tx.tasks.update(begun, finished_at=cloud.clock())
    cloud.worker.reap()
    assert f"{image.checksum}.qcow2" not in cloud.contents.files()


def test_hosts_are_asked_less_and_less_for_a_copy_that_is_still_needed():
    cloud = cloud_of(2048)
    image = cloud.register("old")
    instance = cloud.started(image_id=image.id)
    (root,) = cloud.disks(instance)
    host, asked, written = cloud.host(), [], []
    forget, begin = host.forget_image, cloud.store.begin
    host.forget_image = lambda checksum: asked.append(checksum) or forget(checksum)
    cloud.engine.execute(cloud.caller, DeregisterImage(image_id=image.id))
    with cloud.store.begin() as tx:  # it will not begin anew from the image
        tx.volumes.update(tx.volumes.get(root.id), boot=False)
    cloud.worker.reap()
    assert f"{image.checksum}.qcow2" not in cloud.contents.files()
    cloud.store.begin = lambda: written.append(1) or begin()
    for _ in range(200):
        cloud.clock.advance(5)
        cloud.worker.reap()
    assert len(asked) == 6  # at once, after 30 s, 60 s, 120 s, …
    assert len(written) == 200  # one each, for rows past their time
    host.volumes.clear()
    cloud.clock.advance(3600)
    cloud.worker.reap()
    with cloud.store.read() as tx:
        assert tx.contents.get(image.checksum) is None


# What is left behind ------------------------------------------------------------------------------------


def left(cloud):
    with cloud.store.read() as tx:
        return {(item.instance_id, item.host_id) for item in tx.debris.all()}


def leave(cloud, name, index=0, **fields):
    """A host has something of this name that is to be removed."""
    item = Debris(instance_id=name, host_id=cloud.host_ids[index], at=cloud.clock(), **fields)
    with cloud.store.begin() as tx:
        tx.debris.put(item)
    cloud.host(index).mkimage(VolumeSpec(name=name, size_bytes=1 << 30))
    return item


def test_what_was_removed_since_the_reaper_looked_is_let_be():
    """A volume may be arriving at the very place: its row still names the host that it comes from."""
    cloud = cloud_of(2048, 2048)
    (root,) = cloud.disks(cloud.started())
    there = 1 - cloud.host_ids.index(root.host_id)
    listed = leave(cloud, root.id, there)
    with cloud.store.begin() as tx:
        tx.debris.delete(listed.instance_id, listed.host_id)
    cloud.worker._remove_debris(listed)
    assert root.id in cloud.host(there).volumes


def test_a_volume_that_is_where_it_belongs_is_no_debris():
    cloud = cloud_of(2048)
    (root,) = cloud.disks(cloud.started())
    with cloud.store.begin() as tx:
        tx.debris.put(Debris(instance_id=root.id, host_id=cloud.host_ids[0], at=1.0))
    cloud.worker.reap()
    assert root.id in cloud.host().volumes
    assert left(cloud) == set()


def test_one_worker_at_a_time_removes_what_is_left():
    cloud = cloud_of(2048)
    second_worker(cloud)
    item = leave(cloud, "vol-left")
    with cloud.store.begin() as tx:
        tx.debris.update(tx.debris.get(item.instance_id, item.host_id), busy="worker-2")
    cloud.worker.reap()
    assert "vol-left" in cloud.host().volumes
    with cloud.store.begin() as tx:
        tx.workers.delete("worker-2")
    cloud.worker.reap()
    assert (cloud.host().volumes, left(cloud)) == ({}, set())


def test_the_row_stays_until_the_host_has_answered():
    cloud = cloud_of(2048)
    leave(cloud, "vol-left")
    host, seen = cloud.host(), []
    delete = host.delete
    host.delete = lambda name: seen.append(left(cloud)) or delete(name)
    host.broken = {"delete"}
    cloud.worker.reap()
    assert seen == [{("vol-left", cloud.host_ids[0])}] == [left(cloud)]
    host.broken = set()
    cloud.worker.reap()
    assert (host.volumes, left(cloud)) == ({}, set())


def test_what_is_noted_again_during_its_removal_is_looked_at_again():
    cloud = cloud_of(2048)
    leave(cloud, "vol-left")
    host, delete = cloud.host(), cloud.host().delete

    def meanwhile(name):
        delete(name)
        host.delete = delete
        leave(cloud, name)

    host.delete = meanwhile
    cloud.worker.reap()
    assert left(cloud)
    cloud.worker.reap()
    assert (host.volumes, left(cloud)) == ({}, set())


def test_an_instances_files_wait_for_the_job_that_is_there():
    cloud = cloud_of(2048)
    instance = cloud.started()
    with cloud.store.begin() as tx:
        tx.debris.put(Debris(instance_id=instance.id, host_id=cloud.host_ids[0], at=1.0))
    files = cloud.host().files_of(instance.id)
    cloud.worker.reap()
    assert cloud.host().files_of(instance.id) == files != set()
    cloud.do(Op.TERMINATE, instance)
    cloud.worker.reap()
    assert (cloud.host().is_empty(), left(cloud)) == (True, set())


def test_a_root_that_begins_anew_does_not_meet_its_old_self():
    cloud = cloud_of(2048)
    instance = cloud.started()
    (root,) = cloud.disks(instance)
    host = cloud.host()
    host.write(root.id, b"what the guest wrote")
    host.broken = {"delete"}
    cloud.operate(Op.RESUBMIT, instance)
    cloud.settle()
    waiting = cloud.get(instance)
    assert (waiting.detail, left(cloud)) == ("pend", {(root.id, cloud.host_ids[0])})
    assert waiting.reason_text == "1 hosts: 1 with files of it to be removed first"
    with cloud.store.begin() as tx:
        assert not _deploy(cloud.engine.work(tx, ADMIN), instance.id, cloud.host_ids[0])
    host.broken = set()
    cloud.quiesce()
    assert cloud.get(instance).detail == "runn"
    assert host.volumes[root.id].content != b"what the guest wrote"


@pytest.mark.parametrize("shared", [False, True])
def test_where_the_way_is_barred(shared):
    """A volume's old files bar its host, a copy for moving all but the volume's own."""
    cloud = Cloud(hosts=3)
    volume = cloud.engine.execute(cloud.caller, commands.CreateVolume(size_gib=1))
    cloud.settle()
    (instance,) = cloud.launch(held=True, volumes=((volume.id, "/dev/sdf"),))
    volume = cloud.volume(volume)
    home = cloud.host_ids.index(volume.host_id)
    one, two = (index for index in range(3) if index != home)
    if shared:
        with cloud.store.begin() as tx:
            for index in (one, two):
                tx.hosts.update(tx.hosts.get(cloud.host_ids[index]), capabilities={"store": "nfs"})

    def barred(name, index):
        leave(cloud, name, index)
        with cloud.store.begin() as tx:
            found = {host_id for _, host_id in litter(tx, tx.hosts.all())}
            tx.debris.delete(name, cloud.host_ids[index])
        return {cloud.host_ids.index(host_id) for host_id in found}

    assert barred(volume.id, home) == set()
    assert barred(volume.id, one) == ({one, two} if shared else {one})
    assert barred(f"{volume.id}.mv", home) == {one, two}
    assert barred(instance.id, one) == ({one, two} if shared else {one})
    assert barred("vol-forgotten", one) == set()


def test_a_volume_does_not_arrive_where_old_files_of_it_are_to_go():
    """Not even when it is another host of the same store that is to remove them."""
    cloud = Cloud(hosts=3)
    volume = cloud.engine.execute(cloud.caller, commands.CreateVolume(size_gib=1))
    cloud.settle()
    instance = cloud.started()
    here, home = (cloud.host_ids.index(each.host_id) for each in (cloud.get(instance), cloud.volume(volume)))
    if here == home:
        home = (here + 1) % 3
        cloud.host(home).volumes[volume.id] = cloud.host(here).volumes.pop(volume.id)
        with cloud.store.begin() as tx:
            tx.volumes.update(tx.volumes.get(volume.id), host_id=cloud.host_ids[home])
    near = 3 - here - home
    with cloud.store.begin() as tx:
        for index in (here, near):
            tx.hosts.update(tx.hosts.get(cloud.host_ids[index]), capabilities={"store": "nfs"})
        tx.debris.put(Debris(instance_id=volume.id, host_id=cloud.host_ids[near], at=1.0, busy="worker-2"))
        tx.workers.beat("worker-2", cloud.clock())
    cloud.engine.execute(
        cloud.caller, commands.AttachVolume(volume_id=volume.id, instance_id=instance.id, device="/dev/sdf")
    )
    cloud.settle()
    assert cloud.volume(volume).host_id == cloud.host_ids[home]
    assert volume.id not in cloud.host(here).volumes
    cloud.worker.tasks._tidied(volume.id, cloud.host_ids[near])
    assert (volume.id, cloud.host_ids[near]) in left(cloud)  # the other worker is at it
    with cloud.store.begin() as tx:
        tx.debris.release("worker-2")
    cloud.worker.tasks._tidied(volume.id, cloud.host_ids[near])
    assert (volume.id, cloud.host_ids[near]) not in left(cloud)


def test_a_dead_host_is_forgotten_with_what_is_left_on_it():
    cloud = cloud_of(2048)
    instance = cloud.started()
    cloud.set_host(0, HostState.OFFLINE)
    cloud.do(Op.TERMINATE, instance)
    assert left(cloud)
    cloud.engine.execute(ADMIN, DeleteHost(host_id=cloud.host_ids[0]))
    assert (cloud.engine.hosts(), left(cloud)) == ([], set())


def test_a_host_that_a_copy_is_still_to_be_fetched_from_is_kept():
    cloud = cloud_of(2048)
    with cloud.store.begin() as tx:
        begun = begin_task(
            cloud.engine.work(tx, ADMIN),
            TaskKind.SNAPSHOT_CREATE,
            "snap-1",
            tenant_id=cloud.tenant.id,
            arguments={"host": cloud.host_ids[0]},
        )
    command = DeleteHost(host_id=cloud.host_ids[0])
    with pytest.raises(BackendError) as refused:
        cloud.engine.execute(ADMIN, command)
    assert refused.value.code is Code.HOST_IN_USE
    with cloud.store.begin() as tx:
        tx.tasks.update(begun, finished_at=cloud.clock())
    cloud.engine.execute(ADMIN, command)
    assert cloud.engine.hosts() == []


def test_a_launch_waits_for_the_host_of_its_volume():
    cloud = Cloud(hosts=2)
    volume = cloud.engine.execute(cloud.caller, commands.CreateVolume(size_gib=1))
    cloud.settle()
    home = cloud.host_ids.index(cloud.volume(volume).host_id)
    cloud.set_host(home, HostState.DISABLED)
    host, calls = cloud.host(home), []
    host.fault = lambda method: calls.append(method) or Fault.SILENT_BEFORE
    (instance,) = cloud.launch(volumes=((volume.id, "/dev/sdf"),))
    cloud.settle()
    assert cloud.get(instance).detail == "prol.new"
    for _ in range(20):  # not noticed yet: asked now and then
        cloud.clock.advance(5)
        cloud.worker.sweep()
        cloud.settle()
    assert len(calls) <= 5
    silence(cloud, home)
    calls.clear()
    for _ in range(20):
        cloud.clock.advance(5)
        cloud.worker.sweep()
        cloud.settle()
    assert calls == []
    host.fault = lambda _method: None
    host.silent = False
    cloud.quiesce()
    assert cloud.get(instance).detail == "runn"


def test_work_that_waits_for_its_turn_is_queued_once():
    cloud = cloud_of(2048)
    cloud.engine.execute(cloud.caller, commands.CreateVolume(size_gib=1))
    queued = list(cloud.queue.work)
    cloud.queue.status = lambda _key: "ENQUEUED"
    for _ in range(5):
        cloud.clock.advance(40)
        cloud.worker.sweep()
    assert list(cloud.queue.work) == queued
    cloud.queue.status = lambda _key: None
    cloud.clock.advance(40)
    cloud.worker.sweep()
    assert len(cloud.queue.work) == len(queued) + 1


# Workers ------------------------------------------------------------------------------------------------


def second_worker(cloud, **options):
    worker = Worker(
        cloud.engine, cloud.hosts, cloud.contents, cloud.network, "worker-2", monotonic=cloud.clock, **options
    )
    worker._monitors = cloud.monitors  # no threads
    with cloud.store.begin() as tx:
        tx.workers.beat("worker-2", cloud.clock())
    return worker


def test_a_worker_that_stops_leaves_its_work_to_the_others():
    cloud = cloud_of(2048)
    taken = []
    other = second_worker(cloud, take_over=taken.append)
    other.sweep()
    cloud.worker.stop()
    cloud.clock.advance(10)
    other.sweep()
    assert taken == [["worker-1"]]


def test_clocks_that_differ_kill_no_worker():
    cloud = cloud_of(2048)
    taken = []
    other = second_worker(cloud, take_over=taken.append)
    for _ in range(20):
        with cloud.store.begin() as tx:
            tx.workers.beat("worker-1", cloud.clock() - 500)  # its clock is slow, but moves
        other.sweep()
        cloud.clock.advance(10)
    assert taken == []
    for _ in range(8):
        other.sweep()
        cloud.clock.advance(10)
    assert taken == [["worker-1"]]


def test_a_step_belongs_to_one_worker_at_a_time():
    cloud = cloud_of(2048)
    instance = cloud.started()
    other = second_worker(cloud)
    cloud.operate(Op.POWEROFF, instance)
    (*_, job) = cloud.engine.jobs(cloud.caller, instance_id=instance.id)
    asked = []
    cloud.host().plan = [(0, lambda: asked.append(other.run_job(job.id)))]
    cloud.settle()
    assert asked == [0.2]
    assert cloud.get(instance).detail == "poff"


def test_what_a_worker_found_out_late_is_not_believed():
    """It looked dead, another went on, and its own outcome is about a step that is over."""
    cloud = cloud_of(2048)
    instance = cloud.started()
    other = second_worker(cloud)
    cloud.operate(Op.TERMINATE, instance)
    (*_, job) = cloud.engine.jobs(cloud.caller, instance_id=instance.id)

    def looks_dead():
        with cloud.store.begin() as tx:
            tx.workers.beat("worker-1", 0.0)
            tx.jobs.release("worker-1")
        assert other.run_job(job.id) == 0.0

    cloud.host().plan = [(0, looks_dead)]
    assert cloud.worker.run_job(job.id) == 0.2
    (*_, job) = cloud.engine.jobs(cloud.caller, instance_id=instance.id)
    assert (job.stages[job.stage], job.step) == ("epil.done", 0)
