"""The command line of who may come in and where: what it shows, and what it says to do next."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from backend.identity_commands import AdmitSubject
from gateway.cli import app
from gateway.installation import Installation, make, operator

URL = "https://aai.example/realm"
ANN = "CN=ann,O=Grid,C=DE"


class Desk:
    def __init__(self, home):
        self.home = home

    def run(self, *words):
        return CliRunner().invoke(app, [*words, "--home", str(self.home)])

    def cli(self, *words):
        done = self.run(*words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def refused(self, *words):
        done = self.run(*words)
        assert done.exit_code == 1, done.output
        return done.stderr


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    home = tmp_path_factory.mktemp("first") / "home"
    made, _ = make(home, listen="127.0.0.1:0", regions={"us-east-1": ("us-east-1a",)})
    made.close()
    desk = Desk(home)
    desk.cli("tenant", "create", "a/b c")
    desk.cli("user", "create", "ann")
    return home


@pytest.fixture
def desk(first, tmp_path, monkeypatch):
    for name in ("ISTHMUS_HOME", "ISTHMUS_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    shutil.copytree(first, home)
    (home / "location").write_text(str(home))  # it is no copy, for all that it knows
    return Desk(home)


def test_joining_and_leaving(desk):
    joined = desk.run("user", "join", "ann", "a/b c", "--role", "admin")
    assert "X-Project: a/b c" in joined.stdout
    assert "/projects/a%2Fb%20c/" in joined.stdout
    assert desk.cli("user", "show", "ann")["projects"] == {"a/b c": "admin"}
    assert desk.cli("user", "join", "ann", "a/b c")["role"] == "member"
    assert "a/b c=member" in desk.run("user", "list").stdout
    assert [each["projects"] for each in desk.cli("user", "list") if each["name"] == "ann"] == [
        {"a/b c": "member"}
    ]
    assert desk.cli("user", "leave", "ann", "a/b c")["left"] is True
    assert "See: isthmus user show USER" in desk.refused("user", "leave", "ann", "a/b c")
    assert "is of the tenant default already" in desk.refused("user", "join", "ann", "default")
    assert "See: isthmus tenant list" in desk.refused("user", "join", "ann", "nowhere")
    assert "See: isthmus user list" in desk.refused("user", "join", "nobody", "default")


def test_identities(desk):
    added = desk.run("identity", "add", "ann", "--issuer", URL, "--subject", "7f3c")
    assert f'[[oidc]] with issuer = "{URL}"' in added.stderr
    with (desk.home / "isthmus.toml").open("a") as file:
        file.write(f'\n[[oidc]]\nissuer = "{URL}"\naudience = "isthmus"\n')
    added = desk.run("identity", "add", "ann", "--issuer", URL, "--subject", "8")
    assert added.exit_code == 0
    assert "[[oidc]]" not in added.output
    assert desk.cli("user", "show", "ann")["identities"] == [f"{URL} 7f3c", f"{URL} 8"]
    assert [each["subject"] for each in desk.cli("identity", "list", "ann")] == ["7f3c", "8"]
    assert desk.cli("identity", "list", "default") == []
    taken = desk.refused("identity", "add", "default", "--issuer", URL, "--subject", "8")
    assert "as ann" in taken
    assert "isthmus identity remove" in taken
    assert desk.cli("identity", "remove", "--issuer", URL, "--subject", "8")["removed"] is True
    assert "See: isthmus identity list" in desk.refused(
        "identity", "remove", "--issuer", URL, "--subject", "8"
    )
    for words in (
        (),
        ("--issuer", URL),
        ("--subject", "x"),
        ("--issuer", URL, "--certificate", str(desk.home / "isthmus.toml")),
    ):
        assert "Say --issuer and --subject, or --certificate" in desk.refused(
            "identity", "add", "ann", *words
        )


def test_subjects_of_certificates_are_kept_in_one_spelling(desk):
    added = desk.run("identity", "add", "ann", "--issuer", "x509", "--subject", "/C=DE/O=Grid/CN=ann")
    assert ANN in added.stdout
    assert "[x509]" in added.stderr
    assert "is known already" in desk.refused(
        "identity", "add", "default", "--issuer", "x509", "--subject", ANN
    )
    for wrong in ("ann", "C = DE, CN = ann", "subject=CN=ann, C=DE"):
        said = desk.refused("identity", "add", "ann", "--issuer", "x509", "--subject", wrong)
        assert "openssl x509 -in FILE -noout -subject -nameopt RFC2253" in said
    assert "PEM" in desk.refused("identity", "add", "ann", "--certificate", str(desk.home / "isthmus.toml"))
    assert (
        desk.cli("identity", "remove", "--issuer", "x509", "--subject", "cn=ann,o=Grid,c=DE")["subject"]
        == ANN
    )


def test_whom_claims_let_in_comes_back(desk):
    installation = Installation.at(desk.home)
    tenant = installation.engine.tenant("default")
    command = AdmitSubject(issuer=URL, subject="9", name="9@aai.example", tenant_id=tenant.id)
    installation.engine.execute(operator(), command)
    installation.close()
    assert desk.cli("user", "show", "9@aai.example")["password"] is False
    assert [each["claimed"] for each in desk.cli("identity", "list")] == [True]
    assert (
        "have its issuer withdraw them"
        in desk.run("identity", "remove", "--issuer", URL, "--subject", "9").stderr
    )
    assert desk.cli("identity", "list") == []
