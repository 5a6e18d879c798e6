"""Temporary keys, from STS's reply to the next request, on both databases: who they are, when they end."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from ec2_door import DoorCloud, Keys, keys_of
from simulation import ADMIN

from backend.commands import (
    CreateTenant,
    CreateUser,
    DeleteAccessKey,
    DeleteUser,
    PurgeTenant,
    SetAccessKeyActive,
    SetPassword,
)
from backend.errors import BackendError, Code
from backend.identity_commands import CreateRole, DeleteRole
from backend.model import Role

ALPHA, BETA = "111122223333", "444455556666"
ROLE = f"arn:aws:iam::{ALPHA}:role/operator"


class Doors(DoorCloud):
    def __init__(self, monkeypatch: Any, url: str) -> None:
        super().__init__(monkeypatch, url=url)
        self.ann, self.bob = self.keys("ann"), self.keys("bob")

    def role(self, name: str = "operator", *, trusted: tuple[str, ...] = (), longest: int = 3600) -> Any:
        tenant = self.cloud.tenant.id
        return self.engine.execute(
            ADMIN, CreateRole(tenant_id=tenant, name=name, trusted=trusted, longest=longest)
        )

    def assume(self, keys: Keys, arn: str = ROLE, name: str = "build-7", **more: Any) -> dict[str, Any]:
        return self.sts(keys).assume_role(RoleArn=arn, RoleSessionName=name, **more)

    def whoami(self, keys: Keys) -> dict[str, str]:
        reply = self.sts(keys).get_caller_identity()
        return {name: reply[name] for name in ("Account", "UserId", "Arn")}


@pytest.fixture
def doors(monkeypatch, database):
    made = Doors(monkeypatch, database)
    yield made
    made.cloud.store.close()


def refused(call: Any, *args: Any, **parameters: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(*args, **parameters)
    reply = caught.value.response
    return reply["ResponseMetadata"]["HTTPStatusCode"], reply["Error"]["Code"], reply["Error"]["Message"]


NOBODY = (401, "AuthFailure", "AWS was not able to validate the provided access credentials")
NOBODY_TO_STS = (403, "InvalidClientTokenId", "The security token included in the request is invalid.")

CHAINING = (
    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
)


def test_a_session_of_ones_own(doors):
    reply = doors.sts(doors.ann).get_session_token()
    keys = keys_of(reply)
    assert keys.id.startswith("ASIA")
    assert len(keys.id) == 20
    assert reply["Credentials"]["Expiration"].timestamp() == pytest.approx(
        doors.cloud.clock.now + 43_200, abs=2
    )
    assert doors.whoami(keys) == doors.whoami(doors.ann)
    assert doors.whoami(keys)["Arn"] == f"arn:aws:iam::{ALPHA}:user/ann"
    doors.client(keys).create_key_pair(KeyName="k")
    assert [pair["KeyName"] for pair in doors.client(doors.ann).describe_key_pairs()["KeyPairs"]] == ["k"]


def test_a_role_of_ones_own_tenant(doors):
    role = doors.role()
    reply = doors.assume(doors.ann)
    assert reply["AssumedRoleUser"] == {
        "AssumedRoleId": f"{role.id}:build-7",
        "Arn": f"arn:aws:sts::{ALPHA}:assumed-role/operator/build-7",
    }
    keys = keys_of(reply)
    assert doors.whoami(keys) == {
        "Account": ALPHA,
        "UserId": f"{role.id}:build-7",
        "Arn": f"arn:aws:sts::{ALPHA}:assumed-role/operator/build-7",
    }


def test_a_trusted_account_works_in_the_roles_tenant(doors):
    doors.role(trusted=(BETA,))
    keys = keys_of(doors.assume(doors.bob))
    doors.client(keys).create_key_pair(KeyName="bobs")
    assert doors.client(doors.ann).describe_key_pairs()["KeyPairs"][0]["KeyName"] == "bobs"
    assert doors.client(doors.bob).describe_key_pairs()["KeyPairs"] == []
    caller = doors.callers[-3]
    assert (caller.actor, caller.role) == ("ec2:operator/build-7", Role.MEMBER)
    [reservation] = [
        doors.client(keys).run_instances(ImageId=doors.cloud.image.id, MinCount=1, MaxCount=1)["Instances"]
    ]
    [event] = doors.engine.events(ADMIN, instance_id=reservation[0]["InstanceId"])[:1]
    assert event.actor == "ec2:operator/build-7"


def test_trust_ends_with_the_tenant_that_is_trusted(doors):
    doors.role(trusted=(BETA,))
    doors.engine.execute(ADMIN, PurgeTenant(tenant_id=doors.cloud.other_tenant.id, remove=True))
    assert [role.trusted for role in doors.engine.roles()] == [()]
    doors.engine.execute(ADMIN, CreateTenant(name="new", account_id=BETA))  # the same number once more
    [tenant] = [each for each in doors.engine.tenants() if each.name == "new"]
    doors.engine.execute(ADMIN, CreateUser(tenant_id=tenant.id, name="eve", password_hash=""))
    assert refused(doors.assume, doors.keys("eve"))[1] == "AccessDenied"


def test_an_administrator_is_none_in_a_role(doors):
    doors.engine.execute(
        ADMIN,
        CreateUser(tenant_id=doors.cloud.tenant.id, name="root", password_hash="", role=Role.ADMIN),
    )
    root = doors.keys("root")
    doors.role()
    doors.whoami(keys_of(doors.assume(root)))
    assert doors.callers[-1].role is Role.MEMBER
    doors.whoami(keys_of(doors.sts(root).get_session_token()))
    assert doors.callers[-1].role is Role.ADMIN


@pytest.mark.parametrize(
    "arn",
    [
        ROLE,  # it is there, and trusts the other tenant only
        f"arn:aws:iam::{ALPHA}:role/nothing",
        "arn:aws:iam::999988887777:role/operator",
        f"arn:aws:iam::{ALPHA}:role/path/operator",
    ],
)
def test_who_is_not_trusted_is_told_nothing(doors, arn):
    doors.role()
    status, code, message = refused(doors.assume, doors.bob, arn, DurationSeconds=43_200)
    assert (status, code) == (403, "AccessDenied")
    assert message == (
        f"User: arn:aws:iam::{BETA}:user/bob is not authorized to perform: sts:AssumeRole on resource: {arn}"
    )
    assert doors.transport.last.text.startswith(
        '<?xml version="1.0" encoding="UTF-8"?>\n<ErrorResponse xmlns='
    )
    assert "<Type>Sender</Type>" in doors.transport.last.text


def test_roles_are_taken_on_one_after_another_for_an_hour(doors):
    doors.role(longest=43_200)
    doors.role("second", longest=43_200, trusted=(BETA,))
    second = f"arn:aws:iam::{ALPHA}:role/second"
    first = keys_of(doors.assume(doors.ann, DurationSeconds=43_200))
    own = keys_of(doors.sts(doors.ann).get_session_token())
    for keys in (first, own):
        assert refused(doors.assume, keys, second, DurationSeconds=3601) == (
            400,
            "ValidationError",
            CHAINING,
        )
        chained = keys_of(doors.assume(keys, second, DurationSeconds=3600))
        assert doors.whoami(chained)["Arn"] == f"arn:aws:sts::{ALPHA}:assumed-role/second/build-7"
    doors.engine.execute(ADMIN, DeleteAccessKey(key_id=doors.ann.id))  # what all of them go back to
    for keys in (first, own, chained):
        assert refused(doors.whoami, keys) == NOBODY_TO_STS


def test_a_temporary_key_does_not_prolong_itself(doors):
    doors.role()
    for keys in (keys_of(doors.assume(doors.ann)), keys_of(doors.sts(doors.ann).get_session_token())):
        assert refused(doors.sts(keys).get_session_token) == (
            403,
            "AccessDenied",
            "Cannot call GetSessionToken with session credentials",
        )


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"DurationSeconds": 899}, "ValidationError"),
        ({"DurationSeconds": 3601}, "ValidationError"),
        ({"DurationSeconds": 43_201}, "ValidationError"),
        ({"DurationSeconds": "soon"}, "ValidationError"),
        ({"name": "x"}, "ValidationError"),
        ({"name": "x" * 65}, "ValidationError"),
        ({"name": "a b"}, "ValidationError"),
        ({"name": "ü" * 4}, "ValidationError"),
        ({"arn": "operator"}, "ValidationError"),
        ({"arn": f"arn:aws:iam::{ALPHA}:user/operator"}, "ValidationError"),
        ({"Policy": "{}"}, "MalformedPolicyDocument"),
        ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]}, "MalformedPolicyDocument"),
        ({"Tags": [{"Key": "a", "Value": "b"}]}, "AccessDenied"),
        ({"TransitiveTagKeys": ["a"]}, "AccessDenied"),
        ({"SourceIdentity": "ann"}, "AccessDenied"),
        ({"SerialNumber": f"arn:aws:iam::{ALPHA}:mfa/ann", "TokenCode": "123456"}, "AccessDenied"),
        ({"ProvidedContexts": [{"ProviderArn": "arn:aws:iam::aws:contextProvider/x"}]}, "AccessDenied"),
        ({"ExternalId": "a b"}, "ValidationError"),
    ],
)
def test_what_cannot_be_had_is_refused(doors, more, code):
    doors.role()
    assert refused(doors.assume, doors.ann, **more)[:2] == (403 if code == "AccessDenied" else 400, code)
    with doors.engine.store.read() as tx:
        assert tx.sessions.all() == []


def test_what_narrows_nothing_is_accepted(doors):
    doors.role()
    keys = keys_of(doors.assume(doors.ann, ExternalId="made-up:1", DurationSeconds=900))
    assert doors.whoami(keys)["Account"] == ALPHA
    assert len(keys_of(doors.sts(doors.ann).get_session_token(MinimumSessionTokenSize=4096)).token) >= 4096


@pytest.mark.parametrize("seconds", [899, 129_601])
def test_ones_own_session_lasts_at_most_36_hours(doors, seconds):
    assert refused(doors.sts(doors.ann).get_session_token, DurationSeconds=seconds)[1] == "ValidationError"
    assert doors.sts(doors.ann).get_session_token(DurationSeconds=129_600)


def test_an_expired_session_is_told_so_and_forgotten_a_day_later(doors):
    doors.role()
    keys = keys_of(doors.assume(doors.ann, DurationSeconds=900))
    doors.cloud.clock.advance(890)
    assert doors.client(keys).describe_instances()["Reservations"] == []
    doors.cloud.clock.advance(11)
    expired = (400, "RequestExpired", "Request has expired.")
    assert refused(doors.client(keys).describe_instances) == expired
    assert refused(doors.whoami, keys) == (
        403,
        "ExpiredToken",
        "The security token included in the request is expired",
    )
    stolen = keys._replace(token="x")  # only its holder learns that it was one
    assert refused(doors.client(stolen).describe_instances) == NOBODY
    doors.cloud.worker.reap()
    assert refused(doors.client(keys).describe_instances) == expired
    doors.cloud.clock.advance(86_400)
    doors.cloud.worker.reap()
    assert refused(doors.client(keys).describe_instances) == NOBODY
    with doors.engine.store.read() as tx:
        assert tx.sessions.all() == []


def test_wrong_tokens_are_wrong_keys(doors):
    doors.role()
    keys = keys_of(doors.assume(doors.ann))
    other = keys_of(doors.assume(doors.ann))
    for wrong in (
        keys._replace(token=None),
        keys._replace(token=""),
        keys._replace(token=keys.token[:-1]),
        keys._replace(token=other.token),
        keys._replace(secret=other.secret),
        keys._replace(id=other.id),
        keys._replace(id="ASIAUNKNOWNUNKNOWN22"),
        doors.ann._replace(token=keys.token),
        doors.ann._replace(token="x"),
    ):
        assert refused(doors.client(wrong).describe_instances) == NOBODY
        assert refused(doors.whoami, wrong) == NOBODY_TO_STS
    assert doors.whoami(keys)


@pytest.mark.parametrize(
    "end",
    [
        lambda doors: DeleteRole(tenant_id=doors.cloud.tenant.id, name="operator"),
        lambda _doors: DeleteUser(name="bob"),
        lambda doors: DeleteAccessKey(key_id=doors.bob.id),
        lambda doors: SetAccessKeyActive(key_id=doors.bob.id, active=False),
        lambda doors: PurgeTenant(tenant_id=doors.cloud.tenant.id, remove=True),
        lambda doors: PurgeTenant(tenant_id=doors.cloud.other_tenant.id, remove=True),
    ],
    ids=["role", "user", "key", "key disabled", "role's tenant", "user's tenant"],
)
def test_a_session_ends_with_what_it_came_from(doors, end):
    doors.role(trusted=(BETA,))
    keys = keys_of(doors.assume(doors.bob))
    assert doors.whoami(keys)
    doors.engine.execute(ADMIN, end(doors))
    assert refused(doors.whoami, keys) == NOBODY_TO_STS
    with doors.engine.store.read() as tx:
        assert tx.sessions.all() == []


def test_an_enabled_key_does_not_bring_its_sessions_back(doors):
    keys = keys_of(doors.sts(doors.ann).get_session_token())
    for active in (False, True):
        doors.engine.execute(ADMIN, SetAccessKeyActive(key_id=doors.ann.id, active=active))
    assert doors.whoami(doors.ann)
    assert refused(doors.whoami, keys) == NOBODY_TO_STS


def test_a_password_has_nothing_to_do_with_it(doors):
    keys = keys_of(doors.sts(doors.ann).get_session_token())
    doors.engine.execute(ADMIN, SetPassword(name="ann", password_hash=""))
    assert doors.whoami(keys)


def test_a_role_made_anew_knows_no_older_session(doors):
    doors.role()
    keys = keys_of(doors.assume(doors.ann))
    doors.engine.execute(ADMIN, DeleteRole(tenant_id=doors.cloud.tenant.id, name="operator"))
    doors.role()
    assert refused(doors.whoami, keys) == NOBODY_TO_STS


def test_the_database_opens_nothing(doors):
    keys = keys_of(doors.sts(doors.ann).get_session_token())
    with doors.engine.store.read() as tx:
        [row] = tx.sessions.all()
    assert keys.secret.encode() not in row.secret
    assert keys.token not in repr(row)
    assert refused(doors.whoami, keys._replace(token=row.token_digest)) == NOBODY_TO_STS


def test_presigned_requests_carry_the_token(doors):
    keys = keys_of(doors.sts(doors.ann).get_session_token())
    url = doors.client(keys).generate_presigned_url("describe_regions", HttpMethod="GET")
    assert "X-Amz-Security-Token=" in url
    path, _, query = url.partition("?")
    host = {"host": path.split("/")[2]}
    assert doors.app.simulate_get("/", query_string=query, headers=host).status_code == 200
    without = "&".join(each for each in query.split("&") if "Security-Token" not in each)
    assert doors.app.simulate_get("/", query_string=without, headers=host).status_code == 401


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": ""}, Code.PARAMETER_INVALID),
        ({"name": "a b"}, Code.PARAMETER_INVALID),
        ({"name": "a/b"}, Code.PARAMETER_INVALID),
        ({"name": "x" * 65}, Code.PARAMETER_INVALID),
        ({"longest": 3599}, Code.PARAMETER_INVALID),
        ({"longest": 43_201}, Code.PARAMETER_INVALID),
        ({"trusted": ("*",)}, Code.TENANT_NOT_FOUND),
        ({"trusted": ("999988887777",)}, Code.TENANT_NOT_FOUND),
        ({"tenant_id": "t-nobody"}, Code.TENANT_NOT_FOUND),
        ({}, Code.ROLE_EXISTS),
    ],
)
def test_roles_that_cannot_be(doors, changes, code):
    doors.role()
    fields = {"tenant_id": doors.cloud.tenant.id, "name": "operator"} | changes
    with pytest.raises(BackendError) as caught:
        doors.engine.execute(ADMIN, CreateRole(**fields))
    assert caught.value.code is code
    assert len(doors.engine.roles()) == 1


def test_a_role_that_is_not_there_is_not_deleted(doors):
    with pytest.raises(BackendError) as caught:
        doors.engine.execute(ADMIN, DeleteRole(tenant_id=doors.cloud.tenant.id, name="operator"))
    assert caught.value.code is Code.ROLE_NOT_FOUND
