"""The reply writer, with botocore's parser as the oracle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import botocore.session
import pytest
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from ec2.service import error_reply, operation, service
from rendering.query_shapes import Kind, ListOf, Scalar, Shape, Structure
from rendering.query_xml import Fragment, UnwritableError, error_document, timestamp_text

EC2 = service("ec2", strict=True)
STS = service("sts", strict=True)
MODEL = botocore.session.get_session().get_service_model("ec2")
VERSION = "2016-11-15"
TEXT = st.text(
    st.one_of(
        st.sampled_from("&<>\"'\r\n\t ]"),
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
    ),
    max_size=12,
)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
SCALARS: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.STRING: TEXT,
    Kind.BOOLEAN: st.booleans(),
    Kind.INTEGER: st.integers(-(2**31), 2**31 - 1),
    Kind.LONG: st.integers(-(2**63), 2**63 - 1),
    Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Kind.DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    Kind.TIMESTAMP: MOMENTS,
    Kind.BLOB: st.binary(max_size=12),
}


def documents(shape: Shape) -> st.SearchStrategy[Any]:
    match shape:
        case Structure():
            return structures(shape)
        case ListOf():
            return st.lists(documents(shape.item), max_size=2)
        case Scalar():
            return SCALARS[shape.kind]


def structures(shape: Structure) -> st.SearchStrategy[dict[str, Any]]:
    members = {member.name: member.shape for member in shape.members}

    @st.composite
    def draw_some(draw: st.DrawFn) -> dict[str, Any]:
        chosen = draw(st.sets(st.sampled_from(sorted(members)), max_size=4))
        return {name: draw(documents(members[name])) for name in sorted(chosen)}

    return draw_some() if members else st.just({})


@st.composite
def replies(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    answering = sorted(name for name, endpoint in EC2.endpoints.items() if endpoint.shape.output)
    name = draw(st.sampled_from(answering))
    return name, draw(structures(EC2.endpoints[name].shape.output or Structure(name="")))


def read_back(name: str, body: bytes, status: int = 200) -> dict[str, Any]:
    response = {"body": body, "headers": {}, "status_code": status}
    parsed: dict[str, Any] = create_parser("ec2").parse(response, MODEL.operation_model(name).output_shape)
    return parsed


@given(replies())
@settings(max_examples=200, deadline=None)
def test_botocore_reads_what_is_written(reply: tuple[str, dict[str, Any]]) -> None:
    name, document = reply
    parsed = read_back(name, EC2.endpoints[name].reply(document, version=VERSION, request_id="r-1"))
    assert parsed.pop("ResponseMetadata")["RequestId"] == "r-1"
    assert parsed == document


def test_the_envelope_carries_the_version_asked_for() -> None:
    body = operation("DescribeRegions", "2014-10-01").reply(
        {"Regions": []}, version="2014-10-01", request_id="abc"
    )
    assert body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<DescribeRegionsResponse xmlns="http://ec2.amazonaws.com/doc/2014-10-01/">'
        b"<requestId>abc</requestId><regionInfo/></DescribeRegionsResponse>"
    )


def test_absent_none_and_empty_differ() -> None:
    write = EC2.fragment("Instance")
    assert write({}) == ""
    assert write({"Tags": None, "ImageId": None}) == ""
    assert write({"Tags": []}) == "<tagSet/>"
    assert write({"KeyName": "", "State": {}}) == "<instanceState></instanceState><keyName></keyName>"


def test_calls_without_result_return_true() -> None:
    body = EC2.endpoints["RebootInstances"].reply(None, version=VERSION, request_id="x")
    assert b"<requestId>x</requestId><return>true</return></RebootInstancesResponse>" in body


@given(structures(EC2.shapes["Instance"]))
@settings(max_examples=60, deadline=None)
def test_a_fragment_stands_for_its_structure(instance: dict[str, Any]) -> None:
    endpoint = EC2.endpoints["DescribeInstances"]
    ready = EC2.fragment("Instance")(instance)
    plain = endpoint.reply({"Reservations": [{"Instances": [instance]}]}, version=VERSION, request_id="x")
    copied = endpoint.reply({"Reservations": [{"Instances": [ready]}]}, version=VERSION, request_id="x")
    reservation = EC2.fragment("Reservation")({"Instances": [ready]})
    nested = endpoint.reply({"Reservations": [reservation]}, version=VERSION, request_id="x")
    assert plain == copied == nested


@pytest.mark.parametrize(
    "instance",
    [
        {"Colour": "red"},
        {"State": "<b/>"},
        {"Tags": "text"},
        {"InstanceId": "a\x00b"},
        {"InstanceId": "\ud800"},
        {"EbsOptimized": "true"},
        {"AmiLaunchIndex": True},
        {"AmiLaunchIndex": "1"},
        {"LaunchTime": datetime(2026, 1, 1)},
        {"Tags": [{"Key": "k", "Hue": "v"}]},
    ],
)
def test_a_wrong_document_is_never_written(instance: dict[str, Any]) -> None:
    with pytest.raises(UnwritableError):
        EC2.fragment("Instance")(instance)


def test_a_fragment_is_no_text() -> None:
    assert EC2.fragment("Instance")({"InstanceId": Fragment("<b/>")}) == "<instanceId>&lt;b/&gt;</instanceId>"


def test_times_are_utc_with_milliseconds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp_text(moment) == "2026-01-02T01:04:05.678Z"


@given(st.text(max_size=20), st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_every_error_is_well_formed(code: str, message: str) -> None:
    root = etree.fromstring(error_document(code=code, message=message, request_id="r-1"))
    assert root.findtext("RequestID") == "r-1"
    assert root.tag == "Response"


def test_botocore_reads_errors() -> None:
    body = error_reply(
        "InvalidInstanceID.NotFound", "The instance ID '<&>' does not exist", version=VERSION, request_id="r"
    )
    parsed = read_back("DescribeInstances", body, 400)
    assert parsed["Error"] == {
        "Code": "InvalidInstanceID.NotFound",
        "Message": "The instance ID '<&>' does not exist",
    }
    assert parsed["ResponseMetadata"]["RequestId"] == "r"


def test_the_identity_of_the_caller_in_the_other_protocol() -> None:
    model = botocore.session.get_session().get_service_model("sts").operation_model("GetCallerIdentity")
    identity = {"UserId": "AIDA", "Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/a"}
    body = STS.endpoints["GetCallerIdentity"].reply(identity, version="2011-06-15", request_id="r")
    parsed = create_parser("query").parse(
        {"body": body, "headers": {}, "status_code": 200}, model.output_shape
    )
    assert parsed.pop("ResponseMetadata")["RequestId"] == "r"
    assert parsed == identity
    failed = error_reply("AuthFailure", "no", version="2011-06-15", request_id="r")
    parsed = create_parser("query").parse(
        {"body": failed, "headers": {}, "status_code": 403}, model.output_shape
    )
    assert parsed["Error"]["Code"] == "AuthFailure"
