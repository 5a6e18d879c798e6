"""Mutated OCCI messages do no harm; and the tool that says so finds harm that is planted."""

import json
import subprocess
import sys
import time
from pathlib import Path

import campaign
import occi_parser
import occi_server
import pytest
import structlog
from mutation import Mutator
from occi_corpus import Message

from rendering import occi_json, occi_text
from rendering.occi_document import RenderingError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def armed():
    campaign.arm()


def at_the_parsers(tmp_path, count=1500, first=0, **more):
    options = {
        "first": first,
        "count": count,
        "limit": 2.0,
        "most_failures": 3,
        "keep": tmp_path,
        "quiet": True,
    }
    return campaign.run(Mutator(7).message, occi_parser.judge, **{**options, **more})


# The parsers --------------------------------------------------------------------------------------------


def test_mutated_messages_are_refused_or_read(tmp_path):
    outcome = at_the_parsers(tmp_path, 3000)
    assert (outcome.sent, outcome.failed, list(tmp_path.iterdir())) == (3000, 0, [])
    assert 300 < outcome.taken < 2700


def test_the_same_seed_makes_the_same_messages():
    ours, theirs, others = Mutator(7), Mutator(7), Mutator(8)
    assert [ours.request(n) for n in range(50)] == [theirs.request(n) for n in range(50)]
    assert ours.message(40) == theirs.message(40)  # alone, too
    assert [ours.message(n) for n in range(50)] != [others.message(n) for n in range(50)]


def drops_an_attribute(monkeypatch):
    real = occi_text._all_pairs
    monkeypatch.setattr(occi_text, "_all_pairs", lambda given: real(given)[:1])


def forgets_to_escape(monkeypatch):
    monkeypatch.setattr(occi_text, "_is_bare", lambda text: True)


def crashes_on_unicode(monkeypatch):
    real = occi_json.parse
    monkeypatch.setattr(occi_json, "parse", lambda body: real(body.decode("ascii").encode()))


def refuses_without_a_word(monkeypatch):
    def parse(body, encoding):
        raise RenderingError("")

    monkeypatch.setattr(occi_text, "parse_plain", parse)


def reads_otherwise_than_the_grammar(monkeypatch):
    from rendering import occi_fields

    monkeypatch.setattr(occi_fields, "by_grammar", lambda rule, value: ())


@pytest.mark.parametrize(
    "plant",
    [
        drops_an_attribute,
        forgets_to_escape,
        crashes_on_unicode,
        refuses_without_a_word,
        reads_otherwise_than_the_grammar,
    ],
)
def test_a_planted_fault_is_found_and_kept(plant, tmp_path, monkeypatch):
    plant(monkeypatch)
    outcome = at_the_parsers(tmp_path)
    assert outcome.failed == 3
    kept = json.loads(min(tmp_path.iterdir()).read_text("utf-8"))
    monkeypatch.undo()
    again = at_the_parsers(tmp_path, 1, first=kept["number"])
    assert (again.sent, again.failed) == (1, 0)  # the number alone makes the message again


def test_what_takes_too_long_is_found(tmp_path, monkeypatch):
    def hang(message):
        while True:
            time.process_time()

    monkeypatch.setattr(occi_parser, "_read", hang)
    outcome = at_the_parsers(tmp_path, limit=0.05, most_failures=1)
    assert outcome.failed == 1
    assert "TimeoutError" in next(tmp_path.iterdir()).read_text("utf-8")


def test_the_command_tells_what_it_did(tmp_path):
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "occi",
        "--messages",
        "200",
        "--seed",
        "3",
        "--keep",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("seed 3: 200 messages in ")
    assert "0 failed" in done.stdout
    wrong = subprocess.run([*command[:3], "nothing"], cwd=ROOT, capture_output=True, timeout=120)
    assert wrong.returncode == 2


# A server -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    logs = structlog.get_config()
    occi_server.be_quiet()
    with occi_server.in_process() as made:
        yield made
    structlog.configure(**logs)


def at_the_server(server, tmp_path, count=120, **more):
    options = {"first": 0, "count": count, "limit": 20.0, "most_failures": 3, "keep": tmp_path, "quiet": True}
    return campaign.run(Mutator(7).request, server.judge, **{**options, **more})


def test_mutated_requests_do_no_harm(server, tmp_path):
    outcome = at_the_server(server, tmp_path)
    assert (outcome.sent, outcome.failed) == (120, 0)
    assert 10 < outcome.taken < 110
    server.check_others()


def test_an_error_of_the_servers_is_found(server):
    for status in (500, 502, 504):
        with pytest.raises(occi_parser.Wrong):
            occi_server.check_answer(Message("GET", "/", "text/plain"), occi_server.Answer(status, {}, b"no"))
    with pytest.raises(occi_parser.Wrong):
        occi_server.check_answer(Message("GET", "/", "text/plain"), occi_server.Answer(400, {}, b""))
    with pytest.raises(occi_parser.Wrong):
        occi_server.check_answer(
            Message("GET", "/", "text/plain"), occi_server.Answer(200, {"a": "x\ny"}, b"")
        )


def test_a_refusal_that_changes_something_is_found(server, tmp_path, monkeypatch):
    real = server._send

    def send(method, path, query, fields, body):
        answer = real(method, path, query, fields, body)
        if answer.status == 400:
            server._database.execute("update tenant set name = name || 'x'")
        return answer

    monkeypatch.setattr(server, "_send", send)
    assert at_the_server(server, tmp_path).failed == 3
    monkeypatch.undo()
    server._restore()


def test_a_change_of_somebody_elses_things_is_found(server):
    server._database.execute(
        "update instance set version = version + 1 where tenant_id = ?", (server.tenants["other"],)
    )
    with pytest.raises(occi_parser.Wrong, match="instance"):
        server.check_others()
    server._restore()
    server.check_others()
