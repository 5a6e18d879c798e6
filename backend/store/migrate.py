"""Bringing a database to the newest revision: one linear history, the same for SQLite and PostgreSQL.

The configuration is made here, so that nothing but the package itself is needed. An upgrade is one
transaction on both databases, and two processes that begin one at the same time do it one after the other.
The job library migrates its own tables (:func:`backend.jobs.migrate`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from backend.store.tables import metadata

__all__ = ["FOLDER", "UnknownRevision", "pending", "settings", "upgrade"]

FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x69737468
"""Key of PostgreSQL's advisory lock for upgrades."""


class UnknownRevision(Exception):  # noqa: N818 - it says what was found
    """The database was upgraded by a newer version of the product."""


def upgrade(engine: Engine) -> None:
    """Bring a database to the newest revision; nothing to do is success.

    Raises:
        UnknownRevision: the database is newer than this program.
    """
    with _alone(engine) as connection:
        _known(connection)
        command.upgrade(_config(connection), "head")


def pending(engine: Engine) -> str | None:
    """The revision that :func:`upgrade` would reach, or None when the database is there.

    Raises:
        UnknownRevision: the database is newer than this program.
    """
    with engine.connect().execution_options(isthmus_read=True) as connection, connection.begin():
        current = _known(connection)
    head = ScriptDirectory(str(FOLDER)).get_current_head()
    return head if head != current else None


def settings(connection: Connection) -> dict[str, Any]:
    """How revisions are compared and run. Only our tables count: the job library's live in the same file."""
    return {
        "connection": connection,
        "target_metadata": metadata,
        "render_as_batch": connection.dialect.name == "sqlite",
        "include_name": lambda name, kind, _parents: kind != "table" or name in metadata.tables,
    }


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _known(connection: Connection) -> str | None:
    """The database's revision, None for an empty one."""
    current = MigrationContext.configure(connection).get_current_revision()
    revisions = {script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions()}
    if current is not None and current not in revisions:
        raise UnknownRevision(
            f"The database is at revision {current}, which this version does not know: "
            "it was upgraded by a newer one."
        )
    return current


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other upgrade runs beside.

    SQLite changes a table by making it again, which must not look like deleting the rows that others refer
    to; foreign keys are therefore off meanwhile, and checked before the commit. That cannot be switched
    inside a transaction.
    """
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                yield connection
            return
        driver: Any = connection.connection.dbapi_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                yield connection
                broken = connection.execute(text("PRAGMA foreign_key_check")).first()
                if broken is not None:
                    raise RuntimeError(f"the upgrade would leave a row of {broken[0]} without its referent")
        finally:
            driver.execute("PRAGMA foreign_keys=ON")
