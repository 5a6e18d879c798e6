"""Questions to the tables of launch templates and placement groups."""

from __future__ import annotations

from sqlalchemy import Connection

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

    def of_template(self, template_id: str) -> list[LaunchTemplateVersion]:
        """The versions of a template by number."""
        return self.where(self.table.c.template_id == template_id, order=(self.table.c.number,))


class PlacementGroupRows(OwnedRows[PlacementGroup]):
    """Placement groups."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.placement_group, PlacementGroup)

    def named(self, tenant_id: str, region: str, name: str) -> PlacementGroup | None:
        """A tenant's group by name."""
        c = self.table.c
        found = self.where(c.tenant_id == tenant_id, c.region == region, c.name == name)
        return found[0] if found else None
