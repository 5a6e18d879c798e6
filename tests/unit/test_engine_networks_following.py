"""The network follows the rows: launches that wait for it, plugging, and whoever dies or is silent meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_cloud import network_cloud
from network_deeds import (
    default_group,
    do,
    follows,
    leases_of,
    nic_as_is,
    nics_of,
    pending,
    public_of,
    refusal,
    subnet_in,
)
from simulation import ADMIN, Cloud, Op, WorkerKilled

from backend.commands import NicRequest, SetQuota
from backend.drivers.memory import Fault, Guest
from backend.errors import Code
from backend.model import AttachState, MetadataOptions
from backend.network_commands import (
    AttachNic,
    AuthorizeRules,
    CreateNic,
    CreateSecurityGroup,
    DeleteNic,
    DeleteSecurityGroup,
    DetachNic,
    ModifyMetadataOptions,
    ModifyNic,
    RuleSpec,
)
from backend.network_model import ANYWHERE

FAULTS = [Fault.FAIL_BEFORE, Fault.FAIL_AFTER, Fault.SILENT_BEFORE, Fault.SILENT_AFTER]


@pytest.fixture
def cloud() -> Cloud:
    return network_cloud()


def spare(cloud: Cloud):
    return do(cloud, CreateNic(nic=NicRequest(subnet_id=subnet_in(cloud).id)))


def tcp(port: int) -> RuleSpec:
    return RuleSpec(egress=False, protocol="tcp", from_port=port, to_port=port, cidr=ANYWHERE)


def ill(cloud: Cloud, fault: Fault) -> None:
    cloud.network.fault = lambda _call: fault


def steps(cloud: Cloud, count: int) -> None:
    for _ in range(count):
        cloud.step()


def wholly(cloud: Cloud) -> None:
    """All is still: everything noted is followed, and interfaces, addresses and plugs agree."""
    assert pending(cloud) == set()
    assert list(cloud.worker.network.differences()) == []
    with cloud.store.read() as tx:
        nics, instances = tx.nics.all(), {each.id: each for each in tx.instances.all()}
        held = {lease.address for nic in nics for lease in tx.leases.all() if lease.nic_id == nic.id}
        assert held == {address for nic in nics for address in tx.leases.of_nic(nic.id)}
    for nic in nics:
        assert nic.attach in {AttachState.NONE, AttachState.ATTACHED}
        assert (nic.attach is AttachState.NONE) is (nic.instance_id is None)
    for instance in instances.values():
        mine = {nic.mac for nic in nics if nic.instance_id == instance.id}
        if instance.detail == "runn":
            assert set(cloud.host_of(instance).nics(instance.id)) == mine


# Launches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_a_launch_waits_for_the_network_and_goes_on(cloud, fault):
    ill(cloud, fault)
    (instance,) = cloud.launch()
    while cloud.get(instance).detail != "boot.new":
        cloud.step()
    steps(cloud, 2)
    assert cloud.host().starts == []  # no guest is without its rules
    assert cloud.get(instance).detail not in {"runn", "unkn"}
    assert cloud.engine.hosts()[0].failures == 0  # it is not the host that is silent
    ill(cloud, Fault.NONE)
    cloud.quiesce()
    assert cloud.get(instance).detail == "runn"
    assert len(cloud.host().starts) == 1
    wholly(cloud)


@pytest.mark.parametrize("fault", [Fault.FAIL_BEFORE, Fault.SILENT_BEFORE])
def test_a_launch_that_the_network_never_follows_ends_and_leaves_nothing(cloud, fault):
    ill(cloud, fault)
    (instance,) = cloud.launch()
    for _ in range(40):
        steps(cloud, 20)
        cloud.clock.advance(60)
    assert cloud.get(instance).detail not in {"runn", "unkn"}
    assert cloud.host().starts == []
    ill(cloud, Fault.NONE)
    cloud.operate(Op.TERMINATE, instance)
    cloud.quiesce()
    assert cloud.get(instance).detail == "done"
    assert nics_of(cloud, instance) == []
    wholly(cloud)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_guest_goes_on_while_the_network_does_not_answer(cloud, fault):
    instance = cloud.started()
    cloud.quiesce()
    ill(cloud, fault)
    do(cloud, AuthorizeRules(group_id=default_group(cloud).id, rules=(tcp(22),)))
    steps(cloud, 20)
    cloud.sweep()
    assert pending(cloud) == {default_group(cloud).id}
    assert cloud.engine.networks.unsettled([default_group(cloud).id, "x"]) == {default_group(cloud).id}
    assert cloud.get(instance).detail == "runn"
    ill(cloud, Fault.NONE)
    cloud.quiesce()
    wholly(cloud)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_instance_ends_while_the_network_does_not_answer(cloud, fault):
    instance = cloud.started()
    [nic] = nics_of(cloud, instance)
    ill(cloud, fault)
    cloud.operate(Op.TERMINATE, instance)
    steps(cloud, 60)
    assert cloud.get(instance).detail == "done"
    assert nic.id in cloud.network.there or fault in {Fault.FAIL_AFTER, Fault.SILENT_AFTER}
    ill(cloud, Fault.NONE)
    cloud.quiesce()
    assert nic.id not in cloud.network.there
    wholly(cloud)


# Plugging -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_plugging_waits_for_the_network_and_the_instance_runs_on(cloud, fault):
    instance, nic = cloud.started(), spare(cloud)
    cloud.settle()
    ill(cloud, fault)
    do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    steps(cloud, 3)
    assert nic.mac not in cloud.host().nics(instance.id)
    assert cloud.get(instance).detail in {"runn", "hotp"} or cloud.get(instance).detail.startswith("hotp")
    ill(cloud, Fault.NONE)
    cloud.quiesce()
    found = nic_as_is(cloud, nic)
    assert cloud.get(instance).detail == "runn"
    assert found.attach in {AttachState.ATTACHED, AttachState.NONE}
    wholly(cloud)


def test_plugging_that_the_network_never_follows_leaves_the_interface_free_with_its_reason(cloud):
    instance, nic = cloud.started(), spare(cloud)
    cloud.settle()
    ill(cloud, Fault.FAIL_BEFORE)
    do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    for _ in range(20):
        steps(cloud, 20)
        cloud.clock.advance(30)
    found = nic_as_is(cloud, nic)
    assert (found.attach, found.instance_id) == (AttachState.NONE, None)
    assert "told to fail" in found.message
    ill(cloud, Fault.NONE)
    cloud.quiesce()
    assert cloud.get(instance).detail == "runn"
    do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    cloud.settle()
    again = nic_as_is(cloud, nic)
    assert (again.attach, again.message) == (AttachState.ATTACHED, "")
    wholly(cloud)


@pytest.mark.parametrize("call", ["attach_nic", "nics"])
def test_a_host_that_refuses_an_interface_keeps_its_guest(cloud, call):
    instance, nic = cloud.started(), spare(cloud)
    cloud.host().broken = {call}
    do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    cloud.quiesce()
    assert cloud.get(instance).detail == "runn"
    assert nic_as_is(cloud, nic).instance_id is None
    cloud.host().broken = set()
    cloud.quiesce()


def test_a_guest_that_does_not_let_go_keeps_its_interface(cloud):
    instance, nic = cloud.started(), spare(cloud)
    do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    cloud.settle()
    cloud.host().guest = Guest(lets_go=False)
    do(cloud, DetachNic(nic_id=nic.id))
    cloud.quiesce()
    kept = nic_as_is(cloud, nic)
    assert (kept.attach, kept.message) == (
        AttachState.ATTACHED,
        "The guest does not let go of the interface.",
    )
    assert cloud.get(instance).detail == "runn"
    cloud.host().guest = Guest()
    do(cloud, DetachNic(nic_id=nic.id))
    cloud.settle()
    assert nic_as_is(cloud, nic).attach is AttachState.NONE
    wholly(cloud)


@pytest.mark.parametrize("deed", ["attach", "detach"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("after", range(4))
def test_a_host_that_fails_while_an_interface_is_plugged(cloud, deed, fault, after):
    instance, nic = cloud.started(), spare(cloud)
    if deed == "detach":
        do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
        cloud.settle()
    cloud.host().plan = [(after, fault)]
    command = (
        DetachNic(nic_id=nic.id) if deed == "detach" else AttachNic(nic_id=nic.id, instance_id=instance.id)
    )
    do(cloud, command)
    cloud.quiesce()
    assert cloud.get(instance).detail == "runn"
    wholly(cloud)


def test_the_end_of_an_instance_overtakes_its_plugging(cloud):
    instance, coming, going = cloud.started(), spare(cloud), spare(cloud)
    do(cloud, AttachNic(nic_id=going.id, instance_id=instance.id))
    cloud.settle()
    do(cloud, AttachNic(nic_id=coming.id, instance_id=instance.id))
    do(cloud, DetachNic(nic_id=going.id, then_delete=True))
    cloud.operate(Op.TERMINATE, instance)
    cloud.quiesce()
    assert cloud.get(instance).detail == "done"
    for nic in (coming, going):
        found = nic_as_is(cloud, nic)
        assert found is None or (found.instance_id, found.attach) == (None, AttachState.NONE)
    assert nic_as_is(cloud, coming) is not None
    with cloud.store.read() as tx:
        assert tx.tasks.open() == []
    wholly(cloud)


# A worker that dies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("deed", ["attach", "detach", "rule", "end"])
def test_a_worker_that_dies_at_any_commit_loses_no_change(cloud, number, after, deed):
    instance, nic = cloud.started(), spare(cloud)
    if deed == "detach":
        do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
        cloud.settle()
    match deed:
        case "attach":
            do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
        case "detach":
            do(cloud, DetachNic(nic_id=nic.id))
        case "rule":
            do(cloud, AuthorizeRules(group_id=default_group(cloud).id, rules=(tcp(22),)))
        case _:
            cloud.operate(Op.TERMINATE, instance)
    cloud.store.death = (number, after)
    cloud.settle()
    cloud.store.death = None
    cloud.quiesce()
    found = nic_as_is(cloud, nic)
    expected = {"attach": AttachState.ATTACHED}.get(deed, AttachState.NONE)
    assert found.attach is expected
    assert cloud.get(instance).detail == ("done" if deed == "end" else "runn")
    wholly(cloud)


@pytest.mark.parametrize("when", ["die before", "die after"])
@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize("deed", ["attach", "detach"])
def test_a_worker_that_dies_while_it_plugs(cloud, when, call, deed):
    instance, nic = cloud.started(), spare(cloud)
    if deed == "detach":
        do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
        cloud.settle()
    cloud.host().plan = [(call, when)]
    command = (
        DetachNic(nic_id=nic.id) if deed == "detach" else AttachNic(nic_id=nic.id, instance_id=instance.id)
    )
    do(cloud, command)
    cloud.quiesce()
    assert nic_as_is(cloud, nic).attach is (AttachState.NONE if deed == "detach" else AttachState.ATTACHED)
    wholly(cloud)


def test_a_worker_that_dies_between_applying_and_forgetting_applies_again(cloud):
    group = do(cloud, CreateSecurityGroup(name="web", description=""))
    cloud.store.death = (0, False)
    with pytest.raises(WorkerKilled):
        cloud.worker.network.drain()
    assert group.id in cloud.network.there
    assert group.id in pending(cloud)
    cloud.restart_worker()
    follows(cloud)


# Following ----------------------------------------------------------------------------------------------


def test_what_was_deleted_before_it_was_followed_is_not_there(cloud):
    group = do(cloud, CreateSecurityGroup(name="web", description=""))
    nic = spare(cloud)
    do(cloud, DeleteNic(nic_id=nic.id))
    do(cloud, DeleteSecurityGroup(group_id=group.id))
    assert {group.id, nic.id} <= pending(cloud)
    follows(cloud)
    assert not {group.id, nic.id} & set(cloud.network.there)


def test_more_changes_than_fit_into_one_turn_are_all_followed(cloud):
    do(cloud, SetQuota(tenant_id=cloud.tenant.id, quotas={"security_groups": -2}), ADMIN)
    names = [do(cloud, CreateSecurityGroup(name=f"g{number}", description="")).id for number in range(30)]
    with cloud.store.begin() as tx:
        work = cloud.engine.work(tx, cloud.caller)
        for start in range(50):
            work.network_changed(*(f"sg-{start:05}{number:012}" for number in range(40)))
    follows(cloud)
    assert set(names) <= set(cloud.network.there)


def test_a_comparison_takes_away_what_nobody_drew_and_makes_what_is_missing(cloud):
    instance = cloud.started()
    [nic] = nics_of(cloud, instance)
    cloud.quiesce()
    cloud.network.there["eni-strange"] = ("left", "behind")
    del cloud.network.there[nic.id]
    assert sorted(cloud.worker.network.differences()) == sorted(["eni-strange differs", f"{nic.id} differs"])
    do(cloud, AuthorizeRules(group_id=default_group(cloud).id, rules=(tcp(22),)))
    cloud.worker.network.reconcile()
    wholly(cloud)


def test_now_and_then_everything_is_compared(cloud):
    cloud.started()
    cloud.network.there.clear()
    cloud.restart_worker()
    cloud.sweep()
    assert list(cloud.worker.network.differences()) == []


def test_an_interface_that_is_gone_is_not_plugged(cloud):
    from backend.ports import StepFailed

    with pytest.raises(StepFailed):
        cloud.worker.network.plug("eni-none")


deeds = st.lists(
    st.tuples(
        st.sampled_from(["create", "delete", "attach", "detach", "switch", "rule", "stop", "start", "fault"]),
        st.integers(0, 3),
        st.integers(0, 4),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(deeds)
def test_whatever_happens_the_network_ends_as_the_rows_say(sequence):
    cloud = network_cloud()
    instance, known = cloud.started(), []
    first = nics_of(cloud, instance)[0]
    for deed, which, turns in sequence:
        nic = known[which % len(known)] if known else first
        command: object = None
        match deed:
            case "create":
                known.append(spare(cloud))
            case "delete":
                command = DeleteNic(nic_id=nic.id)
            case "attach":
                command = AttachNic(nic_id=nic.id, instance_id=instance.id)
            case "detach":
                command = DetachNic(nic_id=nic.id)
            case "switch":
                command = ModifyNic(nic_id=nic.id, up=which % 2 == 0)
            case "rule":
                command = AuthorizeRules(group_id=default_group(cloud).id, rules=(tcp(1000 + which),))
            case "stop" | "start":
                _try(
                    cloud, lambda op=deed: cloud.operate(Op.POWEROFF if op == "stop" else Op.START, instance)
                )
            case _:
                ill(cloud, FAULTS[which])
        if command is not None:
            _try(cloud, lambda command=command: do(cloud, command))
        steps(cloud, turns)
        if deed != "fault":
            ill(cloud, Fault.NONE)
    ill(cloud, Fault.NONE)
    cloud.quiesce(60)
    assert (first.id, first.address, first.mac) == (
        (now := nics_of(cloud, instance)[0]).id,
        now.address,
        now.mac,
    )
    assert leases_of(cloud, first) == (first.address,)
    assert len(public_of(cloud, first)) == (1 if cloud.get(instance).detail == "runn" else 0)
    wholly(cloud)


def _try(cloud: Cloud, deed) -> None:
    from backend.errors import BackendError

    try:
        deed()
    except BackendError:
        pass


# Options of the metadata service ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"tokens": "never"}, "httpTokens"),
        ({"hop_limit": 0}, "httpPutResponseHopLimit"),
        ({"hop_limit": 65}, "httpPutResponseHopLimit"),
    ],
)
def test_options_that_are_none(cloud, options, parameter):
    (instance,) = cloud.launch()
    command = ModifyMetadataOptions(instance_id=instance.id, options=MetadataOptions(**options))
    answer = refusal(cloud, command)
    assert (answer.code, answer.context["parameter"]) == (Code.PARAMETER_INVALID, parameter)


def test_options_hold_at_once(cloud):
    instance = cloud.started()
    options = MetadataOptions(tokens="required", hop_limit=2)
    do(cloud, ModifyMetadataOptions(instance_id=instance.id, options=options))
    assert cloud.get(instance).metadata == options
    [nic] = nics_of(cloud, instance)
    guest = cloud.engine.networks.guest(nic.id)
    assert guest is not None
    assert guest.instance.metadata == options
