"""Who sends a request: every way to sign one, botocore as the oracle, and everything that must be refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import falcon
import falcon.testing
import pytest
from botocore.auth import SigV2Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import ADMIN, Cloud

from backend.commands import (
    CreateAccessKey,
    CreateToken,
    DeleteAccessKey,
    DeleteToken,
    DeleteUser,
    SetAccessKeyActive,
    SetPassword,
)
from backend.errors import BackendError
from backend.model import Api, Role
from ec2.signature import SignatureError, SignedRequest
from gateway.app import is_ec2
from gateway.auth.ec2 import Ec2Door
from gateway.auth.occi import OcciDoor, Unauthenticated
from gateway.crypto import Passwords, SecretBox, token_digest
from gateway.settings import checked
from rendering.query_params import decode_pairs

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
ENDPOINT = "http://cloud.example:8080/"
PARAMETERS = {"Action": "DescribeInstances", "Version": "2016-11-15", "Filter.1.Value.1": "a b+c/ü~*"}
BOX = SecretBox(bytes(32))
ZONES = {"us-east-1": ("us-east-1a",), "eu-2": ("eu-2a",)}


@pytest.fixture
def cloud():
    cloud = Cloud()
    cloud.clock.now = datetime.now(UTC).timestamp()  # botocore signs for now
    sealed = BOX.seal(KEY_ID, SECRET)
    cloud.engine.execute(ADMIN, CreateAccessKey(key_id=KEY_ID, user_name="ann", secret=sealed))
    return cloud


def door(cloud, *, ec2=None, **changes):
    """A door that admits version 2, which a fresh installation does not."""
    face = {"version_2": True} | (ec2 or {})
    return Ec2Door(cloud.engine, BOX, checked(Path("/nowhere"), regions=ZONES, ec2=face, **changes))


def received(request: AWSRequest) -> SignedRequest:
    """The request as a server sees it."""
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    body = prepared.body or b""
    body = body if isinstance(body, bytes) else body.encode()
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in prepared.headers.items()
    }
    return SignedRequest(
        method=prepared.method,
        path=parts.path,
        query=parts.query,
        headers={"host": parts.netloc, **headers},
        body=body,
        pairs=decode_pairs(parts.query.encode()) + decode_pairs(body),
    )


def post() -> AWSRequest:
    return AWSRequest("POST", ENDPOINT, data=PARAMETERS)


def get() -> AWSRequest:
    return AWSRequest("GET", f"{ENDPOINT}?{urlencode(PARAMETERS)}")


def signed_v4(
    key=KEY_ID, secret=SECRET, token=None, region="us-east-1", service="ec2", version="2016-11-15"
) -> SignedRequest:
    request = AWSRequest("POST", ENDPOINT, data=PARAMETERS | {"Version": version})
    SigV4Auth(Credentials(key, secret, token), service, region).add_auth(request)
    return received(request)


def presigned(region="us-east-1") -> SignedRequest:
    request = get()
    SigV4QueryAuth(Credentials(KEY_ID, SECRET), "ec2", region, expires=60).add_auth(request)
    return received(request)


def signed_v2() -> SignedRequest:
    request = AWSRequest("POST", ENDPOINT, data=dict(PARAMETERS))
    SigV2Auth(Credentials(KEY_ID, SECRET)).add_auth(request)
    return received(request)


@pytest.mark.parametrize("make", [signed_v4, presigned, signed_v2])
def test_every_signature_opens_the_door_to_its_owner(cloud, make):
    caller = door(cloud)(make(), "request-1")
    assert caller.user_name == "ann"
    assert (caller.tenant_id, caller.account_id) == (cloud.tenant.id, "111122223333")
    assert (caller.api, caller.role, caller.region) == (Api.EC2, Role.MEMBER, "us-east-1")
    assert caller.request_id == "request-1"


def refusal(cloud, request, **changes):
    with pytest.raises(SignatureError) as refused:
        door(cloud, **changes)(request, "r")
    return refused.value.code, refused.value.message


NOBODY = ("AuthFailure", "AWS was not able to validate the provided access credentials")


@pytest.mark.parametrize(
    "make",
    [
        lambda: received(post()),  # not signed at all
        lambda: signed_v4(secret="wrong"),
        lambda: signed_v4(key="AKIAUNKNOWN"),
        lambda: signed_v4(key=f"{KEY_ID}:beta"),  # somebody else's tenant
        lambda: signed_v4(token="a session token that we never gave"),
        lambda: signed_v4(region="mars-1"),
        lambda: signed_v4(service="s3"),
        lambda: signed_v4(service="sts"),
        lambda: signed_v4(service="ec2", version="2011-06-15"),
    ],
    ids=["unsigned", "secret", "key", "tenant", "session", "region", "service", "for sts", "for ec2"],
)
def test_refusals_all_look_the_same(cloud, make):
    assert refusal(cloud, make()) == NOBODY


def test_a_disabled_key_is_an_unknown_one(cloud):
    cloud.engine.execute(ADMIN, SetAccessKeyActive(key_id=KEY_ID, active=False))
    assert refusal(cloud, signed_v4()) == NOBODY


@pytest.mark.parametrize("name", ["alpha", "111122223333"])
def test_the_tenant_may_be_named_in_the_key(cloud, name):
    assert door(cloud)(signed_v4(key=f"{KEY_ID}:{name}"), "r").tenant_id == cloud.tenant.id


def test_the_scope_chooses_the_region(cloud):
    assert door(cloud)(signed_v4(region="eu-2"), "r").region == "eu-2"
    assert door(cloud)(presigned(region="eu-2"), "r").region == "eu-2"
    assert door(cloud)(signed_v2(), "r").region == "us-east-1"  # has none: the default one
    for region, expected in (("mars-1", "us-east-1"), ("eu-2", "eu-2")):
        request = signed_v4(region=region, service="sts", version="2011-06-15")
        assert door(cloud)(request, "r").region == expected


def test_switches(cloud):
    assert refusal(cloud, signed_v2(), ec2={"version_2": False}) == NOBODY
    fresh = Ec2Door(cloud.engine, BOX, checked(Path("/nowhere"), regions=ZONES))
    assert fresh(signed_v4(), "r").user_name == "ann"
    with pytest.raises(SignatureError) as refused:
        fresh(signed_v2(), "r")
    assert (refused.value.code, refused.value.message) == NOBODY
    any_service = door(cloud, ec2={"any_service": True})
    assert any_service(signed_v4(region="0", service="127"), "r").region == "us-east-1"


@pytest.mark.parametrize(("make", "window"), [(signed_v4, 300), (signed_v2, 900)])
def test_the_clock_may_be_off_for_a_while(cloud, make, window):
    request, now = make(), cloud.clock.now
    for offset in (window - 30, 30 - window):
        cloud.clock.now = now + offset
        assert door(cloud)(request, "r")
    for offset in (window + 30, -window - 30):
        cloud.clock.now = now + offset
        assert refusal(cloud, request)[0] == "RequestExpired"
    cloud.clock.now = now + window + 30
    assert door(cloud, ec2={"skew": 3600, "skew_version_2": 3600})(request, "r")


# OCCI ---------------------------------------------------------------------------------------------------

PASSWORDS = Passwords()
HASH = PASSWORDS.hash("päss:word")


def basic(name: str, password: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode(encoding)).decode()


@pytest.fixture
def occi(cloud):
    cloud.engine.execute(ADMIN, SetPassword(name="ann", password_hash=HASH))
    cloud.engine.execute(ADMIN, CreateToken(digest=token_digest("t0ken"), user_name="ann"))
    return OcciDoor(cloud.engine, PASSWORDS)


@pytest.mark.parametrize(
    "header",
    [basic("ann", "päss:word"), basic("ann", "päss:word").replace("Basic ", "bAsIc   "), "Bearer t0ken"],
)
def test_passwords_and_tokens_open_the_other_door(cloud, occi, header):
    caller = occi(header, "request-2")
    assert (caller.user_name, caller.tenant_id, caller.api) == ("ann", cloud.tenant.id, Api.OCCI)
    assert caller.request_id == "request-2"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"ann").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        basic("ann", ""),
        basic("ann", "wrong"),
        basic("bob", "x"),  # his stored hash is none
        basic("nobody", "päss:word"),
        basic("", "päss:word"),
        basic("ann\0", "päss:word"),
        basic("ann", "x" * 10_000),
        "Bearer",
        "Bearer wrong",
        "Bearer " + token_digest("t0ken"),  # what the database holds opens nothing
        "Digest username=ann",
        "AWS4-HMAC-SHA256 Credential=x",
    ],
)
def test_everything_else_is_nobody(occi, header):
    with pytest.raises(Unauthenticated):
        occi(header, "r")


def test_a_token_ends_when_its_time_comes(cloud, occi):
    cloud.engine.execute(
        ADMIN, CreateToken(digest=token_digest("brief"), user_name="ann", expires_at=cloud.clock.now + 60)
    )
    assert occi("Bearer brief", "r")
    cloud.clock.advance(61)
    with pytest.raises(Unauthenticated):
        occi("Bearer brief", "r")


def test_a_deleted_token_is_nobodys_and_its_id_opens_nothing(cloud, occi):
    (token,) = cloud.engine.tokens(cloud.engine.by_name("ann")[0].id)
    for name in ("", token.id[:11], "g" * 12, "%" * 12):
        with pytest.raises(BackendError):
            cloud.engine.execute(ADMIN, DeleteToken(token_id=name))
    with pytest.raises(Unauthenticated):
        occi(f"Bearer {token.id}", "r")
    assert occi("Bearer t0ken", "r")
    cloud.engine.execute(ADMIN, DeleteToken(token_id=token.id))
    with pytest.raises(Unauthenticated):
        occi("Bearer t0ken", "r")


def test_another_password_ends_the_tokens(cloud, occi):
    assert occi("Bearer t0ken", "r")
    cloud.engine.execute(ADMIN, SetPassword(name="ann", password_hash=HASH))
    with pytest.raises(Unauthenticated):
        occi("Bearer t0ken", "r")


def test_a_deleted_user_and_a_deleted_key_open_no_door(cloud, occi):
    assert occi(basic("ann", "päss:word"), "r")  # remembered by now
    cloud.engine.execute(ADMIN, DeleteAccessKey(key_id=KEY_ID))
    assert cloud.engine.by_access_key(KEY_ID) is None
    cloud.engine.execute(ADMIN, DeleteUser(name="ann"))
    for header in (basic("ann", "päss:word"), "Bearer t0ken"):
        with pytest.raises(Unauthenticated):
            occi(header, "r")


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_no_header_is_a_bug(text):
    with pytest.raises(Unauthenticated):
        OcciDoor(_Nobody(), _Never())(text, "r")
    with pytest.raises(Unauthenticated):
        OcciDoor(_Nobody(), _Never())(f"Basic {text}", "r")


class _Nobody:
    def by_name(self, _name):
        return None

    by_token = by_name


class _Never:
    def verify(self, *_):
        return False


# One origin, two faces ----------------------------------------------------------------------------------

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("path", "query", "headers", "expected"),
    [
        ("/", "", FORM, True),
        ("/", "", {"Content-Type": "Application/X-WWW-Form-URLEncoded"}, True),
        ("/", "Version=2016-11-15&Action=RunInstances", {}, True),
        ("/", "AWSAccessKeyId=x", {}, True),
        ("/", "X-Amz-Algorithm=AWS4-HMAC-SHA256", {}, True),
        ("/", "", {"Authorization": "AWS4-HMAC-SHA256 x"}, True),
        ("/services/Cloud", "", {}, True),
        ("/services/Eucalyptus/", "", {}, True),
        ("/", "", {}, False),
        ("/", "action=stop", {}, False),
        ("/", "NoAction=x&xAction=y", {}, False),
        ("/", "", {"Content-Type": "text/occi"}, False),
        ("/", "", {"Authorization": "Basic x"}, False),
        ("/compute/", "Action=RunInstances", FORM, False),
        ("/services", "", FORM, False),
        ("//", "Action=x", FORM, False),
    ],
)
def test_which_face_a_request_is_for(path, query, headers, expected):
    env = falcon.testing.create_environ(path, query_string=query, headers=headers, method="POST")
    assert is_ec2(falcon.Request(env)) is expected
