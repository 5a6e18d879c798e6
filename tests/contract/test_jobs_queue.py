"""The queue's contract, with a worker in this process: together or neither, once, in order of events."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import event, text

from backend.jobs import ExecutorTaken, Queue, QueueWorker
from backend.jobs import worker as worker_module
from backend.jobs.database import Ledger
from backend.jobs.lock import lock

OVER = {"SUCCESS", "ERROR", "CANCELLED"}


class Recorder:
    """What a worker was asked to do."""

    def __init__(self, answers=None, pause=0.0) -> None:
        self.jobs: list[str] = []
        self.errors: list[tuple[str, str]] = []
        self.passes = 0
        self.inside = 0
        self.most_inside = 0
        self._answers = answers or (lambda _job, _count: None)
        self._pause = pause
        self._lock = threading.Lock()

    def run_job(self, job_id):
        with self._lock:
            self.jobs.append(job_id)
            self.inside += 1
            self.most_inside = max(self.inside, self.most_inside)
            count = self.jobs.count(job_id)
        try:
            time.sleep(self._pause)
            return self._answers(job_id, count)
        finally:
            with self._lock:
                self.inside -= 1

    def run_schedule(self):
        self.passes += 1

    def on_error(self, job_id, error):
        self.errors.append((job_id, str(error)))


@pytest.fixture
def queue(store):
    return Queue(store)


@pytest.fixture
def working(store):
    """Starts workers in this process, one at a time, and stops them."""
    started = []

    def start(recorder, executor="one", **options):
        worker = QueueWorker(
            store, executor, recorder.run_job, recorder.run_schedule, on_error=recorder.on_error, **options
        )
        started.append(worker)
        worker.start()
        return worker

    yield start
    for worker in started:
        worker.stop()


def enqueue(store, queue, key, job_id, name="job"):
    with store.begin() as tx:
        queue.enqueue(tx.connection, name, key, job_id)


def until(condition, seconds=60.0):
    """Wait for something that must come; a test fails when it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def over(queue, *keys):
    return all(queue.status(key) in OVER for key in keys)


def test_a_rolled_back_transaction_leaves_neither_row_nor_work(store, queue, working):
    def half():
        with store.begin() as tx:
            queue.enqueue(tx.connection, "job", "k-1", "j-1")
            queue.enqueue(tx.connection, "schedule", "s-1", "")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert queue.status("k-1") is None
    assert list(queue.list()) == []
    recorder = Recorder()
    working(recorder)
    enqueue(store, queue, "k-2", "j-2")
    until(lambda: over(queue, "k-2"))
    assert recorder.jobs == ["j-2"]
    assert recorder.passes == 0


def test_committed_work_runs_once_although_enqueued_twice(store, queue, working):
    enqueue(store, queue, "k-1", "j-1")
    enqueue(store, queue, "k-1", "j-1")
    assert list(queue.list()) == ["k-1"]
    recorder = Recorder()
    working(recorder)
    until(lambda: over(queue, "k-1"))
    enqueue(store, queue, "k-1", "j-1")
    enqueue(store, queue, "k-2", "j-2")
    until(lambda: over(queue, "k-2"))
    assert recorder.jobs == ["j-1", "j-2"]
    assert queue.status("k-1") == "SUCCESS"
    assert list(queue.list()) == []


def test_a_job_is_asked_again_until_it_is_over_and_may_be_parked_and_taken_up(store, queue, working):
    recorder = Recorder(lambda _job, count: {1: 0.0, 2: 0.05}.get(count))
    working(recorder)
    enqueue(store, queue, "j-1", "j-1")
    until(lambda: over(queue, "j-1"))
    assert recorder.jobs == ["j-1"] * 3
    enqueue(store, queue, "j-1:1", "j-1")
    until(lambda: over(queue, "j-1:1"))
    assert recorder.jobs == ["j-1"] * 4


def test_work_waiting_is_cancelled_and_work_begun_is_not(store, queue, working):
    enqueue(store, queue, "k-1", "j-1")
    queue.cancel("k-1")
    queue.cancel("nobody")
    assert queue.status("k-1") == "CANCELLED"
    assert list(queue.list()) == []
    release = threading.Event()
    recorder = Recorder(lambda _job, _count: release.wait(60) and None)
    working(recorder)
    enqueue(store, queue, "k-2", "j-2")
    until(lambda: recorder.jobs)
    assert queue.status("k-2") == "PENDING"
    queue.cancel("k-2")
    assert queue.status("k-2") == "PENDING"
    release.set()
    until(lambda: over(queue, "k-2"))
    assert queue.status("k-2") == "SUCCESS"
    assert recorder.jobs == ["j-2"]


def test_a_failure_is_told_once_and_ends_that_work_only(store, queue, working):
    def fail(job_id, _count):
        if job_id == "bad":
            raise ValueError("no such luck")

    recorder = Recorder(fail)
    working(recorder)
    enqueue(store, queue, "bad", "bad")
    enqueue(store, queue, "good", "good")
    until(lambda: over(queue, "bad", "good"))
    assert recorder.errors == [("bad", "no such luck")]
    assert recorder.jobs.count("bad") == 1
    assert queue.status("bad") == "ERROR"
    assert queue.status("good") == "SUCCESS"


def test_a_failure_that_cannot_be_told_is_tried_again(store, queue, working, monkeypatch):
    monkeypatch.setattr(worker_module, "_UNTOLD", 0.05)

    def fail_once(_job, count):
        if count == 1:
            raise ValueError("x")

    recorder = Recorder(fail_once)
    recorder.on_error = lambda _job, _error: 1 / 0
    working(recorder)
    enqueue(store, queue, "k", "j")
    until(lambda: over(queue, "k"))
    assert recorder.jobs == ["j", "j"]
    assert queue.status("k") == "SUCCESS"


def test_passes_that_wait_are_one_pass_and_a_later_one_is_not_lost(store, queue, working):
    for number in range(5):
        enqueue(store, queue, f"s-{number}", "", name="schedule")
    recorder = Recorder()
    working(recorder)
    until(lambda: not queue.list())
    before = recorder.passes
    assert before in {1, 2}  # a second one may have been taken while the first began
    enqueue(store, queue, "s-9", "", name="schedule")
    until(lambda: recorder.passes == before + 1)
    until(lambda: over(queue, "s-9"))


def test_a_pass_asked_for_during_a_pass_comes_after_it(store, queue, working):
    entered, release = threading.Event(), threading.Event()
    recorder = Recorder()
    seen = []

    def slow():
        seen.append("pass")
        entered.set()
        release.wait(60)

    recorder.run_schedule = slow
    working(recorder)
    enqueue(store, queue, "s-1", "", name="schedule")
    until(entered.is_set)
    enqueue(store, queue, "s-2", "", name="schedule")
    enqueue(store, queue, "s-3", "", name="schedule")
    release.set()
    until(lambda: not queue.list())
    assert seen == ["pass", "pass"]


def test_no_more_jobs_at_once_than_allowed_and_all_get_their_turn(store, queue, working):
    with store.begin() as tx:
        for number in range(20):
            queue.enqueue(tx.connection, "job", f"k-{number}", f"j-{number}")
    recorder = Recorder(pause=0.03)
    working(recorder, concurrency=3)
    until(lambda: not queue.list())
    assert sorted(recorder.jobs) == sorted(f"j-{number}" for number in range(20))
    assert 1 < recorder.most_inside <= 3


def test_stopping_leaves_waiting_jobs_for_the_next_start(store, queue, working):
    first = Recorder(lambda _job, _count: 3600.0)
    worker = working(first)
    enqueue(store, queue, "k-1", "j-1")
    until(lambda: first.jobs)
    worker.stop()
    assert queue.status("k-1") == "PENDING"
    second = Recorder()
    working(second)
    until(lambda: over(queue, "k-1"))
    assert second.jobs == ["j-1"]


def test_one_worker_for_a_name_and_one_for_an_sqlite_file(store, working):
    working(Recorder(), executor="one")
    other = QueueWorker(store, "one", lambda _job: None, lambda: None)
    with pytest.raises(ExecutorTaken):
        other.start()
    if store.is_sqlite:
        with pytest.raises(ExecutorTaken, match="SQLite allows one"):
            lock(store, "two")
    else:
        lock(store, "two").release()


def test_purging_forgets_what_is_over_and_old(store, queue, working):
    enqueue(store, queue, "cancelled", "x")
    queue.cancel("cancelled")
    recorder = Recorder()
    worker = working(recorder)
    enqueue(store, queue, "done", "j")
    until(lambda: over(queue, "done"))
    assert worker.purge(time.time() - 3600) == 0
    worker.stop()
    enqueue(store, queue, "waiting", "w")
    assert worker.purge(time.time() + 3600) == 2
    assert queue.status("done") is None
    assert list(queue.list()) == ["waiting"]
    schema = "" if store.is_sqlite else "dbos."
    with store.read() as tx:
        for table, left in (("workflow_input", 1), ("operation_outputs", 0), ("workflow_output", 0)):
            count = tx.connection.execute(text(f"SELECT count(*) FROM {schema}{table}")).scalar()
            assert (table, count) == (table, left)


def test_no_question_reads_the_whole_history(store, queue):
    """Finished work piles up; what is asked many times a second must be answered by an index."""
    if not store.is_sqlite:
        pytest.skip("PostgreSQL chooses by statistics")
    ledger, asked = Ledger(store), []
    with store.begin() as tx:
        event.listen(store.engine, "before_cursor_execute", lambda *e: asked.append((e[2], e[3])))
        ledger.is_waiting(tx.connection, "schedule")
        ledger.waiting_queues(tx.connection)
        ledger.executors(tx.connection)
        ledger.open_keys(tx.connection)
        ledger.state(tx.connection, "k")
        ledger.cancel(tx.connection, "k", 1.0)
        ledger.coalesce(tx.connection, "schedule", 1.0)
        ledger.forget(tx.connection, 1.0)
        for statement, parameters in list(asked):
            plan = tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            steps = [row[-1] for row in plan]
            assert not [step for step in steps if step.startswith("SCAN")], (statement, steps)
    assert len(asked) >= 8


def test_the_library_is_not_imported_before_it_is_used():
    program = "import sys, backend.jobs; sys.exit('dbos' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True)


def test_a_forked_process_enqueues_on_its_own(store, queue, working):
    """As web workers do: the queue is made, and even used, before the fork."""
    enqueue(store, queue, "parent", "j-1")
    store.close()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            enqueue(store, queue, "child", "j-2")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    recorder = Recorder()
    working(recorder)
    until(lambda: over(queue, "parent", "child"))
    assert sorted(recorder.jobs) == ["j-1", "j-2"]


def test_nothing_in_the_database_is_pickled(store, queue, working):
    recorder = Recorder(lambda _job, count: 0.0 if count == 1 else None)
    working(recorder)
    enqueue(store, queue, "k", "j")
    until(lambda: over(queue, "k"))
    schema = "" if store.is_sqlite else "dbos."
    with store.read() as tx:
        kinds = tx.connection.execute(
            text(f"SELECT DISTINCT serialization FROM {schema}workflow_status WHERE queue_name = 'job'")
        ).scalars()
        assert list(kinds) == ["isthmus_json"]
        inputs = tx.connection.execute(text(f"SELECT inputs FROM {schema}workflow_input")).scalars()
        assert list(inputs) == ['{"args":["j"],"kwargs":{}}']
