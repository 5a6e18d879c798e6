"""The life-cycle as data, held to what the specification says about it (lifecycle §§2, 7.1, 8.1, 20)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from simulation import ADMIN, Cloud, Op

from backend import commands
from backend.engine import HANDLERS
from backend.engine.access import POLICY
from backend.engine.stages import STEPS
from backend.engine.work import DESIRES, IN_PLACE
from backend.errors import CLASSES, BackendError, Code, DryRunPassed, ErrorClass
from backend.lifecycle import (
    DETAILS,
    EC2_OPERATIONS,
    SAME,
    STAY,
    TRANSITIONS,
    VIEWS,
    WORKING,
    Transition,
    Who,
    ec2_state,
    is_quiet,
    occi_state,
    operations,
    transition,
)
from backend.model import Api, Capacity, Desired, GuestShutdown, Instance, State

# Shape --------------------------------------------------------------------------------------------------


def test_every_target_is_a_known_detail_or_a_stage_of_the_same_row():
    for edge in TRANSITIONS:
        known = DETAILS | set(edge.via)
        assert edge.origin in DETAILS | {""}, edge
        assert edge.ok in known | {SAME}, edge
        assert set(edge.via) <= DETAILS, edge
        assert {*edge.failed, *edge.lost} <= known | {STAY}, edge


def test_each_stage_has_an_outcome_for_failure_and_for_no_testimony():
    for edge in TRANSITIONS:
        assert len(edge.failed) == len(edge.lost) == len(edge.via), edge


def test_a_failure_leads_to_a_later_stage_or_out_of_the_job():
    for edge in TRANSITIONS:
        for at, target in enumerate(edge.failed):
            if target in edge.via:
                assert edge.via.index(target) > at, edge
            else:  # a saved machine that cannot be woken is put back into the store
                parked = edge.op == "deploy_saved" and target == "epil.stop"
                assert target == STAY or parked or State(target[:4]) not in WORKING, edge


def test_an_operation_has_one_edge_for_each_origin():
    pairs = [(edge.op, edge.origin) for edge in TRANSITIONS]
    assert len(pairs) == len(set(pairs))


def test_each_detail_names_one_of_the_16_states():
    assert {State(detail[:4]) for detail in DETAILS} == set(State)


def test_done_is_final():
    assert operations("done") == frozenset()


def test_no_edge_starts_a_job_in_a_state_that_has_none():
    for edge in TRANSITIONS:
        for stage in edge.via:
            assert State(stage[:4]) in WORKING, edge


def test_a_terminate_or_delete_is_possible_from_everything_that_is_not_ending():
    ending = {"done", "epil.done", "epil.delete", "shut.cancel"}
    for detail in DETAILS:
        assert transition("terminate", detail) or detail in ending, detail
        assert transition("delete", detail) or detail in {"done", "epil.delete"}, detail


def test_what_a_user_may_do_never_needs_more_than_the_table():
    """§16: only administrators deploy, migrate, recover by force or restart what is unknown."""
    user = {edge.op for edge in TRANSITIONS if Who.USER in edge.who}
    monitor = {edge.op for edge in TRANSITIONS if Who.MONITOR in edge.who}
    engine = {edge.op for edge in TRANSITIONS if edge.who == {Who.ENGINE}}
    assert not user & monitor
    assert not {"deploy", "migrate", "livemigrate", "resched", "unresched"} & user
    assert {"hold", "release", "shutdown", "terminate", "cancel", "delete", "resubmit", "resume"} <= user
    assert {"host_silent", "seen_running", "guest_off_keep", "guest_off_end", "crashed"} <= monitor
    assert {"images_ready", "reschedule", "host_boot_restart", "ha_restart"} <= engine


def test_a_silent_host_never_ends_or_frees_anything():
    """Invariant 30, in the table: no testimony leads to unknown, waits, or (never started) back."""
    for edge in TRANSITIONS:
        for stage, target in zip(edge.via, edge.lost, strict=True):
            never_started = stage.startswith(("prol.", "migr.")) or edge.origin.startswith(("poff", "susp"))
            hotplug = stage.startswith("hotp@")
            assert target in {STAY, "unkn"} or never_started or hotplug, edge


def test_after_skips_a_stage_that_only_repairs_the_failure_before_it():
    edge = transition("terminate", "runn")
    assert edge is not None
    assert edge.via == ("shut.done", "shut.cancel", "epil.done")
    assert edge.after(0) == 2  # the guest obeyed: nothing is left to cancel
    assert edge.after(1) == 2


# Views --------------------------------------------------------------------------------------------------


def test_what_holds_capacity():
    """Invariant 9: everything but what waits without a host, is parked in the store, or is over."""
    without = {"pend", "pend.image", "hold", "stop", "hotp@stop", "fail.image", "done"}
    assert {detail for detail, view in VIEWS.items() if not view.reserved} == without


EC2_BY_STATE = {
    "pending": "pend hold pend.image prol.new prol.resume boot.new boot.resume boot.susp boot.poff "
    "epil.resubmit fail.image fail.prolog fail.boot",
    "running": "boot.unkn boot.migrate migr.live migr.cold migr.unkn save.migrate runn unkn hotp@runn",
    "stopping": "save.susp save.stop epil.stop shut.poff shut.done fail.epilog_stop",
    "stopped": "susp.disk susp.ram stop poff migr.poff migr.susp fail.migrate fail.boot_migrate "
    "hotp@poff hotp@susp.disk hotp@stop",
    "shutting-down": "shut.cancel epil.done epil.delete fail.epilog",
    "terminated": "done",
}


def test_ec2_view_of_every_detail():
    """§7.1, retyped from the specification's prose, covers the table exactly."""
    wanted = {detail: state for state, details in EC2_BY_STATE.items() for detail in details.split()}
    assert wanted == {detail: ec2_state(detail, gone=False) for detail in DETAILS}


OCCI_BY_STATE = {
    "inactive": "pend pend.image hold prol.new prol.resume boot.new boot.resume boot.poff poff epil.done "
    "epil.delete epil.resubmit fail.migrate fail.boot_migrate migr.poff hotp@poff",
    "active": "runn migr.live save.migrate migr.cold migr.unkn boot.migrate boot.unkn shut.done shut.poff "
    "shut.cancel save.susp save.stop unkn hotp@runn",
    "suspended": "boot.susp epil.stop susp.disk susp.ram stop migr.susp hotp@susp.disk hotp@stop",
    "error": "fail.image fail.prolog fail.boot fail.epilog fail.epilog_stop",
    "": "done",
}


def test_occi_view_of_every_detail():
    """§8.1, retyped from the specification's prose, covers the table exactly."""
    wanted = {detail: state for state, details in OCCI_BY_STATE.items() for detail in details.split()}
    assert wanted == {detail: occi_state(detail, saved="full") for detail in DETAILS}


def test_parked_without_memory_is_inactive():
    assert occi_state("stop", saved="disks") == occi_state("hotp@stop", saved="disks") == "inactive"
    assert occi_state("poff", saved="none") == "inactive"


@pytest.mark.parametrize("detail", sorted(DETAILS))
def test_what_is_wished_gone_is_shutting_down_until_it_is(detail):
    assert ec2_state(detail, gone=True) == ("terminated" if detail == "done" else "shutting-down")


def test_ec2_states_of_operations_are_ec2s():
    states = set(EC2_BY_STATE)
    assert all(set(answers) == states for answers in EC2_OPERATIONS.values())
    values = {value for answers in EC2_OPERATIONS.values() for value in answers.values()}
    assert values == {"go", "noop", "IncorrectInstanceState"}


# Completeness of what is derived ------------------------------------------------------------------------


def _subclasses(kind: type) -> Iterator[type]:
    for sub in kind.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def test_every_command_has_a_policy_and_a_handler():
    vocabulary = set(_subclasses(commands.Command))
    assert vocabulary
    assert set(POLICY) == vocabulary
    assert set(HANDLERS) == vocabulary


def test_every_code_has_a_class_and_every_class_a_code():
    assert set(CLASSES) == set(Code)
    assert set(CLASSES.values()) == set(ErrorClass)


def test_codes_are_distinct():
    values = [code.value for code in Code]
    assert len(values) == len(set(values))


UNREACHABLE = ("migr", "hotp", "stop")
"""States whose operations are not in the vocabulary yet (migration, hot-plug, stop to the store)."""


def _reachable() -> dict[str, set[str]]:
    """Details that the operations in the vocabulary can reach, with the edges that lead on from each."""
    asked = {op.value for op in Op} - {"start", "restart_cold"}
    ops = asked | {"create", "create_held", "deploy", "reschedule"}
    ops |= {edge.op for edge in TRANSITIONS if Who.MONITOR in edge.who} - {"split_brain", "crashed_restart"}
    found: dict[str, set[str]] = {}
    waiting = [""]
    while waiting:
        detail = waiting.pop()
        if detail in found:
            continue
        found[detail] = {edge.op for edge in TRANSITIONS if edge.origin == detail and edge.op in ops}
        for edge in TRANSITIONS:
            if edge.origin == detail and edge.op in ops:
                targets = {edge.ok, *edge.via, *edge.failed, *edge.lost} - {SAME, STAY}
                waiting.extend(targets)
    del found[""]
    return found


def test_every_stage_that_can_be_reached_has_steps():
    stages = {
        stage
        for detail, ops in _reachable().items()
        for op in ops
        if (edge := transition(op, detail)) is not None
        for stage in edge.via
    }
    assert stages - {"prol.new"} <= set(STEPS)
    assert set(IN_PLACE.values()) <= set(STEPS)
    assert not {detail for detail in _reachable() if detail.startswith(UNREACHABLE)}


def test_every_operation_says_what_it_wishes():
    """§3.8: hold leaves the wish alone, a plain shutdown may be ignored; all others say what is wanted."""
    edges = {edge.op for edge in TRANSITIONS}
    for op in set(Op) - {Op.HOLD, Op.SHUTDOWN, Op.START, Op.RESTART_COLD}:
        assert op.value in DESIRES, op
        assert op.value in edges, op
    assert {op for op, wish in DESIRES.items() if wish is Desired.GONE} == {"terminate", "cancel", "delete"}


def test_jobs_of_a_row_end_where_the_table_says():
    edge = Transition(
        op="x", origin="runn", who=frozenset(), via=("a", "b"), ok="z", failed=("z", "z"), lost=("=", "=")
    )
    assert edge.after(0) == 1
    assert edge.after(1) == 2


# EC2's operations against the engine (§20.3) ------------------------------------------------------------


class Stage:
    """Brings an instance of a fresh cloud to a detail that this issue can reach."""

    def __init__(self) -> None:
        self.cloud = Cloud(hosts=1)

    def at(self, detail: str) -> Instance:
        cloud = self.cloud
        host = cloud.host()
        if detail in {"pend", "hold"}:
            return cloud.launch(held=detail == "hold")[0]
        if detail in {"fail.prolog", "fail.boot"}:
            host.broken = {"clone" if detail == "fail.prolog" else "start"}
            caller = cloud.login("cli", cloud.tenant, Api.OCCI)
            instance = cloud.launch(caller)[0]
            cloud.settle()
            host.broken = set()
            return cloud.get(instance)
        if detail in {"prol.new", "boot.new"}:
            instance = cloud.launch()[0]
            return self._walk(instance, detail)
        instance = cloud.started()
        if detail == "runn":
            return instance
        if detail in {"shut.poff", "shut.done", "shut.cancel", "save.susp", "epil.delete", "epil.resubmit"}:
            op = {
                "shut.poff": Op.POWEROFF,
                "shut.done": Op.SHUTDOWN,
                "shut.cancel": Op.CANCEL,
                "save.susp": Op.SUSPEND,
                "epil.delete": Op.DELETE,
                "epil.resubmit": Op.RESUBMIT,
            }[detail]
            cloud.operate(op, instance)
        elif detail in {"susp.disk", "boot.susp", "susp.ram"}:
            cloud.do(Op.PAUSE if detail == "susp.ram" else Op.SUSPEND, instance)
            if detail == "boot.susp":
                cloud.operate(Op.START, instance)
        elif detail in {"poff", "boot.poff", "epil.done"}:
            cloud.do(Op.POWEROFF, instance)
            if detail != "poff":
                cloud.operate(Op.START if detail == "boot.poff" else Op.TERMINATE, instance)
        elif detail == "done":
            cloud.do(Op.TERMINATE, instance)
        elif detail == "fail.epilog":
            host.broken = {"delete_files"}
            cloud.do(Op.SHUTDOWN, instance)
            host.broken = set()
        elif detail in {"unkn", "boot.unkn"}:
            host.silent = True
            for _ in range(3):
                cloud.poll()
            if detail == "boot.unkn":
                cloud.operate(Op.RESTART, instance, caller=ADMIN)
        return cloud.get(instance)

    def _walk(self, instance: Instance, detail: str) -> Instance:
        for _ in range(100):
            if self.cloud.get(instance).detail == detail:
                break
            self.cloud.step()
        return self.cloud.get(instance)


AVAILABLE = (
    "pend hold prol.new boot.new boot.poff boot.susp boot.unkn runn shut.poff shut.done shut.cancel save.susp "
    "epil.done epil.delete epil.resubmit susp.disk susp.ram poff fail.prolog fail.boot fail.epilog unkn done"
).split()

EC2_CALLS: dict[str, tuple[Op, dict[str, bool]]] = {
    "StartInstances": (Op.START, {}),
    "StopInstances": (Op.POWEROFF, {"force_at_timeout": True}),
    "StopInstances.Force": (Op.POWEROFF_HARD, {}),
    "RebootInstances": (Op.REBOOT, {"force_at_timeout": True}),
    "TerminateInstances": (Op.TERMINATE, {}),
}

BUSY = "IncorrectInstanceState"
DEVIATIONS = {
    # one engine operation serves OCCI's start too, which releases what its owner held (§8.1)
    ("StartInstances", "hold"): "go",
    # a saved-to-disk or finally ending guest is no longer there to be powered off: the job ends by itself
    ("StopInstances.Force", "save.susp"): "noop",
    ("StopInstances.Force", "shut.done"): "noop",
    # unreachable or at work: refused with the reason (notes below §20.3)
    ("StopInstances", "unkn"): BUSY,
    ("RebootInstances", "unkn"): BUSY,
    ("StopInstances", "boot.unkn"): BUSY,
    ("StopInstances.Force", "boot.unkn"): BUSY,
    ("RebootInstances", "boot.unkn"): BUSY,
    # an epilog that failed is shown as shutting-down, but a new terminate retries it (§4.3)
    ("TerminateInstances", "fail.epilog"): "go",
}


def test_the_stage_reaches_every_detail_there_is():
    assert set(AVAILABLE) == set(_reachable())
    for detail in AVAILABLE:
        assert Stage().at(detail).detail == detail


@pytest.mark.parametrize("detail", AVAILABLE)
def test_ec2_operations_are_accepted_refused_or_answered_by_the_table(detail):
    stage = Stage()
    instance = stage.at(detail)
    for call, (op, flags) in EC2_CALLS.items():
        if stage.cloud.get(instance) != instance:
            stage = Stage()
            instance = stage.at(detail)
        shown = ec2_state(instance.detail, gone=instance.desired is Desired.GONE)
        wanted = DEVIATIONS.get((call, detail), EC2_OPERATIONS[call][shown])
        assert (call, _answer(stage.cloud, instance, op, flags)) == (call, wanted)


def _answer(cloud: Cloud, instance: Instance, op: Op, flags: dict[str, bool]) -> str:
    try:
        (change,) = cloud.operate(op, instance, **flags)
    except BackendError as error:
        refusal = error
    else:
        assert change.before == instance
        assert change.after == cloud.get(instance)
        return "noop" if change.before == change.after else "go"
    assert refusal.error_class in {ErrorClass.WRONG_STATE, ErrorClass.BUSY}
    assert cloud.get(instance) == instance  # a refusal changes nothing
    return BUSY


@pytest.mark.parametrize("detail", ["pend", "hold", "poff"])
def test_size_changes_where_nothing_runs(detail):
    stage = Stage()
    instance = stage.at(detail)
    stage.cloud.host().total = Capacity(cpu=800, memory_mib=65536, disk_gib=200)
    command = commands.ModifyInstance(instance_id=instance.id, flavor="t2.large")
    changed = stage.cloud.engine.execute(stage.cloud.caller, command)
    assert (changed.vcpus, changed.memory_mib, changed.version) == (2, 8192, instance.version + 1)


@pytest.mark.parametrize("detail", [d for d in AVAILABLE if d not in {"pend", "hold", "poff", "done"}])
def test_size_stays_where_something_runs_or_is_at_work(detail):
    stage = Stage()
    instance = stage.at(detail)
    command = commands.ModifyInstance(instance_id=instance.id, flavor="t2.large")
    with pytest.raises(BackendError) as refusal:
        stage.cloud.engine.execute(stage.cloud.caller, command)
    assert refusal.value.error_class in {ErrorClass.WRONG_STATE, ErrorClass.BUSY}
    assert stage.cloud.get(instance) == instance


@pytest.mark.parametrize("detail", AVAILABLE)
def test_strict_operations_are_accepted_only_where_the_table_has_an_edge(detail):
    """OCCI's reading (AMB-12): what is not applicable is refused without any change."""
    stage = Stage()
    instance = stage.at(detail)
    for op in Op:
        rows = {Op.START: ("release", "resume", "recover_retry"), Op.RESTART_COLD: ("reset",)}
        edges = [transition(row, detail) for row in rows.get(op, (op.value,))]
        possible = any(edge is not None and Who.USER in edge.who for edge in edges)
        command = commands.Operate(op=op, ids=(instance.id,), strict=True)
        with pytest.raises((BackendError, DryRunPassed)) as answer:
            stage.cloud.engine.execute(stage.cloud.caller, command, dry_run=True)
        if isinstance(answer.value, DryRunPassed):
            assert possible, op
        elif possible:  # then only work in progress, or the wish to be gone, stands against it
            assert instance.job_id is not None or instance.desired is Desired.GONE, op
        assert stage.cloud.get(instance) == instance


def test_quiet_details_are_those_without_work():
    assert {detail for detail in AVAILABLE if not is_quiet(detail)} == {
        detail for detail in AVAILABLE if State(detail[:4]) in WORKING
    } | {"done"}


def test_what_ends_by_the_guests_own_will_is_the_owners_choice():
    keep, end = transition("guest_off_keep", "runn"), transition("guest_off_end", "runn")
    assert keep is not None
    assert end is not None
    assert (keep.ok, end.ok) == ("poff", "done")
    assert {item.value for item in GuestShutdown} == {"stop", "terminate"}
