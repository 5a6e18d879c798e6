"""Checks of instances: their states, what is told of each, and the waiters of SDKs.

Three machines are launched. One runs and is left alone; one is stopped and started once; the third is
protected, and then terminated. Each step is made once and recorded; the checks judge the records.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from contextlib import suppress

from conformance.checks import Finding, Unknown, Value, expect
from conformance.ec2 import things
from conformance.ec2.reading import Node, Reply
from conformance.ec2.session import Ec2Session, Record, filters
from conformance.ec2.suite import SUITE

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
NEW_DATA = "#!/bin/sh\necho changed\n"
INSTANCE = "reservationSet/item/instancesSet/item"


class Change(Value, frozen=True, kw_only=True):
    """What one call did to one instance."""

    previous: str
    current: str
    codes: tuple[str, str]


def changes(found: Reply) -> list[Change]:
    """What StartInstances, StopInstances or TerminateInstances answered."""
    return [
        Change(
            previous=each.text("previousState/name"),
            current=each.text("currentState/name"),
            codes=(each.text("previousState/code"), each.text("currentState/code")),
        )
        for each in found.items("instancesSet")
    ]


def _one_change(found: Reply, previous: Sequence[str], current: Sequence[str]) -> None:
    told = changes(found)
    expect(len(told) == 1, f"{len(told)} changes are told, of one instance")
    [each] = told
    expect(each.previous in previous, f"the previous state is {each.previous!r}, not {' or '.join(previous)}")
    expect(each.current in current, f"the current state is {each.current!r}, not {' or '.join(current)}")
    wanted = (CODES[each.previous], CODES[each.current])
    codes = tuple(int(code) & 0xFF for code in each.codes if code.isdigit())
    expect(codes == wanted, f"the codes of {each.previous} and {each.current} are {each.codes}, not {wanted}")


# What is done, once -------------------------------------------------------------------------------------


def launched(session: Ec2Session) -> Record:
    """The launch of the third machine, until it runs."""

    def make(record: Record) -> None:
        record.params = {
            **things.launch_params(session),
            "KeyName": things.key(session),
            "SecurityGroupId.1": things.group(session),
            "ClientToken": session.name("fleeting"),
            "DisableApiTermination": True,
        }
        answer = record.answers["RunInstances"] = session.send("RunInstances", record.params)
        made = session.granted("RunInstances", answer).text("instancesSet/item/instanceId")
        session.afterwards(lambda: session.remove("TerminateInstances", {"InstanceId.1": made}), at_end=True)
        session.afterwards(lambda: _unprotect(session, made), at_end=True)
        record.states["to running"] = things.follow(session, made, "running")
        record.answers["DescribeInstances"] = session.send("DescribeInstances", {"InstanceId.1": made})

    return session.recorded("a third machine", make)


def _unprotect(session: Ec2Session, instance_id: str) -> None:
    session.send("ModifyInstanceAttribute", {"InstanceId": instance_id, "DisableApiTermination.Value": False})


def fleeting(session: Ec2Session) -> Record:
    """The end of the third machine: it is protected and not terminated; it is not, and is."""

    def make(record: Record) -> None:
        before = launched(session)
        made = before.reply("RunInstances").text("instancesSet/item/instanceId")
        target: dict[str, object] = {"InstanceId.1": made}

        def note(name: str, action: str, params: dict[str, object]) -> None:
            record.answers[name] = session.send(action, params)

        note("TerminateInstances of what is protected", "TerminateInstances", target)
        note("DescribeInstances of what is protected", "DescribeInstances", target)
        release: dict[str, object] = {"InstanceId": made, "DisableApiTermination.Value": False}
        note("ModifyInstanceAttribute", "ModifyInstanceAttribute", release)
        note("TerminateInstances", "TerminateInstances", target)
        record.states["to terminated"] = things.follow(session, made, "terminated")
        note("DescribeInstances", "DescribeInstances", target)
        note("StartInstances", "StartInstances", target)
        note("StopInstances", "StopInstances", target)
        note("TerminateInstances again", "TerminateInstances", target)
        note("RunInstances again", "RunInstances", before.params)
        _end_what_was_launched(session, record, made)

    return session.recorded("a machine that was terminated", make)


def _end_what_was_launched(session: Ec2Session, record: Record, made: str) -> None:
    """A launch again that launched another machine, which it must not, is undone."""
    if record.answers["RunInstances again"].status != 200:
        return
    for other in record.reply("RunInstances again").texts("instancesSet/item/instanceId"):
        if other != made:
            session.afterwards(
                lambda other=other: session.remove(  # type: ignore[misc]
                    "TerminateInstances", {"InstanceId.1": other}
                ),
                at_end=True,
            )
            session.afterwards(lambda other=other: _unprotect(session, other), at_end=True)  # type: ignore[misc]


def stopped(session: Ec2Session) -> Record:
    """The second machine is stopped, started and rebooted, and asked meanwhile for what it must not do."""

    def make(record: Record) -> None:
        worker = things.worker(session)
        target: dict[str, object] = {"InstanceId.1": worker}
        things.running(session, worker)

        def note(name: str, action: str, params: dict[str, object] = target) -> None:
            record.answers[name] = session.send(action, params)

        note("DescribeInstances of what runs", "DescribeInstances")
        # Without Force a guest that still boots would be waited for as long as the operator likes.
        note("StopInstances", "StopInstances", {**target, "Force": True})
        record.states["to stopped"] = things.follow(session, worker, "stopped")
        note("DescribeInstances", "DescribeInstances")
        note("StopInstances again", "StopInstances")
        note("RebootInstances", "RebootInstances")
        note("DescribeInstanceStatus", "DescribeInstanceStatus")
        note(
            "DescribeInstanceStatus of all", "DescribeInstanceStatus", {**target, "IncludeAllInstances": True}
        )
        data: dict[str, object] = {"InstanceId": worker, "UserData.Value": things.encoded(NEW_DATA)}
        note("ModifyInstanceAttribute", "ModifyInstanceAttribute", data)
        note(
            "DescribeInstanceAttribute",
            "DescribeInstanceAttribute",
            {"InstanceId": worker, "Attribute": "userData"},
        )
        _plugged(session, record, worker)
        note("StartInstances", "StartInstances")
        record.states["to running"] = things.follow(session, worker, "running")
        note("DescribeInstances of what was started", "DescribeInstances")
        note("StartInstances again", "StartInstances")
        note("RebootInstances of what runs", "RebootInstances")
        record.states["after a reboot"] = [_state(session, worker) for _ in range(4)]

    return session.recorded("a machine that was stopped", make)


def _state(session: Ec2Session, instance_id: str) -> str:
    return things.instance(session, instance_id).text("instanceState/name")


def _plugged(session: Ec2Session, record: Record, worker: str) -> None:
    """An interface is plugged into a stopped machine, and out again."""
    with suppress(Finding):  # what cannot be had is no fault of what is recorded besides
        interface = things.NEW["interface"](session, shared=True)
        params = {"NetworkInterfaceId": interface, "InstanceId": worker, "DeviceIndex": 1}
        answer = record.answers["AttachNetworkInterface"] = session.send("AttachNetworkInterface", params)
        if answer.status != 200:
            return
        out = {"AttachmentId": record.reply("AttachNetworkInterface").text("attachmentId")}
        told = {"NetworkInterfaceId.1": interface}

        def attached() -> bool | None:
            found = session.ok("DescribeNetworkInterfaces", told)
            return True if found.get("networkInterfaceSet/item/attachment/status") == "attached" else None

        def free() -> bool | None:
            found = session.ok("DescribeNetworkInterfaces", told)
            return True if found.get("networkInterfaceSet/item/status") == "available" else None

        session.until(f"attachment of {interface}", attached)
        record.answers["DetachNetworkInterface"] = session.send("DetachNetworkInterface", out)
        session.until(f"the end of the attachment of {interface}", free)


# What is judged -----------------------------------------------------------------------------------------


@SUITE.check("EC2-STATE-001", changes=True)
def a_launch(session: Ec2Session) -> None:
    """A launch answers a reservation with an instance that is pending."""
    found = launched(session).reply("RunInstances")
    for name in ("reservationId", "ownerId"):
        expect(found.get(name), f"the reservation has no {name}")
    state = found.node("instancesSet/item/instanceState")
    told = (state.text("name"), int(state.text("code")) & 0xFF)
    expect(told == ("pending", 0), f"a launched instance is {told}, not pending (0)")


@SUITE.check("EC2-STATE-002", changes=True)
def what_was_launched(session: Ec2Session) -> None:
    """What runs is what was asked for: image, type, key, group, subnet."""
    record = launched(session)
    found = record.reply("DescribeInstances").node(INSTANCE)
    state = (found.text("instanceState/name"), int(found.text("instanceState/code")) & 0xFF)
    expect(state == ("running", 16), f"the instance is {state}, not running (16)")
    for path, wanted in (
        ("imageId", "ImageId"),
        ("instanceType", "InstanceType"),
        ("keyName", "KeyName"),
        ("groupSet/item/groupId", "SecurityGroupId.1"),
        ("subnetId", "SubnetId"),
        ("clientToken", "ClientToken"),
    ):
        told = found.get(path)
        expect(
            told == record.params[wanted], f"{path} is {told!r}; the launch said {record.params[wanted]!r}"
        )


@SUITE.check("EC2-STATE-023", changes=True)
def a_launch_of_two(session: Ec2Session) -> None:
    """A launch of two makes two instances in one reservation, numbered 0 and 1."""
    pair = things.pair(session)
    found = session.ok("DescribeInstances", {"InstanceId.1": pair[0], "InstanceId.2": pair[1]})
    expect(
        len(found.items("reservationSet")) == 1,
        f"they are in {len(found.items('reservationSet'))} reservations",
    )
    numbers = sorted(found.texts(f"{INSTANCE}/amiLaunchIndex"))
    expect(numbers == ["0", "1"], f"amiLaunchIndex is {numbers}")


@SUITE.check("EC2-STATE-003", changes=True)
def a_stop(session: Ec2Session) -> None:
    """A stop answers running and stopping, and the instance is stopped."""
    record = stopped(session)
    _one_change(record.reply("StopInstances"), ("running",), ("stopping",))
    _is(record.reply("DescribeInstances"), "stopped")


@SUITE.check("EC2-STATE-004", changes=True)
def a_start(session: Ec2Session) -> None:
    """A start answers stopped and pending, and the instance runs."""
    record = stopped(session)
    _one_change(record.reply("StartInstances"), ("stopped",), ("pending",))
    _is(record.reply("DescribeInstances of what was started"), "running")


@SUITE.check("EC2-STATE-005", changes=True)
def a_termination(session: Ec2Session) -> None:
    """A termination answers running and shutting-down, and the instance is terminated."""
    record = fleeting(session)
    _one_change(record.reply("TerminateInstances"), ("running",), ("shutting-down",))
    _is(record.reply("DescribeInstances"), "terminated")


def _is(found: Reply, wanted: str) -> None:
    state = found.node(f"{INSTANCE}/instanceState")
    told = (state.text("name"), int(state.text("code")) & 0xFF)
    expect(told == (wanted, CODES[wanted]), f"the instance is {told}, not {wanted} ({CODES[wanted]})")


@SUITE.check("EC2-STATE-006", changes=True, cases=("stop", "termination"))
def reasons(session: Ec2Session, case: str) -> None:
    """What its user stopped or terminated says so."""
    record = stopped(session) if case == "stop" else fleeting(session)
    found = record.reply("DescribeInstances").node(INSTANCE)
    code = found.get("stateReason/code")
    expect(code == "Client.UserInitiatedShutdown", f"stateReason/code is {code!r}")
    expect(found.get("reason").startswith("User initiated"), f"reason is {found.get('reason')!r}")


@SUITE.check("EC2-STATE-006", changes=True)
def no_reason(session: Ec2Session) -> None:
    """What runs has no reason to."""
    found = things.instance(session, things.machine(session))
    expect(not found.get("reason"), f"reason of a running instance is {found.get('reason')!r}")


@SUITE.check(
    "EC2-STATE-007", changes=True, cases=("start of terminated", "stop of terminated", "reboot of stopped")
)
def what_a_state_forbids(session: Ec2Session, case: str) -> None:
    """What a state does not allow is IncorrectInstanceState."""
    record, name = {
        "start of terminated": (fleeting, "StartInstances"),
        "stop of terminated": (fleeting, "StopInstances"),
        "reboot of stopped": (stopped, "RebootInstances"),
    }[case]
    told = record(session).refusal(name)
    expect(
        (told.status, told.code) == (400, "IncorrectInstanceState"),
        f"expected IncorrectInstanceState, got {told}",
    )


@SUITE.check("EC2-STATE-007", changes=True, cases=("type", "user data"))
def what_a_running_instance_keeps(session: Ec2Session, case: str) -> None:
    """Type and user data of a running instance are not changed: IncorrectInstanceState."""
    machine = things.machine(session)
    params = {
        "type": {"InstanceType.Value": things.other_type(session)},
        "user data": {"UserData.Value": things.encoded(NEW_DATA)},
    }[case]
    session.refused("ModifyInstanceAttribute", {"InstanceId": machine, **params}, "IncorrectInstanceState")
    found = things.instance(session, machine)
    expect(found.text("instanceType") == session.instance_type, "the refused change was made")


@SUITE.check("EC2-STATE-008", changes=True)
def protection(session: Ec2Session) -> None:
    """A protected instance is not terminated, but OperationNotPermitted, and runs."""
    record = fleeting(session)
    told = record.refusal("TerminateInstances of what is protected")
    expect(
        (told.status, told.code) == (400, "OperationNotPermitted"),
        f"expected OperationNotPermitted, got {told}",
    )
    _is(record.reply("DescribeInstances of what is protected"), "running")
    expect(
        record.reply("ModifyInstanceAttribute").get("return") == "true", "protection could not be taken off"
    )
    record.reply("TerminateInstances")


@SUITE.check("EC2-STATE-009", changes=True, cases=("private address", "root volume", "network interface"))
def what_is_kept(session: Ec2Session, case: str) -> None:
    """A stopped and started instance has what it had."""
    path = {
        "private address": "privateIpAddress",
        "root volume": "blockDeviceMapping/item/ebs/volumeId",
        "network interface": "networkInterfaceSet/item/networkInterfaceId",
    }[case]
    record = stopped(session)
    before, meanwhile, after = (
        record.reply(name).node(INSTANCE).texts(path)
        for name in (
            "DescribeInstances of what runs",
            "DescribeInstances",
            "DescribeInstances of what was started",
        )
    )
    expect(before, f"a running instance has no {path}")
    expect(before == meanwhile == after, f"{path} was {before}, stopped {meanwhile}, started {after}")


@SUITE.check("EC2-STATE-010", changes=True)
def what_was_terminated_is_seen(session: Ec2Session) -> None:
    """A terminated instance is told, and is in listings."""
    made = launched(session).reply("RunInstances").text("instancesSet/item/instanceId")
    _is(fleeting(session).reply("DescribeInstances"), "terminated")
    listed = session.ok("DescribeInstances", filters({"instance-state-name": "terminated"}))
    expect(made in listed.texts(f"{INSTANCE}/instanceId"), f"{made} is in no listing of terminated instances")


@SUITE.check("EC2-STATE-018", changes=True)
def status_of_what_runs(session: Ec2Session) -> None:
    """The status of a running instance is told."""
    machine = things.machine(session)
    found = session.ok("DescribeInstanceStatus", {"InstanceId.1": machine})
    expect(found.texts("instanceStatusSet/item/instanceId") == [machine], "the running instance is not told")
    states = set(session.ok("DescribeInstanceStatus").texts("instanceStatusSet/item/instanceState/name"))
    expect(states <= {"running"}, f"instances are told that are {', '.join(sorted(states))}")


@SUITE.check("EC2-STATE-018", changes=True)
def status_of_what_is_stopped(session: Ec2Session) -> None:
    """The status of a stopped instance is told with IncludeAllInstances only."""
    record = stopped(session)
    without = record.reply("DescribeInstanceStatus").items("instanceStatusSet")
    expect(not without, "a stopped instance is told without IncludeAllInstances")
    found = record.reply("DescribeInstanceStatus of all").node("instanceStatusSet/item")
    expect(found.text("instanceState/name") == "stopped", f"its state is {found.text('instanceState/name')}")
    status = found.get("instanceStatus/status")
    expect(status == "not-applicable", f"instanceStatus of a stopped instance is {status!r}")


@SUITE.check("EC2-STATE-019", changes=True)
def root_volumes(session: Ec2Session) -> None:
    """The root volume of a terminated instance is gone where it says deleteOnTermination."""
    found = launched(session).reply("DescribeInstances").node(INSTANCE)
    volume = found.text("blockDeviceMapping/item/ebs/volumeId")
    if found.get("blockDeviceMapping/item/ebs/deleteOnTermination") != "true":
        session.afterwards(lambda: session.remove("DeleteVolume", {"VolumeId": volume}), at_end=True)
        raise Unknown("the image's root volume outlives the instance")
    fleeting(session)

    def gone() -> bool | None:
        answer = session.send("DescribeVolumes", {"VolumeId.1": volume})
        if answer.status == 200:
            return None
        session.refusal_of("DescribeVolumes", {"VolumeId.1": volume}, answer, "InvalidVolume.NotFound")
        return True

    session.until(f"the end of {volume}, the root of a terminated instance", gone)


@SUITE.check("EC2-STATE-021", changes=True)
def user_data(session: Ec2Session) -> None:
    """The attribute userData is what the launch gave, in base64."""
    params = {"InstanceId": things.machine(session), "Attribute": "userData"}
    _data(session.ok("DescribeInstanceAttribute", params), things.USER_DATA)


@SUITE.check("EC2-STATE-021", changes=True)
def other_user_data(session: Ec2Session) -> None:
    """A stopped instance is given other user data."""
    record = stopped(session)
    record.reply("ModifyInstanceAttribute")
    _data(record.reply("DescribeInstanceAttribute"), NEW_DATA)


def _data(found: Node, wanted: str) -> None:
    told = found.text("userData/value")
    try:
        decoded = base64.b64decode(told, validate=True).decode()
    except (binascii.Error, ValueError):
        decoded = f"(not base64) {told}"
    expect(decoded == wanted, f"the user data is {decoded!r}, not {wanted!r}")


@SUITE.check("EC2-STATE-022", changes=True)
def a_reboot(session: Ec2Session) -> None:
    """A rebooted instance stays running."""
    record = stopped(session)
    record.reply("RebootInstances of what runs")
    seen = record.states["after a reboot"]
    expect(set(seen) == {"running"}, f"the states of a rebooted instance were {', '.join(seen)}")


@SUITE.check("EC2-STATE-027", changes=True)
def console_output(session: Ec2Session) -> None:
    """Console output is base64, or there is none."""
    machine = things.machine(session)
    found = session.ok("GetConsoleOutput", {"InstanceId": machine})
    expect(found.get("instanceId") == machine, f"instanceId is {found.get('instanceId')!r}")
    output = "".join(found.get("output").split())
    try:
        base64.b64decode(output, validate=True)
    except (binascii.Error, ValueError) as error:
        expect(holds=False, message=f"the output is not base64 ({error}): {output[:60]!r}")
