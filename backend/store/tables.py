"""The tables, explicitly: what is stored, what is unique, what is looked up.

Times are Unix seconds, JSON columns are text. Column names equal the field names of the value type that a
row holds (:mod:`backend.store.rows` maps them). Unique indexes are the claims that must never be given
twice: addresses, names, client tokens, epochs.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    literal_column,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, *, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, String, primary_key=key, nullable=null)


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, Integer, primary_key=key, nullable=False, autoincrement=False)


def _time(name: str, *, null: bool = True) -> Column[float]:
    return Column(name, Float(53), nullable=null)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean(create_constraint=False), nullable=False)


def _json(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


tenant = Table(
    "tenant",
    metadata,
    _text("id", key=True),
    Column("name", String, nullable=False, unique=True),
    Column("account_id", String, nullable=False, unique=True),
    _json("quotas"),
    _json("encrypted_regions"),
    _time("created_at", null=False),
    _number("version"),
)

user = Table(
    "user_account",
    metadata,
    _text("id", key=True),
    Column("tenant_id", String, ForeignKey("tenant.id"), nullable=False),
    Column("name", String, nullable=False, unique=True),
    _text("role"),
    _text("password_hash"),
    _time("created_at", null=False),
    _number("version"),
)

access_key = Table(
    "access_key",
    metadata,
    _text("id", key=True),
    Column("user_id", String, ForeignKey("user_account.id"), nullable=False),
    Column("secret", LargeBinary, nullable=False),
    _flag("active"),
    _time("created_at", null=False),
)

tenant_role = Table(
    "tenant_role",
    metadata,
    _text("id", key=True),
    Column("tenant_id", String, ForeignKey("tenant.id"), nullable=False),
    _text("name"),
    _json("trusted"),
    _number("longest"),
    _time("created_at", null=False),
    _number("version"),
    Index("uq_tenant_role_tenant_id_name", "tenant_id", "name", unique=True),
)

session = Table(
    "session",
    metadata,
    _text("id", key=True),
    Column("access_key_id", String, nullable=False, index=True),
    Column("user_id", String, ForeignKey("user_account.id"), nullable=False, index=True),
    Column("tenant_id", String, ForeignKey("tenant.id"), nullable=False, index=True),
    Column("secret", LargeBinary, nullable=False),
    _text("token_digest"),
    _time("created_at", null=False),
    Column("expires_at", Float(53), nullable=False, index=True),
    _text("role_id"),
    _text("name"),
)

bearer_token = Table(
    "bearer_token",
    metadata,
    _text("digest", key=True),
    Column("user_id", String, ForeignKey("user_account.id"), nullable=False),
    _time("created_at", null=False),
    _time("expires_at"),
)

identity = Table(
    "identity",
    metadata,
    _text("issuer", key=True),
    _text("subject", key=True),
    Column("user_id", String, ForeignKey("user_account.id"), nullable=False, index=True),
    _time("created_at", null=False),
    _flag("claimed"),
)

membership = Table(
    "membership",
    metadata,
    Column("user_id", String, ForeignKey("user_account.id"), primary_key=True),
    Column("tenant_id", String, ForeignKey("tenant.id"), primary_key=True, index=True),
    _text("role"),
    _time("created_at", null=False),
)

host = Table(
    "host",
    metadata,
    _text("id", key=True),
    Column("uri", String, nullable=False, unique=True),
    _text("region"),
    _text("zone"),
    _text("state"),
    _text("architecture"),
    _json("total"),
    _json("reserved"),
    _json("foreign"),
    Column("cpu_ratio", Float(53), nullable=False),
    Column("memory_ratio", Float(53), nullable=False),
    Column("disk_ratio", Float(53), nullable=False),
    _json("capabilities"),
    Column("message", Text, nullable=False),
    _number("failures"),
    _flag("overcommitted"),
    _time("last_seen"),
    _time("created_at", null=False),
    _number("version"),
)

flavor = Table(
    "flavor",
    metadata,
    _text("name", key=True),
    _number("vcpus"),
    _number("memory_mib"),
    _number("root_gib"),
    _number("ephemeral_gib"),
    _text("crtp"),
    _time("created_at", null=False),
    _number("version"),
)

content = Table(
    "content",
    metadata,
    _text("checksum", key=True),
    Column("path", Text, nullable=False),
    _text("format"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("virtual_bytes", BigInteger, nullable=False),
    Column("parent", String, nullable=False, index=True),
    _flag("encrypted"),
    _time("created_at", null=False),
)

PRESENT: ColumnElement[Any] = literal_column("state <> 'gone'")
"""Images that are not deregistered."""
PUBLIC: ColumnElement[Any] = literal_column("public")
"""What everybody may use."""
SHARED_IMAGE: ColumnElement[Any] = literal_column("launch_accounts <> '[]'")
"""Images that are shared with some account."""
SHARED_SNAPSHOT: ColumnElement[Any] = literal_column("accounts <> '[]'")
"""Snapshots that are shared with some account."""


def _partial(name: str, *columns: str, where: ColumnElement[Any], unique: bool = False) -> Index:
    condition = text(str(where))
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


image = Table(
    "image",
    metadata,
    _text("id", key=True),
    Column("tenant_id", String, ForeignKey("tenant.id"), nullable=False),
    _text("account_id"),
    _text("name"),
    _text("state"),
    _text("format"),
    Column("checksum", String, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("virtual_bytes", BigInteger, nullable=False),
    _text("architecture"),
    Column("description", Text, nullable=False),
    Column("location", Text, nullable=False),
    _flag("public"),
    _json("launch_accounts"),
    _text("snapshot_id"),
    _json("mappings"),
    _text("source_instance_id"),
    _text("source_image_id"),
    _flag("encrypted"),
    Column("secret", LargeBinary, nullable=False),
    _text("seed"),
    _time("deprecated_at"),
    _text("publication"),
    _text("line"),
    _number("line_version"),
    _text("parent_id"),
    Column("changelog", Text, nullable=False),
    Column("report", Text, nullable=False),
    Column("message", Text, nullable=False),
    _time("created_at", null=False),
    _time("deregistered_at"),
    _number("version"),
    _partial("uq_image_tenant_id_name", "tenant_id", "name", where=PRESENT, unique=True),
    _partial("ix_image_listing", "tenant_id", "created_at", "id", where=PRESENT),
    _partial("ix_image_public", "created_at", "id", where=PUBLIC & PRESENT),
    _partial("ix_image_shared", "created_at", "id", where=SHARED_IMAGE & PRESENT),
    Index(
        "uq_image_line_version",
        "tenant_id",
        "line",
        "line_version",
        unique=True,
        sqlite_where=text("line <> ''"),
        postgresql_where=text("line <> ''"),
    ),
)

key_pair = Table(
    "key_pair",
    metadata,
    _text("id", key=True),
    Column("tenant_id", String, ForeignKey("tenant.id"), nullable=False),
    _text("region"),
    _text("name"),
    _text("key_type"),
    _text("fingerprint"),
    Column("public_key", Text, nullable=False),
    _time("created_at", null=False),
    _number("version"),
    Index("uq_key_pair_tenant_id_region_name", "tenant_id", "region", "name", unique=True),
)

# Instances that ended pile up. What is asked every second looks at the others alone: the same texts stand in
# the indexes and in the questions, as both databases must see that one implies the other.
LIVE: ColumnElement[Any] = literal_column("detail <> 'done'")
"""Instances that have not ended."""
IN_GROUP: ColumnElement[Any] = literal_column("detail <> 'done' AND group_id <> ''")
"""Instances of placement groups that have not ended."""
CURRENT: ColumnElement[Any] = literal_column("archived = 0")
"""Instances that have not ended, or so lately that they are still shown."""
OPEN: ColumnElement[Any] = literal_column("finished_at IS NULL")
"""Work that has not ended."""
WITH_TOKEN: ColumnElement[Any] = literal_column("client_token <> ''")
"""What was made by a request with a client token."""


instance = Table(
    "instance",
    metadata,
    _text("id", key=True),
    Column("tenant_id", String, ForeignKey("tenant.id"), nullable=False),
    _text("account_id"),
    _text("owner"),
    _text("launch_id"),
    _number("launch_index"),
    _text("region"),
    _text("zone"),
    _text("flavor"),
    _number("vcpus"),
    _number("memory_mib"),
    _number("root_gib"),
    _number("ephemeral_gib"),
    _text("architecture"),
    Column("image_id", String, ForeignKey("image.id"), nullable=False, index=True),
    _text("vpc_id"),
    _text("subnet_id"),
    _text("address"),
    _text("mac"),
    _text("detail"),
    _time("created_at", null=False),
    _time("state_since", null=False),
    _text("api"),
    _text("client_token"),
    _json("metadata"),
    _text("key_name"),
    _json("public_keys"),
    _text("hostname"),
    Column("summary", Text, nullable=False),
    _text("job_id", null=True),
    _text("host_id", null=True),
    _number("epoch"),
    _number("attempts"),
    _json("excluded"),
    _text("desired"),
    _text("saved"),
    _text("checkpoint"),
    _flag("resched"),
    _flag("locked_terminate"),
    _flag("locked_stop"),
    _flag("hibernation"),
    _flag("monitoring"),
    _text("group_id"),
    _number("partition"),
    _text("on_guest_shutdown"),
    _flag("keep_failed"),
    _text("health"),
    _number("crash_count"),
    _text("reason"),
    Column("reason_text", Text, nullable=False),
    _flag("by_user"),
    _time("launched_at"),
    _time("started_at"),
    _time("last_seen"),
    _time("ended_at"),
    _number("user_data_size"),
    _number("cpu_share"),
    _number("version"),
    Column("archived", Integer, nullable=False, server_default="0"),
    _partial(
        "ix_instance_listing", "tenant_id", "region", "created_at", "launch_id", "launch_index", where=CURRENT
    ),
    _partial("ix_instance_ended", "detail", "ended_at", where=CURRENT),
    _partial("ix_instance_detail", "detail", where=LIVE),
    _partial("ix_instance_usage", "tenant_id", "vcpus", "memory_mib", where=LIVE),
    _partial("ix_instance_wish", "desired", where=LIVE),
    _partial("ix_instance_host_id", "host_id", where=LIVE),
    Index("ix_instance_launch_id", "launch_id", "launch_index"),
    _partial("ix_instance_group_id", "group_id", where=IN_GROUP),
)

volume = Table(
    "volume",
    metadata,
    _text("id", key=True),
    Column("tenant_id", String, ForeignKey("tenant.id"), nullable=False),
    _text("account_id"),
    _text("region"),
    _text("zone"),
    _number("size_gib"),
    _text("state"),
    _time("created_at", null=False),
    _text("type"),
    _number("iops"),
    _number("throughput"),
    _flag("encrypted"),
    Column("secret", LargeBinary, nullable=False),
    Column("snapshot_id", String, nullable=False, index=True),
    Column("content", String, nullable=False, index=True),
    _text("image_id"),
    _text("api"),
    _text("client_token"),
    Column("summary", Text, nullable=False),
    _flag("online"),
    _flag("auto_io"),
    Column("host_id", String, ForeignKey("host.id"), nullable=True, index=True),
    _flag("made"),
    Column("instance_id", String, ForeignKey("instance.id"), nullable=True, index=True),
    _text("attach"),
    _text("device"),
    _text("target"),
    _flag("boot"),
    _flag("delete_on_termination"),
    _time("asked_at"),
    _time("attached_at"),
    _json("modification"),
    _text("last_snapshot"),
    Column("message", Text, nullable=False),
    _number("version"),
    Index("ix_volume_listing", "tenant_id", "region", "created_at", "id"),
    Index("uq_volume_instance_id_target", "instance_id", "target", unique=True),
)

volume_token = Table(
    "volume_token",
    metadata,
    _text("tenant_id", key=True),
    _text("region", key=True),
    _text("token", key=True),
    _text("digest"),
    _text("volume_id"),
    _time("created_at", null=False),
)

snapshot = Table(
    "snapshot",
    metadata,
    _text("id", key=True),
    Column("tenant_id", String, ForeignKey("tenant.id"), nullable=False),
    _text("account_id"),
    _text("region"),
    Column("volume_id", String, nullable=False, index=True),
    _number("size_gib"),
    _text("state"),
    _time("started_at", null=False),
    Column("description", Text, nullable=False),
    _number("progress"),
    Column("content", String, nullable=False, index=True),
    _flag("encrypted"),
    Column("secret", LargeBinary, nullable=False),
    _flag("public"),
    _json("accounts"),
    _text("source_id"),
    _time("completed_at"),
    Column("message", Text, nullable=False),
    _number("version"),
    Index("ix_snapshot_listing", "tenant_id", "region", "started_at", "id"),
    _partial("ix_snapshot_public", "region", "started_at", "id", where=PUBLIC),
    _partial("ix_snapshot_shared", "region", "started_at", "id", where=SHARED_SNAPSHOT),
)

task = Table(
    "task",
    metadata,
    _text("id", key=True),
    _text("kind"),
    _text("resource_id"),
    _text("tenant_id"),
    _text("actor"),
    _time("created_at", null=False),
    _text("lock"),
    _text("instance_id"),
    _text("state"),
    _number("step"),
    _number("attempt"),
    _time("deadline", null=False),
    _text("busy"),
    _number("progress"),
    _json("arguments"),
    _json("result"),
    Column("message", Text, nullable=False),
    _text("request_id"),
    _time("finished_at"),
    _number("version"),
    _partial("ix_task_open", "instance_id", "created_at", where=OPEN),
    _partial("ix_task_lock", "lock", "created_at", where=OPEN),
    _partial("ix_task_resource", "resource_id", "created_at", where=OPEN),
    Index("ix_task_listing", "tenant_id", "kind", "created_at"),
)


def _owned(name: str, *columns: Any) -> Table:
    """A table of what a tenant has in a region."""
    return Table(
        name,
        metadata,
        _text("id", key=True),
        Column("tenant_id", String, ForeignKey("tenant.id"), nullable=False),
        _text("account_id"),
        _text("region"),
        _time("created_at", null=False),
        _number("version"),
        *columns,
        Index(f"ix_{name}_listing", "tenant_id", "region", "created_at", "id"),
    )


launch_template = _owned(
    "launch_template",
    _text("name"),
    _text("created_by"),
    _number("default_version"),
    _number("latest_version"),
    _number("last_version"),
    _text("token_digest"),
    Index("uq_launch_template_tenant_id_region_name", "tenant_id", "region", "name", unique=True),
)

launch_template_version = Table(
    "launch_template_version",
    metadata,
    Column("template_id", String, ForeignKey("launch_template.id"), primary_key=True),
    _number("number", key=True),
    Column("description", Text, nullable=False),
    _text("created_by"),
    _time("created_at", null=False),
    _json("data"),
    _text("client_token"),
    _text("token_digest"),
    _partial(
        "uq_launch_template_version_token",
        "client_token",
        "template_id",
        where=WITH_TOKEN,
        unique=True,
    ),
)

placement_group = _owned(
    "placement_group",
    _text("name"),
    _text("strategy"),
    _number("partitions"),
    _text("spread_level"),
    Index("uq_placement_group_tenant_id_region_name", "tenant_id", "region", "name", unique=True),
)


def _of_vpc() -> Column[str]:
    return Column("vpc_id", String, ForeignKey("vpc.id"), nullable=False, index=True)


vpc = _owned(
    "vpc",
    _text("cidr"),
    _flag("default"),
    _json("blocks"),
    _text("association_id"),
    Column("dhcp_options_id", String, nullable=False, index=True),
    _flag("dns_support"),
    _flag("dns_hostnames"),
    _text("tenancy"),
    Column("summary", Text, nullable=False),
    Index(
        "uq_vpc_default",
        "tenant_id",
        "region",
        unique=True,
        sqlite_where=text('"default" = 1'),
        postgresql_where=text('"default"'),
    ),
)

subnet = _owned(
    "subnet",
    _of_vpc(),
    _text("zone"),
    _text("cidr"),
    Column("acl_id", String, ForeignKey("network_acl.id"), nullable=False, index=True),
    Column("acl_association_id", String, nullable=False, unique=True),
    _flag("default"),
    _flag("map_public_ip"),
    Column("route_table_id", String, nullable=False, index=True),
    Column("route_association_id", String, nullable=False, index=True),
    _flag("up"),
    _text("label"),
    Column("vlan", Integer, nullable=True),
    Column("summary", Text, nullable=False),
    _text("api"),
    Index("uq_subnet_vpc_id_cidr", "vpc_id", "cidr", unique=True),
)

route_table = _owned(
    "route_table",
    _of_vpc(),
    _flag("main"),
    Column("main_association_id", String, nullable=False, index=True),
    _json("routes"),
)

internet_gateway = _owned(
    "internet_gateway", Column("vpc_id", String, ForeignKey("vpc.id"), nullable=True, unique=True)
)

nat_gateway = _owned(
    "nat_gateway",
    Column("vpc_id", String, nullable=False, index=True),
    Column("subnet_id", String, nullable=False, index=True),
    _text("nic_id"),
    Column("allocation_id", String, nullable=False, index=True),
    _text("public_ip"),
    _text("private_ip"),
    _text("state"),
    _text("client_token"),
    _time("deleted_at"),
)

dhcp_options = _owned("dhcp_options", _json("options"))

network_acl = _owned("network_acl", _of_vpc(), _flag("default"), _json("entries"))

security_group = _owned(
    "security_group",
    _of_vpc(),
    _text("name"),
    Column("description", Text, nullable=False),
    _text("api"),
    Index("uq_security_group_vpc_id_name", "vpc_id", "name", unique=True),
)

security_rule = Table(
    "security_rule",
    metadata,
    _text("id", key=True),
    Column("group_id", String, ForeignKey("security_group.id"), nullable=False),
    _text("tenant_id"),
    _flag("egress"),
    _text("protocol"),
    _number("from_port"),
    _number("to_port"),
    _text("cidr"),
    Column("peer_group_id", String, nullable=False, index=True),
    Column("description", Text, nullable=False),
    _time("created_at", null=False),
    _number("version"),
    Index("ix_security_rule_listing", "tenant_id", "created_at", "id"),
    Index(
        "uq_security_rule_all",
        "group_id",
        "egress",
        "protocol",
        "from_port",
        "to_port",
        "cidr",
        "peer_group_id",
        unique=True,
    ),
)

nic = _owned(
    "nic",
    _of_vpc(),
    Column("subnet_id", String, ForeignKey("subnet.id"), nullable=False, index=True),
    _text("zone"),
    _text("mac"),
    _text("address"),
    _json("groups"),
    Column("description", Text, nullable=False),
    _flag("source_dest_check"),
    _flag("lends"),
    Column("instance_id", String, ForeignKey("instance.id"), nullable=True),
    _number("index"),
    _text("attach"),
    Column("attachment_id", String, nullable=False, index=True),
    _flag("delete_on_termination"),
    _time("asked_at"),
    _time("attached_at"),
    _text("requester"),
    _flag("up"),
    _text("api"),
    _text("client_token"),
    Column("summary", Text, nullable=False),
    Column("message", Text, nullable=False),
    Index("uq_nic_subnet_id_mac", "subnet_id", "mac", unique=True),
    Index("uq_nic_instance_id_index", "instance_id", "index", unique=True),
)

nic_group = Table(
    "nic_group",
    metadata,
    Column("nic_id", String, ForeignKey("nic.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", String, ForeignKey("security_group.id"), primary_key=True, index=True),
)

lease = Table(
    "lease",
    metadata,
    Column("subnet_id", String, ForeignKey("subnet.id"), primary_key=True),
    _text("address", key=True),
    Column("nic_id", String, ForeignKey("nic.id"), nullable=False, index=True),
    _flag("primary"),
)

public_address = _owned(
    "public_address",
    Column("ip", String, nullable=False, unique=True),
    _text("pool"),
    _flag("auto"),
    Column("nic_id", String, ForeignKey("nic.id"), nullable=True),
    _text("private_ip"),
    Column("association_id", String, nullable=False, index=True),
    _time("associated_at"),
    _flag("up"),
    Column("summary", Text, nullable=False),
    _text("api"),
    Index("uq_public_address_nic_id_private_ip", "nic_id", "private_ip", unique=True),
)

infra_address = Table(
    "infra_address",
    metadata,
    _text("address", key=True),
    Column("owner_id", String, nullable=False, unique=True),
)

network_change = Table(
    "network_change",
    metadata,
    _text("id", key=True),
    _text("scope"),
    _time("at", null=False),
)

context = Table(
    "context",
    metadata,
    Column("instance_id", String, ForeignKey("instance.id", ondelete="CASCADE"), primary_key=True),
    Column("user_data", LargeBinary, nullable=False),
)

console = Table(
    "console",
    metadata,
    Column("instance_id", String, ForeignKey("instance.id", ondelete="CASCADE"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    _time("at", null=False),
)

picture = Table(
    "picture",
    metadata,
    Column("instance_id", String, ForeignKey("instance.id", ondelete="CASCADE"), primary_key=True),
    _time("asked_at", null=False),
    _flag("wake"),
    _time("taken_at"),
    Column("data", LargeBinary, nullable=False),
    _text("trouble"),
)

tag = Table(
    "tag",
    metadata,
    _text("resource_id", key=True),
    _text("key", key=True),
    _text("tenant_id"),
    _text("resource_type"),
    Column("value", Text, nullable=False),
    Index("ix_tag_lookup", "tenant_id", "key", "value", "resource_id"),
    Index("ix_tag_listing", "tenant_id", "resource_id", "key"),
)

launch_token = Table(
    "launch_token",
    metadata,
    _text("tenant_id", key=True),
    _text("region", key=True),
    _text("token", key=True),
    _text("digest"),
    _text("launch_id"),
    _time("created_at", null=False),
)

placement = Table(
    "placement",
    metadata,
    _text("instance_id", key=True),
    _number("epoch", key=True),
    Column("host_id", String, ForeignKey("host.id"), nullable=False),
    _time("opened_at", null=False),
    _time("booted_at"),
    _time("closed_at"),
    _text("closed_by"),
    Index(
        "ix_placement_open",
        "host_id",
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
)

reservation = Table(
    "reservation",
    metadata,
    _text("instance_id", key=True),
    Column("host_id", String, ForeignKey("host.id"), primary_key=True, index=True),
    _number("cpu"),
    _number("memory_mib"),
    _number("disk_gib"),
    _time("opened_at", null=False),
)

job = Table(
    "job",
    metadata,
    _text("id", key=True),
    Column("instance_id", String, ForeignKey("instance.id"), nullable=False, index=True),
    _text("op"),
    _json("stages"),
    _json("on_failed"),
    _json("on_lost"),
    _text("on_ok"),
    _text("origin"),
    _text("actor"),
    _text("api"),
    _text("request_id"),
    _text("state"),
    _number("stage"),
    _number("step"),
    _number("attempt"),
    _time("deadline", null=False),
    _time("stage_started", null=False),
    _text("busy"),
    _flag("force"),
    Column("message", Text, nullable=False),
    _time("created_at", null=False),
    _time("finished_at"),
    _number("version"),
    _partial("ix_job_open", "state", where=OPEN),
)

event = Table(
    "event",
    metadata,
    _text("id", key=True),
    _time("at", null=False),
    _text("instance_id"),
    _text("tenant_id"),
    _text("op"),
    _text("old"),
    _text("new"),
    _text("actor"),
    Column("reason", Text, nullable=False),
    _text("request_id"),
    _text("job_id"),
    Index("ix_event_instance_id", "instance_id", "id"),
)

stay = Table(
    "stay",
    metadata,
    _text("instance_id", key=True),
    _number("seq", key=True),
    _text("host_id"),
    _text("tenant_id"),
    _text("owner"),
    _number("vcpus"),
    _number("memory_mib"),
    _time("started_at", null=False),
    _time("running_at"),
    _time("running_until"),
    _time("ended_at"),
    _text("reason"),
)

debris = Table(
    "debris",
    metadata,
    _text("instance_id", key=True),
    Column("host_id", String, ForeignKey("host.id"), primary_key=True),
    _time("at", null=False),
    Column("message", Text, nullable=False),
    _text("busy"),
    _number("version"),
)

user_mixin = Table(
    "user_mixin",
    metadata,
    _text("tenant_id", key=True),
    _text("scheme", key=True),
    _text("term", key=True),
    _text("title"),
    _text("location"),
    _time("created_at", null=False),
    Index("uq_user_mixin_tenant_id_location", "tenant_id", "location", unique=True),
)

mixin_member = Table(
    "mixin_member",
    metadata,
    _text("tenant_id", key=True),
    _text("scheme", key=True),
    _text("term", key=True),
    _text("resource_id", key=True),
    Index("ix_mixin_member_resource_id", "resource_id"),
)

note = Table(
    "note",
    metadata,
    _text("resource_id", key=True),
    _text("name", key=True),
    Column("tenant_id", String, nullable=False, index=True),
    Column("value", Text, nullable=False),
)

chosen_path = Table(
    "chosen_path",
    metadata,
    _text("tenant_id", key=True),
    _text("path", key=True),
    Column("resource_id", String, nullable=False, index=True),
    _time("created_at", null=False),
)

creation_key = Table(
    "creation_key",
    metadata,
    _text("tenant_id", key=True),
    _text("key", key=True),
    _text("digest"),
    _json("made"),
    Column("created_at", Float(53), nullable=False, index=True),
)

worker = Table(
    "worker",
    metadata,
    _text("executor", key=True),
    _time("started_at", null=False),
    _time("seen_at", null=False),
)
