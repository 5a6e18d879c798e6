"""Databases for the contract tests: SQLite always, PostgreSQL when ISTHMUS_TEST_POSTGRES names a server; and
the one root of embedded guests that a process can have.

``store`` is a fresh database with all tables, the job library's included. Each kind is migrated once for a
session and copied for every test.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from libvirt_hosts import kill_embedded_guests, remove_link_to
from sqlalchemy import create_engine, make_url, text

from backend import jobs
from backend.store import Store

POSTGRES = os.environ.get("ISTHMUS_TEST_POSTGRES", "")
_KINDS = [
    "sqlite",
    pytest.param(
        "postgres",
        marks=[
            pytest.mark.postgres,
            pytest.mark.skipif(not POSTGRES, reason="ISTHMUS_TEST_POSTGRES is not set"),
        ],
    ),
]


@pytest.fixture(params=_KINDS)
def database_kind(request) -> str:
    return request.param


@pytest.fixture
def empty_database(database_kind, tmp_path) -> Iterator[str]:
    """The URL of a database without any tables."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    with _postgres_database() as url:
        yield url


@pytest.fixture
def database(database_kind, tmp_path, request) -> Iterator[str]:
    """The URL of a database with all tables and no rows."""
    template = request.getfixturevalue(f"_{database_kind}_template")
    if database_kind == "sqlite":
        shutil.copy(template, tmp_path / "isthmus.db")
        yield f"sqlite:///{tmp_path}/isthmus.db"
        return
    with _postgres_database(template) as url:
        yield url


@pytest.fixture(scope="module", params=_KINDS)
def shared_database(request, tmp_path_factory) -> Iterator[str]:
    """The same for all tests of a module together: for such as leave one another alone."""
    template = request.getfixturevalue(f"_{request.param}_template")
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("shared") / "isthmus.db"
        shutil.copy(template, path)
        yield f"sqlite:///{path}"
        return
    with _postgres_database(template) as url:
        yield url


@pytest.fixture
def store(database) -> Iterator[Store]:
    found = Store(database)
    yield found
    found.close()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "isthmus.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _postgres_template():
    with _postgres_database() as url:
        _migrate(url)
        yield make_url(url).database


def _migrate(url: str) -> None:
    made = Store(url)
    made.migrate()
    jobs.migrate(made)
    if made.is_sqlite:  # one file, nothing left in the log
        with made.engine.connect() as connection:
            connection.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    made.close()


class _postgres_database:
    """A database of its own on the test server, gone afterwards."""

    def __init__(self, template: str = "template0") -> None:
        self.name = f"isthmus_{secrets.token_hex(6)}"
        self.template = template
        self.server = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")

    def __enter__(self) -> str:
        with self.server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {self.name} TEMPLATE {self.template}"))
        return make_url(POSTGRES).set(database=self.name).render_as_string(hide_password=False)

    def __exit__(self, *_: object) -> None:
        with self.server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {self.name} WITH (FORCE)"))
        self.server.dispose()


@pytest.fixture(scope="session")
def embedded_root(tmp_path_factory) -> Iterator[Path]:
    """Where embedded guests are: libvirt opens one such place in a process, and no other after it."""
    root = tmp_path_factory.mktemp("embedded")
    yield root
    kill_embedded_guests(root)
    remove_link_to(root)
