"""A worker process for the queue's tests: ``jobs_process.py URL EXECUTOR STEPS SECONDS``.

Each job has STEPS steps of SECONDS each. A step is noted in ``trace`` when it begins, and in ``act`` when it is
done, by number and once, as an idempotent act is; a job is over when all are done. Prints ``ready`` when it
runs and leaves at the end of its standard input.
"""

from __future__ import annotations

import sys
import time

from sqlalchemy import text

from backend.jobs import QueueWorker
from backend.store import Store

TABLES = (
    "CREATE TABLE trace (job text, step integer, executor text)",
    "CREATE TABLE act (job text, step integer, PRIMARY KEY (job, step))",
)


class Steps:
    def __init__(self, store: Store, executor: str, steps: int, seconds: float) -> None:
        self.store, self.executor, self.steps, self.seconds = store, executor, steps, seconds

    def run(self, job_id: str) -> float | None:
        with self.store.begin() as tx:
            done = tx.connection.execute(
                text("SELECT count(*) FROM act WHERE job = :job"), {"job": job_id}
            ).scalar_one()
            if done >= self.steps:
                return None
            fields = {"job": job_id, "step": done, "executor": self.executor}
            tx.connection.execute(text("INSERT INTO trace VALUES (:job, :step, :executor)"), fields)
        time.sleep(self.seconds)
        with self.store.begin() as tx:
            tx.connection.execute(
                text("INSERT INTO act VALUES (:job, :step) ON CONFLICT DO NOTHING"),
                {"job": job_id, "step": done},
            )
        return 0.0 if done + 1 < self.steps else None


def main() -> None:
    url, executor, steps, seconds = sys.argv[1:]
    store = Store(url)
    work = Steps(store, executor, int(steps), float(seconds))
    worker = QueueWorker(store, executor, work.run, lambda: None)
    worker.start()
    print("ready", flush=True)
    sys.stdin.read()
    worker.stop()


if __name__ == "__main__":
    main()
