"""The databases of an OVN installation: the northbound one, which we write, and the southbound one, which
tells how far its chassis are.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from ovs.db import idl

from backend.drivers.ovn.connection import Connection, Replica
from backend.drivers.ovn.difference import Change, Join, New, Place, operations, step, told
from backend.drivers.ovn.rows import GLOBAL, KEY, LINKS, OWNER, northbound_schema, southbound_schema
from backend.ports import HostSilent, StepFailed


class NorthboundReplica(Replica):
    """A northbound database as it is, with rows of ours found by owner and by key, and places by member.

    What it costs to find an owner's rows does not grow with the database.
    """

    def __init__(self, remote: str) -> None:
        self._owned: defaultdict[str, set[tuple[str, uuid.UUID]]] = defaultdict(set)
        self._keys: defaultdict[tuple[str, str], set[uuid.UUID]] = defaultdict(set)
        self._places: defaultdict[uuid.UUID, set[Place]] = defaultdict(set)
        super().__init__(remote, northbound_schema())

    # Of the library -------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Nothing is known any more."""
        self._owned.clear()
        self._keys.clear()
        self._places.clear()

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """A row came, changed or went; ``updates`` holds the columns that changed, as they were."""
        table = row._table.name  # noqa: SLF001 - the library's own way to ask
        if table == GLOBAL:
            return
        if event == idl.ROW_CREATE:
            self._mark(table, row, row, add=True)
            self._link(table, row, row, LINKS.get(table, ()), add=True)
            return
        before = row if event == idl.ROW_DELETE else updates
        columns = [column for column in LINKS.get(table, ()) if hasattr(before, column)]
        if hasattr(before, "external_ids"):
            self._mark(table, row, before, add=False)
        self._link(table, row, before, columns, add=False)
        if event == idl.ROW_UPDATE:
            if hasattr(before, "external_ids"):
                self._mark(table, row, row, add=True)
            self._link(table, row, row, columns, add=True)
        else:
            self._places.pop(row.uuid, None)

    def _mark(self, table: str, row: Any, values: Any, *, add: bool) -> None:
        owner, key = values.external_ids.get(OWNER), values.external_ids.get(KEY)
        if owner is None or key is None:
            return
        _toggle(self._owned, owner, (table, row.uuid), add=add)
        _toggle(self._keys, (table, key), row.uuid, add=add)

    def _link(self, table: str, row: Any, values: Any, columns: Collection[str], *, add: bool) -> None:
        for column in columns:
            place = Place(table, row.uuid, column)
            for member in getattr(values, column):
                _toggle(self._places, member.uuid, place, add=add)

    # As it is (difference.Stored) -----------------------------------------------------------------------

    @property
    def settings(self) -> Any:
        """The one row of the global table."""
        return next(iter(self.tables[GLOBAL].rows.values()), None)

    def owners(self) -> list[str]:
        """Whoever has rows."""
        return list(self._owned)

    def owned(self, owner: str) -> list[tuple[str, uuid.UUID]]:
        """The rows of an owner, with their tables."""
        return sorted(self._owned.get(owner, ()))

    def find(self, table: str, key: str) -> uuid.UUID | None:
        """A row of ours by its key."""
        return min(self._keys.get((table, key), ()), default=None)

    def places(self, row: uuid.UUID) -> list[Place]:
        """The sets of rows of ours that a row is in."""
        return [place for place in self._places.get(row, ()) if self._is_ours(place.table, place.row)]

    def _is_ours(self, table: str, row: Any) -> bool:
        found = self.tables[table].rows.get(row)
        return found is not None and OWNER in found.external_ids

    def value(self, table: str, row: uuid.UUID, column: str) -> Any:
        """A column, in plain values."""
        value = getattr(self.tables[table].rows[row], column)
        if isinstance(value, list):
            return frozenset(each.uuid if isinstance(each, idl.Row) else each for each in value)
        return value

    def name(self, table: str, row: uuid.UUID) -> str:
        """What a row of ours is called."""
        return str(self.tables[table].rows[row].external_ids.get(KEY, row))


def _toggle(index: defaultdict[Any, set[Any]], at: Any, item: Any, *, add: bool) -> None:
    if add:
        index[at].add(item)
        return
    items = index.get(at)
    if items is not None:
        items.discard(item)
        if not items:
            del index[at]


class SouthboundReplica(Replica):
    """Which chassis there are, and what each has come to."""

    def __init__(self, remote: str) -> None:
        super().__init__(remote, southbound_schema())

    def chassis(self) -> dict[str, int]:
        """The configuration that each chassis has in force; -1 of one that has not said so."""
        told = {row.name: int(row.nb_cfg) for row in self.tables["Chassis_Private"].rows.values()}
        return {row.name: told.get(row.name, -1) for row in self.tables["Chassis"].rows.values()}

    def networks(self) -> dict[str, frozenset[str]]:
        """The outside networks that each chassis has a bridge for."""
        return {
            row.name: frozenset(
                pair.partition(":")[0].strip()
                for pair in row.other_config.get("ovn-bridge-mappings", "").split(",")
            )
            for row in self.tables["Chassis"].rows.values()
        }


class Chassis(NamedTuple):
    """What is known of a chassis: the outside networks that it has, and whether it has not followed."""

    networks: frozenset[str]
    behind: bool


Compose: TypeAlias = Callable[[NorthboundReplica], list[Change]]
"""What is to change, told by the database as it is."""


class Northbound:
    """An OVN installation, changed one transaction at a time, from any thread and several processes."""

    def __init__(self, northbound: str, southbound: str, patience: float, hosts_patience: float) -> None:
        self._patience = patience
        self._hosts_patience = hosts_patience
        self._north = Connection("northbound", lambda: NorthboundReplica(northbound), patience)
        self._south = (
            Connection("southbound", lambda: SouthboundReplica(southbound), patience) if southbound else None
        )
        self._south_silent = False
        self._late: dict[str, int] = {}

    def close(self) -> None:
        """Disconnect."""
        self._north.close()
        if self._south is not None:
            self._south.close()

    def apply(self, compose: Compose) -> None:
        """Make changes in one transaction, and wait until they are in force.

        When it returns they are committed, northd has made logical flows of them, and every chassis that
        keeps up has them; one that is not heard of for ``hosts_patience`` is not waited for again until it
        has caught up. Without changes it still waits for those of an earlier call that was given up.

        Raises:
            HostSilent: The database did not answer (whether it has changed is unknown), or northd has not
                followed (it has changed).
            StepFailed: It refused, and nothing has changed.
        """
        target = self._north.change(lambda replica: _transaction(replica, compose(replica)))
        if not self._north.wait_for(lambda replica: replica.settings.sb_cfg >= target, self._patience):
            raise HostSilent(f"northd has not followed within {self._patience:g} s")
        self._wait_for_hosts(target)

    def differences(self, compose: Compose) -> list[str]:
        """What would change, a line each."""
        with self._north.reading() as replica:
            # What a missing row would be put into goes without saying.
            return [told(each, replica) for each in compose(replica) if not _implied(each)]

    def chassis(self) -> Mapping[str, Chassis] | None:
        """The chassis that there are, after they had time to follow; None when there is nobody to ask."""
        if self._south is None:
            return None
        with self._north.reading() as replica:
            target = int(replica.settings.nb_cfg) if replica.settings is not None else 0
        self._wait_for_hosts(target)
        with self._south.reading() as replica:
            return {
                name: Chassis(networks=networks, behind=replica.chassis()[name] < target)
                for name, networks in replica.networks().items()
            }

    def _wait_for_hosts(self, target: int) -> None:
        """Each chassis tells the southbound database; the northbound one tells of the last of them."""
        if self._south is not None and self._south_answers():
            self._wait(self._south, lambda replica: replica.chassis(), target)
        else:
            self._wait(self._north, lambda replica: {EVERYBODY: replica.settings.hv_cfg}, target)

    def _south_answers(self) -> bool:
        """Whether it can be asked; once it could not, nobody waits for it again."""
        assert self._south is not None
        seconds = 0.0 if self._south_silent else self._hosts_patience
        self._south_silent = not self._south.wait_for(lambda _: True, seconds)
        return not self._south_silent

    def _wait(self, connection: Connection, reached: Callable[[Any], Mapping[str, int]], target: int) -> None:
        """Wait for those who keep up, and note who does not."""
        late = dict(self._late)

        def keeping_up(replica: Any) -> bool:
            return all(
                number >= target or number < late.get(name, number)
                for name, number in reached(replica).items()
            )

        connection.wait_for(keeping_up, self._hosts_patience)
        with contextlib.suppress(HostSilent), connection.reading() as replica:
            now = reached(replica)
            self._late = {
                name: max(target, late.get(name, 0)) for name, number in now.items() if number < target
            }


EVERYBODY: Final = "*"


def _implied(change: Change) -> bool:
    return isinstance(change, Join) and isinstance(change.row, New)


def _transaction(replica: NorthboundReplica, changes: Sequence[Change]) -> tuple[int, list[dict[str, Any]]]:
    """The configuration's number to wait for, and the operations that lead there."""
    settings = replica.settings
    if settings is None:
        raise StepFailed("the northbound database is empty: no northd has ever used it", transient=True)
    seen = int(settings.nb_cfg)
    if not changes:
        return seen, []
    return seen + 1, [*step(settings.uuid, seen), *operations(changes)]
