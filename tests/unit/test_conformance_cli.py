"""The conformance tool's command line: what it says before it judges anything, and its exit statuses."""

from __future__ import annotations

import socket

import pytest
from typer.testing import CliRunner

from conformance.cli import app

RUN = CliRunner()
SECRET = {"AWS_SECRET_ACCESS_KEY": "s", "ISTHMUS_CONFORMANCE_PASSWORD": "p"}


def nobody() -> str:
    """A URL at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("words", [("occi",), ("occi", "--user", "ann"), ("ec2", "--access-key", "AKIA")])
def test_an_endpoint_that_does_not_answer_is_no_judgement(words):
    done = RUN.invoke(app, [words[0], nobody(), *words[1:]], env=SECRET)
    assert done.exit_code == 2
    assert "does not answer" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("occi", "cloud.example"), "no http(s) URL"),
        (("occi", "http://ann:secret@cloud.example"), "credentials do not belong"),
        (("occi", "http://cloud.example", "--only", "no such check"), "--list names them all"),
        (("occi", "http://cloud.example", "--token-file", "/nowhere"), "/nowhere"),
        (("ec2", "http://cloud.example"), "--access-key"),
    ],
)
def test_what_cannot_begin_says_why(words, said):
    done = RUN.invoke(app, [*words], env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "s"})
    assert done.exit_code == 2
    assert said in done.stderr
    assert "secret" not in done.stderr


def test_a_password_is_not_asked_for_without_a_terminal():
    done = RUN.invoke(app, ["occi", nobody(), "--user", "ann"], env={"ISTHMUS_CONFORMANCE_PASSWORD": ""})
    assert done.exit_code == 2
    assert "ISTHMUS_CONFORMANCE_PASSWORD" in done.stderr


@pytest.mark.parametrize(("standard", "only"), [("occi", "OCCI-HTTP-021"), ("ec2", "EC2-SIG-001")])
def test_checks_are_named(standard, only):
    done = RUN.invoke(app, [standard, "http://cloud.example", "--list", "--only", only])
    assert done.exit_code == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows
    assert all(len(row) == 5 and row[1] in {"MUST", "SHOULD", "MAY"} and only in row[3] for row in rows)
