"""The history of revisions makes exactly the tables that the code declares."""

from __future__ import annotations

import multiprocessing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from backend import jobs
from backend.store import Store
from backend.store.migrate import UnknownRevision, settings
from backend.store.tables import metadata


def differences(store):
    with store.engine.connect() as connection:
        options = settings(connection)
        context = MigrationContext.configure(connection, opts=options | {"compare_server_default": True})
        return compare_metadata(context, options["target_metadata"])


def described(store):
    """Every index with its condition, which the comparison above does not look at."""
    with store.engine.connect() as connection:
        if store.is_sqlite:
            query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        else:
            query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        rows = connection.execute(text(query)).all()
    return {row[0]: " ".join(row[1].split()) for row in rows if not row[0].startswith("alembic")}


def test_the_history_makes_what_the_tables_declare(empty_database, database):
    declared, made = Store(empty_database), Store(database)
    declared.create()
    assert differences(made) == []
    mine = {name: sql for name, sql in described(made).items() if name in described(declared)}
    assert mine == described(declared)
    assert set(metadata.tables) <= set(inspect(made.engine).get_table_names())
    declared.close()
    made.close()


def test_upgrade_says_what_is_pending_and_is_idempotent(empty_database):
    store = Store(empty_database)
    assert store.pending_revision() is not None
    store.migrate()
    assert store.pending_revision() is None
    store.migrate()
    assert differences(store) == []
    store.close()


def test_the_job_librarys_tables_are_none_of_ours(store):
    jobs.migrate(store)
    assert differences(store) == []


def test_a_database_of_a_newer_version_is_refused(store):
    with store.begin() as tx:
        tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UnknownRevision):
        store.pending_revision()
    with pytest.raises(UnknownRevision):
        store.migrate()


def _upgrade(url, barrier):
    store = Store(url)
    barrier.wait(30)
    store.migrate()
    jobs.migrate(store)


def test_processes_upgrading_at_the_same_time_all_succeed(empty_database):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    processes = [spawn.Process(target=_upgrade, args=(empty_database, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    store = Store(empty_database)
    assert store.pending_revision() is None
    assert differences(store) == []
    store.close()


def test_foreign_keys_hold_after_an_upgrade(store):
    store.migrate()
    if store.is_sqlite:
        with store.begin() as tx:
            assert tx.connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
