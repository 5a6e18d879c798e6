"""The store: rows of SQLite (WAL) or PostgreSQL, in transactions.

SQLAlchemy is used here only. ``Store.begin`` writes: on SQLite it takes the write lock at once
(``BEGIN IMMEDIATE``), so that what was read stays true until the commit. ``Store.read`` never blocks a
writer. Everything a transaction offers hangs off :class:`Tx`, by noun.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from backend.store import identity_queries, launch_queries, network_queries, queries, request_queries
from backend.store.listing import RowQuery, View
from backend.store.queries import (
    GroupMember,
    InstanceKey,
    InstanceQuery,
    LaunchToken,
    SessionOwner,
    VolumeToken,
    Waiting,
    WorkerBeat,
)
from backend.store.sqlite import READING, sqlite_engine
from backend.store.tables import metadata

__all__ = [
    "Conflict",
    "GroupMember",
    "InstanceKey",
    "InstanceQuery",
    "Joined",
    "LaunchToken",
    "RowQuery",
    "SessionOwner",
    "Store",
    "Tx",
    "View",
    "VolumeToken",
    "Waiting",
    "WorkerBeat",
]

_SQLSTATE_COLLISIONS = frozenset({"40001", "40P01"})  # serialization failure, deadlock


class Conflict(Exception):  # noqa: N818 - it says what is the case
    """Somebody else's transaction got there first: a unique index refused a claim, or a deadlock was
    resolved at our cost. This transaction is over and changed nothing; the next try sees theirs.
    """


class Tx:
    """One transaction: the tables, by noun; made when first asked for, as most transactions need few."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @cached_property
    def instances(self) -> queries.InstanceRows:
        """Instances."""
        return queries.InstanceRows(self.connection)

    @cached_property
    def jobs(self) -> queries.JobRows:
        """Jobs."""
        return queries.JobRows(self.connection)

    @cached_property
    def placements(self) -> queries.PlacementRows:
        """Placements."""
        return queries.PlacementRows(self.connection)

    @cached_property
    def reservations(self) -> queries.ReservationRows:
        """Capacity claims."""
        return queries.ReservationRows(self.connection)

    @cached_property
    def hosts(self) -> queries.HostRows:
        """Hosts."""
        return queries.HostRows(self.connection)

    @cached_property
    def images(self) -> queries.ImageRows:
        """Images."""
        return queries.ImageRows(self.connection)

    @cached_property
    def contents(self) -> queries.ContentRows:
        """Contents of the image store."""
        return queries.ContentRows(self.connection)

    @cached_property
    def volumes(self) -> queries.VolumeRows:
        """Volumes."""
        return queries.VolumeRows(self.connection)

    @cached_property
    def volume_tokens(self) -> queries.VolumeTokenRows:
        """Used client tokens of CreateVolume."""
        return queries.VolumeTokenRows(self.connection)

    @cached_property
    def snapshots(self) -> queries.SnapshotRows:
        """Snapshots."""
        return queries.SnapshotRows(self.connection)

    @cached_property
    def tasks(self) -> queries.TaskRows:
        """Storage work."""
        return queries.TaskRows(self.connection)

    @cached_property
    def flavors(self) -> queries.FlavorRows:
        """Flavors."""
        return queries.FlavorRows(self.connection)

    @cached_property
    def launch_templates(self) -> launch_queries.LaunchTemplateRows:
        """Launch templates."""
        return launch_queries.LaunchTemplateRows(self.connection)

    @cached_property
    def launch_template_versions(self) -> launch_queries.LaunchTemplateVersionRows:
        """Versions of launch templates."""
        return launch_queries.LaunchTemplateVersionRows(self.connection)

    @cached_property
    def placement_groups(self) -> launch_queries.PlacementGroupRows:
        """Placement groups."""
        return launch_queries.PlacementGroupRows(self.connection)

    @cached_property
    def roles(self) -> queries.TenantRoleRows:
        """Roles that tenants let others take on."""
        return queries.TenantRoleRows(self.connection)

    @cached_property
    def sessions(self) -> queries.SessionRows:
        """Temporary keys."""
        return queries.SessionRows(self.connection)

    @cached_property
    def key_pairs(self) -> queries.KeyPairRows:
        """Key pairs."""
        return queries.KeyPairRows(self.connection)

    @cached_property
    def vpcs(self) -> network_queries.VpcRows:
        """VPCs."""
        return network_queries.VpcRows(self.connection)

    @cached_property
    def subnets(self) -> network_queries.SubnetRows:
        """Subnets."""
        return network_queries.SubnetRows(self.connection)

    @cached_property
    def route_tables(self) -> network_queries.RouteTableRows:
        """Route tables."""
        return network_queries.RouteTableRows(self.connection)

    @cached_property
    def internet_gateways(self) -> network_queries.InternetGatewayRows:
        """Internet gateways."""
        return network_queries.InternetGatewayRows(self.connection)

    @cached_property
    def nat_gateways(self) -> network_queries.NatGatewayRows:
        """NAT gateways."""
        return network_queries.NatGatewayRows(self.connection)

    @cached_property
    def dhcp_options(self) -> network_queries.DhcpOptionsRows:
        """Sets of DHCP options."""
        return network_queries.DhcpOptionsRows(self.connection)

    @cached_property
    def network_acls(self) -> network_queries.NetworkAclRows:
        """Network ACLs."""
        return network_queries.NetworkAclRows(self.connection)

    @cached_property
    def security_groups(self) -> network_queries.SecurityGroupRows:
        """Security groups."""
        return network_queries.SecurityGroupRows(self.connection)

    @cached_property
    def security_rules(self) -> network_queries.SecurityRuleRows:
        """Rules of security groups."""
        return network_queries.SecurityRuleRows(self.connection)

    @cached_property
    def nics(self) -> network_queries.NicRows:
        """Network interfaces."""
        return network_queries.NicRows(self.connection)

    @cached_property
    def leases(self) -> network_queries.LeaseRows:
        """Addresses of subnets that are held."""
        return network_queries.LeaseRows(self.connection)

    @cached_property
    def public_addresses(self) -> network_queries.PublicAddressRows:
        """Public addresses."""
        return network_queries.PublicAddressRows(self.connection)

    @cached_property
    def infra(self) -> network_queries.InfraAddressRows:
        """Addresses towards the metadata service."""
        return network_queries.InfraAddressRows(self.connection)

    @cached_property
    def network_changes(self) -> network_queries.NetworkChangeRows:
        """What the network has yet to follow."""
        return network_queries.NetworkChangeRows(self.connection)

    @cached_property
    def tags(self) -> queries.TagRows:
        """Tags."""
        return queries.TagRows(self.connection)

    @cached_property
    def events(self) -> queries.EventRows:
        """Events."""
        return queries.EventRows(self.connection)

    @cached_property
    def stays(self) -> queries.StayRows:
        """Accounting records."""
        return queries.StayRows(self.connection)

    @cached_property
    def debris(self) -> queries.DebrisRows:
        """Files left behind."""
        return queries.DebrisRows(self.connection)

    @cached_property
    def tenants(self) -> queries.TenantRows:
        """Tenants."""
        return queries.TenantRows(self.connection)

    @cached_property
    def users(self) -> queries.UserRows:
        """Users."""
        return queries.UserRows(self.connection)

    @cached_property
    def access_keys(self) -> queries.AccessKeyRows:
        """EC2 access keys."""
        return queries.AccessKeyRows(self.connection)

    @cached_property
    def identities(self) -> identity_queries.IdentityRows:
        """Who users are to others."""
        return identity_queries.IdentityRows(self.connection)

    @cached_property
    def memberships(self) -> identity_queries.MembershipRows:
        """Tenants that users work in besides their own."""
        return identity_queries.MembershipRows(self.connection)

    @cached_property
    def notes(self) -> request_queries.Notes:
        """Notes on resources."""
        return request_queries.Notes(self.connection)

    @cached_property
    def chosen_paths(self) -> request_queries.ChosenPathRows:
        """Paths that clients chose."""
        return request_queries.ChosenPathRows(self.connection)

    @cached_property
    def creation_keys(self) -> request_queries.CreationKeyRows:
        """Keys of creations."""
        return request_queries.CreationKeyRows(self.connection)

    @cached_property
    def tokens(self) -> queries.BearerTokenRows:
        """OCCI bearer tokens."""
        return queries.BearerTokenRows(self.connection)

    @cached_property
    def launch_tokens(self) -> queries.LaunchTokenRows:
        """Used client tokens."""
        return queries.LaunchTokenRows(self.connection)

    @cached_property
    def mixins(self) -> queries.MixinRows:
        """Tag mixins."""
        return queries.MixinRows(self.connection)

    @cached_property
    def workers(self) -> queries.WorkerRows:
        """Worker heartbeats."""
        return queries.WorkerRows(self.connection)

    @cached_property
    def pictures(self) -> queries.PictureRows:
        """Pictures of displays."""
        return queries.PictureRows(self.connection)

    @cached_property
    def blobs(self) -> queries.Blobs:
        """User data and console logs."""
        return queries.Blobs(self.connection)

    def forget(self, resource_ids: Collection[str]) -> None:
        """Remove what clients said of resources and links that have gone: tag mixins, notes, chosen paths."""
        self.mixins.forget(resource_ids)
        self.notes.forget(resource_ids)
        self.chosen_paths.forget(resource_ids)

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
        """A transaction that may write; it commits at the end, or changes nothing when an error leaves it.

        Raises:
            Conflict: another transaction was quicker; trying again may succeed.
        """
        try:
            with self.engine.begin() as connection:
                yield Tx(connection)
        except DBAPIError as error:
            if isinstance(error, IntegrityError) or _sqlstate(error) in _SQLSTATE_COLLISIONS:
                raise Conflict(str(error.orig)) from error
            raise

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A transaction that reads one consistent state."""
        options = {READING: True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield Tx(connection)

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """One process at a time inside a block of this name; on SQLite there is one worker anyway."""
        if self.is_sqlite:
            yield
            return
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_advisory_lock(hashtext(:name))"), {"name": name})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(hashtext(:name))"), {"name": name})

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


class Joined(Store):
    """A store all of whose transactions are one that has begun already: they see and become part of it."""

    def __init__(self, store: Store, tx: Tx) -> None:
        self.url = store.url
        self.is_sqlite = store.is_sqlite
        self.engine = store.engine
        self._tx = tx

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        """The transaction that has begun; it goes on afterwards."""
        yield self._tx

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """The transaction that has begun, with what it has written so far."""
        yield self._tx


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", ""))


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True, pool_size=16, max_overflow=64, pool_pre_ping=True)
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    return sqlite_engine(url)
