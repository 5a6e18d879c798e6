"""The store: rows of SQLite (WAL) or PostgreSQL, in transactions.

SQLAlchemy is used here only. ``Store.begin`` writes: on SQLite it takes the write lock at once
(``BEGIN IMMEDIATE``), so that what was read stays true until the commit. ``Store.read`` never blocks a
writer. Everything a transaction offers hangs off :class:`Tx`, by noun.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import StaticPool

from backend.store import queries
from backend.store.queries import InstanceKey, InstanceQuery, LaunchToken, WorkerBeat
from backend.store.tables import metadata

__all__ = ["Conflict", "InstanceKey", "InstanceQuery", "LaunchToken", "Store", "Tx", "WorkerBeat"]

Conflict = IntegrityError
"""Raised when a unique index refuses a claim; the transaction is over."""

_BUSY_MILLISECONDS = 30_000


class Tx:
    """One transaction: the tables, by noun."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.instances = queries.InstanceRows(connection)
        self.jobs = queries.JobRows(connection)
        self.placements = queries.PlacementRows(connection)
        self.reservations = queries.ReservationRows(connection)
        self.hosts = queries.HostRows(connection)
        self.images = queries.ImageRows(connection)
        self.flavors = queries.FlavorRows(connection)
        self.key_pairs = queries.KeyPairRows(connection)
        self.tags = queries.TagRows(connection)
        self.events = queries.EventRows(connection)
        self.stays = queries.StayRows(connection)
        self.debris = queries.DebrisRows(connection)
        self.tenants = queries.TenantRows(connection)
        self.users = queries.UserRows(connection)
        self.access_keys = queries.AccessKeyRows(connection)
        self.tokens = queries.BearerTokenRows(connection)
        self.launch_tokens = queries.LaunchTokenRows(connection)
        self.mixins = queries.MixinRows(connection)
        self.workers = queries.WorkerRows(connection)
        self.blobs = queries.Blobs(connection)

    def forget_tenant(self, tenant_id: str) -> None:
        """Remove a tenant whose instances have all ended, with every row that refers to it."""
        queries.forget_tenant(self.connection, tenant_id)


class Store:
    """A database. Made before a fork it opens nothing; every process opens its own connections."""

    def __init__(self, url: str) -> None:
        self.url: URL = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine: Engine = _engine(self.url)

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        """A transaction that may write; it commits at the end, or changes nothing when an error leaves it."""
        with self.engine.begin() as connection:
            yield Tx(connection)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A transaction that reads one consistent state."""
        with self.engine.connect().execution_options(isthmus_read=True) as connection, connection.begin():
            yield Tx(connection)

    def create(self) -> None:
        """Make all tables at once, for a throw-away database; a lasting one is made by :meth:`migrate`."""
        metadata.create_all(self.engine)

    def migrate(self) -> None:
        """Bring the database to the newest revision; nothing to do is success."""
        from backend.store.migrate import upgrade

        upgrade(self.engine)

    def pending_revision(self) -> str | None:
        """The revision that :meth:`migrate` would reach, or None when the database is there."""
        from backend.store.migrate import pending

        return pending(self.engine)

    def close(self) -> None:
        """Close all connections of this process."""
        self.engine.dispose()


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_size=16, max_overflow=64, pool_pre_ping=True)
    in_memory = not url.database or url.database == ":memory:"
    if not in_memory:
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False}}
    if in_memory:
        options["poolclass"] = StaticPool
    else:  # a thread for each host and job may need one; the file's lock orders them, not the pool
        options |= {"pool_size": 16, "max_overflow": -1}
    engine = create_engine(url, **options)
    event.listen(engine, "connect", _sqlite_connect)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_connect(connection: Any, _record: object) -> None:
    """SQLite as a server uses it; transactions are begun by us, not guessed by the driver."""
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={_BUSY_MILLISECONDS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "cache_size=-65536",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("isthmus_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
