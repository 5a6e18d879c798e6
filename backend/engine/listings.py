"""Which kinds of rows can be listed, and the tables that answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from backend.engine.network_reads import ROWS
from backend.model import Image, KeyPair, Snapshot, Tag, Value, Volume
from backend.network_model import PublicAddress, SecurityRule
from backend.store import RowQuery, Tx, View

Answer = Callable[[Tx, View, RowQuery], Any]


def _of(rows: Callable[[Tx], Any]) -> Answer:
    return lambda tx, view, query: rows(tx).listing(view, query)


LISTED: Mapping[type[Value], Answer] = {
    **{kind: _of(rows) for kind, rows in ROWS.items()},
    Image: _of(lambda tx: tx.images),
    KeyPair: _of(lambda tx: tx.key_pairs),
    PublicAddress: lambda tx, view, query: tx.public_addresses.elastic(view, query),
    SecurityRule: _of(lambda tx: tx.security_rules),
    Snapshot: _of(lambda tx: tx.snapshots),
    Tag: _of(lambda tx: tx.tags),
    Volume: _of(lambda tx: tx.volumes),
}
"""What answers a page of each kind."""
