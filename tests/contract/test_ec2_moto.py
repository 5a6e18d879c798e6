"""moto and this cloud are asked the same; every difference is listed with the reason, and AWS's words decide.

``moto_differences.toml`` holds what is known and reviewed. A difference that is not in it fails, as does one
in it that is no more. Differences of replies are told by structure of the service model and member, for
the operations where they are seen: a member that one side lacks; a list that is empty on one side alone; an
enum's word, a switch, a number or a text that differs; a text of another kind (an id of another prefix, a
time, an address). What is never the same in two clouds (ids, times, addresses, keys) is compared by its kind.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore import xform_name
from botocore.config import Config
from ec2_conversations import CONVERSATIONS, Said, Talk, converse
from ec2_face import Ec2Cloud
from ec2_replies import MODEL
from moto import mock_aws
from moto.ec2.responses import EC2Response
from network_cloud import ZONES, network_cloud

from ec2.actions import ACTIONS

SEED = (
    "http://motoapi.amazonaws.com/moto-api/seed?a=1"  # it draws addresses, which may be one that is asked for
)
FILE = Path(__file__).with_name("moto_differences.toml")
_KINDS = (
    ("id", r"[a-z]+(-[a-z]+)*-([0-9a-f]{17}|[0-9a-f]{8})"),
    ("address", r"\d+\.\d+\.\d+\.\d+"),
    ("block", r"\d+\.\d+\.\d+\.\d+/\d+"),
    ("MAC address", r"([0-9a-f]{2}:){5}[0-9a-f]{2}"),
    ("fingerprint", r"([0-9a-f]{2}:){15,}[0-9a-f]{2}|[A-Za-z0-9+/]{43}="),
    ("account", r"\d{12}"),
    ("number", r"-?\d+"),
    ("ARN", r"arn:.*"),
    ("private key", r"(?s)-----BEGIN .*"),
    ("public key", r"(?s)ssh-.*"),
    ("name of a machine", r"(ip|ec2)-[\d-]+\..*"),
    ("time", r"\d{4}-\d\d-\d\dT.*"),
    ("token", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
)
_WRAPPERS = frozenset({"AttributeBooleanValue", "AttributeValue"})  # of what, the place says
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def _said(value: Any) -> tuple[str, Any]:
    """The kind of a value, and the value where two clouds may be held to say the same."""
    if not isinstance(value, str):
        return type(value).__name__, None if isinstance(value, datetime) else value
    for kind, pattern in _KINDS:
        if re.fullmatch(pattern, value):
            return (f"{value.rpartition('-')[0]}-" if kind == "id" else kind), None
    return "text", _MOMENT.sub("…", value)


def differences(
    shape: Any, ours: Sequence[Any], theirs: Sequence[Any], path: str
) -> Iterator[tuple[str, str]]:
    """How all values at one place of two replies differ, as kind and path; ``path`` is of the place itself."""
    if shape.type_name == "structure":
        owner = path if shape.name in _WRAPPERS else shape.name
        for name, member in shape.members.items():
            mine, other = ([each[name] for each in side if name in each] for side in (ours, theirs))
            yield from _sides(mine, other, member, f"{owner}.{name}")
    elif shape.type_name == "list":
        mine, other = ([each for found in side for each in found] for side in (ours, theirs))
        yield from _sides(mine, other, shape.member, f"{path}[]")
    else:
        mine_said, other_said = ({_said(each) for each in side} for side in (ours, theirs))
        if mine_said != other_said:
            same_kind = {each[0] for each in mine_said} == {each[0] for each in other_said}
            yield ("other_value" if same_kind else "other_type"), path


def _sides(ours: Sequence[Any], theirs: Sequence[Any], shape: Any, path: str) -> Iterator[tuple[str, str]]:
    if ours and theirs:
        yield from differences(shape, ours, theirs, path)
    elif ours or theirs:
        yield ("only_ours" if ours else "only_moto"), path


def our_replies() -> list[Said]:
    """What this cloud says in all conversations."""
    said: list[Said] = []
    made: set[tuple[str, str]] = set()
    for conversation in CONVERSATIONS:
        with pytest.MonkeyPatch.context() as monkeypatch:
            cloud = network_cloud()
            cloud.add_host(zone=ZONES[1])
            cloud.poll()
            face = Ec2Cloud(monkeypatch, cloud=cloud, public_domain="compute.example.com")
            said += converse(conversation, Talk(face.ann, cloud.settle, made))
    return said


def _their_client() -> Any:
    return boto3.client(
        "ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y",
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )  # fmt: skip


def their_replies() -> list[Said]:
    """What moto says in all conversations."""
    said: list[Said] = []
    made: set[tuple[str, str]] = set()
    for conversation in CONVERSATIONS:
        with mock_aws():
            requests.post(SEED, timeout=10)
            said += converse(conversation, Talk(_their_client(), lambda: None, made))
    return said


def shared_operations() -> set[str]:
    """The operations that both clouds have; moto says of one that it has not that it is not yet implemented."""
    found = set()
    with mock_aws():
        client = _their_client()
        for operation in MODEL.operation_names:
            if operation not in ACTIONS or not hasattr(EC2Response, xform_name(operation)):
                continue
            try:
                getattr(client, xform_name(operation))()
            except NotImplementedError as error:
                if "not yet implemented" in str(error):
                    continue
            except Exception:  # whatever else it says of a request without parameters, it does something
                pass
            found.add(operation)
    return found


Pairs = list[tuple[Said, Said]]


@pytest.fixture(scope="module")
def both() -> Pairs:
    """All that was said, ours and moto's side by side."""
    return list(zip(our_replies(), their_replies(), strict=True))


@pytest.fixture(scope="module")
def reviewed() -> Any:
    return tomllib.loads(FILE.read_text())


def found_differences(both: Pairs) -> set[tuple[str, str, str]]:
    """Kind, path and operation of every difference of two replies."""
    return {
        (kind, path, mine.operation)
        for mine, other in both
        if not mine.mistake and (shape := MODEL.operation_model(mine.operation).output_shape) is not None
        for kind, path in differences(shape, [mine.reply], [other.reply], shape.name)
    }


def found_refusals(both: Pairs) -> set[tuple[str, str, str]]:
    """The mistake, our answer and moto's, wherever the two answers differ."""
    return {
        (f"{mine.operation}: {mine.mistake}", mine.refused, other.refused)
        for mine, other in both
        if mine.refused != other.refused
    }


def test_both_were_asked_the_same(both):
    assert [(mine.operation, mine.mistake) for mine, _ in both] == [
        (other.operation, other.mistake) for _, other in both
    ]
    assert len([mine for mine, _ in both if mine.mistake]) > 250
    granted = {(mine.operation, mine.mistake) for mine, _ in both if mine.refused == "granted"}
    assert granted == set()
    assert not [mine for mine, _ in both if mine.refused == "breaks"]


def test_every_operation_that_both_have_is_talked_of(both):
    assert shared_operations() - {mine.operation for mine, _ in both if not mine.mistake} == set()


def test_every_difference_of_replies_is_reviewed(both, reviewed):
    listed = [
        (each["kind"], path, operation)
        for each in reviewed["difference"]
        for path, operations in each["paths"].items()
        for operation in operations
    ]
    assert len(listed) == len(set(listed))
    found = found_differences(both)
    assert found - set(listed) == set(), "seen and not listed"
    assert set(listed) - found == set(), "listed and not seen"


def test_every_difference_of_refusals_is_reviewed(both, reviewed):
    listed = [
        (mistake, ours, theirs)
        for each in reviewed["refusal"]
        for mistake, (ours, theirs) in each["answers"].items()
    ]
    assert len(listed) == len(set(listed))
    found = found_refusals(both)
    assert found - set(listed) == set(), "seen and not listed"
    assert set(listed) - found == set(), "listed and not seen"


def test_every_difference_has_a_reason(reviewed):
    for each in (*reviewed["difference"], *reviewed["refusal"]):
        assert re.fullmatch(r"\S+( \S+){4,}\.", each["reason"]), each
