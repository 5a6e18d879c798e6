"""Initial."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward; there is no way back but a backup."""
    op.create_table(
        "chosen_path",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "path", name=op.f("pk_chosen_path")),
    )
    op.create_index(op.f("ix_chosen_path_resource_id"), "chosen_path", ["resource_id"], unique=False)
    op.create_table(
        "content",
        sa.Column("checksum", sa.String(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("virtual_bytes", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.String(), nullable=False),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("checksum", name=op.f("pk_content")),
    )
    op.create_index(op.f("ix_content_parent"), "content", ["parent"], unique=False)
    op.create_table(
        "creation_key",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("made", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("pk_creation_key")),
    )
    op.create_index(op.f("ix_creation_key_created_at"), "creation_key", ["created_at"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("op", sa.String(), nullable=False),
        sa.Column("old", sa.String(), nullable=False),
        sa.Column("new", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index("ix_event_instance_id", "event", ["instance_id", "id"], unique=False)
    op.create_table(
        "flavor",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("vcpus", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("memory_mib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("root_gib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ephemeral_gib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("crtp", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_flavor")),
    )
    op.create_table(
        "host",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("uri", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("architecture", sa.String(), nullable=False),
        sa.Column("total", sa.Text(), nullable=False),
        sa.Column("reserved", sa.Text(), nullable=False),
        sa.Column("foreign", sa.Text(), nullable=False),
        sa.Column("cpu_ratio", sa.Float(precision=53), nullable=False),
        sa.Column("memory_ratio", sa.Float(precision=53), nullable=False),
        sa.Column("disk_ratio", sa.Float(precision=53), nullable=False),
        sa.Column("capabilities", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("overcommitted", sa.Boolean(), nullable=False),
        sa.Column("last_seen", sa.Float(precision=53), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_host")),
        sa.UniqueConstraint("uri", name=op.f("uq_host_uri")),
    )
    op.create_table(
        "infra_address",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("owner_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_infra_address")),
        sa.UniqueConstraint("owner_id", name=op.f("uq_infra_address_owner_id")),
    )
    op.create_table(
        "launch_token",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("launch_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "region", "token", name=op.f("pk_launch_token")),
    )
    op.create_table(
        "mixin_member",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("scheme", sa.String(), nullable=False),
        sa.Column("term", sa.String(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "scheme", "term", "resource_id", name=op.f("pk_mixin_member")),
    )
    op.create_index("ix_mixin_member_resource_id", "mixin_member", ["resource_id"], unique=False)
    op.create_table(
        "network_change",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_change")),
    )
    op.create_table(
        "note",
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "name", name=op.f("pk_note")),
    )
    op.create_index(op.f("ix_note_tenant_id"), "note", ["tenant_id"], unique=False)
    op.create_table(
        "stay",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("host_id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("vcpus", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("memory_mib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=False),
        sa.Column("running_at", sa.Float(precision=53), nullable=True),
        sa.Column("running_until", sa.Float(precision=53), nullable=True),
        sa.Column("ended_at", sa.Float(precision=53), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "seq", name=op.f("pk_stay")),
    )
    op.create_table(
        "tag",
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("resource_type", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "key", name=op.f("pk_tag")),
    )
    op.create_index("ix_tag_listing", "tag", ["tenant_id", "resource_id", "key"], unique=False)
    op.create_index("ix_tag_lookup", "tag", ["tenant_id", "key", "value", "resource_id"], unique=False)
    op.create_table(
        "task",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("lock", sa.String(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("deadline", sa.Float(precision=53), nullable=False),
        sa.Column("busy", sa.String(), nullable=False),
        sa.Column("progress", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    op.create_index("ix_task_listing", "task", ["tenant_id", "kind", "created_at"], unique=False)
    op.create_index(
        "ix_task_lock",
        "task",
        ["lock", "created_at"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "ix_task_open",
        "task",
        ["instance_id", "created_at"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "ix_task_resource",
        "task",
        ["resource_id", "created_at"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "tenant",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("quotas", sa.Text(), nullable=False),
        sa.Column("encrypted_regions", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
        sa.UniqueConstraint("account_id", name=op.f("uq_tenant_account_id")),
        sa.UniqueConstraint("name", name=op.f("uq_tenant_name")),
    )
    op.create_table(
        "user_mixin",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("scheme", sa.String(), nullable=False),
        sa.Column("term", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "scheme", "term", name=op.f("pk_user_mixin")),
    )
    op.create_index("uq_user_mixin_tenant_id_location", "user_mixin", ["tenant_id", "location"], unique=True)
    op.create_table(
        "volume_token",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("volume_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "region", "token", name=op.f("pk_volume_token")),
    )
    op.create_table(
        "worker",
        sa.Column("executor", sa.String(), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=False),
        sa.Column("seen_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("executor", name=op.f("pk_worker")),
    )
    op.create_table(
        "debris",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("host_id", sa.String(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("busy", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_debris_host_id")),
        sa.PrimaryKeyConstraint("instance_id", "host_id", name=op.f("pk_debris")),
    )
    op.create_table(
        "dhcp_options",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_dhcp_options_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dhcp_options")),
    )
    op.create_index(
        "ix_dhcp_options_listing", "dhcp_options", ["tenant_id", "region", "created_at", "id"], unique=False
    )
    op.create_table(
        "image",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("checksum", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("virtual_bytes", sa.BigInteger(), nullable=False),
        sa.Column("architecture", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("launch_accounts", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.String(), nullable=False),
        sa.Column("mappings", sa.Text(), nullable=False),
        sa.Column("source_instance_id", sa.String(), nullable=False),
        sa.Column("source_image_id", sa.String(), nullable=False),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("seed", sa.String(), nullable=False),
        sa.Column("deprecated_at", sa.Float(precision=53), nullable=True),
        sa.Column("publication", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("line_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parent_id", sa.String(), nullable=False),
        sa.Column("changelog", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("deregistered_at", sa.Float(precision=53), nullable=True),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_image_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
    )
    op.create_index(op.f("ix_image_checksum"), "image", ["checksum"], unique=False)
    op.create_index(
        "ix_image_listing",
        "image",
        ["tenant_id", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("state <> 'gone'"),
        postgresql_where=sa.text("state <> 'gone'"),
    )
    op.create_index(
        "ix_image_public",
        "image",
        ["created_at", "id"],
        unique=False,
        sqlite_where=sa.text("public AND state <> 'gone'"),
        postgresql_where=sa.text("public AND state <> 'gone'"),
    )
    op.create_index(
        "ix_image_shared",
        "image",
        ["created_at", "id"],
        unique=False,
        sqlite_where=sa.text("launch_accounts <> '[]' AND state <> 'gone'"),
        postgresql_where=sa.text("launch_accounts <> '[]' AND state <> 'gone'"),
    )
    op.create_index(
        "uq_image_line_version",
        "image",
        ["tenant_id", "line", "line_version"],
        unique=True,
        sqlite_where=sa.text("line <> ''"),
        postgresql_where=sa.text("line <> ''"),
    )
    op.create_index(
        "uq_image_tenant_id_name",
        "image",
        ["tenant_id", "name"],
        unique=True,
        sqlite_where=sa.text("state <> 'gone'"),
        postgresql_where=sa.text("state <> 'gone'"),
    )
    op.create_table(
        "key_pair",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key_type", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_key_pair_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_pair")),
    )
    op.create_index(
        "uq_key_pair_tenant_id_region_name", "key_pair", ["tenant_id", "region", "name"], unique=True
    )
    op.create_table(
        "launch_template",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("default_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("latest_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token_digest", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_launch_template_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_launch_template")),
    )
    op.create_index(
        "ix_launch_template_listing",
        "launch_template",
        ["tenant_id", "region", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_launch_template_tenant_id_region_name",
        "launch_template",
        ["tenant_id", "region", "name"],
        unique=True,
    )
    op.create_table(
        "nat_gateway",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("vpc_id", sa.String(), nullable=False),
        sa.Column("subnet_id", sa.String(), nullable=False),
        sa.Column("nic_id", sa.String(), nullable=False),
        sa.Column("allocation_id", sa.String(), nullable=False),
        sa.Column("public_ip", sa.String(), nullable=False),
        sa.Column("private_ip", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("client_token", sa.String(), nullable=False),
        sa.Column("deleted_at", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_nat_gateway_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nat_gateway")),
    )
    op.create_index(op.f("ix_nat_gateway_allocation_id"), "nat_gateway", ["allocation_id"], unique=False)
    op.create_index(
        "ix_nat_gateway_listing", "nat_gateway", ["tenant_id", "region", "created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_nat_gateway_subnet_id"), "nat_gateway", ["subnet_id"], unique=False)
    op.create_index(op.f("ix_nat_gateway_vpc_id"), "nat_gateway", ["vpc_id"], unique=False)
    op.create_table(
        "placement",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("host_id", sa.String(), nullable=False),
        sa.Column("opened_at", sa.Float(precision=53), nullable=False),
        sa.Column("booted_at", sa.Float(precision=53), nullable=True),
        sa.Column("closed_at", sa.Float(precision=53), nullable=True),
        sa.Column("closed_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_placement_host_id")),
        sa.PrimaryKeyConstraint("instance_id", "epoch", name=op.f("pk_placement")),
    )
    op.create_index(
        "ix_placement_open",
        "placement",
        ["host_id"],
        unique=False,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "placement_group",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("partitions", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spread_level", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_placement_group_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_placement_group")),
    )
    op.create_index(
        "ix_placement_group_listing",
        "placement_group",
        ["tenant_id", "region", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_placement_group_tenant_id_region_name",
        "placement_group",
        ["tenant_id", "region", "name"],
        unique=True,
    )
    op.create_table(
        "reservation",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("host_id", sa.String(), nullable=False),
        sa.Column("cpu", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("memory_mib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("disk_gib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("opened_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_reservation_host_id")),
        sa.PrimaryKeyConstraint("instance_id", "host_id", name=op.f("pk_reservation")),
    )
    op.create_index(op.f("ix_reservation_host_id"), "reservation", ["host_id"], unique=False)
    op.create_table(
        "snapshot",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("volume_id", sa.String(), nullable=False),
        sa.Column("size_gib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("progress", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("accounts", sa.Text(), nullable=False),
        sa.Column("source_id", sa.String(), nullable=False),
        sa.Column("completed_at", sa.Float(precision=53), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_snapshot_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
    )
    op.create_index(op.f("ix_snapshot_content"), "snapshot", ["content"], unique=False)
    op.create_index(
        "ix_snapshot_listing", "snapshot", ["tenant_id", "region", "started_at", "id"], unique=False
    )
    op.create_index(
        "ix_snapshot_public",
        "snapshot",
        ["region", "started_at", "id"],
        unique=False,
        sqlite_where=sa.text("public"),
        postgresql_where=sa.text("public"),
    )
    op.create_index(
        "ix_snapshot_shared",
        "snapshot",
        ["region", "started_at", "id"],
        unique=False,
        sqlite_where=sa.text("accounts <> '[]'"),
        postgresql_where=sa.text("accounts <> '[]'"),
    )
    op.create_index(op.f("ix_snapshot_volume_id"), "snapshot", ["volume_id"], unique=False)
    op.create_table(
        "tenant_role",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("trusted", sa.Text(), nullable=False),
        sa.Column("longest", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_tenant_role_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant_role")),
    )
    op.create_index("uq_tenant_role_tenant_id_name", "tenant_role", ["tenant_id", "name"], unique=True)
    op.create_table(
        "user_account",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_user_account_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_account")),
        sa.UniqueConstraint("name", name=op.f("uq_user_account_name")),
    )
    op.create_table(
        "vpc",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cidr", sa.String(), nullable=False),
        sa.Column("default", sa.Boolean(), nullable=False),
        sa.Column("blocks", sa.Text(), nullable=False),
        sa.Column("association_id", sa.String(), nullable=False),
        sa.Column("dhcp_options_id", sa.String(), nullable=False),
        sa.Column("dns_support", sa.Boolean(), nullable=False),
        sa.Column("dns_hostnames", sa.Boolean(), nullable=False),
        sa.Column("tenancy", sa.String(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_vpc_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vpc")),
    )
    op.create_index(op.f("ix_vpc_dhcp_options_id"), "vpc", ["dhcp_options_id"], unique=False)
    op.create_index("ix_vpc_listing", "vpc", ["tenant_id", "region", "created_at", "id"], unique=False)
    op.create_index(
        "uq_vpc_default",
        "vpc",
        ["tenant_id", "region"],
        unique=True,
        sqlite_where=sa.text('"default" = 1'),
        postgresql_where=sa.text('"default"'),
    )
    op.create_table(
        "access_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_access_key_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_key")),
    )
    op.create_table(
        "bearer_token",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_bearer_token_user_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_bearer_token")),
    )
    op.create_table(
        "identity",
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("claimed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_identity_user_id")),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_identity")),
    )
    op.create_index(op.f("ix_identity_user_id"), "identity", ["user_id"], unique=False)
    op.create_table(
        "instance",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("launch_id", sa.String(), nullable=False),
        sa.Column("launch_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("flavor", sa.String(), nullable=False),
        sa.Column("vcpus", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("memory_mib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("root_gib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ephemeral_gib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("architecture", sa.String(), nullable=False),
        sa.Column("image_id", sa.String(), nullable=False),
        sa.Column("vpc_id", sa.String(), nullable=False),
        sa.Column("subnet_id", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("mac", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("state_since", sa.Float(precision=53), nullable=False),
        sa.Column("api", sa.String(), nullable=False),
        sa.Column("client_token", sa.String(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("key_name", sa.String(), nullable=False),
        sa.Column("public_keys", sa.Text(), nullable=False),
        sa.Column("hostname", sa.String(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.Column("host_id", sa.String(), nullable=True),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempts", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("excluded", sa.Text(), nullable=False),
        sa.Column("desired", sa.String(), nullable=False),
        sa.Column("saved", sa.String(), nullable=False),
        sa.Column("checkpoint", sa.String(), nullable=False),
        sa.Column("resched", sa.Boolean(), nullable=False),
        sa.Column("locked_terminate", sa.Boolean(), nullable=False),
        sa.Column("locked_stop", sa.Boolean(), nullable=False),
        sa.Column("hibernation", sa.Boolean(), nullable=False),
        sa.Column("monitoring", sa.Boolean(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("on_guest_shutdown", sa.String(), nullable=False),
        sa.Column("keep_failed", sa.Boolean(), nullable=False),
        sa.Column("health", sa.String(), nullable=False),
        sa.Column("crash_count", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("reason_text", sa.Text(), nullable=False),
        sa.Column("by_user", sa.Boolean(), nullable=False),
        sa.Column("launched_at", sa.Float(precision=53), nullable=True),
        sa.Column("started_at", sa.Float(precision=53), nullable=True),
        sa.Column("last_seen", sa.Float(precision=53), nullable=True),
        sa.Column("ended_at", sa.Float(precision=53), nullable=True),
        sa.Column("user_data_size", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cpu_share", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("archived", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_instance_image_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_instance_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
    )
    op.create_index(
        "ix_instance_detail",
        "instance",
        ["detail"],
        unique=False,
        sqlite_where=sa.text("detail <> 'done'"),
        postgresql_where=sa.text("detail <> 'done'"),
    )
    op.create_index(
        "ix_instance_ended",
        "instance",
        ["detail", "ended_at"],
        unique=False,
        sqlite_where=sa.text("archived = 0"),
        postgresql_where=sa.text("archived = 0"),
    )
    op.create_index(
        "ix_instance_group_id",
        "instance",
        ["group_id"],
        unique=False,
        sqlite_where=sa.text("detail <> 'done' AND group_id <> ''"),
        postgresql_where=sa.text("detail <> 'done' AND group_id <> ''"),
    )
    op.create_index(
        "ix_instance_host_id",
        "instance",
        ["host_id"],
        unique=False,
        sqlite_where=sa.text("detail <> 'done'"),
        postgresql_where=sa.text("detail <> 'done'"),
    )
    op.create_index(op.f("ix_instance_image_id"), "instance", ["image_id"], unique=False)
    op.create_index("ix_instance_launch_id", "instance", ["launch_id", "launch_index"], unique=False)
    op.create_index(
        "ix_instance_listing",
        "instance",
        ["tenant_id", "region", "created_at", "launch_id", "launch_index"],
        unique=False,
        sqlite_where=sa.text("archived = 0"),
        postgresql_where=sa.text("archived = 0"),
    )
    op.create_index(
        "ix_instance_usage",
        "instance",
        ["tenant_id", "vcpus", "memory_mib"],
        unique=False,
        sqlite_where=sa.text("detail <> 'done'"),
        postgresql_where=sa.text("detail <> 'done'"),
    )
    op.create_index(
        "ix_instance_wish",
        "instance",
        ["desired"],
        unique=False,
        sqlite_where=sa.text("detail <> 'done'"),
        postgresql_where=sa.text("detail <> 'done'"),
    )
    op.create_table(
        "internet_gateway",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("vpc_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_internet_gateway_tenant_id")),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("fk_internet_gateway_vpc_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_internet_gateway")),
        sa.UniqueConstraint("vpc_id", name=op.f("uq_internet_gateway_vpc_id")),
    )
    op.create_index(
        "ix_internet_gateway_listing",
        "internet_gateway",
        ["tenant_id", "region", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "launch_template_version",
        sa.Column("template_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("client_token", sa.String(), nullable=False),
        sa.Column("token_digest", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["template_id"], ["launch_template.id"], name=op.f("fk_launch_template_version_template_id")
        ),
        sa.PrimaryKeyConstraint("template_id", "number", name=op.f("pk_launch_template_version")),
    )
    op.create_index(
        "uq_launch_template_version_token",
        "launch_template_version",
        ["client_token", "template_id"],
        unique=True,
        sqlite_where=sa.text("client_token <> ''"),
        postgresql_where=sa.text("client_token <> ''"),
    )
    op.create_table(
        "membership",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_membership_tenant_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_membership_user_id")),
        sa.PrimaryKeyConstraint("user_id", "tenant_id", name=op.f("pk_membership")),
    )
    op.create_index(op.f("ix_membership_tenant_id"), "membership", ["tenant_id"], unique=False)
    op.create_table(
        "network_acl",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("vpc_id", sa.String(), nullable=False),
        sa.Column("default", sa.Boolean(), nullable=False),
        sa.Column("entries", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_network_acl_tenant_id")),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("fk_network_acl_vpc_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_acl")),
    )
    op.create_index(
        "ix_network_acl_listing", "network_acl", ["tenant_id", "region", "created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_network_acl_vpc_id"), "network_acl", ["vpc_id"], unique=False)
    op.create_table(
        "route_table",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("vpc_id", sa.String(), nullable=False),
        sa.Column("main", sa.Boolean(), nullable=False),
        sa.Column("main_association_id", sa.String(), nullable=False),
        sa.Column("routes", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_route_table_tenant_id")),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("fk_route_table_vpc_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_route_table")),
    )
    op.create_index(
        "ix_route_table_listing", "route_table", ["tenant_id", "region", "created_at", "id"], unique=False
    )
    op.create_index(
        op.f("ix_route_table_main_association_id"), "route_table", ["main_association_id"], unique=False
    )
    op.create_index(op.f("ix_route_table_vpc_id"), "route_table", ["vpc_id"], unique=False)
    op.create_table(
        "security_group",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("vpc_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("api", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_security_group_tenant_id")),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("fk_security_group_vpc_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_group")),
    )
    op.create_index(
        "ix_security_group_listing",
        "security_group",
        ["tenant_id", "region", "created_at", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_security_group_vpc_id"), "security_group", ["vpc_id"], unique=False)
    op.create_index("uq_security_group_vpc_id_name", "security_group", ["vpc_id", "name"], unique=True)
    op.create_table(
        "session",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("access_key_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("token_digest", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.Column("role_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_session_tenant_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_session_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_access_key_id"), "session", ["access_key_id"], unique=False)
    op.create_index(op.f("ix_session_expires_at"), "session", ["expires_at"], unique=False)
    op.create_index(op.f("ix_session_tenant_id"), "session", ["tenant_id"], unique=False)
    op.create_index(op.f("ix_session_user_id"), "session", ["user_id"], unique=False)
    op.create_table(
        "console",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_console_instance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_console")),
    )
    op.create_table(
        "context",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("user_data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_context_instance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_context")),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("op", sa.String(), nullable=False),
        sa.Column("stages", sa.Text(), nullable=False),
        sa.Column("on_failed", sa.Text(), nullable=False),
        sa.Column("on_lost", sa.Text(), nullable=False),
        sa.Column("on_ok", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("api", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("stage", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("deadline", sa.Float(precision=53), nullable=False),
        sa.Column("stage_started", sa.Float(precision=53), nullable=False),
        sa.Column("busy", sa.String(), nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_job_instance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_index(op.f("ix_job_instance_id"), "job", ["instance_id"], unique=False)
    op.create_index(
        "ix_job_open",
        "job",
        ["state"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "picture",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("asked_at", sa.Float(precision=53), nullable=False),
        sa.Column("wake", sa.Boolean(), nullable=False),
        sa.Column("taken_at", sa.Float(precision=53), nullable=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("trouble", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_picture_instance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_picture")),
    )
    op.create_table(
        "security_rule",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("egress", sa.Boolean(), nullable=False),
        sa.Column("protocol", sa.String(), nullable=False),
        sa.Column("from_port", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("to_port", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cidr", sa.String(), nullable=False),
        sa.Column("peer_group_id", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["security_group.id"], name=op.f("fk_security_rule_group_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_rule")),
    )
    op.create_index(
        "ix_security_rule_listing", "security_rule", ["tenant_id", "created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_security_rule_peer_group_id"), "security_rule", ["peer_group_id"], unique=False)
    op.create_index(
        "uq_security_rule_all",
        "security_rule",
        ["group_id", "egress", "protocol", "from_port", "to_port", "cidr", "peer_group_id"],
        unique=True,
    )
    op.create_table(
        "subnet",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("vpc_id", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("cidr", sa.String(), nullable=False),
        sa.Column("acl_id", sa.String(), nullable=False),
        sa.Column("acl_association_id", sa.String(), nullable=False),
        sa.Column("default", sa.Boolean(), nullable=False),
        sa.Column("map_public_ip", sa.Boolean(), nullable=False),
        sa.Column("route_table_id", sa.String(), nullable=False),
        sa.Column("route_association_id", sa.String(), nullable=False),
        sa.Column("up", sa.Boolean(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("vlan", sa.Integer(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("api", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["acl_id"], ["network_acl.id"], name=op.f("fk_subnet_acl_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_subnet_tenant_id")),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("fk_subnet_vpc_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subnet")),
        sa.UniqueConstraint("acl_association_id", name=op.f("uq_subnet_acl_association_id")),
    )
    op.create_index(op.f("ix_subnet_acl_id"), "subnet", ["acl_id"], unique=False)
    op.create_index("ix_subnet_listing", "subnet", ["tenant_id", "region", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_subnet_route_association_id"), "subnet", ["route_association_id"], unique=False)
    op.create_index(op.f("ix_subnet_route_table_id"), "subnet", ["route_table_id"], unique=False)
    op.create_index(op.f("ix_subnet_vpc_id"), "subnet", ["vpc_id"], unique=False)
    op.create_index("uq_subnet_vpc_id_cidr", "subnet", ["vpc_id", "cidr"], unique=True)
    op.create_table(
        "volume",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("size_gib", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("iops", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("throughput", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("snapshot_id", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("image_id", sa.String(), nullable=False),
        sa.Column("api", sa.String(), nullable=False),
        sa.Column("client_token", sa.String(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("auto_io", sa.Boolean(), nullable=False),
        sa.Column("host_id", sa.String(), nullable=True),
        sa.Column("made", sa.Boolean(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=True),
        sa.Column("attach", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("boot", sa.Boolean(), nullable=False),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.Column("asked_at", sa.Float(precision=53), nullable=True),
        sa.Column("attached_at", sa.Float(precision=53), nullable=True),
        sa.Column("modification", sa.Text(), nullable=False),
        sa.Column("last_snapshot", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_volume_host_id")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_volume_instance_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_volume_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume")),
    )
    op.create_index(op.f("ix_volume_content"), "volume", ["content"], unique=False)
    op.create_index(op.f("ix_volume_host_id"), "volume", ["host_id"], unique=False)
    op.create_index(op.f("ix_volume_instance_id"), "volume", ["instance_id"], unique=False)
    op.create_index("ix_volume_listing", "volume", ["tenant_id", "region", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_volume_snapshot_id"), "volume", ["snapshot_id"], unique=False)
    op.create_index("uq_volume_instance_id_target", "volume", ["instance_id", "target"], unique=True)
    op.create_table(
        "nic",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("vpc_id", sa.String(), nullable=False),
        sa.Column("subnet_id", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("mac", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("source_dest_check", sa.Boolean(), nullable=False),
        sa.Column("lends", sa.Boolean(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=True),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attach", sa.String(), nullable=False),
        sa.Column("attachment_id", sa.String(), nullable=False),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.Column("asked_at", sa.Float(precision=53), nullable=True),
        sa.Column("attached_at", sa.Float(precision=53), nullable=True),
        sa.Column("requester", sa.String(), nullable=False),
        sa.Column("up", sa.Boolean(), nullable=False),
        sa.Column("api", sa.String(), nullable=False),
        sa.Column("client_token", sa.String(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_nic_instance_id")),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("fk_nic_subnet_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_nic_tenant_id")),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("fk_nic_vpc_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nic")),
    )
    op.create_index(op.f("ix_nic_attachment_id"), "nic", ["attachment_id"], unique=False)
    op.create_index("ix_nic_listing", "nic", ["tenant_id", "region", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_nic_subnet_id"), "nic", ["subnet_id"], unique=False)
    op.create_index(op.f("ix_nic_vpc_id"), "nic", ["vpc_id"], unique=False)
    op.create_index("uq_nic_instance_id_index", "nic", ["instance_id", "index"], unique=True)
    op.create_index("uq_nic_subnet_id_mac", "nic", ["subnet_id", "mac"], unique=True)
    op.create_table(
        "lease",
        sa.Column("subnet_id", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("nic_id", sa.String(), nullable=False),
        sa.Column("primary", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["nic_id"], ["nic.id"], name=op.f("fk_lease_nic_id")),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("fk_lease_subnet_id")),
        sa.PrimaryKeyConstraint("subnet_id", "address", name=op.f("pk_lease")),
    )
    op.create_index(op.f("ix_lease_nic_id"), "lease", ["nic_id"], unique=False)
    op.create_table(
        "nic_group",
        sa.Column("nic_id", sa.String(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["security_group.id"], name=op.f("fk_nic_group_group_id")),
        sa.ForeignKeyConstraint(["nic_id"], ["nic.id"], name=op.f("fk_nic_group_nic_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("nic_id", "group_id", name=op.f("pk_nic_group")),
    )
    op.create_index(op.f("ix_nic_group_group_id"), "nic_group", ["group_id"], unique=False)
    op.create_table(
        "public_address",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ip", sa.String(), nullable=False),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("auto", sa.Boolean(), nullable=False),
        sa.Column("nic_id", sa.String(), nullable=True),
        sa.Column("private_ip", sa.String(), nullable=False),
        sa.Column("association_id", sa.String(), nullable=False),
        sa.Column("associated_at", sa.Float(precision=53), nullable=True),
        sa.Column("up", sa.Boolean(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("api", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["nic_id"], ["nic.id"], name=op.f("fk_public_address_nic_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_public_address_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_public_address")),
        sa.UniqueConstraint("ip", name=op.f("uq_public_address_ip")),
    )
    op.create_index(
        op.f("ix_public_address_association_id"), "public_address", ["association_id"], unique=False
    )
    op.create_index(
        "ix_public_address_listing",
        "public_address",
        ["tenant_id", "region", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_public_address_nic_id_private_ip", "public_address", ["nic_id", "private_ip"], unique=True
    )
