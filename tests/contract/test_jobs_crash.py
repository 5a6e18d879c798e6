"""Workers that die: no work is lost, none is done twice, and a dead one's work is taken over."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs_process import TABLES
from sqlalchemy import text

from backend.jobs import Queue

PROGRAM = Path(__file__).with_name("jobs_process.py")
ROOT = Path(__file__).parents[2]
STEPS = 3


class Crew:
    """Worker processes of one test."""

    def __init__(self, store) -> None:
        self.url = store.url.render_as_string(hide_password=False)
        self.processes: list[subprocess.Popen] = []

    def start(self, executor, seconds=0.02) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), self.url, executor, str(STEPS), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        )
        self.processes.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    def kill(self, process) -> None:
        process.kill()
        process.wait()

    def leave(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.stdin.close()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    self.kill(process)


@pytest.fixture
def crew(store):
    with store.begin() as tx:
        for statement in TABLES:
            tx.connection.execute(text(statement))
    found = Crew(store)
    yield found
    found.leave()


@pytest.fixture
def queue(store):
    return Queue(store)


def fill(store, queue, count):
    for number in range(count):
        with store.begin() as tx:
            queue.enqueue(tx.connection, "job", f"k-{number}", f"j-{number}")


def until(condition, seconds=90.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def rows(store, query):
    with store.read() as tx:
        return tx.connection.execute(text(query)).all()


def check_complete(store, queue, count):
    """Every job of every key ended well, with each of its acts."""
    assert {queue.status(f"k-{number}") for number in range(count)} == {"SUCCESS"}
    acts = rows(store, "SELECT job, count(*) FROM act GROUP BY job")
    assert sorted(acts) == sorted((f"j-{number}", STEPS) for number in range(count))


def repeats(store):
    """How many acts were begun more than once, because a crash hid their end."""
    return sum(n - 1 for (n,) in rows(store, "SELECT count(*) FROM trace GROUP BY job, step"))


def test_killed_again_and_again_every_job_ends_once(store, queue, crew):
    count, kills = 60, 5
    chance = random.Random(4711)
    fill(store, queue, count)
    killed_at_work = 0
    for _ in range(kills):
        process = crew.start("one")
        time.sleep(chance.uniform(0.02, 0.35))
        crew.kill(process)
        killed_at_work += bool(queue.list())
    assert killed_at_work >= 3, "the workers were killed too late to show anything"
    crew.start("one")
    until(lambda: not queue.list())
    check_complete(store, queue, count)
    assert repeats(store) <= kills * 16  # at most the acts that were in progress at each kill


def test_a_dead_workers_jobs_are_taken_over_by_another(store, queue, crew):
    fill(store, queue, 4)
    process = crew.start("doomed", seconds=60)
    until(lambda: len(rows(store, "SELECT job FROM trace")) == 4)
    crew.kill(process)
    crew.start("heir")
    if not store.is_sqlite:  # there, one worker is all there is, and takes everything at its start
        fill(store, queue, 5)  # the fifth shows that the heir works, the four still belong to the dead
        until(lambda: queue.status("k-4") == "SUCCESS")
        assert {queue.status(f"k-{number}") for number in range(4)} == {"PENDING"}
        assert queue.recover(["doomed"]) == 4
        assert queue.recover(["doomed"]) == 0
    until(lambda: not queue.list())
    check_complete(store, queue, 4 if store.is_sqlite else 5)


def test_two_workers_share_the_work_and_do_none_of_it_twice(store, queue, crew):
    if store.is_sqlite:
        pytest.skip("one worker on SQLite")
    crew.start("one", seconds=0.05)
    crew.start("two", seconds=0.05)
    fill(store, queue, 60)
    until(lambda: not queue.list())
    check_complete(store, queue, 60)
    assert repeats(store) == 0
    assert {name for (name,) in rows(store, "SELECT DISTINCT executor FROM trace")} == {"one", "two"}


def test_a_name_may_be_used_again_at_once_after_its_worker_was_killed(store, queue, crew):
    """The lock goes with the process."""
    first = crew.start("one", seconds=0.5)
    fill(store, queue, 2)
    until(lambda: rows(store, "SELECT job FROM trace"))
    crew.kill(first)
    crew.start("one", seconds=0.01)
    until(lambda: not queue.list())
    check_complete(store, queue, 2)
