"""Who users are to others, and which tenants they work in besides their own."""

from __future__ import annotations

from sqlalchemy import Connection

from backend.model import Identity, Membership
from backend.store import tables
from backend.store.rows import Rows


class IdentityRows(Rows[Identity]):
    """Identities, by issuer and subject."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.identity, Identity)

    def of_user(self, user_id: str) -> list[Identity]:
        """A user's."""
        c = self.table.c
        return self.where(c.user_id == user_id, order=(c.issuer, c.subject))

    def forget_user(self, user_id: str) -> None:
        """Remove a user's."""
        self.delete_where(self.table.c.user_id == user_id)


class MembershipRows(Rows[Membership]):
    """Memberships, by user and tenant."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.membership, Membership)

    def of_user(self, user_id: str) -> list[Membership]:
        """The tenants that a user works in besides the own."""
        c = self.table.c
        return self.where(c.user_id == user_id, order=(c.created_at, c.tenant_id))

    def of_tenant(self, tenant_id: str) -> list[Membership]:
        """The users of other tenants who work in one."""
        c = self.table.c
        return self.where(c.tenant_id == tenant_id, order=(c.created_at, c.user_id))

    def forget_user(self, user_id: str) -> None:
        """Remove a user's."""
        self.delete_where(self.table.c.user_id == user_id)
