"""The request reader, with botocore's serialiser as the oracle, and hostile forms."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode

import botocore.session
import pytest
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from ec2.service import EC2, STS, operation
from rendering.query_params import QueryError, compile_input, decode_pairs, envelope, parameter_word
from rendering.query_shapes import Kind, ListOf, Scalar, Shape, Structure

MODEL = botocore.session.get_session().get_service_model("ec2")
SERIALIZER = create_serializer("ec2", include_validation=False)
TEXT = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x1F9FF, exclude_categories=["Cs", "Cn", "Cc"]), max_size=12
)


def values(shape: Shape, *, minimum: int = 1) -> st.SearchStrategy[Any]:
    """Values that a client may send for a shape: lists and structures hold something, as nothing is not
    sent.
    """
    match shape:
        case Structure():
            return structures(shape)
        case ListOf():
            most = 3 if shape.maximum is None else min(3, shape.maximum)
            return st.lists(values(shape.item), min_size=max(1, shape.minimum or 0), max_size=most)
        case Scalar(kind=Kind.STRING):
            if shape.choices:
                return st.sampled_from(sorted(shape.choices))
            return TEXT.filter(lambda text: len(text) >= (shape.minimum or 0))
        case Scalar(kind=Kind.BOOLEAN):
            return st.booleans()
        case Scalar(kind=Kind.INTEGER | Kind.LONG):
            low = -(2**31) if shape.minimum is None else shape.minimum
            return st.integers(low, 2**31 - 1 if shape.maximum is None else shape.maximum)
        case Scalar(kind=Kind.TIMESTAMP):
            return st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
        case Scalar(kind=Kind.BLOB):
            return st.binary(max_size=20)
        case _:
            return st.floats(allow_nan=False, allow_infinity=False)


def structures(shape: Structure) -> st.SearchStrategy[dict[str, Any]]:
    members = {member.name: member for member in shape.members}
    needed = {name for name, member in members.items() if member.required}

    @st.composite
    def draw_some(draw: st.DrawFn) -> dict[str, Any]:
        chosen = set(draw(st.lists(st.sampled_from(sorted(members)), min_size=1, max_size=5))) | needed
        return {name: draw(values(members[name].shape)) for name in sorted(chosen)}

    return draw_some() if members else st.just({"_": "never"})


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(sorted(EC2.endpoints)))
    return name, draw(structures(EC2.endpoints[name].shape.input))


@given(requests())
@settings(max_examples=200, deadline=None)
def test_what_botocore_serialises_is_read_back(request_: tuple[str, dict[str, Any]]) -> None:
    name, params = request_
    sent = SERIALIZER.serialize_to_request(params, MODEL.operation_model(name))["body"]
    pairs = decode_pairs(urlencode(sent).encode())
    assert envelope(pairs, "Action") == name
    assert operation(name, envelope(pairs, "Version")).parse(pairs) == params


def parse(action: str, *fields: tuple[str, str]) -> dict[str, Any]:
    return EC2.endpoints[action].parse(fields)


def refusal(action: str, *fields: tuple[str, str]) -> tuple[str, str]:
    with pytest.raises(QueryError) as caught:
        parse(action, *fields)
    return caught.value.code, caught.value.message


def test_list_numbers_are_only_an_order() -> None:
    fields = [("InstanceId.10", "c"), ("InstanceId.0", "a"), ("InstanceId.2", "b")]
    assert parse("DescribeInstances", *fields) == {"InstanceIds": ["a", "b", "c"]}


def test_one_value_of_a_list_needs_no_number() -> None:
    """Libcloud asks so for a key pair."""
    assert parse("DescribeKeyPairs", ("KeyName", "web")) == {"KeyNames": ["web"]}
    assert refusal("DescribeKeyPairs", ("KeyName", "web"), ("KeyName.1", "db"))[0] in {
        "UnknownParameter",
        "MalformedQueryString",
    }
    assert refusal("DescribeKeyPairs", ("Filter", "web"))[0] == "UnknownParameter"


def test_one_value_may_be_numbered() -> None:
    """boto 2 asks so for a console."""
    assert parse("GetConsoleOutput", ("InstanceId.1", "i-1")) == {"InstanceId": "i-1"}
    for fields in ([("InstanceId.2", "i-1")], [("InstanceId.1", "i-1"), ("InstanceId.2", "i-2")]):
        assert refusal("GetConsoleOutput", *fields)[0] == "UnknownParameter"
    assert refusal("GetConsoleOutput", ("InstanceId.1.Value", "i-1"))[0] == "UnknownParameter"


def test_an_empty_list_may_be_named() -> None:
    assert parse("StartInstances", ("InstanceId", "")) == {"InstanceIds": []}
    assert parse("StartInstances", ("InstanceId", ""), ("InstanceId.1", "i-1")) == {"InstanceIds": ["i-1"]}


@pytest.mark.parametrize("verb", ["Start", "Stop", "Reboot", "Terminate"])
def test_a_call_on_no_instances_is_left_to_its_action(verb: str) -> None:
    assert parse(f"{verb}Instances", ("DryRun", "true")) == {"DryRun": True}


def test_modify_attribute_in_both_spellings() -> None:
    old = parse(
        "ModifyInstanceAttribute",
        ("InstanceId", "i-1"),
        ("Attribute", "disableApiTermination"),
        ("Value", "true"),
    )
    assert old == {"InstanceId": "i-1", "Attribute": "disableApiTermination", "Value": "true"}
    new = parse(
        "ModifyInstanceAttribute",
        ("InstanceId", "i-1"),
        ("DisableApiTermination.Value", "True"),
        ("GroupId.1", "sg-1"),
    )
    assert new == {"InstanceId": "i-1", "DisableApiTermination": {"Value": True}, "Groups": ["sg-1"]}


def test_query_names_beat_location_names() -> None:
    prefix = "NetworkInterface.1.PrivateIpAddresses.1.PrivateIpAddress"
    read = parse("RunInstances", ("MinCount", "1"), ("MaxCount", "1"), (prefix, "10.0.0.5"))
    assert read["NetworkInterfaces"] == [{"PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.5"}]}]


def test_no_device_is_present_and_empty() -> None:
    fields = [("MinCount", "1"), ("MaxCount", "1"), ("BlockDeviceMapping.1.NoDevice", "")]
    assert parse("RunInstances", *fields)["BlockDeviceMappings"] == [{"NoDevice": ""}]


def test_signature_parameters_are_no_members() -> None:
    fields = [("Action", "DescribeRegions"), ("Signature", "x"), ("X-Amz-Date", "y"), ("AWSAccessKeyId", "z")]
    assert parse("DescribeRegions", *fields) == {}


@pytest.mark.parametrize(
    ("field", "code", "message"),
    [
        (("Filters.1.Name", "x"), "UnknownParameter", "The parameter Filters is not recognized"),
        (("Filter.Name", "x"), "UnknownParameter", "The parameter Filter.Name is not recognized"),
        (("Filter.1.Hue", "x"), "UnknownParameter", "The parameter Filter.1.Hue is not recognized"),
        (("Filter.1", "x"), "UnknownParameter", "The parameter Filter.1 is not recognized"),
        (("MaxResults.Value", "7"), "UnknownParameter", "The parameter MaxResults.Value is not recognized"),
        (("instanceId.1", "i-1"), "UnknownParameter", "The parameter instanceId is not recognized"),
        (
            ("MaxResults", "7.5"),
            "InvalidParameterValue",
            "Value (7.5) for parameter maxResults is invalid. It is not an integer.",
        ),
        (
            ("MaxResults", "٧"),
            "InvalidParameterValue",
            "Value (٧) for parameter maxResults is invalid. It is not an integer.",
        ),
        (
            ("MaxResults", ""),
            "InvalidParameterValue",
            "Value () for parameter maxResults is invalid. It is not an integer.",
        ),
        (
            ("MaxResults", str(2**31)),
            "InvalidParameterValue",
            f"Value ({2**31}) for parameter maxResults is invalid. It is out of range.",
        ),
        (
            ("DryRun", "yes"),
            "InvalidParameterValue",
            "Value (yes) for parameter dryRun is invalid. It must be true or false.",
        ),
    ],
)
def test_refusals(field: tuple[str, str], code: str, message: str) -> None:
    assert refusal("DescribeInstances", field) == (code, message)


def test_missing_parameters_in_wire_spelling() -> None:
    assert refusal("CreateTags", ("Tag.1.Key", "a")) == (
        "MissingParameter",
        "The request must contain the parameter ResourceId",
    )
    assert refusal("RunInstances", ("MinCount", "1"))[1] == "The request must contain the parameter MaxCount"


def test_attribute_names_are_checked_with_their_sentence() -> None:
    code, message = refusal("DescribeInstanceAttribute", ("InstanceId", "i-1"), ("Attribute", "colour"))
    assert (code, message) == (
        "InvalidParameterValue",
        "Value (colour) for parameter attribute is invalid. Unknown attribute.",
    )


def test_a_private_cloud_has_instance_types_of_its_own() -> None:
    fields = [("MinCount", "1"), ("MaxCount", "1"), ("InstanceType", "isthmus.small")]
    assert parse("RunInstances", *fields)["InstanceType"] == "isthmus.small"


def test_secrets_are_not_repeated() -> None:
    code, message = refusal("ModifyInstanceAttribute", ("InstanceId", "i-1"), ("UserData.Value", "hunter-2"))
    assert code == "InvalidParameterValue"
    assert "hunter" not in message


def test_base64_in_lines_as_old_clients_break_it() -> None:
    wrapped = base64.encodebytes(b"ssh-rsa " * 20).decode()
    assert (
        parse("ImportKeyPair", ("KeyName", "k"), ("PublicKeyMaterial", wrapped))["PublicKeyMaterial"]
        == b"ssh-rsa " * 20
    )


def test_contradicting_repetition_is_refused() -> None:
    assert refusal("DescribeInstances", ("MaxResults", "5"), ("MaxResults", "6"))[0] == "MalformedQueryString"
    assert parse("DescribeInstances", ("MaxResults", "5"), ("MaxResults", "5")) == {"MaxResults": 5}


def test_a_lenient_reader_tells_what_it_passed_over() -> None:
    unknown: list[str] = []
    fields = [("Novelty.1.X", "1"), ("MaxResults", "5"), ("Filter.1.Hue", "red"), ("a" + ".b" * 5000, "x")]
    assert EC2.endpoints["DescribeInstances"].parse(fields, unknown) == {"MaxResults": 5, "Filters": [{}]}
    assert {"Novelty", "Filter.1.Hue"} <= set(unknown)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"Action=%zz", "MalformedQueryString"),
        (b"Action=%", "MalformedQueryString"),
        (b"Action=%ff%fe", "MalformedQueryString"),
        (b"Action=\xff", "MalformedQueryString"),
        (b"Acti%00on=x", "MalformedQueryString"),
        (b"KeyName=a%0Bb", "InvalidParameterValue"),
        (b"KeyName=%EF%BF%BE", "InvalidParameterValue"),
        (b"a=b&" * 100_000, "RequestEntityTooLarge"),
        (b"a=" + b"%41" * 3_000_000, "RequestEntityTooLarge"),
    ],
)
def test_broken_forms(raw: bytes, code: str) -> None:
    with pytest.raises(QueryError) as caught:
        decode_pairs(raw)
    assert caught.value.code == code


def test_form_decoding() -> None:
    assert decode_pairs("a+b=%2B+é&&c&d=x%3Dy=z".encode()) == [("a b", "+ é"), ("c", ""), ("d", "x=y=z")]


@given(
    st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=12)), max_size=4),
    st.sampled_from(["", "=\n%"]),
)
@settings(max_examples=150, deadline=None)
def test_form_decoding_against_the_library(fields: list[tuple[bytes, bytes]], safe: str) -> None:
    raw = (
        "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in fields).encode()
        + safe[:2].encode()
    )
    try:
        pairs = decode_pairs(raw)
    except QueryError:
        return
    assert pairs == parse_qsl(raw.decode(), keep_blank_values=True, errors="strict")


def test_deep_and_wide_names_are_only_unknown() -> None:
    deep = ".".join("abc" * 1000)
    assert refusal("DescribeInstances", (deep, "x"))[0] == "UnknownParameter"
    assert refusal("DescribeInstances", ("InstanceId." + "9" * 5000, "x"))[0] == "UnknownParameter"
    wide = [(f"InstanceId.{number}", "i-1") for number in range(9_999)]
    assert len(parse("DescribeInstances", *wide)["InstanceIds"]) == 9_999


@given(
    st.lists(
        st.tuples(
            st.from_regex(
                r"(InstanceId|Filter|MaxResults|DryRun|TagSpecification|x)?(\.(1|0|Name|Value|Tag|)){0,5}",
                fullmatch=True,
            ),
            TEXT,
        ),
        max_size=8,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_names_are_read_or_refused(fields: list[tuple[str, str]]) -> None:
    try:
        code = type(parse("RunInstances", ("MinCount", "1"), ("MaxCount", "1"), *fields)).__name__
    except QueryError as refused:
        code = refused.code
    assert code in {
        "dict",
        "UnknownParameter",
        "InvalidParameterValue",
        "MalformedQueryString",
        "MissingParameter",
    }


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_decode_or_are_refused(raw: bytes) -> None:
    code, pairs = "", []
    try:
        pairs = decode_pairs(raw)
    except QueryError as refused:
        code = refused.code
    assert code in {"", "MalformedQueryString", "InvalidParameterValue"}
    assert all("\x00" not in name + value for name, value in pairs)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.000000000Z",
        "2026-01-02T04:04:05+01:00",
        "2026-01-02T03:04:05",
    ],
)
def test_times(text: str) -> None:
    shape = EC2.shapes["EbsInstanceBlockDevice"]
    assert compile_input(shape)([("AttachTime", text)]) == {
        "AttachTime": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    }


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-01T00:00:00Z", "1", "0001-01-01T00:00:00+23:59", "2026-W01-1"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(QueryError, match="InvalidParameterValue"):
        compile_input(EC2.shapes["EbsInstanceBlockDevice"])([("AttachTime", text)])


def test_words_of_messages() -> None:
    assert [parameter_word(path) for path in ("Placement.Tenancy", "Filter.1", "1")] == [
        "tenancy",
        "filter",
        "1",
    ]


@pytest.mark.parametrize(
    ("action", "version", "code"),
    [
        (None, "2016-11-15", "MissingAction"),
        ("", "2016-11-15", "MissingAction"),
        ("DescribeInstances", None, "MissingParameter"),
        ("DescribeInstances", "2016-11-16", "NoSuchVersion"),
        ("DescribeInstances", "1999-01-01", "NoSuchVersion"),
        ("DescribeInstances", "latest", "NoSuchVersion"),
        ("CreateVpnGateway", "2016-11-15", "UnsupportedOperation"),
        ("MakeCoffee", "2016-11-15", "InvalidAction"),
        ("describeInstances", "2016-11-15", "InvalidAction"),
        ("GetCallerIdentity", "2016-11-15", "InvalidAction"),
        ("AssumeRoleWithSAML", "2011-06-15", "UnsupportedOperation"),
        ("DescribeInstances", "2011-06-15", "InvalidAction"),
        ("DescribeInstances", "2010-02-30", "NoSuchVersion"),
    ],
)
def test_routing_refusals(action: str | None, version: str | None, code: str) -> None:
    with pytest.raises(QueryError) as caught:
        operation(action, version)
    assert caught.value.code == code


def test_routing() -> None:
    assert operation("DescribeInstances", "2014-10-01") is EC2.endpoints["DescribeInstances"]
    assert operation("GetCallerIdentity", "2011-06-15") is STS.endpoints["GetCallerIdentity"]


def test_the_model_files_are_botocores() -> None:
    from conformance import ec2_model

    assert ec2_model.main(["--check"]) == 0
