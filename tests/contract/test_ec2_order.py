"""The order of checks, operation by operation: syntax, dry run, ids that are none, ids of nothing.

The rows are made of requests that succeed (``ec2_valid.py``): in each, one id is put out of shape, changed to
one that nothing has, or to one of another tenant's, which must make no difference. What is answered follows
from the kind of the id (``ec2.ids``); where an operation answers otherwise, ``OTHERWISE`` says so with the
reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from ec2_population import Population, text_of
from ec2_valid import valid_requests, wire

from ec2.ids import MALFORMED, NOT_FOUND, IdKind, kind_of
from ec2.service import EC2

_ZEROS = "0" * 17
_NUMBER = re.compile(r"\.[0-9]+")


class Answer(msgspec.Struct, frozen=True):
    """Codes in place of those of the id's kind, or ``SUCCEEDS``; ``why`` is the reason."""

    why: str
    malformed: str = ""
    unknown: str = ""


SUCCEEDS = "it succeeds"
_STORED = Answer(why="a template is stored, not resolved", malformed=SUCCEEDS, unknown=SUCCEEDS)
_NO_KIND = Answer(why="what is tagged may be of any kind", malformed="InvalidID")
OTHERWISE: Mapping[tuple[str, str], Answer] = {
    ("CreateLaunchTemplate", "LaunchTemplateData.ImageId"): _STORED,
    ("CreateLaunchTemplate", "LaunchTemplateData.NetworkInterface.SecurityGroupId"): _STORED,
    ("CreateLaunchTemplate", "LaunchTemplateData.NetworkInterface.SubnetId"): _STORED,
    ("CreateRoute", "GatewayId"): Answer(
        why="it may be of several kinds of gateways", unknown="InvalidGatewayID.NotFound"
    ),
    ("CreateTags", "ResourceId"): _NO_KIND,
    ("DeleteTags", "ResourceId"): _NO_KIND,
    ("DeleteKeyPair", "KeyPairId"): Answer(why="what is gone is gone", unknown=SUCCEEDS),
    ("DetachInternetGateway", "VpcId"): Answer(why="it is not attached there", unknown="Gateway.NotAttached"),
    ("ModifyInstanceCreditSpecification", "InstanceCreditSpecification.InstanceId"): Answer(
        why="each instance is answered for itself", malformed=SUCCEEDS, unknown=SUCCEEDS
    ),
}


@pytest.fixture(scope="module")
def populated(tmp_path_factory) -> Iterator[Population]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Population(monkeypatch, tmp_path_factory.mktemp("exports"))


def answer(populated: Population, name: str, pairs: Mapping[str, str]) -> tuple[int, str, str]:
    """Status, code and message; a request that succeeds or changes something is undone."""
    reply = populated.post(list(pairs.items()), name)
    if populated.changed():
        populated.restore()
    return reply.status_code, text_of(reply, "Code") or "", text_of(reply, "Message") or ""


def rows(populated: Population, name: str) -> Iterator[tuple[dict[str, str], str, IdKind]]:
    """Requests that succeed with a parameter of each that is an id, and the id's kind; each kind of parameter
    once.
    """
    met: set[str] = set()
    for request in valid_requests(populated.named).get(name, ()):
        pairs = dict(wire(name, request))
        for parameter, value in pairs.items():
            kind = kind_of(value)
            word = _NUMBER.sub("", parameter)
            if kind is not None and word not in met:
                met.add(word)
                yield pairs, parameter, kind


def expected(name: str, parameter: str, kind: IdKind) -> tuple[tuple[int, str], tuple[int, str]]:
    """Status and code for an id out of shape and for one that nothing has."""
    other = OTHERWISE.get((name, _NUMBER.sub("", parameter)), Answer(why=""))
    return _told(other.malformed or MALFORMED[kind].code), _told(other.unknown or NOT_FOUND[kind].code)


def _told(code: str) -> tuple[int, str]:
    return (200, "") if code == SUCCEEDS else (400, code)


@pytest.mark.parametrize("name", sorted(EC2.endpoints))
def test_ids(populated, name):
    for pairs, parameter, kind in rows(populated, name):
        malformed, unknown = expected(name, parameter, kind)
        shape = f"{kind.value}-xyz"
        told = answer(populated, name, pairs | {parameter: shape})
        assert told[:2] == malformed, (parameter, told)
        nothing = f"{kind.value}-{_ZEROS}"
        told = answer(populated, name, pairs | {parameter: nothing})
        assert told[:2] == unknown, (parameter, told)
        for theirs in populated.theirs.get(kind.value, ())[:1]:
            of_other = answer(populated, name, pairs | {parameter: theirs})
            assert of_other[2].replace(theirs, nothing) == told[2], (parameter, of_other)
            assert of_other[:2] == told[:2]
        if "DryRun" in {each.name for each in EC2.endpoints[name].shape.input.members}:
            for identity in (shape, nothing):
                dry = answer(populated, name, pairs | {parameter: identity, "DryRun": "true"})
                assert dry[:2] == (412, "DryRunOperation"), (parameter, dry)


@pytest.mark.parametrize("name", sorted(EC2.endpoints))
def test_syntax_comes_before_dry_run(populated, name):
    shape = EC2.endpoints[name].shape.input
    requests = valid_requests(populated.named).get(name, [{}])
    pairs = dict(wire(name, requests[0]))
    dry: dict[str, Any] = {"DryRun": "true"} if "DryRun" in {each.name for each in shape.members} else {}
    told = answer(populated, name, pairs | dry | {"Nonsense": "x"})
    assert told == (400, "UnknownParameter", "The parameter Nonsense is not recognized")
    for member in shape.members:
        if member.required:
            word = member.request_name
            less = {key: value for key, value in pairs.items() if key.split(".")[0] != word}
            told = answer(populated, name, less | dry)
            assert told == (400, "MissingParameter", f"The request must contain the parameter {word}")
    if dry:
        told = answer(populated, name, pairs | dry)
        assert told == (
            412,
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
        )
        told = answer(populated, name, pairs | {"DryRun": "perhaps"})
        assert told[:2] == (400, "InvalidParameterValue")
