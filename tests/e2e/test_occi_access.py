"""A real server that lets people in by tokens of an issuer and by certificates, and into a project."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest
from certificates import ANN, certificate_of_ann
from little_issuer import AUDIENCE, LittleIssuer
from live_cloud import LiveCloud, key_of, wait_for

from backend.model import id_of

SETTINGS = """
[[oidc]]
issuer = "{issuer}"
audience = "{audience}"
claim = "entitlement"
[oidc.projects]
"urn:chemistry" = "chemistry"
[x509]
header = "X-SSL-Client-S-DN"
verified = "X-SSL-Client-Verify"
proxies = ["127.0.0.1"]
"""
COMPUTE = 'Category: compute; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"'
PLAIN = {"Content-Type": "text/plain"}


@pytest.fixture
def issuer():
    made = LittleIssuer("/realm")
    yield made
    made.close()


@pytest.fixture
def cloud(own_cloud: LiveCloud, issuer: LittleIssuer, tmp_path: Path) -> LiveCloud:
    """Ann is of the tenant default, works in physics, and is known to the issuer and by a certificate."""
    with (own_cloud.home / "isthmus.toml").open("a") as file:
        file.write(SETTINGS.format(issuer=issuer.url, audience=AUDIENCE))
    own_cloud.cli("user", "create", "ann")
    own_cloud.cli("identity", "add", "ann", "--issuer", issuer.url, "--subject", "ann-there")
    certificate = tmp_path / "ann.pem"
    certificate.write_bytes(certificate_of_ann())
    added = own_cloud.cli("identity", "add", "ann", "--certificate", str(certificate))
    assert added["subject"] == ANN
    return own_cloud


def bearer(issuer: LittleIssuer, subject: str = "ann-there", **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {issuer.token(subject, **claims)}"}


def certified(subject: str = ANN, verified: str = "SUCCESS") -> dict[str, str]:
    """What a proxy on this machine says."""
    return {"X-SSL-Client-S-DN": subject, "X-SSL-Client-Verify": verified}


def ids(client: Any) -> set[str]:
    return {
        each["InstanceId"]
        for reservation in client.describe_instances()["Reservations"]
        for each in reservation["Instances"]
    }


def raw(cloud: LiveCloud, *lines: str) -> tuple[int, str]:
    """A request in the bytes that are given, as no client library would send them."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", cloud.port), 30)) as connection:
        text = "\r\n".join(["GET /compute/ HTTP/1.1", "Host: h", *lines, "Connection: close", "", ""])
        connection.sendall(text.encode("latin-1"))
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return int(answer.split(b" ", 2)[1]), answer.decode("latin-1")


def test_a_machine_of_a_project_by_token_certificate_and_both_faces(cloud: LiveCloud, issuer: LittleIssuer):
    physics = cloud.tenant("physics")
    assert cloud.cli("user", "join", "ann", "physics") == {
        "name": "ann",
        "project": "physics",
        "role": "member",
    }
    assert cloud.cli("user", "show", "ann")["projects"] == {"physics": "member"}
    cloud.start().wait_hosts()
    mine, theirs = cloud.client(), cloud.client(key=key_of(physics))
    term = cloud.http("GET", "/projects/physics/-/", headers=bearer(issuer)).body
    template = next(line for line in term.splitlines() if line.startswith(f"Category: {cloud.image};"))
    made = cloud.http(
        "POST", "/projects/physics/compute/", f"{COMPUTE}\n{template}", {**PLAIN, **bearer(issuer)}
    )
    assert made.status == 201, made.body
    location = made.headers["Location"]
    assert location.startswith(f"{cloud.endpoint}/projects/physics/compute/")
    path = location.removeprefix(cloud.endpoint)
    inside = path.removeprefix("/projects/physics")
    instance = id_of("i", path.rsplit("/", 1)[1])
    # EC2: it is the project's, and no one else's.
    assert (ids(theirs), ids(mine)) == ({instance}, set())
    # OCCI: by token and by certificate, by path and by header; not in the own tenant.
    for who in (bearer(issuer), certified(), certified("/C=DE/O=Grid/CN=ann")):
        assert cloud.http("GET", path, headers=who).status == 200
        assert (
            cloud.http("GET", f"/projects/physics{path}", headers=who).status == 200
        )  # joined to a base URL
        assert cloud.http("GET", inside, headers={**who, "X-Project": physics["account_id"]}).status == 200
        assert cloud.http("GET", inside, headers=who).status == 404
        assert cloud.http("GET", inside, headers={**who, "X-Project": "default"}).status == 404
        assert cloud.http("GET", path, headers={**who, "X-Project": "default"}).status == 400
    listed = cloud.http("GET", "/projects/physics/compute/", headers=certified())
    assert listed.locations() == [location]
    # What one face does, the other sees.
    wait_for(
        lambda: 'occi.compute.state="active"' in cloud.http("GET", path, headers=certified()).body, "active"
    )
    theirs.stop_instances(InstanceIds=[instance])
    wait_for(
        lambda: 'occi.compute.state="inactive"' in cloud.http("GET", path, headers=bearer(issuer)).body,
        "inactive",
    )
    assert cloud.http("DELETE", location.removeprefix(cloud.endpoint), headers=certified()).status == 200
    theirs.get_waiter("instance_terminated").wait(
        InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    # The project is left: from now on it is not there.
    cloud.cli("user", "leave", "ann", "physics")
    assert cloud.http("GET", "/projects/physics/compute/", headers=certified()).status == 404
    assert cloud.http("GET", "/compute/", headers=certified()).status == 200


def test_claims_let_in_whom_nobody_has_entered(cloud: LiveCloud, issuer: LittleIssuer):
    chemistry = cloud.tenant("chemistry")
    cloud.start().wait_hosts()
    new = bearer(issuer, "new", entitlement=["urn:chemistry"])
    sent = cloud.http("PUT", "/uploads/disk.raw", b"bytes", new)
    assert sent.status == 201
    assert [each["name"] for each in cloud.cli("user", "list")].count("new@127.0.0.1") == 1
    (claimed,) = [each for each in cloud.cli("identity", "list") if each["claimed"]]
    assert (claimed["user"], claimed["subject"]) == ("new@127.0.0.1", "new")
    made = cloud.http(
        "POST", "/securitygroup/",
        'Category: securitygroup; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"\n'
        'X-OCCI-Attribute: occi.core.title="lab"',
        {**PLAIN, **new},
    )  # fmt: skip
    assert made.status == 201, made.body
    groups = cloud.client(key=key_of(chemistry)).describe_security_groups()["SecurityGroups"]
    assert len(groups) == 2  # the default one, and this
    assert cloud.http("GET", "/compute/", headers=bearer(issuer, "new")).status == 401  # withdrawn


def test_what_a_stranger_sends_lets_nobody_in_and_no_token_is_in_the_log(
    cloud: LiveCloud, issuer: LittleIssuer
):
    cloud.start()
    assert cloud.http("GET", "/compute/", headers=certified()).status == 200
    stranger = LittleIssuer("/realm")
    with contextlib.closing(stranger):
        forged = stranger.token("ann-there", iss=issuer.url, header={"kid": "first"})
    tokens = [
        forged, issuer.token("ann-there", exp=1_000_000_000), issuer.token("ann-there", aud="other"),
        issuer.signed_by_public_key("ann-there"), issuer.token("ann-there")[:-2],
    ]  # fmt: skip
    for token in tokens:
        refused = cloud.http("GET", "/compute/", headers={"Authorization": f"Bearer {token}"})
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"].startswith('Basic realm="')
    for headers in (certified(verified="NONE"), certified("CN=bob,O=Grid,C=DE"), {"X-SSL-Client-S-DN": ANN}):
        assert cloud.http("GET", "/compute/", headers=headers).status == 401
    # A proxy that adds its header to the client's: two headers are refused, whoever comes first.
    verified = "X-SSL-Client-Verify: SUCCESS"
    assert raw(cloud, f"X-SSL-Client-S-DN: {ANN}", verified)[0] == 200
    for pair in ((ANN, "CN=bob"), ("CN=bob", ANN), ("CN=ann", "O=Grid,C=DE"), (ANN, ANN)):
        status, said = raw(cloud, *(f"X-SSL-Client-S-DN: {each}" for each in pair), verified)
        assert (status, "compute" in said) == (400, False)
    assert raw(cloud, f"X-SSL-Client-S-DN: {ANN}", verified, "x-ssl-client-verify: NONE")[0] == 400
    # Other spellings of the header's name are other headers.
    for name in ("X_SSL_Client_S_DN", "X_SSL-Client-S-DN", "HTTP_X_SSL_CLIENT_S_DN"):
        assert raw(cloud, f"{name}: {ANN}", verified)[0] in {400, 401}
    good = issuer.token("ann-there")
    assert cloud.http("GET", "/compute/", headers={"Authorization": f"Bearer {good}"}).status == 200
    cloud.stop()
    log = cloud.log.read_text(errors="replace")
    assert "token refused" in log
    for token in [*tokens, good]:
        assert token.split(".")[1] not in log
        assert token.split(".")[2] not in log


def test_an_issuer_that_is_not_there_keeps_nobody_from_coming_in(cloud: LiveCloud, issuer: LittleIssuer):
    token = bearer(issuer)
    issuer.close()
    cloud.start()
    silent = cloud.http("GET", "/compute/", headers=token)
    assert (silent.status, silent.headers["Retry-After"]) == (503, "30")
    assert cloud.occi("GET", "/compute/").status == 200
    assert cloud.http("GET", "/compute/", headers=certified()).status == 200
    assert ids(cloud.client()) == set()
