"""Tokens of OpenID issuers: the good one, every bad one, and what an issuer may do wrong."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from little_issuer import AUDIENCE, LittleIssuer
from pydantic import ValidationError

from gateway.auth.issuers import FLOOR, FRESH, KEPT, Issuer, IssuerSilent
from gateway.auth.oidc import BadToken, OidcDoor, is_jwt
from gateway.crypto import new_session_token, new_token
from gateway.settings import NotConfigured, OidcTable, checked, is_secure, load

PROJECTS = {"claim": "entitlement", "projects": {"urn:physics": "physics", "urn:chemistry": "chemistry"}}


class Watch:
    """A monotonic clock that is put forward by hand."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.monotonic() + self.ahead


@pytest.fixture
def issuer():
    made = LittleIssuer("/realm")
    yield made
    made.close()


@pytest.fixture
def watch():
    return Watch()


def door_of(issuer, watch=time.monotonic, **table):
    settings = OidcTable(issuer=issuer.url, audience=AUDIENCE, **table)
    return OidcDoor(
        [settings], clock=time.time, waiting=2, issuer=lambda url, turns: Issuer(url, turns, clock=watch)
    )


@pytest.fixture
def door(issuer, watch):
    return door_of(issuer, watch, **PROJECTS)


def why(door, token):
    with pytest.raises(BadToken) as refused:
        door(token)
    assert token not in str(refused.value)
    return str(refused.value)


# Good ones ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_good_token(issuer, door, algorithm):
    issuer.rotate(algorithm, "k1")
    token = issuer.token("ann")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = door(token)
    assert (found.issuer, found.subject, found.tenants) == (issuer.url, "ann", ())
    assert found.name == "ann@127.0.0.1"


def test_what_a_good_token_may_say_besides(issuer, door):
    assert door(issuer.token(aud=["other", AUDIENCE], nbf=int(time.time()), jti="x", azp="y", nonce="z"))
    assert door(issuer.token(header={"typ": "at+jwt", "x5t": "abc", "jku": "http://127.0.0.1:9/keys"}))
    assert door(issuer.token(header={"typ": None}))
    assert door(issuer.token(header={"kid": None}))  # the only key there is
    assert door(issuer.token(iat=None))
    assert door(issuer.token(exp=int(time.time()) - 5))  # clocks are off
    assert issuer.asked == [issuer.discovery, issuer.jwks]  # asked once for all of them


def test_claims_lead_to_tenants_in_the_order_of_the_settings(issuer, door):
    assert door(issuer.token(entitlement="urn:physics")).tenants == ("physics",)
    every = ["urn:other", 7, None, "urn:chemistry", "urn:physics"]
    assert door(issuer.token(entitlement=every)).tenants == ("physics", "chemistry")
    for nothing in (None, [], {}, 7, "urn:physics urn:chemistry", {"urn:physics": True}, [["urn:physics"]]):
        assert door(issuer.token(entitlement=nothing)).tenants == ()


def test_a_users_name_is_none_that_a_token_chooses(issuer, door):
    found = door(issuer.token("a b:c", preferred_username="root", name="root"))
    assert found.name.endswith("@127.0.0.1")
    assert " " not in found.name
    assert ":" not in found.name
    assert found.name != door(issuer.token("a b:d")).name


def test_a_scope_may_be_demanded(issuer):
    door = door_of(issuer, scope="cloud")
    assert door(issuer.token(scope="openid cloud"))
    assert door(issuer.token(scp=["cloud"]))
    for scope in ("openid", "clouds", "", None, 7, ["clouds"]):
        assert why(door, issuer.token(scope=scope)) == "scope"


# Bad ones -----------------------------------------------------------------------------------------------


def test_signatures_that_are_none(issuer, door):
    good = issuer.token("ann")
    head, payload, signature = good.split(".")
    assert why(door, f"{head}.{payload}.") == "signature"
    assert why(door, f"{head}.{payload}.{signature[:-4]}AAAA") == "signature"
    more = base64.urlsafe_b64encode(json.dumps(issuer.claims("root")).encode()).decode().rstrip("=")
    assert why(door, f"{head}.{more}.{signature}") == "signature"
    for header in ({"alg": "none"}, {"alg": "None"}, {"alg": "NONE", "kid": "first"}):
        bare = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
        assert why(door, f"{bare}.{payload}.") == "algorithm"
        assert why(door, f"{bare}.{payload}.{signature}") == "algorithm"
    assert why(door, issuer.signed_by_public_key("ann")) == "algorithm"
    assert why(door, issuer.token(header={"alg": "HS256"}, key=OctKey.import_key("a" * 32))) == "algorithm"
    assert why(door_of(issuer, algorithms=["RS256"]), issuer.signed_by_public_key("ann")) == "algorithm"
    stranger = LittleIssuer()
    with contextlib.closing(stranger):
        assert why(door, stranger.token("ann", header={"kid": "first"}, iss=issuer.url)) == "signature"
        assert why(door, stranger.token("ann")) == "issuer"
        assert stranger.asked == []  # nobody asks whom nobody set


def test_algorithms_that_are_not_taken(issuer):
    issuer.rotate("RS256", "k1")
    assert why(door_of(issuer, algorithms=["ES256"]), issuer.token()) == "algorithm"
    assert why(door_of(issuer), issuer.token(header={"alg": "RS512"})) == "algorithm"
    # A key that is for one algorithm verifies no other.
    assert why(door_of(issuer, algorithms=["RS256", "PS256"]), issuer.token(header={"alg": "PS256"})) == "key"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"nbf": 4_000_000_000},
        {"nbf": "x"},
        {"iat": 4_000_000_000, "exp": 4_000_000_100},
        {"aud": "another"},
        {"aud": ["another", "ISTHMUS"]},
        {"aud": []},
        {"aud": None},
        {"aud": {"isthmus": 1}},
        {"aud": [["isthmus"]]},
        {"sub": None},
        {"sub": ""},
        {"sub": " "},
        {"sub": 7},
        {"sub": ["ann"]},
        {"sub": "a\0b"},
        {"sub": "x" * 1025},
        {"cnf": {"jkt": "x"}},
    ],
)
def test_claims_that_are_not_good(issuer, door, claims):
    assert why(door, issuer.token(**claims))
    assert door(issuer.token())


def test_not_every_document_of_an_issuer_is_a_token_for_access(issuer, door):
    for typ in ("logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE"):
        assert why(door, issuer.token(header={"typ": typ})) == "type"
    for header in ({"b64": False, "crit": ["b64"]}, {"crit": []}, {"crit": ["exp"], "exp": 1}):
        head = {"alg": "ES256", "kid": "first", **header}
        encoded = base64.urlsafe_b64encode(json.dumps(head).encode()).decode().rstrip("=")
        assert why(door, ".".join([encoded, *issuer.token().split(".")[1:]])) == "critical header"


def test_an_issuer_is_meant_to_the_letter(issuer, door):
    for other in (
        f"{issuer.url}/",
        issuer.url.upper(),
        issuer.url.replace("127.0.0.1", "localhost"),
        issuer.origin,
    ):
        assert why(door, issuer.token(iss=other)) == "issuer"
    assert why(door, issuer.token(iss=None)) == "form"
    assert why(door, issuer.token(iss=[issuer.url])) == "form"


def test_keys_do_not_serve_another_issuers_tokens(issuer):
    """Two issuers that are both let in: each is believed about its own subjects alone."""
    other = LittleIssuer()
    with contextlib.closing(other):
        tables = [OidcTable(issuer=each.url, audience=AUDIENCE) for each in (issuer, other)]
        door = OidcDoor(tables, clock=time.time)
        assert door(issuer.token("ann")).issuer == issuer.url
        assert door(other.token("ann")).issuer == other.url
        assert why(door, other.token("ann", iss=issuer.url)) == "signature"


# Form ---------------------------------------------------------------------------------------------------


def test_our_own_tokens_are_none_of_these(issuer):
    assert is_jwt(issuer.token())
    for token in (
        new_token(),
        new_session_token(),
        "t0ken",
        "a.b.c",
        "..",
        "aa.bb",
        "aa.bb.cc.dd",
        "a b.cc.dd",
        "a+.bb.cc",
    ):
        assert not is_jwt(token) or token == "aa.bb.cc"


_PART = st.text("ABCabc019-_", min_size=2, max_size=40)


@settings(max_examples=300)
@given(_PART, _PART, _PART)
def test_no_token_is_a_bug(head, payload, signature):
    with pytest.raises(BadToken):
        _NOBODYS(f"{head}.{payload}.{signature}")


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x"]), st.one_of(st.text(max_size=9), st.integers(), st.none(), st.lists(st.text(max_size=3)))),
    st.dictionaries(st.sampled_from(["iss", "sub", "aud", "exp"]), st.one_of(st.just("https://issuer.example"), st.floats(), st.none())),
)  # fmt: skip
def test_no_header_and_no_claims_are_a_bug(header, claims):
    parts = [
        base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in (header, claims)
    ]
    with pytest.raises((BadToken, IssuerSilent)):
        _NOBODYS(".".join([*parts, "c2ln"]))


def test_deep_nesting_is_no_bug():
    for deep in ('{"alg":' + "[" * 900, '{"alg":"ES256","x":' + "[" * 1400 + "]" * 1400 + "}"):
        head = base64.urlsafe_b64encode(deep.encode()).decode().rstrip("=")
        payload = (
            base64.urlsafe_b64encode(b'{"iss":"https://issuer.example","x":' + b"[" * 6000)
            .decode()
            .rstrip("=")
        )
        with pytest.raises(BadToken):
            _NOBODYS(f"{head[:2048]}.{payload}.c2ln")


class _Nobody:
    """An issuer that never answers."""

    def __init__(self, issuer, turns):
        self.issuer = issuer

    def keys(self, kid, algorithm):
        raise IssuerSilent(self.issuer)


_NOBODYS = OidcDoor(
    [OidcTable(issuer="https://issuer.example", audience="x")], clock=time.time, issuer=_Nobody
)


# Keys ---------------------------------------------------------------------------------------------------


def test_a_rotated_key_is_asked_for_but_not_at_once_and_not_for_ever(issuer, door, watch):
    old = issuer.token()
    assert door(old)
    issuer.rotate("ES256", "second")
    assert why(door, issuer.token()) == "key"  # asked a moment ago
    assert len(issuer.asked) == 2
    watch.ahead += FLOOR + 1
    assert door(issuer.token())
    assert issuer.asked == [issuer.discovery, issuer.jwks, issuer.jwks]  # discovery is kept
    assert why(door, old) == "key"  # withdrawn
    for number in range(20):
        assert why(door, issuer.token(header={"kid": f"made up {number}"})) == "key"
    assert len(issuer.asked) == 3
    watch.ahead += FRESH + 1
    assert door(issuer.token())
    assert issuer.asked[3:] == [issuer.discovery, issuer.jwks]


def test_many_who_come_at_once_ask_once(issuer, watch):
    def slow(handler):
        time.sleep(0.3)
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(json.dumps({"keys": [issuer.public("first")]}).encode())

    issuer.answers[issuer.jwks] = slow
    door, token, found = door_of(issuer, watch), issuer.token(), []

    def come():
        try:
            found.append(bool(door(token)))
        except IssuerSilent:
            found.append("turned away")

    threads = [threading.Thread(target=come) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert issuer.asked == [issuer.discovery, issuer.jwks]
    assert found.count(True) >= 1
    assert set(found) <= {True, "turned away"}  # only two may wait
    assert door(token)


def test_a_dead_issuer_answers_fast_and_keys_are_kept_a_while(issuer, door, watch):
    token = issuer.token()
    assert door(token)
    issuer.close()
    assert door(token)
    watch.ahead += FRESH + 1
    assert door(token)  # asked, in vain, and kept for now
    with pytest.raises(BadToken):
        door(issuer.token(header={"kid": "new"}))
    watch.ahead += KEPT
    for _ in range(50):
        with pytest.raises(IssuerSilent):
            door(token)


def test_an_issuer_that_takes_long_is_not_waited_for(issuer, watch):
    release, answered = threading.Event(), threading.Event()

    def late(_handler):
        release.wait(300)
        answered.set()

    issuer.answers[issuer.discovery] = late
    door = door_of(issuer, watch)
    for _ in range(50):
        with pytest.raises(IssuerSilent):
            door(issuer.token())
    assert issuer.asked == [issuer.discovery]  # the first found it silent
    assert not answered.is_set()
    release.set()


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b" " * 65536)


def document(**fields):
    return (200, {}, json.dumps(fields).encode())


@pytest.mark.parametrize(
    "make",
    [
        lambda issuer: {issuer.jwks: endless},
        lambda issuer: {issuer.discovery: endless},
        lambda issuer: {issuer.jwks: (500, {}, b"{}")},
        lambda issuer: {issuer.jwks: (200, {}, b"not json")},
        lambda issuer: {issuer.jwks: (200, {}, b"[" * 100_000)},
        lambda issuer: {issuer.jwks: document(keys={})},
        lambda issuer: {issuer.jwks: document(keys=[issuer.public("first")] * 101)},
        lambda issuer: {issuer.jwks: (200, {"Content-Encoding": "gzip"}, b"x")},
        lambda issuer: {issuer.jwks: (302, {"Location": f"{issuer.origin}/elsewhere"}, b""),
                        "/elsewhere": document(keys=[issuer.public("first")])},
        lambda issuer: {issuer.discovery: (302, {"Location": f"{issuer.origin}/elsewhere"}, b""),
                        "/elsewhere": document(issuer=issuer.url, jwks_uri=issuer.origin + issuer.jwks)},
        lambda issuer: {issuer.discovery: document(issuer=issuer.origin, jwks_uri=issuer.origin + issuer.jwks)},
        lambda issuer: {issuer.discovery: document(jwks_uri=issuer.origin + issuer.jwks)},
        lambda issuer: {issuer.discovery: document(issuer=issuer.url)},
        lambda issuer: {issuer.discovery: document(issuer=issuer.url, jwks_uri=7)},
        lambda issuer: {issuer.discovery: document(issuer=issuer.url, jwks_uri="http://192.0.2.1/keys")},
        lambda issuer: {issuer.discovery: document(issuer=issuer.url, jwks_uri="file:///etc/passwd")},
        lambda issuer: {issuer.discovery: document(issuer=issuer.url, jwks_uri="https://u:p@h/keys")},
    ],
)  # fmt: skip
def test_answers_that_are_of_no_use(issuer, watch, make):
    issuer.answers = make(issuer)
    door = door_of(issuer, watch)
    with pytest.raises(IssuerSilent):
        door(issuer.token())
    assert "/elsewhere" not in issuer.asked
    issuer.answers = {}
    watch.ahead += FLOOR + 1
    assert door(issuer.token())  # and all is well when it is


def test_of_an_issuers_keys_only_those_that_verify_are_used(issuer, watch):
    """Others, and those that cannot be read, are passed over, and keep none from the rest."""
    good = issuer.public("first")
    secret = OctKey.import_key("a" * 32)
    weak = RSAKey.generate_key(1024)
    curve = ECKey.generate_key("P-384")
    issuer.answers[issuer.jwks] = document(
        keys=[
            7, None, [], {}, {"kty": "future", "kid": "a"}, {"kty": "EC", "kid": "b", "crv": "P-256", "x": "!", "y": 7},
            {**secret.as_dict(), "kid": "oct"},
            {**weak.as_dict(private=False), "kid": "weak"},
            {**curve.as_dict(private=False), "kid": "curve"},
            {**good, "kid": "enc", "use": "enc"},
            {**good, "kid": "ops", "key_ops": ["sign"]},
            {**good, "kid": 7},
            {**OKPKey.generate_key("X25519").as_dict(private=False), "kid": "x"},
            good,
        ]
    )  # fmt: skip
    door = door_of(issuer, watch, algorithms=["ES256", "RS256", "EdDSA"])
    assert door(issuer.token())
    assert why(door, issuer.token(header={"kid": "enc"})) == "key"
    assert why(door, issuer.token(header={"kid": "ops"})) == "key"
    assert why(door, issuer.token(header={"kid": "curve"})) == "key"
    assert why(door, issuer.token(header={"kid": "weak", "alg": "RS256"}, key=weak)) == "key"
    assert (
        why(door, issuer.token(header={"kid": "x", "alg": "EdDSA"}, key=OKPKey.generate_key("Ed25519")))
        == "key"
    )
    assert why(door, issuer.token(header={"kid": None})) == "key"  # two keys would do


def test_keys_are_there_before_the_first_request(issuer, watch):
    door = door_of(issuer, watch)
    door.begin()
    assert issuer.asked == [issuer.discovery, issuer.jwks]
    assert door(issuer.token())
    assert len(issuer.asked) == 2


# Settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "https://a.example:8443/r/",
        "http://127.0.0.1:8",
        "http://[::1]/x",
        "http://localhost/",
    ],
)
def test_urls_that_can_be_believed(url):
    assert is_secure(url)
    assert OidcTable(issuer=url, audience=["a", "b"]).audience == ("a", "b")


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example", "http://127.0.0.1.example", "http://localhost.example", "ftp://127.0.0.1", "https://",
        "https://u@a.example", "https://a.example:x", "https://a.example/ b", "a.example", "", "https://[::1",
        "https://a.example/\n", "https://a.exämple", "http://10.0.0.1/",
    ],
)  # fmt: skip
def test_urls_that_cannot(url):
    assert not is_secure(url)
    with pytest.raises(ValidationError):
        OidcTable(issuer=url, audience="a")


@pytest.mark.parametrize(
    "fields",
    [
        {"audience": ()}, {"audience": ""}, {"audience": ("",)}, {"algorithms": ("none",)}, {"algorithms": ("HS256",)},
        {"algorithms": ()}, {"leeway": -1}, {"leeway": 3600}, {"scope": "two words"}, {"claim": "groups"},
        {"projects": {"a": "b"}}, {"claim": "groups", "projects": {"": "b"}}, {"issuer": "https://a.example/?x"},
        {"isuer": "x"},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(fields):
    with pytest.raises(ValidationError):
        OidcTable(**({"issuer": "https://a.example", "audience": "x"} | fields))


def test_the_file(tmp_path):
    (tmp_path / "isthmus.toml").write_text(
        '[[oidc]]\nissuer = "https://a.example/realm"\naudience = "isthmus"\nclaim = "entitlement"\n'
        '[oidc.projects]\n"urn:x" = "physics"\n[[oidc]]\nissuer = "https://b.example"\naudience = ["x", "y"]\n'
    )
    first, second = load(tmp_path).oidc
    assert first.projects == {"urn:x": "physics"}
    assert first.algorithms == ("RS256", "ES256", "PS256", "EdDSA")
    assert second.audience == ("x", "y")
    table = {"issuer": "https://a.example", "audience": "x"}
    with pytest.raises(NotConfigured, match="one table"):
        checked(tmp_path, oidc=[table, table])
