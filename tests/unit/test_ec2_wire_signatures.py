"""Signatures, with botocore's signers as the oracle: what they sign verifies, what is changed does not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from urllib.parse import quote, urlencode, urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from ec2 import signing
from ec2.signature import SignatureError, SignatureKind, SignaturePolicy, SignedRequest
from rendering.query_params import decode_pairs

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
POLICY = SignaturePolicy(version_2=True)
WORDS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=10
)
PARAMS = st.dictionaries(
    st.from_regex(r"[A-Z][A-Za-z.0-9~_-]{1,10}", fullmatch=True).filter(
        lambda name: not name.startswith("X-Amz")
    ),
    WORDS,
    max_size=5,
)
PATHS = st.sampled_from(["/", "", "/services/Cloud/", "/services/compute", "/a%20b/~c", "/a/../b/./", "//x"])
HEADERS = st.dictionaries(
    st.sampled_from(["X-Extra", "X-Amz-Meta", "Content-Type"]),
    st.sampled_from(["a", " a   b ", "q=1; r", ""]),
)


def credentials(token: str | None = None, key: str = "AKIDEXAMPLE") -> Credentials:
    return Credentials(key, SECRET, token)


def wire(request: AWSRequest) -> SignedRequest:
    """The request as a server receives it."""
    parts = urlsplit(request.url)
    prepared = request.prepare()
    body = prepared.body or b""
    if isinstance(body, str):
        body = body.encode()
    headers = {
        name.lower(): value if isinstance(value, str) else value.decode()
        for name, value in prepared.headers.items()
    }
    headers.setdefault("host", parts.netloc)
    sent = urlsplit(prepared.url)
    return SignedRequest(
        method=request.method,
        path=sent.path,
        query=sent.query,
        headers=headers,
        body=body,
        pairs=decode_pairs(sent.query.encode()) + decode_pairs(body),
    )


def v4_header(
    method: str,
    path: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    token: str | None = None,
    key: str = "AKIDEXAMPLE",
) -> SignedRequest:
    encoded = urlencode(params, quote_via=quote)
    url = f"http://10.0.0.1:8788{path}" + (f"?{encoded}" if method == "GET" and params else "")
    request = AWSRequest(
        method, url, headers=dict(headers), data=encoded.encode() if method == "POST" else None
    )
    with mock.patch.object(auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        auth.SigV4Auth(credentials(token, key), "ec2", "eu-1").add_auth(request)
    return wire(request)


def v4_query(path: str, params: Mapping[str, str], token: str | None = None) -> SignedRequest:
    encoded = urlencode(params, quote_via=quote)
    request = AWSRequest("GET", f"http://cloud.example{path}" + (f"?{encoded}" if params else ""))
    with mock.patch.object(auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        auth.SigV4QueryAuth(credentials(token), "ec2", "eu-1", expires=600).add_auth(request)
    return wire(request)


def v2(method: str, path: str, params: Mapping[str, str]) -> SignedRequest:
    request = AWSRequest(
        method,
        f"http://cloud.example:8773{path}",
        **({"data": dict(params) | {"Action": "A"}} if method == "POST" else {"params": dict(params)}),
    )
    with mock.patch.object(auth.time, "gmtime", return_value=NOW.timetuple()):
        auth.SigV2Auth(credentials()).add_auth(request)
    signed = request.data if method == "POST" else request.params
    encoded = urlencode(signed)
    parts = urlsplit(request.url)
    return SignedRequest(
        method=method,
        path=parts.path,
        query=encoded if method == "GET" else "",
        headers={"host": "cloud.example:8773"},
        body=encoded.encode() if method == "POST" else b"",
        pairs=decode_pairs(encoded.encode()),
    )


def verify(
    request: SignedRequest, *, now: datetime = NOW, secret: str = SECRET, policy: SignaturePolicy = POLICY
) -> None:
    presented = signing.present(request, policy)
    assert presented is not None
    signing.verify(presented, secret=secret, request=request, now=now, policy=policy)


def code(request: SignedRequest, **how: Any) -> str:
    with pytest.raises(SignatureError) as caught:
        verify(request, **how)
    return caught.value.code


def altered(request: SignedRequest, **changes: Any) -> SignedRequest:
    fields = {name: getattr(request, name) for name in request.__struct_fields__} | changes
    fields["pairs"] = decode_pairs(fields["query"].encode()) + decode_pairs(fields["body"])
    return SignedRequest(**fields)


@given(st.sampled_from(["GET", "POST"]), PATHS, PARAMS, HEADERS, st.sampled_from([None, "tok/en+="]))
@settings(max_examples=150, deadline=None)
def test_v4_in_the_header(
    method: str, path: str, params: dict[str, str], headers: dict[str, str], token: str | None
) -> None:
    request = v4_header(method, path, params, headers, token)
    presented = signing.present(request, POLICY)
    assert presented is not None
    assert (presented.kind, presented.access_key_id) == (SignatureKind.V4_HEADER, "AKIDEXAMPLE")
    assert (presented.region, presented.service, presented.session_token) == ("eu-1", "ec2", token)
    verify(request)
    assert code(request, secret=SECRET + "x") == "AuthFailure"
    for other in changed(request):
        assert code(other) == "AuthFailure"


def changed(request: SignedRequest) -> list[SignedRequest]:
    """The same signature on another request."""
    signed = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    return [
        altered(request, body=request.body + b"&X=1"),
        altered(request, path=request.path + "x"),
        altered(request, query=(request.query + "&" if request.query else "") + "X=1"),
        altered(request, method="PUT"),
        *(
            altered(request, headers=dict(request.headers) | {name: request.headers[name] + "x"})
            for name in signed
            if name != "x-amz-date"
        ),
        *(
            altered(request, headers={k: v for k, v in request.headers.items() if k != name})
            for name in signed
            if name != "x-amz-date"
        ),
    ]


@given(PATHS, PARAMS, st.sampled_from([None, "tok/en+="]))
@settings(max_examples=100, deadline=None)
def test_v4_in_the_query(path: str, params: dict[str, str], token: str | None) -> None:
    request = v4_query(path, params, token)
    presented = signing.present(request, POLICY)
    assert presented is not None
    assert (presented.kind, presented.session_token) == (SignatureKind.V4_QUERY, token)
    verify(request)
    verify(request, now=NOW + timedelta(seconds=600))
    assert code(request, now=NOW + timedelta(seconds=601)) == "RequestExpired"
    assert code(request, now=NOW - timedelta(seconds=301)) == "RequestExpired"
    assert code(altered(request, query=request.query + "&Y=1")) == "AuthFailure"
    assert code(altered(request, query=request.query.replace("Expires=600", "Expires=6000"))) == "AuthFailure"
    assert code(altered(request, body=b"A=1")) == "AuthFailure"
    assert code(altered(request, headers={"host": "other.example"})) == "AuthFailure"


@given(st.sampled_from(["GET", "POST"]), PATHS, PARAMS)
@settings(max_examples=100, deadline=None)
def test_v2(method: str, path: str, params: dict[str, str]) -> None:
    request = v2(method, path, params)
    verify(request)
    verify(altered(request, headers={"host": "CLOUD.example:8773"}))
    assert code(request, secret="x") == "AuthFailure"
    assert code(altered(request, path=request.path + "x")) == "AuthFailure"
    assert (
        code(altered(request, query=(request.query + "&" if request.query else "") + "Xx=1")) == "AuthFailure"
    )
    assert code(altered(request, headers={"host": "other"})) == "AuthFailure"
    assert code(request, now=NOW + timedelta(minutes=16)) == "RequestExpired"
    assert code(request, now=NOW - timedelta(minutes=16)) == "RequestExpired"
    assert code(request, policy=SignaturePolicy()) == "AuthFailure"


def test_v2_with_sha1_and_expires() -> None:
    import base64
    import hashlib
    import hmac

    query = "AWSAccessKeyId=AK%3Atenant&Action=DescribeRegions&Expires=2026-11-21T12%3A01%3A00Z&SignatureMethod=HmacSHA1&SignatureVersion=2"
    digest = hmac.new(SECRET.encode(), f"GET\nh\n/\n{query}".encode(), hashlib.sha1).digest()
    query += "&Signature=" + quote(base64.b64encode(digest), safe="")
    request = SignedRequest(
        method="GET",
        path="/",
        query=query,
        headers={"host": "h"},
        body=b"",
        pairs=decode_pairs(query.encode()),
    )
    verify(request)
    assert code(request, now=NOW + timedelta(minutes=2)) == "RequestExpired"
    presented = signing.present(request, POLICY)
    assert presented is not None
    assert (presented.access_key_id, presented.tenant) == ("AK", "tenant")


def test_clock_window() -> None:
    request = v4_header("POST", "/", {"Action": "DescribeRegions"}, {})
    verify(request, now=NOW + timedelta(minutes=5))
    verify(request, now=NOW - timedelta(minutes=5))
    assert code(request, now=NOW + timedelta(minutes=5, seconds=1)) == "RequestExpired"
    assert code(request, now=NOW - timedelta(minutes=5, seconds=1)) == "RequestExpired"
    verify(request, now=NOW + timedelta(minutes=9), policy=SignaturePolicy(skew=timedelta(minutes=10)))


def test_scope() -> None:
    request = v4_header("POST", "/", {"Action": "DescribeRegions"}, {})
    assert code(request, policy=SignaturePolicy(services=frozenset({"sts"}))) == "AuthFailure"
    assert code(request, policy=SignaturePolicy(regions=frozenset({"eu-2"}))) == "AuthFailure"
    verify(request, policy=SignaturePolicy(regions=frozenset({"eu-1"}), services=None))


def test_the_tenant_is_written_behind_the_key() -> None:
    request = v4_header("POST", "/", {}, {}, key="AKID:physics")
    verify(request)
    presented = signing.present(request, POLICY)
    assert presented is not None
    assert (presented.access_key_id, presented.tenant) == ("AKID", "physics")


def test_a_body_must_be_signed() -> None:
    unsigned = v4_header("POST", "/", {"Action": "A"}, {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    assert code(unsigned) == "AuthFailure"
    empty = v4_header("GET", "/", {"Action": "A"}, {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    verify(empty)
    assert code(altered(empty, body=b"A=1")) == "AuthFailure"
    claimed = v4_header("POST", "/", {"Action": "A"}, {"X-Amz-Content-SHA256": "0" * 64})
    assert code(claimed) == "AuthFailure"


def test_spaces_sent_as_plus_but_signed_as_percent() -> None:
    request = v4_header("GET", "/", {"Action": "A", "Name": "a b*"}, {})
    libcloud = altered(request, query=request.query.replace("%20", "+").replace("%2A", "*"))
    verify(libcloud)


def test_no_spaces_between_the_fields_of_the_header() -> None:
    request = v4_header("POST", "/", {"Action": "A"}, {})
    packed = request.headers["authorization"].replace(", ", ",")
    verify(altered(request, headers=dict(request.headers) | {"authorization": packed}))


def test_the_date_header_serves_when_there_is_no_other() -> None:
    request = v4_header("POST", "/", {"Action": "A"}, {"Date": "soon"})
    assert "x-amz-date" not in request.headers
    verify(request)


def test_unsigned_requests_claim_nothing() -> None:
    for authorization in ("Basic abc", "Bearer x", "AWS a:b", ""):
        request = SignedRequest(
            method="GET",
            path="/",
            query="Action=A",
            headers={"authorization": authorization},
            body=b"",
            pairs=[],
        )
        assert signing.present(request, POLICY) is None


GOOD = (
    "AWS4-HMAC-SHA256 Credential=AK/20261121/eu-1/ec2/aws4_request, SignedHeaders=host, Signature=" + "0" * 64
)


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-ECDSA-P256-SHA256 " + GOOD.partition(" ")[2],
        GOOD.replace("host", "date"),
        GOOD.replace("host", "host;Date"),
        GOOD.replace("host", "host;date"),
        GOOD.replace("host", "host;host"),
        GOOD.replace("aws4_request", "aws5_request"),
        GOOD.replace("20261121", "20261120"),
        GOOD.replace("AK/", "/"),
        GOOD.replace("/eu-1", ""),
        GOOD[:-1],
        GOOD[:-1] + "é",
        GOOD + ", Signature=" + "1" * 64,
        GOOD + ",",
        GOOD + ", X=" * 100_000,
    ],
)
def test_garbled_headers(authorization: str) -> None:
    headers = {"authorization": authorization, "x-amz-date": "20261121T120000Z", "host": "h"}
    request = SignedRequest(method="GET", path="/", query="", headers=headers, body=b"", pairs=[])
    assert code(request) == "IncompleteSignature"


def test_a_good_header_is_not_garbled() -> None:
    headers = {"authorization": GOOD, "x-amz-date": "20261121T120000Z", "host": "h"}
    assert (
        code(SignedRequest(method="GET", path="/", query="", headers=headers, body=b"", pairs=[]))
        == "AuthFailure"
    )


@pytest.mark.parametrize(
    "date", ["", "20261121", "20261121T250000Z", "2026-11-21T12:00:00Z", "é", "20261121T12000Z"]
)
def test_garbled_dates(date: str) -> None:
    headers = {"authorization": GOOD, "x-amz-date": date, "host": "h"}
    assert (
        code(SignedRequest(method="GET", path="/", query="", headers=headers, body=b"", pairs=[]))
        == "IncompleteSignature"
    )


@pytest.mark.parametrize(
    "change",
    [
        ("X-Amz-Expires=600", "X-Amz-Expires=604801"),
        ("X-Amz-Expires=600", "X-Amz-Expires=0"),
        ("X-Amz-Expires=600", "X-Amz-Expires=-1"),
        ("X-Amz-Expires=600", "X-Amz-Expires=600&X-Amz-Expires=700"),
        ("X-Amz-Date=", "X-Amz-Dat="),
        ("aws4_request", "aws4"),
        ("X-Amz-Algorithm=AWS4", "X-Amz-Algorithm=%ff"),
    ],
)
def test_garbled_queries(change: tuple[str, str]) -> None:
    request = v4_query("/", {"Action": "A"})
    assert code(altered_query(request, request.query.replace(*change))) == "IncompleteSignature"


def altered_query(request: SignedRequest, query: str) -> SignedRequest:
    return SignedRequest(method="GET", path="/", query=query, headers=request.headers, body=b"", pairs=[])


def test_two_signatures_are_none() -> None:
    request = v4_query("/", {"Action": "A"})
    both = altered(request, headers=dict(request.headers) | {"authorization": GOOD})
    assert code(both) == "IncompleteSignature"


@pytest.mark.parametrize(
    "change",
    [
        ("SignatureVersion=2", "SignatureVersion=1"),
        ("HmacSHA256", "HmacMD5"),
        ("Timestamp=2026-11-21T12%3A00%3A00Z", "Other=1"),
        ("Timestamp=2026-11-21T12%3A00%3A00Z", "Timestamp=soon"),
        ("Timestamp=", "Expires=2026-11-22T00%3A00%3A00Z&Timestamp="),
        ("Signature=", "Signature=*"),
        ("AWSAccessKeyId=", "AWSAccessKeyId=B&AWSAccessKeyId="),
    ],
)
def test_garbled_v2(change: tuple[str, str]) -> None:
    request = v2("GET", "/", {"Action": "A"})
    assert change[0] in request.query
    assert code(altered(request, query=request.query.replace(*change))) == "IncompleteSignature"
