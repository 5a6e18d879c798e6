"""From the backend to EC2's words: states, reasons, refusals, zones. Pure functions only."""

from __future__ import annotations

import re

import pytest
from ec2_instances import AT, an_instance, an_interface

from backend.errors import BackendError, Code
from backend.lifecycle import VIEWS
from backend.model import Desired, Reason
from ec2 import instance_mapping, mapping
from ec2.errors import http_status
from ec2.refusals import ANSWERS, from_backend

# Refusals -----------------------------------------------------------------------------------------------


def test_every_refusal_of_the_backend_has_an_answer():
    assert set(ANSWERS) == set(Code)


@pytest.mark.parametrize("code", list(Code))
def test_each_answer_is_whole_with_and_without_context(code):
    full = {
        "ids": ("i-0123456789abcdef0",),
        "name": "n",
        "parameter": "Name",
        "value": "v",
        "op": "start",
        "state": "runn",
        "lock": "stop",
        "limit": 1,
        "token": "t",
    }
    for context in ({}, full):
        error = from_backend(BackendError(code, "The backend's sentence.", **context))
        assert re.fullmatch(r"[A-Za-z]+(\.[A-Za-z]+)*", error.code)
        assert error.message
        assert "{" not in error.message
        assert (http_status(error.code) >= 500) == (
            code
            in {
                Code.INTERNAL,
                Code.STALE,
                Code.HOST_UNAVAILABLE,
                Code.NO_CAPACITY,
                Code.VOLUME_CAPACITY,
                Code.PUBLIC_ADDRESSES_EXHAUSTED,
            }
        )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            BackendError(Code.INSTANCE_NOT_FOUND, "x", ids=("i-1", "i-2")),
            "InvalidInstanceID.NotFound",
            "The instance IDs 'i-1, i-2' do not exist",
        ),
        (
            BackendError(Code.INSTANCE_WRONG_STATE, "x", ids=("i-1",), op="start"),
            "IncorrectInstanceState",
            "The instance 'i-1' is not in a state from which it can be started.",
        ),
        (
            BackendError(Code.INSTANCE_LOCKED, "x", ids=("i-1",), lock="terminate"),
            "OperationNotPermitted",
            (
                "The instance 'i-1' may not be terminated. Modify its 'disableApiTermination' "
                "instance attribute and try again."
            ),
        ),
        (
            BackendError(Code.KEY_PAIR_NOT_FOUND, "x", name="k"),
            "InvalidKeyPair.NotFound",
            "The key pair 'k' does not exist",
        ),
        (
            BackendError(Code.RESOURCE_NOT_FOUND, "x", ids=("vol-0123456789abcdef0",)),
            "InvalidVolume.NotFound",
            "The volume 'vol-0123456789abcdef0' does not exist.",
        ),
        (BackendError(Code.RESOURCE_NOT_FOUND, "x", ids=("zzz",)), "InvalidID", "The ID 'zzz' is not valid"),
        (
            BackendError(Code.PARAMETER_INVALID, "No.", parameter="KeyName", value="v"),
            "InvalidParameterValue",
            "Value (v) for parameter keyName is invalid. No.",
        ),
        (
            BackendError(Code.PARAMETER_MISSING, "x", parameter="image"),
            "MissingParameter",
            "The request must contain the parameter ImageId",
        ),
    ],
)
def test_exact_words(error, code, message):
    found = from_backend(error)
    assert (found.code, found.message) == (code, message)


def test_an_internal_refusal_tells_nothing():
    assert "secret" not in from_backend(BackendError(Code.INTERNAL, "secret path")).message


# States -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detail", sorted(VIEWS))
@pytest.mark.parametrize("desired", [Desired.RUN, Desired.GONE])
def test_every_detail_has_a_state_and_a_rendering(detail, desired):
    row = an_instance(detail=detail, desired=desired, by_user=True, reason=Reason.USER_SHUTDOWN)
    name = mapping.state_name(row)
    if desired is Desired.GONE and detail != "done":
        assert name == "shutting-down"
    assert mapping.state_document(name)["Code"] == mapping.STATE_CODES[name]
    document = instance_mapping.instance_document(row, {"k": "v"}, (), [an_interface()])
    assert "PrivateIpAddress" in document
    for member in ("PrivateIpAddress", "VpcId", "SubnetId", "SourceDestCheck"):
        assert (document[member] is None) == (name == "terminated")
    assert len(document["NetworkInterfaces"]) == len(document["SecurityGroups"]) == (name != "terminated")
    reason = mapping.state_reason(row)
    if name in {"stopping", "stopped", "shutting-down", "terminated"}:
        assert reason is not None
        assert reason.code == "Client.UserInitiatedShutdown"
        assert mapping.transition_reason(row) == "User initiated (2026-01-02 03:04:05 GMT)"
    if name == "running":
        assert reason is None
        assert mapping.transition_reason(row) == ""


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(reason):
    stopped = an_instance(detail="poff", reason=reason)
    found = mapping.state_reason(stopped)
    assert (found is None) == (reason is Reason.NONE)
    ended = mapping.state_reason(an_instance(detail="done", reason=reason))
    assert ended is not None
    assert ended.message.startswith(f"{ended.code}: ")


@pytest.mark.parametrize(
    ("changes", "code", "transition"),
    [
        ({"detail": "done", "reason": Reason.NO_CAPACITY}, "Server.InsufficientInstanceCapacity", "Server.Insuff"),
        ({"detail": "done", "reason": Reason.LAUNCH_FAILED}, "Server.InternalError", "Server.InternalError"),
        ({"detail": "fail.boot", "reason": Reason.LAUNCH_FAILED}, "Server.InternalError", ""),
        ({"detail": "poff", "reason": Reason.CRASHED}, "Server.InternalError", "Server.InternalError"),
        ({"detail": "poff", "reason": Reason.GUEST_SHUTDOWN}, "Client.InstanceInitiatedShutdown", ""),
        ({"detail": "susp.disk", "reason": Reason.USER_HIBERNATE}, "Client.UserInitiatedHibernate", ""),
        ({"detail": "pend", "reason": Reason.NO_CAPACITY, "reason_text": "1 hosts: 1 full"}, "pending", ""),
    ],
)  # fmt: skip
def test_reasons_by_state(changes, code, transition):
    row = an_instance(**changes)
    found = mapping.state_reason(row)
    assert found is not None
    assert found.code == code
    assert mapping.transition_reason(row).startswith(transition)
    assert bool(transition) == bool(mapping.transition_reason(row))
    if code == "pending":  # not how many hosts are full
        assert found.document == {"Code": "pending", "Message": "Waiting for capacity."}


@pytest.mark.parametrize(
    ("changes", "after", "expected"),
    [
        ({"detail": "runn"}, 10, ("initializing", "initializing")),
        ({"detail": "runn"}, 60, ("ok", "ok")),
        ({"detail": "runn", "health": "io-error"}, 600, ("impaired", "ok")),
        ({"detail": "hotp@runn"}, 600, ("ok", "ok")),
        ({"detail": "boot.unkn"}, 600, ("initializing", "ok")),
        ({"detail": "migr.live"}, 600, ("initializing", "ok")),
        ({"detail": "unkn", "last_seen": AT - 5}, 600, ("insufficient-data", "impaired")),
        ({"detail": "unkn", "desired": Desired.GONE}, 600, ("not-applicable", "not-applicable")),
        ({"detail": "poff"}, 600, ("not-applicable", "not-applicable")),
    ],
)  # fmt: skip
def test_status_checks(changes, after, expected):
    row = an_instance(**changes)
    assert mapping.checks(row, AT + after) == expected
    document = mapping.status_document(row, AT + after)
    assert (document["InstanceStatus"]["Status"], document["SystemStatus"]["Status"]) == expected
    if expected[1] == "impaired":
        assert document["SystemStatus"]["Details"][0]["ImpairedSince"] == mapping.moment(AT - 5)


# Names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "zone", "expected"),
    [
        ("us-east-1", "us-east-1a", "use1-az1"),
        ("eu-central-1", "eu-central-1b", "euc1-az2"),
        ("ap-southeast-2", "ap-southeast-2c", "apse2-az3"),
        ("us-gov-west-1", "us-gov-west-1a", "usgw1-az1"),
        ("home", "homea", "home-az1"),
        ("home", "cellar", None),
        ("home", "home1", None),
    ],
)
def test_zone_ids(region, zone, expected):
    assert mapping.zone_id_of(region, zone) == expected


def test_private_names():
    assert mapping.private_dns_name(an_instance()) == "ip-10-1-2-3.eu-central-1.compute.internal"
    assert mapping.private_dns_name(an_instance(region="us-east-1")) == "ip-10-1-2-3.ec2.internal"
    assert mapping.private_dns_name(an_instance(detail="done")) == ""
