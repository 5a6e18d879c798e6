"""What clients say of resources beyond what those are: notes, paths of their choice, creation keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select

from backend.model import ChosenPath, CreationKey
from backend.store import tables
from backend.store.listing import CHUNK
from backend.store.rows import Rows


class Notes:
    """Texts by resource and name, which mean nothing to the engine."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def of(self, resource_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """The notes on resources, by id and name."""
        n = tables.note.c
        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(resource_ids), CHUNK):
            some = list(resource_ids[start : start + CHUNK])
            query = select(n.resource_id, n.name, n.value).where(n.resource_id.in_(some)).order_by(n.name)
            for resource_id, name, value in self.connection.execute(query):
                found.setdefault(resource_id, {})[name] = value
        return found

    def put(self, tenant_id: str, resource_id: str, notes: Mapping[str, str]) -> None:
        """Write notes on a resource over those of the same names; an empty one is removed."""
        n = tables.note.c
        here = n.resource_id == resource_id
        self.connection.execute(delete(tables.note).where(here, n.name.in_(list(notes))))
        rows = [
            {"tenant_id": tenant_id, "resource_id": resource_id, "name": name, "value": value}
            for name, value in notes.items()
            if value
        ]
        if rows:
            self.connection.execute(insert(tables.note), rows)

    def forget(self, resource_ids: Collection[str]) -> None:
        """Remove all notes on resources."""
        self.connection.execute(delete(tables.note).where(tables.note.c.resource_id.in_(list(resource_ids))))


class ChosenPathRows(Rows[ChosenPath]):
    """Paths that clients chose."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.chosen_path, ChosenPath)

    def of_tenant(self, tenant_id: str) -> list[ChosenPath]:
        """A tenant's."""
        return self.where(self.table.c.tenant_id == tenant_id, order=(self.table.c.path,))

    def named(self, tenant_id: str, name: str) -> list[ChosenPath]:
        """A tenant's whose last part is a name."""
        c = self.table.c
        found = self.where(c.tenant_id == tenant_id, c.path.endswith(f"/{name}", autoescape=True))
        return [each for each in found if each.path.rpartition("/")[2] == name]  # SQLite knows no case there

    def forget(self, resource_ids: Collection[str]) -> None:
        """Remove the paths of resources."""
        self.delete_where(self.table.c.resource_id.in_(list(resource_ids)))


class CreationKeyRows(Rows[CreationKey]):
    """Keys of creations that were carried out."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.creation_key, CreationKey)

    def forget(self, before: float) -> int:
        """Remove keys used before a time; how many."""
        return self.delete_where(self.table.c.created_at < before)
