"""Checks of signatures: what is right is accepted, and each part that can be wrong is refused."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from conformance.checks import Absent, expect, fail
from conformance.ec2 import things
from conformance.ec2.reading import Refusal, refusal, reply, said
from conformance.ec2.session import Ec2Session, filters, pairs
from conformance.ec2.signing import Signing
from conformance.ec2.suite import SUITE
from conformance.wire import Answer

REGIONS = pairs("DescribeRegions", {})
#: What refuses a signer; EC2 says AuthFailure, other services of AWS the others, and SDKs read them all.
NOT_YOU = {
    "AuthFailure": {401, 403},
    "SignatureDoesNotMatch": {403},
    "InvalidClientTokenId": {403},
    "InvalidSignatureException": {400, 403},
}
#: What refuses a header that is garbled or incomplete.
GARBLED = {
    **NOT_YOU,
    "IncompleteSignature": {400, 403},
    "IncompleteSignatureException": {400, 403},
    "MissingAuthenticationToken": {400, 403},
    "MissingParameter": {400},
    "InvalidParameterValue": {400},
    "UnauthorizedOperation": {403},
}
LATE = {"RequestExpired": {400}}


def _refused(answer: Answer, what: str, allowed: Mapping[str, set[int]]) -> Refusal:
    """The refusal, which must be one of some, each with its statuses."""
    if answer.status == 200:
        fail(f"{what}: the request was answered, as if its signature were right")
    told = refusal(answer, what)
    wanted = ", ".join(f"{'/'.join(map(str, statuses))} {code}" for code, statuses in allowed.items())
    expect(told.status in allowed.get(told.code, ()), f"{what}: expected one of {wanted}; got {told}")
    return told


def _with_another_secret(session: Ec2Session) -> Signing:
    return replace(session.signing, secret=session.signing.secret[::-1])


@SUITE.check("EC2-SIG-002", cases=("POST", "GET"))
def no_credentials(session: Ec2Session, method: str) -> None:
    """A request that nobody signed is refused."""
    _refused(session.unsigned(REGIONS, method=method), "without credentials", GARBLED)


@SUITE.check("EC2-SIG-003", cases=("header", "query"))
def unknown_keys(session: Ec2Session, case: str) -> None:
    """A key id that nobody has is AuthFailure."""
    signer = replace(session.signing, id=f"AKIA{secrets.token_hex(8).upper()}", token="")
    answer = (
        session.signed(REGIONS, signing=signer)
        if case == "header"
        else session.presigned(REGIONS, signing=signer)
    )
    wanted = {"AuthFailure": {401}, "InvalidClientTokenId": {403}, "InvalidAccessKeyId": {403}}
    _refused(answer, "an unknown key id", wanted)


@SUITE.check("EC2-SIG-004", cases=("POST", "GET"))
def another_secret(session: Ec2Session, method: str) -> None:
    """A signature made with another secret is refused."""
    signer = _with_another_secret(session)
    wanted = {"AuthFailure": {401}, "SignatureDoesNotMatch": {403}}
    _refused(session.signed(REGIONS, method=method, signing=signer), "another secret", wanted)


def _change(name: str, change: Callable[[str], str]) -> Callable[[dict[str, str]], None]:
    def done(headers: dict[str, str]) -> None:
        headers[name] = change(headers[name])

    return done


def _flipped(text: str) -> str:
    """A text whose last character is another hexadecimal digit."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def _later(moment: str) -> str:
    """A second later, or earlier at the minute's end."""
    second = int(moment[13:15])
    return f"{moment[:13]}{(second + 1 if second < 59 else second - 1):02}Z"


#: What is done to a request after it was signed.
TAMPERED: Mapping[str, dict[str, Any]] = {
    "body": {"sent": pairs("DescribeAvailabilityZones", {})},
    "query": {"sent": pairs("DescribeAvailabilityZones", {}), "method": "GET"},
    "parameter more": {"sent": [*REGIONS, ("AllRegions", "true")]},
    "signature": {"change": _change("authorization", _flipped)},
    "date": {"change": _change("x-amz-date", _later)},
    "signed header": {"headers": {"x-amz-meta": "a"}, "change": _change("x-amz-meta", lambda _: "b")},
    "region": {"change": _change("authorization", lambda text: text.replace("/ec2/", "-x/ec2/", 1))},
    "list of headers": {
        "headers": {"x-amz-meta": "a"},
        "change": _change("authorization", lambda text: text.replace(";x-amz-meta", "", 1)),
    },
    "method": {"as_post": True},
}


@SUITE.check("EC2-SIG-005", cases=tuple(TAMPERED))
def what_was_signed_otherwise(session: Ec2Session, case: str) -> None:
    """A request that is not what was signed is refused."""
    how = TAMPERED[case]
    answer = _sent_as_post(session) if "as_post" in how else session.signed(REGIONS, **how)
    _refused(answer, f"another {case} than was signed", NOT_YOU)


def _sent_as_post(session: Ec2Session) -> Answer:
    """What was signed as a GET, sent as a POST with the same query and no body."""
    from conformance.ec2 import signing

    given = {"host": session.wire.host}
    every = signing.in_header(session.signing, "GET", session.path, REGIONS, given, b"")
    return session.wire.send("POST", f"{session.root}?{signing.form(REGIONS)}", every, b"")


@SUITE.check("EC2-SIG-006", cases=("yesterday", "tomorrow"))
def the_scopes_day(session: Ec2Session, case: str) -> None:
    """A scope of another day than the request's is refused."""
    signer = replace(session.signing, scope_days=-1 if case == "yesterday" else 1)
    allowed = {**NOT_YOU, **LATE, "IncompleteSignature": {400, 403}}
    _refused(session.signed(REGIONS, signing=signer), f"a scope of {case}", allowed)


@SUITE.check("EC2-SIG-007")
def the_scopes_service(session: Ec2Session) -> None:
    """A scope of another service is refused."""
    allowed = {**NOT_YOU, "IncompleteSignature": {400, 403}}
    _refused(
        session.signed(REGIONS, signing=replace(session.signing, service="s3")), "the service s3", allowed
    )


@SUITE.check("EC2-SIG-008")
def the_scopes_end(session: Ec2Session) -> None:
    """A scope that does not end in aws4_request is refused."""
    signer = replace(session.signing, terminator="aws5_request")
    _refused(session.signed(REGIONS, signing=signer), "a scope that ends in aws5_request", GARBLED)


@SUITE.check("EC2-SIG-009")
def the_host_is_signed(session: Ec2Session) -> None:
    """A signature that does not cover the host is refused."""
    signer = replace(session.signing, hidden=("host",))
    _refused(session.signed(REGIONS, signing=signer), "the host not among the signed headers", GARBLED)


@SUITE.check("EC2-SIG-010")
def an_old_request(session: Ec2Session) -> None:
    """A request that is an hour old is RequestExpired."""
    _refused(session.signed(REGIONS, signing=replace(session.signing, skew=-3600)), "an hour old", LATE)


@SUITE.check("EC2-SIG-011")
def a_request_of_the_future(session: Ec2Session) -> None:
    """A request of an hour from now is refused."""
    answer = session.signed(REGIONS, signing=replace(session.signing, skew=3600))
    _refused(answer, "an hour ahead", {**LATE, **NOT_YOU})


@SUITE.check("EC2-SIG-012", cases=("2 minutes slow", "2 minutes fast"))
def clocks_that_are_off(session: Ec2Session, case: str) -> None:
    """A clock that is two minutes off does no harm."""
    signer = replace(session.signing, skew=-120 if "slow" in case else 120)
    reply(session.signed(REGIONS, signing=signer), f"a clock {case}")


@SUITE.check("EC2-SIG-013", cases=("GET", "more than letters"))
def presigned(session: Ec2Session, case: str) -> None:
    """A URL that was signed beforehand is answered."""
    params = {} if case == "GET" else filters({"endpoint": ["no where/~*?=&", "é"]})
    reply(session.presigned(pairs("DescribeRegions", params)), f"a presigned URL ({case})")


@SUITE.check("EC2-SIG-014")
def presigned_and_late(session: Ec2Session) -> None:
    """A URL is refused after its time."""
    answer = session.presigned(REGIONS, expires=60, signing=replace(session.signing, skew=-120))
    _refused(answer, "a URL whose time was over a minute ago", {**LATE, "AuthFailure": {401, 403}})


@SUITE.check("EC2-SIG-014")
def presigned_and_in_time(session: Ec2Session) -> None:
    """A URL that was signed an hour ago for two is answered."""
    answer = session.presigned(REGIONS, expires=7200, signing=replace(session.signing, skew=-3600))
    reply(answer, "a URL signed an hour ago for two hours")


@SUITE.check("EC2-SIG-015", cases=("0", "604801", "-1"))
def presigned_for_ever(session: Ec2Session, seconds: str) -> None:
    """A URL for no time, or more than 7 days, is refused."""
    answer = session.presigned(REGIONS, expires=int(seconds))
    allowed = {**GARBLED, **LATE, "AuthorizationQueryParametersError": {400}}
    _refused(answer, f"a URL for {seconds} s", allowed)


def _in_pairs(name: str, change: Callable[[str], str]) -> Callable[[list[tuple[str, str]]], None]:
    def done(every: list[tuple[str, str]]) -> None:
        every[:] = [(key, change(value) if key == name else value) for key, value in every]

    return done


#: What is done to a URL after it was signed.
URLS: Mapping[str, Callable[[list[tuple[str, str]]], None]] = {
    "action": _in_pairs("Action", lambda _: "DescribeAvailabilityZones"),
    "expiry": _in_pairs("X-Amz-Expires", lambda _: "600"),
    "signature": _in_pairs("X-Amz-Signature", _flipped),
    "date": _in_pairs("X-Amz-Date", _later),
    "signer": _in_pairs("X-Amz-Credential", lambda text: "AKIA" + text[4:].replace("/", "X/", 1)),
    "parameter more": lambda every: every.append(("AllRegions", "true")),
    "no signature": lambda every: every.remove(every[-1]),
}


@SUITE.check("EC2-SIG-016", cases=tuple(URLS))
def presigned_and_changed(session: Ec2Session, case: str) -> None:
    """A URL that was changed is refused."""
    _refused(session.presigned(REGIONS, change=URLS[case]), f"a URL with another {case}", GARBLED)


#: Authorization headers that are none.
HEADERS: Mapping[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "another scheme": lambda _: "Basic dXNlcjpwYXNzd29yZA==",
    "scheme only": lambda _: "AWS4-HMAC-SHA256",
    "no signature": lambda text: text.rpartition(", Signature=")[0],
    "no signed headers": lambda text: text.replace("SignedHeaders=", "Headers=", 1),
    "no credential": lambda text: text.replace("Credential=", "Key=", 1),
    "half a scope": lambda text: text.replace("/ec2/aws4_request", "", 1),
    "another algorithm": lambda text: text.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-MD5", 1),
    "not hexadecimal": lambda text: f"{text[:-64]}{'z' * 64}",
    "twice": lambda text: f"{text}, {text}",
}


@SUITE.check("EC2-SIG-017", cases=tuple(HEADERS))
def garbled_headers(session: Ec2Session, case: str) -> None:
    """An Authorization header that is none is refused."""
    answer = session.signed(REGIONS, change=_change("authorization", HEADERS[case]))
    _refused(answer, f"Authorization: {case}", GARBLED)


@SUITE.check("EC2-SIG-018")
def another_hash(session: Ec2Session) -> None:
    """A signed hash of another body is refused."""
    wrong = {"x-amz-content-sha256": "0" * 64}
    allowed = {**NOT_YOU, "XAmzContentSHA256Mismatch": {400}, "InvalidParameterValue": {400}}
    _refused(session.signed(REGIONS, headers=wrong), "the hash of another body", allowed)


@SUITE.check("EC2-SIG-019", cases=("further header", "blanks", "hash"))
def further_headers(session: Ec2Session, case: str) -> None:
    """Further headers may be signed, however they are spaced."""
    import hashlib

    from conformance.ec2.signing import form

    given = {
        "further header": {"x-amz-meta": "a", "x-conformance": "b;c,d"},
        "blanks": {"x-amz-meta": "a   b    c"},
        "hash": {"x-amz-content-sha256": hashlib.sha256(form(REGIONS).encode()).hexdigest()},
    }[case]
    reply(session.signed(REGIONS, headers=given), f"a signed request with {case}")


@SUITE.check("EC2-SIG-020")
def no_blanks(session: Ec2Session) -> None:
    """Commas without blanks in the Authorization header will do."""
    answer = session.signed(REGIONS, change=_change("authorization", lambda text: text.replace(", ", ",")))
    reply(answer, "Authorization without blanks behind commas")


@SUITE.check("EC2-SIG-021")
def replays(session: Ec2Session) -> None:
    """The same signed request is answered twice."""
    kept: list[dict[str, str]] = []
    reply(session.signed(REGIONS, change=lambda headers: kept.append(dict(headers))), "the request")

    def as_before(headers: dict[str, str]) -> None:
        headers.clear()
        headers.update(kept[0])

    reply(session.signed(REGIONS, change=as_before), "the same request again")


@SUITE.check("EC2-SIG-022", cases=("GET", "POST"))
def every_character(session: Ec2Session, method: str) -> None:
    """Every character can be signed."""
    odd = "".join(chr(each) for each in range(32, 127)) + "äß€😀"
    params = filters({"region-name": [odd, "~", "a b", "%41", "+"], "endpoint": "Z/a.b-c_d"})
    reply(session.signed(pairs("DescribeRegions", params), method=method), "odd characters")


@SUITE.check("EC2-SIG-023", cases=("sha256 GET", "sha256 POST", "sha1 GET"))
def version_2(session: Ec2Session, case: str) -> None:
    """Signature version 2 is accepted."""
    digest, method = case.split()
    answer = session.version_2(REGIONS, method=method, digest=digest)
    if answer.status != 200:
        raise Absent(f"version 2 is not accepted: {said(answer) or answer}")


@SUITE.check("EC2-SIG-024", cases=("secret", "key id", "late"))
def version_2_gone_wrong(session: Ec2Session, case: str) -> None:
    """What was not signed so by version 2 is refused."""
    if session.version_2(REGIONS).status != 200:
        raise Absent("version 2 is not accepted")
    signer = {
        "secret": _with_another_secret(session),
        "key id": replace(session.signing, id="AKIANOBODYNOBODYNOBO"),
        "late": replace(session.signing, skew=-7200),
    }[case]
    _refused(session.version_2(REGIONS, signing=signer), f"version 2, {case}", {**NOT_YOU, **LATE})


@SUITE.check("EC2-SIG-025", changes=True, cases=("secret", "body", "late"))
def refused_and_not_done(session: Ec2Session, case: str) -> None:
    """What is refused for its signature does nothing."""
    name, harmless = session.name("key"), session.name("key")
    wanted = {"KeyName": name, "PublicKeyMaterial": things.encoded(things.PUBLIC_KEY)}
    session.afterwards(lambda: session.remove("DeleteKeyPair", {"KeyName": name}))
    request = pairs("ImportKeyPair", wanted)
    answer = {
        "secret": lambda: session.signed(request, signing=_with_another_secret(session)),
        "body": lambda: session.signed(pairs("DeleteKeyPair", {"KeyName": harmless}), sent=request),
        "late": lambda: session.signed(request, signing=replace(session.signing, skew=-7200)),
    }[case]()
    _refused(answer, f"ImportKeyPair, {case}", {**NOT_YOU, **LATE})
    found = session.ok("DescribeKeyPairs", filters({"key-name": name}))
    expect(not found.items("keySet"), "the key pair of the refused request was made")


@SUITE.check("EC2-SIG-026", cases=("action", "parameter", "version"))
def signature_first(session: Ec2Session, case: str) -> None:
    """A request with a fault and a wrong signature is refused for the signature."""
    request = {
        "action": pairs("DescribeNonsense", {}),
        "parameter": pairs("DescribeVolumes", {"Nonsense": "x"}),
        "version": pairs("DescribeRegions", {}, "1999-01-01"),
    }[case]
    signer = _with_another_secret(session)
    _refused(session.signed(request, signing=signer), f"a wrong signature and a wrong {case}", NOT_YOU)


@SUITE.check("EC2-SIG-027")
def the_date_header(session: Ec2Session) -> None:
    """The time may be in the header Date."""
    answer = session.signed(REGIONS, signing=replace(session.signing, date_header="date"))
    if answer.status != 200:
        raise Absent(f"the header Date does not do: {said(answer) or answer}")
