"""Who comes into the OCCI face and where: the whole gateway in this process, on both databases.

Passwords, our own tokens, tokens of a real issuer, certificates that a proxy verified, and projects.
"""

from __future__ import annotations

import base64
import threading
import time
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
from little_issuer import AUDIENCE, LittleIssuer

from backend.commands import CreateTenant, CreateToken, DeleteUser, PurgeTenant, SetPassword
from backend.errors import BackendError, Code
from backend.identity_commands import AddIdentity, AdmitSubject, JoinTenant, LeaveTenant, RemoveIdentity
from backend.model import Caller, Role, Tenant
from backend.network_model import SecurityGroup
from gateway import installation as installations
from gateway.app import Gateway, application
from gateway.crypto import Passwords, token_digest
from gateway.examine import Verdict, sign_on
from gateway.installation import Installation, operator
from gateway.settings import load

INFRA = "http://schemas.ogf.org/occi/infrastructure#"
GROUP = f'Category: securitygroup; scheme="{INFRA}"; class="kind"\nX-OCCI-Attribute: occi.core.title="g%d"'
SETTINGS = """
[[oidc]]
issuer = "{issuer}"
audience = "{audience}"
claim = "entitlement"
[oidc.projects]
"urn:physics" = "physics"
"urn:chemistry" = "chemistry"
"urn:nowhere" = "nowhere"
[x509]
header = "X-SSL-Client-S-DN"
verified = "X-SSL-Client-Verify"
proxies = ["10.0.0.1"]
"""
ANN = "CN=ann,O=Grid,C=DE"


class Access:
    """An installation with three tenants, and requests to its gateway."""

    def __init__(self, home: Path, database: str, issuer: LittleIssuer) -> None:
        made, _ = installations.make(
            home, listen="127.0.0.1:0", regions={"us-east-1": ("us-east-1a",)}, database=database
        )
        made.close()
        with (home / "isthmus.toml").open("a") as file:
            file.write(SETTINGS.format(issuer=issuer.url, audience=AUDIENCE))
        self.issuer = issuer
        self.installation = Installation(load(home))
        self.engine = self.installation.engine
        self.passwords: dict[str, str] = {}
        self.tenants = {name: self.tenant(name) for name in ("home", "physics", "chemistry")}
        self.user("ann", "home")
        self.http = falcon.testing.TestClient(application(Gateway(self.installation)))

    def tenant(self, name: str) -> Tenant:
        return self.engine.execute(operator(), CreateTenant(name=name))

    def user(self, name: str, tenant: str) -> None:
        _, self.passwords[name] = installations.create_user(self.installation, self.tenants[tenant], name)

    def join(self, user: str, tenant: str, role: Role = Role.MEMBER) -> None:
        self.engine.execute(
            operator(), JoinTenant(user_name=user, tenant_id=self.tenants[tenant].id, role=role)
        )

    def basic(self, user: str = "ann") -> dict[str, str]:
        text = base64.b64encode(f"{user}:{self.passwords[user]}".encode()).decode()
        return {"Authorization": f"Basic {text}"}

    def bearer(self, subject: str = "ann-there", **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.issuer.token(subject, **claims)}"}

    def certificate(
        self, subject: str = ANN, peer: str = "10.0.0.1", verified: str = "SUCCESS"
    ) -> dict[str, str]:
        return {"X-SSL-Client-S-DN": subject, "X-SSL-Client-Verify": verified, "REMOTE": peer}

    def ask(
        self, who: dict[str, str], path: str = "/securitygroup/", method: str = "GET", **more: Any
    ) -> Any:
        headers = {**who, **more.pop("headers", {})}
        extras = {"REMOTE_ADDR": headers.pop("REMOTE", "192.0.2.9")}
        return self.http.simulate_request(method, path, headers=headers, extras=extras, **more)

    def status(self, who: dict[str, str], path: str = "/securitygroup/", **headers: str) -> int:
        return self.ask(
            who, path, headers={name.replace("_", "-"): text for name, text in headers.items()}
        ).status_code

    def make(self, who: dict[str, str], path: str = "/securitygroup/", **headers: str) -> str:
        """The tenant in which a group is made."""
        before = self.owners()
        made = self.ask(
            who,
            path,
            "POST",
            body=GROUP % len(before),
            headers={"Content-Type": "text/plain"} | {n.replace("_", "-"): v for n, v in headers.items()},
        )
        assert made.status_code == 201, made.text
        (group,) = set(self.owners()) - set(before)
        return self.owners()[group]

    def owners(self) -> dict[str, str]:
        names = {tenant.id: tenant.name for tenant in self.engine.tenants()}
        return {
            each.id: names[each.tenant_id] for each in self.engine.networks.all(operator(), SecurityGroup)
        }


@pytest.fixture(scope="module")
def issuer():
    made = LittleIssuer()
    yield made
    made.close()


@pytest.fixture
def access(tmp_path, database, issuer):
    issuer.answers.clear()
    issuer.asked.clear()
    made = Access(tmp_path / "home", database, issuer)
    yield made
    made.installation.close()


def same(*answers: Any) -> Any:
    """The one answer that several are, but for what tells requests apart."""
    shown = set()
    for answer in answers:
        headers = {name: text for name, text in answer.headers.items() if name.lower() != "x-request-id"}
        shown.add((answer.status_code, tuple(sorted(headers.items())), answer.text))
    assert len(shown) == 1, shown
    return answers[0]


# Projects -----------------------------------------------------------------------------------------------


def test_a_user_works_in_the_own_tenant_and_in_those_joined(access):
    access.join("ann", "physics")
    physics = access.tenants["physics"]
    assert access.make(access.basic()) == "home"
    assert access.make(access.basic(), X_Project="home") == "home"
    for name in ("physics", physics.id, physics.account_id):
        assert access.make(access.basic(), X_Project=name) == "physics"
        assert access.make(access.basic(), f"/projects/{name}/securitygroup/") == "physics"
    assert access.make(access.basic(), "/projects/physics/projects/physics/securitygroup/") == "physics"
    assert (
        access.make(
            access.basic(),
            f"/projects/physics/projects/{physics.id}/securitygroup/",
            X_Project=physics.account_id,
        )
        == "physics"
    )
    assert access.ask(access.basic(), "/projects/physics/-/").status_code == 200
    assert access.ask(access.basic(), "/projects/physics/.well-known/org/ogf/occi/-/").status_code == 200
    listed = access.ask(access.basic(), headers={"X-Project": "physics"}).text.splitlines()
    assert len(listed) == 9  # with the one that every tenant has
    assert len(access.ask(access.basic()).text.splitlines()) == 3


def test_a_project_of_others_is_as_one_that_is_not_there(access):
    answers = [
        access.ask(access.basic(), headers={"X-Project": name})
        for name in ("chemistry", access.tenants["chemistry"].id, access.tenants["chemistry"].account_id,
                     "nowhere", "", " ", "x" * 256, "\xff", "%", "'; --", "physics,home", "home,home")
    ]  # fmt: skip
    answers += [
        access.ask(access.basic(), path)
        for path in ("/projects/chemistry/securitygroup/", "/projects/nowhere/securitygroup/", "/projects//securitygroup/", "/projects/",
                     "/projects/%00/securitygroup/", "/projects/%FF/securitygroup/", "/projects/a%0D%0Ab/", "/projects/%F0%9F%92%A9/",
                     "/projects/chemistry/-/", "/projects/nowhere/livez")
    ]  # fmt: skip
    answers += [access.ask(access.basic(), "/projects/chemistry/", headers={"X-Project": "nowhere"})]
    refused = same(*answers)
    assert (refused.status_code, refused.text) == (404, "There is no such project.")
    json = access.ask(access.basic(), headers={"X-Project": "chemistry", "Accept": "application/occi+json"})
    assert "project.not_found" in json.text
    uploads = ("/projects/chemistry/uploads/", "/projects/nowhere/uploads/")
    assert same(*(access.ask(access.basic(), path) for path in uploads)).status_code == 404
    # Without a good name it is not told that it is a project.
    assert (
        same(
            access.ask({}, "/projects/home/securitygroup/"),
            access.ask({}, "/projects/nowhere/securitygroup/"),
        ).status_code
        == 401
    )


def test_two_projects_at_once_are_refused(access):
    access.join("ann", "physics")
    before = access.owners()
    for path, project in (
        ("/projects/home/securitygroup/", "physics"),
        ("/projects/home/projects/physics/securitygroup/", None),
        ("/projects/a/projects/b/projects/c/projects/d/", None),
    ):
        headers = {"X-Project": project} if project else {}
        assert access.ask(access.basic(), path, headers=headers).status_code == 400
        made = access.ask(access.basic(), path, "POST", body=GROUP % 1, headers=headers)
        assert (made.status_code, access.owners()) == (400, before)


def test_a_membership_ends_at_once(access):
    access.join("ann", "physics")
    assert access.status(access.basic(), X_Project="physics") == 200
    access.engine.execute(operator(), LeaveTenant(user_name="ann", tenant_id=access.tenants["physics"].id))
    assert access.status(access.basic(), X_Project="physics") == 404
    with pytest.raises(BackendError) as refused:
        access.engine.execute(
            operator(), LeaveTenant(user_name="ann", tenant_id=access.tenants["physics"].id)
        )
    assert refused.value.code is Code.MEMBERSHIP_NOT_FOUND


def test_what_a_membership_cannot_be(access):
    for user, tenant, code in (
        ("nobody", access.tenants["physics"].id, Code.USER_NOT_FOUND),
        ("ann", "t-none", Code.TENANT_NOT_FOUND),
        ("ann", access.tenants["home"].id, Code.PARAMETER_INVALID),
    ):
        for kind in (JoinTenant, LeaveTenant):
            with pytest.raises(BackendError) as refused:
                access.engine.execute(operator(), kind(user_name=user, tenant_id=tenant))
            assert refused.value.code is code
    (ann,) = [user for user in access.engine.users() if user.name == "ann"]
    home = access.tenants["home"]
    member = Caller(tenant_id=home.id, account_id=home.account_id, user_id=ann.id, user_name="ann")
    for command in (
        JoinTenant(user_name="ann", tenant_id=access.tenants["physics"].id),
        AddIdentity(user_name="ann", issuer="x509", subject=ANN),
        RemoveIdentity(issuer="x509", subject=ANN),
        AdmitSubject(issuer="i", subject="s", name="n", tenant_id=home.id),
    ):
        with pytest.raises(BackendError) as refused:
            access.engine.execute(member, command)
        assert refused.value.code is Code.DENIED


def test_the_role_in_a_project_is_the_memberships(access):
    door = Gateway(access.installation)._occi_door
    access.join("ann", "physics", Role.ADMIN)
    header = access.basic()["Authorization"]
    assert door(header, "r").role is Role.MEMBER
    assert door(header, "r", projects=("physics",)).role is Role.ADMIN
    access.join("ann", "physics", Role.MEMBER)  # again: another role
    assert door(header, "r", projects=("physics",)).role is Role.MEMBER
    _, access.passwords["root"] = installations.create_user(
        access.installation, access.tenants["home"], "root", role=Role.ADMIN
    )
    access.join("root", "physics")
    root = access.basic("root")["Authorization"]
    assert door(root, "r").role is Role.ADMIN
    found = door(root, "r", projects=("physics",))
    assert (found.role, found.user_name, found.account_id) == (
        Role.MEMBER,
        "root",
        access.tenants["physics"].account_id,
    )


def test_a_tenant_with_an_odd_name(access):
    odd = access.tenants["a/b &ü%"] = access.tenant("a/b &ü%")
    access.join("ann", "a/b &ü%")
    assert access.make(access.basic(), "/projects/a%2Fb%20%26%C3%BC%25/securitygroup/") == odd.name
    assert access.make(access.basic(), X_Project="a/b &\xc3\xbc%") == odd.name
    assert access.status(access.basic(), "/projects/a/b%20%26%C3%BC%25/securitygroup/") == 404


def test_uploads_are_a_projects_too(access):
    access.join("ann", "physics")
    sent = access.ask(access.basic(), "/projects/physics/uploads/disk.raw", "PUT", body=b"bytes")
    assert (sent.status_code, sent.headers["location"]) == (201, "/projects/physics/uploads/disk.raw")
    assert [
        each["name"]
        for each in access.ask(access.basic(), "/uploads/", headers={"X-Project": "physics"}).json
    ] == ["disk.raw"]
    assert access.ask(access.basic(), "/uploads/").json == []
    assert (
        access.ask(access.basic(), "/projects/chemistry/uploads/disk.raw", "PUT", body=b"x").status_code
        == 404
    )


def test_a_tenant_that_goes_takes_its_memberships_along_and_so_does_a_user(access):
    access.user("bob", "physics")
    access.join("ann", "physics")
    access.join("bob", "chemistry")
    access.engine.execute(operator(), AddIdentity(user_name="bob", issuer="x509", subject=ANN))
    access.engine.execute(operator(), PurgeTenant(tenant_id=access.tenants["physics"].id, remove=True))
    assert access.engine.memberships() == []
    assert access.engine.identities() == []
    access.join("ann", "chemistry")
    access.engine.execute(operator(), AddIdentity(user_name="ann", issuer="x509", subject=ANN))
    access.engine.execute(operator(), DeleteUser(name="ann"))
    assert access.engine.memberships() == []
    assert access.status(access.certificate()) == 401


# Tokens of issuers --------------------------------------------------------------------------------------


def test_a_subject_that_is_known_is_its_user(access):
    assert access.status(access.bearer()) == 401
    access.engine.execute(
        operator(), AddIdentity(user_name="ann", issuer=access.issuer.url, subject="ann-there")
    )
    assert access.make(access.bearer()) == "home"
    access.join("ann", "physics")
    assert access.make(access.bearer(), X_Project="physics") == "physics"
    assert access.status(access.bearer(), X_Project="chemistry") == 404
    assert access.make(access.bearer(entitlement="urn:chemistry"), X_Project="chemistry") == "chemistry"
    assert access.make(access.bearer(entitlement="urn:chemistry")) == "home"  # the own, whatever claims say
    assert {user.name for user in access.engine.users()} == {"ann", "default"}
    access.engine.execute(operator(), RemoveIdentity(issuer=access.issuer.url, subject="ann-there"))
    assert access.status(access.bearer()) == 401


def test_a_subject_is_one_users(access):
    access.user("bob", "physics")
    access.engine.execute(operator(), AddIdentity(user_name="ann", issuer="x509", subject=ANN))
    with pytest.raises(BackendError) as refused:
        access.engine.execute(operator(), AddIdentity(user_name="bob", issuer="x509", subject=ANN))
    assert refused.value.code is Code.IDENTITY_EXISTS
    for issuer, subject in (("", "x"), ("x", ""), ("x", "\0"), ("x", "a\n"), ("x", "y" * 1025)):
        with pytest.raises(BackendError) as refused:
            access.engine.execute(operator(), AddIdentity(user_name="bob", issuer=issuer, subject=subject))
        assert refused.value.code is Code.PARAMETER_INVALID
    with pytest.raises(BackendError) as refused:
        access.engine.execute(operator(), RemoveIdentity(issuer="x509", subject="CN=x"))
    assert refused.value.code is Code.IDENTITY_NOT_FOUND


def test_claims_make_a_user_and_say_every_time_where_it_may_work(access):
    both = access.bearer("new", entitlement=["urn:chemistry", "urn:physics"])
    assert access.make(both) == "physics"  # the first of the settings
    (made,) = [user for user in access.engine.users() if user.name == "new@127.0.0.1"]
    assert (made.tenant_id, made.role, made.password_hash) == (access.tenants["physics"].id, Role.MEMBER, "")
    assert access.make(both, X_Project="chemistry") == "chemistry"
    assert access.make(both, "/projects/chemistry/securitygroup/") == "chemistry"
    assert access.status(both, X_Project="home") == 404
    # Another day: the entitlement to its first tenant is withdrawn.
    other = access.bearer("new", entitlement="urn:chemistry")
    assert access.status(other, X_Project="physics") == 404
    assert access.status(other, X_Project="chemistry") == 200
    nowhere = access.ask(other)
    assert (nowhere.status_code, "X-Project" in nowhere.text) == (403, True)
    # All of them are.
    refused = same(access.ask(access.bearer("new")), access.ask(access.bearer("stranger")), access.ask({}))
    assert refused.status_code == 401
    # What the administrator grants holds without any claim.
    access.join("new@127.0.0.1", "home")
    assert access.make(access.bearer("new"), X_Project="home") == "home"
    assert access.status(access.bearer("new")) == 403
    assert access.status(access.bearer("new"), X_Project="physics") == 404
    assert len([user for user in access.engine.users() if user.name.startswith("new")]) == 1


def test_a_user_that_claims_made_has_no_password(access):
    assert access.status(access.bearer("new", entitlement="urn:physics")) == 200
    for password in ("", "x", "new"):
        access.passwords["new@127.0.0.1"] = password
        assert access.status(access.basic("new@127.0.0.1")) == 401
    access.engine.execute(operator(), SetPassword(name="new@127.0.0.1", password_hash=Passwords().hash("pw")))
    access.passwords["new@127.0.0.1"] = "pw"  # an administrator may give one
    assert access.make(access.basic("new@127.0.0.1")) == "physics"


def test_a_claim_that_leads_to_no_tenant_makes_nobody(access):
    users = access.engine.users()
    assert access.status(access.bearer("new", entitlement="urn:nowhere")) == 401
    assert access.status(access.bearer("new", entitlement="urn:other")) == 401
    assert access.engine.users() == users
    assert access.make(access.bearer("new", entitlement=["urn:nowhere", "urn:chemistry"])) == "chemistry"


def test_a_name_that_somebody_has_is_not_taken_over(access):
    access.user("new@127.0.0.1", "home")
    assert access.make(access.bearer("new", entitlement="urn:physics")) == "physics"
    names = sorted(user.name for user in access.engine.users() if user.name.startswith("new"))
    assert len(names) == 2
    assert names[1].startswith("new@127.0.0.1-")
    assert access.make(access.basic("new@127.0.0.1")) == "home"


def test_first_requests_at_the_same_time_make_one_user(access):
    who, found = access.bearer("new", entitlement="urn:physics"), []
    threads = [threading.Thread(target=lambda: found.append(access.status(who))) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [200] * 6
    assert [user.name for user in access.engine.users()].count("new@127.0.0.1") == 1


def test_bad_tokens_are_all_refused_alike_and_none_is_logged(access, capfd):
    access.engine.execute(
        operator(), AddIdentity(user_name="ann", issuer=access.issuer.url, subject="ann-there")
    )
    now = int(time.time())
    good = access.issuer.token("ann-there")
    bad = [
        "x", "aa.bb.cc", good[:-3], good + "A", good + ".x", access.issuer.token("ann-there", exp=now - 100),
        access.issuer.token("ann-there", aud="other"), access.issuer.token("ann-there", iss="https://issuer.example"),
        access.issuer.token("ann-there", nbf=now + 100), access.issuer.token("ann-there", header={"kid": "none"}),
        access.issuer.signed_by_public_key("ann-there"), access.issuer.token("somebody"), "x" * 20_000,
        ".".join([*access.issuer.token("ann-there", x="y" * 30_000).split(".")]),
    ]  # fmt: skip
    answers = [access.ask({"Authorization": f"Bearer {token}"}) for token in bad]
    answers += [
        access.ask({"Authorization": header})
        for header in ("Bearer", "Bearer ", f"DPoP {good}", f"Basic {good}")
    ]
    refused = same(*answers, access.ask({}))
    assert refused.status_code == 401
    challenge = refused.headers["www-authenticate"]
    assert challenge.startswith('Basic realm="isthmus"')
    assert 'Bearer realm="isthmus"' in challenge
    assert access.status({"Authorization": f"bearer  {good} "}) == 200
    captured = capfd.readouterr()
    logged = captured.out + captured.err
    assert "token refused" in logged
    for token in [*bad, good]:
        for part in token.split("."):
            assert len(part) < 20 or part not in logged


def test_an_issuer_that_is_silent_keeps_nobody_else_waiting(tmp_path, database):
    issuer = LittleIssuer()
    issuer.answers[issuer.discovery] = (500, {}, b"")
    token = issuer.token("ann-there")
    access = Access(tmp_path / "home", database, issuer)
    access.engine.execute(
        operator(), CreateToken(digest=token_digest("t0ken"), user_name="ann", expires_at=None)
    )
    for _ in range(20):
        silent = access.ask({"Authorization": f"Bearer {token}"})
        assert (silent.status_code, silent.headers["retry-after"]) == (503, "30")
        assert access.status({"Authorization": "Bearer t0ken"}) == 200
        assert access.status(access.basic()) == 200
    assert issuer.asked == [issuer.discovery]
    access.installation.close()
    issuer.close()


def test_our_own_tokens_are_never_sent_anywhere(access):
    access.engine.execute(
        operator(), CreateToken(digest=token_digest("t0ken"), user_name="ann", expires_at=None)
    )
    access.join("ann", "physics")
    access.status(access.bearer())
    asked = list(access.issuer.asked)
    assert access.make({"Authorization": "Bearer t0ken"}) == "home"
    assert access.make({"Authorization": "Bearer t0ken"}, X_Project="physics") == "physics"
    assert access.issuer.asked == asked == [access.issuer.discovery, access.issuer.jwks]


def test_the_doctor_asks_issuers_and_looks_for_the_tenants(access):
    answers, missing = sign_on(access.installation)
    assert (answers.verdict, answers.found) == (Verdict.GOOD, "keys: 1")
    assert (missing.verdict, "nowhere" in missing.found, "isthmus tenant create nowhere" in missing.cure) == (
        Verdict.WARNING, True, True,
    )  # fmt: skip
    access.issuer.answers[access.issuer.jwks] = (200, {}, b'{"keys": []}')
    assert next(sign_on(access.installation)).found.startswith("none of its 0 keys")
    access.issuer.answers[access.issuer.discovery] = (404, {}, b"")
    assert "404" in next(sign_on(access.installation)).found


# Certificates -------------------------------------------------------------------------------------------


def test_a_certificate_that_a_proxy_verified(access):
    assert access.status(access.certificate()) == 401
    access.engine.execute(operator(), AddIdentity(user_name="ann", issuer="x509", subject=ANN))
    access.join("ann", "physics")
    for subject in (ANN, "/C=DE/O=Grid/CN=ann", "cn=ann,o=Grid,c=DE"):
        assert access.make(access.certificate(subject)) == "home"
        assert access.make(access.certificate(subject), X_Project="physics") == "physics"
    assert access.status(access.certificate(), X_Project="chemistry") == 404


def test_nobody_but_the_proxy_says_who_has_which_certificate(access):
    access.engine.execute(operator(), AddIdentity(user_name="ann", issuer="x509", subject=ANN))
    liars = [
        access.certificate(peer="192.0.2.9"),
        access.certificate(peer="10.0.0.2"),
        access.certificate(peer="::1"),
        access.certificate(peer="192.0.2.9") | {"X-Forwarded-For": "10.0.0.1", "X-Real-IP": "10.0.0.1"},
        access.certificate(verified="NONE"),
        access.certificate(verified="FAILED:certificate has expired"),
        access.certificate(verified="SUCCESS,SUCCESS"),
        access.certificate(f"{ANN},{ANN}"),
        access.certificate(f"{ANN}, CN=bob,O=Grid,C=DE"),
        access.certificate(f"CN=bob,O=Grid,C=DE,{ANN}"),
        access.certificate("/C=DE/O=Grid/CN=bob,/C=DE/O=Grid/CN=ann"),
        access.certificate("CN=ANN,O=Grid,C=DE"),
        access.certificate("C=DE,O=Grid,CN=ann"),
        access.certificate("CN=ann,O=Grid,C=DE "),
        access.certificate("x" * 5000),
    ]
    answers = [access.ask(each) for each in liars[:-2]]
    refused = same(*answers, access.ask(liars[-1]), access.ask({}))
    assert refused.status_code == 401


def test_what_authorization_says_counts_beside_a_certificate(access):
    """Proxies send the certificate with every request; who gives a name and a password means these."""
    access.user("bob", "physics")
    access.engine.execute(operator(), AddIdentity(user_name="ann", issuer="x509", subject=ANN))
    assert access.make(access.certificate()) == "home"
    assert access.make(access.certificate() | access.basic("bob")) == "physics"
    assert access.status(access.certificate() | {"Authorization": "Basic bm9ib2R5Ong="}) == 401
    assert access.status(access.certificate() | {"Authorization": ""}) == 401
