"""Checks of doing a thing once: client tokens, and calls that may be made again."""

from __future__ import annotations

from conformance.checks import expect
from conformance.ec2 import things
from conformance.ec2.checks.instances import changes, fleeting, stopped
from conformance.ec2.session import Ec2Session, filters
from conformance.ec2.suite import SUITE


def _of_this_run(session: Ec2Session) -> int:
    """How many instances have the token of the two machines."""
    token = str(things.pair_params(session)["ClientToken"])
    found = session.ok("DescribeInstances", filters({"client-token": token}))
    return len(found.all("reservationSet/item/instancesSet/item"))


@SUITE.check("EC2-IDEM-001", changes=True)
def the_same_launch_again(session: Ec2Session) -> None:
    """A launch with the same token answers with the same instances, and launches none."""
    pair = things.pair(session)
    again = session.ok("RunInstances", things.pair_params(session))
    ids = again.texts("instancesSet/item/instanceId")
    if set(ids) != set(pair):
        session.afterwards(lambda: session.remove("TerminateInstances", _numbered(ids)))
    expect(set(ids) == set(pair), f"the launch of {pair} again answered {ids}")
    first = things.instance(session, pair[0])
    expect(first.get("clientToken") == things.pair_params(session)["ClientToken"], "the token is not told")
    expect(_of_this_run(session) == 2, f"{_of_this_run(session)} instances have the token")


def _numbered(ids: list[str]) -> dict[str, str]:
    return {f"InstanceId.{number}": value for number, value in enumerate(ids, 1)}


@SUITE.check("EC2-IDEM-002", changes=True, cases=("number", "user data", "group"))
def another_launch_of_the_token(session: Ec2Session, case: str) -> None:
    """A launch with the token of another is IdempotentParameterMismatch."""
    things.pair(session)
    params = dict(things.pair_params(session))
    if case == "number":
        params["MinCount"] = params["MaxCount"] = 1
    elif case == "user data":
        params["UserData"] = things.encoded("#!/bin/sh\n")
    else:
        del params["SecurityGroupId.1"]
    session.refused("RunInstances", params, "IdempotentParameterMismatch")
    expect(_of_this_run(session) == 2, "the refused launch launched something")


@SUITE.check("EC2-IDEM-003", changes=True)
def the_same_volume_again(session: Ec2Session) -> None:
    """CreateVolume with the same token answers with the same volume."""
    params = {"AvailabilityZone": things.zone(session), "Size": 1, "ClientToken": session.name("token")}
    first = session.make("CreateVolume", params).text("volumeId")
    second = session.make("CreateVolume", params).text("volumeId")
    expect(first == second, f"the same token made {first} and {second}")


@SUITE.check("EC2-IDEM-004", changes=True)
def another_volume_of_the_token(session: Ec2Session) -> None:
    """CreateVolume with the token of another is IdempotentParameterMismatch."""
    params = {"AvailabilityZone": things.zone(session), "Size": 1, "ClientToken": session.name("token")}
    session.make("CreateVolume", params)
    session.refused("CreateVolume", {**params, "Size": 2}, "IdempotentParameterMismatch")


@SUITE.check("EC2-IDEM-005", changes=True)
def tokens_that_are_too_long(session: Ec2Session) -> None:
    """A token of 65 characters is refused, and one of 64 is not."""
    params = {"AvailabilityZone": things.zone(session), "Size": 1}
    token = session.name("token").ljust(64, "x")
    session.make("CreateVolume", {**params, "ClientToken": token})
    session.refused("CreateVolume", {**params, "ClientToken": f"{token}x"}, "InvalidParameterValue")


@SUITE.check("EC2-IDEM-006", changes=True)
def tokens_have_cases(session: Ec2Session) -> None:
    """A token in other letters is another token."""
    params = {"AvailabilityZone": things.zone(session), "Size": 1}
    token = session.name("token")
    first = session.make("CreateVolume", {**params, "ClientToken": token}).text("volumeId")
    second = session.make("CreateVolume", {**params, "ClientToken": token.upper()}).text("volumeId")
    expect(first != second, f"tokens that differ in their letters made one volume, {first}")


@SUITE.check("EC2-IDEM-007", changes=True)
def a_launch_again_of_what_was_terminated(session: Ec2Session) -> None:
    """A launch again of an instance that was terminated is IdempotentInstanceTerminated."""
    told = fleeting(session).refusal("RunInstances again")
    expect(told.code == "IdempotentInstanceTerminated", f"expected IdempotentInstanceTerminated, got {told}")


@SUITE.check("EC2-IDEM-008", changes=True, cases=("stop", "start", "terminate"))
def what_was_done_again(session: Ec2Session, case: str) -> None:
    """What is done to an instance that it was done to succeeds, and changes nothing."""
    record, name, state = {
        "stop": (stopped, "StopInstances again", "stopped"),
        "start": (stopped, "StartInstances again", "running"),
        "terminate": (fleeting, "TerminateInstances again", "terminated"),
    }[case]
    [found] = changes(record(session).reply(name))
    expect(
        (found.previous, found.current) == (state, state),
        f"{name}: {found.previous} became {found.current}; it was {state}",
    )


@SUITE.check("EC2-IDEM-009", changes=True)
def deleting_a_key_pair_again(session: Ec2Session) -> None:
    """Deleting a key pair twice succeeds."""
    name = things.new_key(session)
    session.ok("DeleteKeyPair", {"KeyName": name})
    session.ok("DeleteKeyPair", {"KeyName": name})


@SUITE.check("EC2-IDEM-010", changes=True)
def tagging_again(session: Ec2Session) -> None:
    """A tag of the same key takes the place of the one before."""
    volume = things.thing(session, "volume")
    session.afterwards(lambda: session.remove("DeleteTags", {"ResourceId.1": volume, "Tag.1.Key": "again"}))
    for value in ("first", "second", "second"):
        session.ok("CreateTags", {"ResourceId.1": volume, "Tag.1.Key": "again", "Tag.1.Value": value})
    found = session.ok("DescribeTags", filters({"resource-id": volume, "key": "again"}))
    expect(found.texts("tagSet/item/value") == ["second"], f"the tag is {found.texts('tagSet/item/value')}")


@SUITE.check("EC2-IDEM-011", "EC2-WAIT-006", changes=True)
def deleting_a_volume_again(session: Ec2Session) -> None:
    """A deleted volume is told as that, or not at all, and deleting it again is InvalidVolume.NotFound."""
    volume = things.new_volume(session)
    session.ok("DeleteVolume", {"VolumeId": volume})

    def gone() -> bool | None:
        answer = session.send("DescribeVolumes", {"VolumeId.1": volume})
        if answer.status != 200:
            session.refusal_of("DescribeVolumes", {"VolumeId.1": volume}, answer, "InvalidVolume.NotFound")
            return True
        state = session.granted("DescribeVolumes", answer).text("volumeSet/item/status")
        expect(state in {"available", "deleting", "deleted"}, f"a deleted volume is {state}")
        return True if state == "deleted" else None

    session.until(f"the end of {volume}", gone, within=60.0, due=True)
    session.refused("DeleteVolume", {"VolumeId": volume}, "InvalidVolume.NotFound")
