"""The EC2 half of the conformance tool by itself: its tables, its signatures against another's, its reading."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from msgspec.structs import replace

from conformance.checks import Failed, Unknown
from conformance.ec2 import signing
from conformance.ec2.checks import SUITE
from conformance.ec2.checks.operations import STEPS
from conformance.ec2.reading import refusal, reply
from conformance.ec2.session import Ec2Session, filters, undoing
from conformance.ec2.signing import Signing
from conformance.ec2.tables import FILTERS, OPERATIONS, REFUSED, UNDO
from conformance.ec2.things import NEW, SHARED
from conformance.wire import Answer, Wire

SIGNER = Signing(id="AKIDEXAMPLE", secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
HOST = "cloud.example:8773"
PAIRS = [("Action", "DescribeRegions"), ("Version", "2016-11-15"), ("Filter.1.Value.1", "a b/~é+*=&%41")]
XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


def answer(body: str, status: int = 200) -> Answer:
    headers = (("Content-Type", "text/xml;charset=UTF-8"),)
    return Answer(method="POST", status=status, reason="", headers=headers, body=body.encode())


# Tables -------------------------------------------------------------------------------------------------


def test_every_requirement_is_judged_or_says_why_not():
    cited = {each for check in SUITE.checks for each in check.cites}
    left = {each.id for each in SUITE.requirements.values() if each.id not in cited and not each.unjudged}
    assert left == set()


def test_no_requirement_is_both_judged_and_not():
    cited = {each for check in SUITE.checks for each in check.cites}
    assert {each.id for each in SUITE.requirements.values() if each.id in cited and each.unjudged} == set()


def test_checks_have_names_of_their_own():
    names = [check.id for check in SUITE.checks]
    assert len(set(names)) == len(names)


def test_every_operation_is_refused_something():
    assert set(OPERATIONS) - {each.op for each in REFUSED} == set()


def test_steps_are_those_that_the_table_names():
    assert {each.from_ for each in OPERATIONS.values() if each.from_} == set(STEPS)


def test_words_in_braces_are_known():
    tables = [each.with_ for group in (OPERATIONS, FILTERS) for each in group.values()]
    texts = [
        str(value) for params in (*tables, *(each.with_ for each in REFUSED)) for value in params.values()
    ]
    words = {text.strip("{}") for text in texts if text.startswith("{")}
    known = {*SHARED, *NEW, *(f"new:{each}" for each in NEW)}
    assert {each for each in words if each not in known and not each.startswith("no:")} == set()


def test_what_makes_something_is_left_out_of_runs_that_only_read():
    reads = {check.id for check in SUITE.checks if not check.changes}
    assert len(reads) > 200
    assert "answers[DescribeRegions]" in reads
    assert "refuses[DeleteVolume: no such volume]" not in reads, (
        "it would change something if it were granted"
    )
    assert not {each for each in reads if each.startswith(("dry_runs[", "answers[Create", "wildcards["))}


# Signatures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("token", ["", "a/session+token=="])
def test_signatures_in_headers_are_botocores(method: str, token: str, monkeypatch: Any):
    body = signing.form(PAIRS).encode() if method == "POST" else b""
    query = [] if method == "POST" else PAIRS
    given = {"host": HOST, "x-amz-meta": "a   b"}
    signer = replace(SIGNER, token=token)
    ours = signing.in_header(signer, method, "/services/Cloud", query, given, body)
    url = f"http://{HOST}/services/Cloud" + (f"?{signing.form(query)}" if query else "")
    request = AWSRequest(method=method, url=url, data=body, headers={"x-amz-meta": "a   b"})
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda *_: _moment(ours["x-amz-date"]), raising=False
    )
    credentials = Credentials(signer.id, signer.secret, token or None)
    theirs = SigV4Auth(credentials, "ec2", "us-east-1")
    theirs.add_auth(request)
    assert request.headers["X-Amz-Date"] == ours["x-amz-date"]
    assert (
        request.headers["Authorization"].split("Signature=")[1]
        == ours["authorization"].split("Signature=")[1]
    )


def test_signatures_in_urls_are_botocores(monkeypatch: Any):
    ours = dict(signing.in_query(SIGNER, "GET", "/", PAIRS, HOST, expires=300))
    request = AWSRequest(method="GET", url=f"http://{HOST}/?{signing.form(PAIRS)}")
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda *_: _moment(ours["X-Amz-Date"]), raising=False
    )
    SigV4QueryAuth(Credentials(SIGNER.id, SIGNER.secret), "ec2", "us-east-1", expires=300).add_auth(request)
    assert f"X-Amz-Signature={ours['X-Amz-Signature']}" in request.url


def _moment(text: str) -> Any:
    from datetime import UTC, datetime

    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def test_a_second_that_ends_meanwhile_does_no_harm(monkeypatch: Any):
    seconds = iter(range(1_000_000, 2_000_000))
    monkeypatch.setattr(signing.time, "time", lambda: next(seconds))
    ours = signing.in_header(SIGNER, "GET", "/", PAIRS, {"host": HOST}, b"")
    at = replace(SIGNER, at=_moment(ours["x-amz-date"]).timestamp())
    signed = {"host": HOST, "x-amz-date": ours["x-amz-date"]}
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert ours["authorization"].endswith(signing.signature_4(at, "GET", "/", PAIRS, signed, empty))


def test_wrong_signatures_are_others():
    def made(**changes: Any) -> str:
        headers = signing.in_header(replace(SIGNER, **changes), "GET", "/", PAIRS, {"host": HOST}, b"")
        return headers["authorization"]

    wrong = [
        {"secret": "x"},
        {"region": "r"},
        {"service": "s3"},
        {"terminator": "x"},
        {"scope_days": 1},
        {"skew": -3600},
    ]
    signatures = {made(**each).rpartition("=")[2] for each in [{}, *wrong]}
    assert len(signatures) == 1 + len(wrong)
    assert "host" not in made(hidden=("host",)).split("SignedHeaders=")[1].split(",")[0]


# Reading ------------------------------------------------------------------------------------------------


def test_a_reply_is_read_without_its_namespace():
    body = (
        XML + '<R xmlns="http://x/"><requestId>1</requestId><s><item><a>b</a></item><item><a/></item></s></R>'
    )
    found = reply(answer(body), "R")
    assert (found.namespace, found.request_id) == ("http://x/", "1")
    assert found.texts("s/item/a") == ["b", ""]
    assert [each.get("a") for each in found.items("s")] == ["b", ""]
    assert not found.has("s/item/c")
    with pytest.raises(Failed, match="no c, only a"):
        found.node("s/item").text("c")


@pytest.mark.parametrize(
    "body",
    [
        "<R>",
        "<html><p></html>",
        "",
        "not XML",
        '<!DOCTYPE R [<!ENTITY e "x">]><R>&e;</R>',
        "<Response><Errors><Error><Code>X</Code></Error></Errors></Response>",
    ],
)
def test_what_is_no_reply(body: str):
    with pytest.raises(Failed):
        reply(answer(body), "R")


def test_a_refusal_is_read():
    body = "<Response><Errors><Error><Code>C</Code><Message>m</Message></Error></Errors><RequestID>1</RequestID></Response>"
    told = refusal(answer(body, 400), "it")
    assert (told.status, told.code, told.message, told.request_id) == (400, "C", "m", "1")
    for wrong, status in ((body, 200), (body.replace("Errors", "Faults"), 400), ("<html/>", 500)):
        with pytest.raises(Failed):
            refusal(answer(wrong, status), "it")


# Undoing ------------------------------------------------------------------------------------------------


def test_what_was_made_is_undone():
    launch = reply(
        answer(
            "<R><instancesSet><item><instanceId>i-1</instanceId></item><item><instanceId>i-2</instanceId></item>"
            "</instancesSet></R>"
        ),
        "R",
    )
    assert undoing(UNDO["RunInstances"], {}, launch) == [{"InstanceId.1": "i-1", "InstanceId.2": "i-2"}]
    assert undoing(UNDO["CreateKeyPair"], {"KeyName": "k"}, launch) == [{"KeyName": "k"}]
    assert undoing(UNDO["CreateVolume"], {}, launch) == [], "what made nothing has nothing to undo"


def test_filters_are_numbered():
    assert filters({"a": "1", "b": ["2", "3"]}) == {
        "Filter.1.Name": "a",
        "Filter.1.Value.1": "1",
        "Filter.2.Name": "b",
        "Filter.2.Value.1": "2",
        "Filter.2.Value.2": "3",
    }


def test_no_secret_is_kept_of_exchanges():
    wire = Wire("http://127.0.0.1:9")
    session = Ec2Session(wire, SIGNER.id, SIGNER.secret, token="the-token")
    for send in (session.presigned, session.version_2, session.signed):
        with pytest.raises(Unknown):
            send(PAIRS)
    kept = "".join(str(each) for each in wire.exchanges)
    assert len(wire.exchanges) == 3
    assert SIGNER.secret not in kept
    assert "the-token" not in kept
    signatures = [each for each in kept.split("Signature=")[1:] if not each.startswith("***")]
    assert signatures == []
