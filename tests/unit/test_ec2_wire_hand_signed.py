"""Requests signed by hand against the specifications: whatever means the same is accepted, in every spelling
that a client or a proxy may choose, and nothing else is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hand_signer import Pairs, Signer, encoded, moment_of, query_of, v2, v4, v4_query
from hypothesis import given, settings
from hypothesis import strategies as st

from ec2 import signing
from ec2.signature import SignatureError, SignaturePolicy, SignedRequest
from rendering.query_params import decode_pairs

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
POLICY = SignaturePolicy(version_2=True)
ANN = Signer("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
HOST = "cloud.example:8773"
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8)
NAME = st.from_regex(r"[A-Z][A-Za-z.0-9~_-]{0,8}|[a-z =&%+é]{1,4}", fullmatch=True)
PAIRS = st.lists(st.tuples(NAME, TEXT), max_size=6)


def received(
    method: str = "GET",
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    path="/",
) -> SignedRequest:
    return SignedRequest(
        method=method,
        path=path,
        query=query,
        headers=headers or {"host": HOST},
        body=body,
        pairs=decode_pairs(query.encode()) + decode_pairs(body),
    )


def verdict(request: SignedRequest, *, now: datetime = NOW) -> str:
    """``ok``, or the code of the refusal."""
    try:
        presented = signing.present(request, POLICY)
        assert presented is not None
        signing.verify(presented, secret=ANN.secret, request=request, now=now, policy=POLICY)
    except SignatureError as refused:
        return refused.code
    return "ok"


@st.composite
def spelt(draw: st.DrawFn, text: str) -> str:
    """Any way to write a text in a query: escapes in either case, needless ones, ``+`` for a space."""
    out = []
    for byte in text.encode():
        sign = chr(byte)
        plain = sign.isascii() and (sign.isalnum() or sign in "-_.~")
        ways = [f"%{byte:02X}", f"%{byte:02x}"] + ([sign] if plain else []) + (["+"] if sign == " " else [])
        out.append(draw(st.sampled_from(ways)))
    return "".join(out)


@st.composite
def wire_query(draw: st.DrawFn, pairs: Pairs) -> str:
    """Any way to write pairs as a query, in any order that keeps those of one name as they are."""
    fields = []
    for name, value in pairs:
        field = draw(spelt(name))
        fields.append(field if not value and draw(st.booleans()) else f"{field}={draw(spelt(value))}")
    ampersands = draw(st.sampled_from(["&", "&&"]))
    return ampersands.join(fields)


@given(st.data(), PAIRS)
@settings(max_examples=100, deadline=None)
def test_every_spelling_of_a_query_is_the_same_request(data: st.DataObject, pairs: Pairs) -> None:
    headers = v4(ANN, host=HOST, now=NOW, method="GET", pairs=pairs)
    assert verdict(received(query=data.draw(wire_query(pairs)), headers=headers)) == "ok"


@given(st.data(), PAIRS, TEXT)
@settings(max_examples=60, deadline=None)
def test_no_other_query_is(data: st.DataObject, pairs: Pairs, value: str) -> None:
    headers = v4(ANN, host=HOST, now=NOW, method="GET", pairs=pairs)
    others = [[*pairs, ("Other", value)], *([pairs[1:]] if pairs else [])]
    if pairs:
        name, old = pairs[0]
        others += [[(name, old + "x"), *pairs[1:]], [(name + "x", old), *pairs[1:]]]
    for other in others:
        if sorted(other) != sorted(pairs):
            assert verdict(received(query=data.draw(wire_query(other)), headers=headers)) == "AuthFailure"


@given(
    PAIRS, st.sampled_from(["GET", "POST"]), st.integers(1, 604_800), st.binary(max_size=0) | st.just(b"A=1")
)
@settings(max_examples=60, deadline=None)
def test_presigned(pairs: Pairs, method: str, expires: int, body: bytes) -> None:
    pairs = [(name, value) for name, value in pairs if not name.startswith("X-Amz")]
    signed = v4_query(ANN, host=HOST, now=NOW, pairs=pairs, expires=expires, method=method, body=body)
    request = received(method, query=query_of(signed), body=body)
    for seconds, expected in ((-300, "ok"), (0, "ok"), (expires, "ok"), (expires + 1, "RequestExpired")):
        assert verdict(request, now=NOW + timedelta(seconds=seconds)) == expected
    assert verdict(request, now=NOW - timedelta(seconds=301)) == "RequestExpired"
    assert verdict(received(method, query=query_of(signed), body=body + b"&B=2")) == "AuthFailure"
    assert verdict(received(method, query=query_of([*signed, ("B", "2")]), body=body)) == "AuthFailure"


@given(
    PAIRS, st.sampled_from(["GET", "POST"]), st.sampled_from(["sha256", "sha1"]), st.sampled_from(["a", None])
)
@settings(max_examples=60, deadline=None)
def test_version_2(pairs: Pairs, method: str, digest: str, token: str | None) -> None:
    signer = ANN._replace(token=token)
    signed = v2(signer, host=HOST, now=NOW, pairs=pairs, method=method, digest=digest)
    text = query_of(signed)
    body = text.encode() if method == "POST" else b""
    request = received(method, query="" if body else text, body=body)
    presented = signing.present(request, POLICY)
    assert presented is not None
    assert presented.session_token == token
    assert verdict(request) == "ok"
    more = text + "&Other=1"
    assert verdict(received(method, query="" if body else more, body=more.encode() if body else b"")) == (
        "AuthFailure"
    )


def test_one_parameter_may_not_move_between_query_and_body_unnoticed() -> None:
    pairs = [("Action", "DescribeInstances"), ("Version", "2016-11-15")]
    headers = v4(ANN, host=HOST, now=NOW, pairs=pairs[:1], body=query_of(pairs[1:]).encode())
    assert verdict(
        received("POST", query=query_of(pairs[:1]), body=query_of(pairs[1:]).encode(), headers=headers)
    ) == ("ok")
    assert verdict(received("POST", query=query_of(pairs), headers=headers)) == "AuthFailure"


@pytest.mark.parametrize("value", ["a", "  a   b  ", "a\tb", "", "a,b", 'say "a  b"'])
def test_runs_of_blanks_are_one(value: str) -> None:
    headers = v4(ANN, host=HOST, now=NOW, headers={"x-note": value.replace("\t", " ")})
    assert verdict(received("POST", headers=headers | {"x-note": value})) == "ok"
    assert verdict(received("POST", headers=headers | {"x-note": value + "c"})) == "AuthFailure"


def test_a_signed_header_that_did_not_arrive() -> None:
    headers = v4(ANN, host=HOST, now=NOW, headers={"x-note": "a"})
    assert (
        verdict(received("POST", headers={k: v for k, v in headers.items() if k != "x-note"}))
        == "AuthFailure"
    )


def test_host_must_be_signed() -> None:
    headers = v4(ANN, host=HOST, now=NOW)
    unsigned = headers["authorization"].replace("SignedHeaders=host;", "SignedHeaders=")
    assert verdict(received("POST", headers=headers | {"authorization": unsigned})) == "IncompleteSignature"


def test_the_host_is_what_the_client_wrote() -> None:
    headers = v4(ANN, host=HOST, now=NOW)
    for other in ("cloud.example", "CLOUD.example:8773", "cloud.example:8774"):
        assert verdict(received("POST", headers=headers | {"host": other})) == "AuthFailure"


@pytest.mark.parametrize(
    "date",
    [
        format_datetime(NOW, usegmt=True),
        "Sat, 21 Nov 2026 12:00:00 -0000",
        "Sat, 21 Nov 2026 12:00:00",
        "Sat, 21 Nov 2026 14:00:00 +0200",
        "20261121T120000Z",
    ],
)
def test_the_date_header_in_any_zone(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "America/New_York")  # what this machine thinks is no matter
    time.tzset()
    try:
        headers = v4(ANN, host=HOST, now=NOW, headers={"date": date})
        assert verdict(received("POST", headers=headers)) == "ok"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_amazon_date_goes_before_the_other() -> None:
    headers = v4(ANN, host=HOST, now=NOW) | {"date": "Sat, 21 Nov 2020 12:00:00 GMT"}
    assert verdict(received("POST", headers=headers)) == "ok"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"day": "20261120"}, "IncompleteSignature"),
        ({"day": "20261122"}, "IncompleteSignature"),
        ({"service": "s3"}, "AuthFailure"),
        ({"terminator": "aws4"}, "IncompleteSignature"),
        ({"terminator": "AWS4_REQUEST"}, "IncompleteSignature"),
        ({"region": ""}, "IncompleteSignature"),
    ],
)
def test_scopes(changes: dict[str, str], expected: str) -> None:
    headers = v4(ANN, host=HOST, now=NOW)
    parts = {"day": "20261121", "region": "us-east-1", "service": "ec2", "terminator": "aws4_request"}
    before, after = "/".join(parts.values()), "/".join((parts | changes).values())
    changed = headers["authorization"].replace(before, after)
    assert changed != headers["authorization"]
    assert verdict(received("POST", headers=headers | {"authorization": changed})) == expected


def test_another_region_needs_another_signature() -> None:
    headers = v4(ANN, host=HOST, now=NOW)
    elsewhere = headers["authorization"].replace("us-east-1", "eu-1")
    assert verdict(received("POST", headers=headers | {"authorization": elsewhere})) == "AuthFailure"


def test_a_request_may_speak_of_signatures() -> None:
    pairs = [("Name", "X-Amz-Signature=1"), ("Filter", "a&X-Amz-Algorithm=")]
    headers = v4(ANN, host=HOST, now=NOW, method="GET", pairs=pairs)
    raw = "Name=X-Amz-Signature=1&Filter=" + encoded(pairs[1][1])
    assert verdict(received(query=raw, headers=headers)) == "ok"


def test_a_second_signature_hidden_behind_an_escape_is_signed_like_all_else() -> None:
    pairs = [("Action", "A")]
    headers = v4(ANN, host=HOST, now=NOW, method="GET", pairs=pairs)
    assert verdict(received(query="Action=A&X-Amz-%53ignature=00", headers=headers)) == "AuthFailure"
    signed = v4_query(ANN, host=HOST, now=NOW, pairs=pairs)
    hidden = query_of(signed) + "&X-Amz-%53ignature=00"
    assert verdict(received(query=hidden)) == "IncompleteSignature"


def test_parameters_of_version_2_beside_a_signature_of_version_4_are_signed_and_mean_nothing() -> None:
    old = [("AWSAccessKeyId", "AKIDOTHER"), ("Signature", "x"), ("SignatureVersion", "2")]
    pairs = [("Action", "A"), *old]
    headers = v4(ANN, host=HOST, now=NOW, method="GET", pairs=pairs)
    request = received(query=query_of(pairs), headers=headers)
    presented = signing.present(request, POLICY)
    assert presented is not None
    assert presented.access_key_id == ANN.id
    assert verdict(request) == "ok"
    added = v4(ANN, host=HOST, now=NOW, method="GET", pairs=[("Action", "A")])
    assert verdict(received(query=query_of(pairs), headers=added)) == "AuthFailure"


@pytest.mark.parametrize("seconds", [0, 604_801, 9_999_999])
def test_expires_out_of_range(seconds: int) -> None:
    signed = v4_query(ANN, host=HOST, now=NOW, pairs=[("Action", "A")], expires=seconds)
    assert verdict(received(query=query_of(signed))) == "IncompleteSignature"


@pytest.mark.parametrize("payload", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "", "e3"])
def test_a_body_that_is_not_covered(payload: str) -> None:
    body = b"Action=DescribeInstances"
    headers = v4(ANN, host=HOST, now=NOW, body=body, payload=payload or " ")
    assert verdict(received("POST", headers=headers, body=body)) == "AuthFailure"


def test_version_2_with_expires_lasts_until_then() -> None:
    until = NOW + timedelta(days=3)
    request = received(query=query_of(v2(ANN, host=HOST, now=NOW, pairs=[], expires=until)))
    assert verdict(request, now=until) == "ok"
    assert verdict(request, now=until + timedelta(seconds=1)) == "RequestExpired"


def test_moments() -> None:
    assert moment_of(NOW) == "20261121T120000Z"
