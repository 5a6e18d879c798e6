"""Questions to the tables of launch templates and placement groups."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, and_, false, func, or_, select

from backend.launch_model import LaunchTemplate, LaunchTemplateVersion, PlacementGroup
from backend.store import tables
from backend.store.network_queries import OwnedRows
from backend.store.rows import Rows


class LaunchTemplateRows(OwnedRows[LaunchTemplate]):
    """Launch templates."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.launch_template, LaunchTemplate)

    def named(self, tenant_id: str, region: str, name: str) -> LaunchTemplate | None:
        """A tenant's template by name."""
        c = self.table.c
        found = self.where(c.tenant_id == tenant_id, c.region == region, c.name == name)
        return found[0] if found else None


class LaunchTemplateVersionRows(Rows[LaunchTemplateVersion]):
    """Versions of launch templates."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.launch_template_version, LaunchTemplateVersion)

    def of_template(
        self,
        template_id: str,
        *,
        numbers: Collection[int] | None = None,
        lowest: int | None = None,
        highest: int | None = None,
        limit: int | None = None,
    ) -> list[LaunchTemplateVersion]:
        """Versions of a template, the newest first: all, or those with some numbers, or in a range."""
        c = self.table.c
        conditions = [c.template_id == template_id]
        if numbers is not None:
            conditions.append(c.number.in_(list(numbers)))
        if lowest is not None:
            conditions.append(c.number >= lowest)
        if highest is not None:
            conditions.append(c.number <= highest)
        return self.where(*conditions, order=(c.number.desc(),), limit=limit)

    def pointed(
        self, tenant_id: str | None, region: str | None, *, latest: bool, default: bool
    ) -> list[LaunchTemplateVersion]:
        """The latest and the default versions of all templates of a tenant in a region (None: of all)."""
        c, t = self.table.c, tables.launch_template.c
        conditions: list[ColumnElement[bool]] = [c.template_id == t.id]
        if tenant_id is not None:
            conditions.append(t.tenant_id == tenant_id)
        if region is not None:
            conditions.append(t.region == region)
        which = [c.number == t.latest_version] * latest + [c.number == t.default_version] * default
        return self.where(*conditions, or_(false(), *which), order=(c.template_id, c.number.desc()))

    def with_token(self, tenant_id: str, region: str, token: str) -> LaunchTemplateVersion | None:
        """The version that a tenant made with a client token in a region."""
        t = tables.launch_template.c
        theirs = select(t.id).where(t.tenant_id == tenant_id, t.region == region)
        found = self.where(
            tables.WITH_TOKEN, self.table.c.client_token == token, self.table.c.template_id.in_(theirs)
        )
        return found[0] if found else None

    def count(self, template_id: str) -> int:
        """How many versions a template has."""
        query = select(func.count()).where(self.table.c.template_id == template_id)
        return int(self.connection.execute(query).scalar_one())

    def latest(self, template_id: str) -> int:
        """The highest number of a template's versions."""
        query = select(func.max(self.table.c.number)).where(self.table.c.template_id == template_id)
        return int(self.connection.execute(query).scalar_one())

    def forget(self, template_id: str, numbers: Collection[int] | None = None) -> None:
        """Remove versions of a template, or all of them."""
        c = self.table.c
        chosen = c.template_id == template_id
        self.delete_where(chosen if numbers is None else and_(chosen, c.number.in_(list(numbers))))


class PlacementGroupRows(OwnedRows[PlacementGroup]):
    """Placement groups."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.placement_group, PlacementGroup)

    def named(self, tenant_id: str, region: str, name: str) -> PlacementGroup | None:
        """A tenant's group by name."""
        c = self.table.c
        found = self.where(c.tenant_id == tenant_id, c.region == region, c.name == name)
        return found[0] if found else None
