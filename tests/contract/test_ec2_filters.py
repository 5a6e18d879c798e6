"""Every filter that EC2 documents, operation by operation, and pages: how long they may be, and their tokens.

A filter matches something in a cloud that has one of everything, or ``ec2_filters.toml`` says why it cannot.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from ec2_documented import documented_filters, filters_member
from ec2_population import Population, text_of
from ec2_replies import MODEL
from ec2_requests import prefixes_of
from ec2_valid import valid_requests, wire
from lxml import etree

from ec2.service import EC2

NOTHING = tomllib.loads((Path(__file__).parent / "ec2_filters.toml").read_text())
FILTERED = [name for name in sorted(EC2.endpoints) if filters_member(name) and documented_filters(name)]
#: The limits of ``MaxResults`` that the model leaves to prose.
LIMITS: Mapping[str, tuple[int, int]] = {
    "DescribeImages": (5, 1000),
    "DescribeImportImageTasks": (1, 1000),
    "DescribeImportSnapshotTasks": (1, 1000),
    "DescribeInstanceStatus": (5, 1000),
    "DescribeInstances": (5, 1000),
    "DescribeLaunchTemplateVersions": (1, 200),
    "DescribeSnapshotTierStatus": (1, 1000),
    "DescribeSnapshots": (5, 1000),
    "DescribeTags": (5, 1000),
    "DescribeVolumeStatus": (5, 1000),
    "DescribeVolumes": (5, 1000),
    "DescribeVolumesModifications": (5, 500),
    "GetInstanceTypesFromInstanceRequirements": (1, 1000),
}
#: Listings that take ids beside ``MaxResults``: the page then holds what of these fits.
BOTH = frozenset(
    {
        "DescribeExportImageTasks",
        "DescribeImportImageTasks",
        "DescribeImportSnapshotTasks",
        "DescribeLaunchTemplates",
    }
)
PAGED = [
    name
    for name, endpoint in sorted(EC2.endpoints.items())
    if {"MaxResults", "NextToken"} <= {each.name for each in endpoint.shape.input.members}
]


@pytest.fixture(scope="module")
def populated(tmp_path_factory) -> Iterator[Population]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Population(monkeypatch, tmp_path_factory.mktemp("exports"))


def asked(populated: Population, name: str, **fields: str) -> tuple[str, str, int]:
    """Code and message of a refusal, and how many items a reply has."""
    (first, *_) = valid_requests(populated.named)[name]
    reply = populated.post(
        [*wire(name, first), *((key.replace("_", "."), fields[key]) for key in fields)], name
    )
    items = etree.fromstring(reply.content).findall(".//{*}item")
    return text_of(reply, "Code") or "", text_of(reply, "Message") or "", len(items)


@pytest.mark.parametrize("name", FILTERED)
def test_every_filter_matches_something_or_has_a_reason_not_to(populated, name):
    useless = []
    for each in documented_filters(name):
        code, message, items = asked(populated, name, Filter_1_Name=each, Filter_1_Value_1="*")
        assert not code, (each, message)
        if not items:
            useless.append(each)
    assert sorted(useless) == sorted(NOTHING.get(name, ()))


@pytest.mark.parametrize("name", FILTERED)
def test_filters_nobody_knows(populated, name):
    for wrong, shown in (("nonsense", "nonsense"), ("", "null")):
        told = asked(populated, name, Filter_1_Name=wrong, Filter_1_Value_1="*")
        assert told[:2] == ("InvalidParameterValue", f"The filter '{shown}' is invalid")
    (first, *_) = documented_filters(name)
    assert asked(populated, name, Filter_1_Name=first)[2] == 0  # no values match nothing


def test_reasons_are_of_operations_that_are_served():
    assert set(NOTHING) <= set(FILTERED)


@pytest.mark.parametrize("name", PAGED)
def test_the_length_of_pages(populated, name):
    shape = MODEL.operation_model(name).input_shape.members["MaxResults"]
    bounds = shape.metadata
    least, most = LIMITS.get(name) or (bounds["min"], bounds["max"])
    for size in (least, most):
        assert asked(populated, name, MaxResults=str(size))[0] == "", size
    for size in (least - 1, most + 1, -1, 0):
        code, message, _ = asked(populated, name, MaxResults=str(size))
        assert code == "InvalidParameterValue", (size, message)


@pytest.mark.parametrize("name", PAGED)
def test_tokens_of_other_listings(populated, name):
    """A token of another operation, of other parameters, cut short, or never issued."""
    face = populated.face
    issued = face.ann.describe_tags(MaxResults=5)["NextToken"]
    for token in (
        (issued, issued[:-3], "x", "é", "A" * 400) if name != "DescribeTags" else ("x", issued + "x")
    ):
        assert asked(populated, name, NextToken=token)[0] == "InvalidNextToken", token


def with_ids() -> Iterator[tuple[str, str]]:
    """Listings with the parameter that names what is listed."""
    for name in PAGED:
        for member in EC2.endpoints[name].shape.input.members:
            word = member.request_name
            if member.name.endswith("Ids") and word not in {"Owner", "RestorableBy"} and prefixes_of(word):
                if name.startswith("Describe") and name not in BOTH:
                    yield name, word


@pytest.mark.parametrize(("name", "member"), list(with_ids()))
def test_ids_come_without_a_length_of_pages(populated, name, member):
    (prefix, *_) = prefixes_of(member)
    identity = populated.named["data volume"] if prefix == "vol" else populated.mine[prefix][0]
    told = asked(populated, name, **{f"{member}_1": identity, "MaxResults": "5"})
    assert told[0] == "InvalidParameterCombination", told
    assert told[1].endswith(" cannot be used with the parameter maxResults")
