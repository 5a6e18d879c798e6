"""Tables of times with their ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One thing measured: seconds by server, ours included."""

    name: str
    seconds: Mapping[str, float]


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table: seconds, and each peer's as a multiple of ours."""
    peers = list(dict.fromkeys(name for row in rows for name in row.seconds if name != "isthmus"))
    print(f"\n## {title}\n")
    print("| what | isthmus | " + " | ".join(f"{peer} | ratio" for peer in peers) + " |")
    print("|---|" + "---:|" * (1 + 2 * len(peers)))
    for row in rows:
        ours = row.seconds["isthmus"]
        cells = [f"{ours:.4f}"]
        for peer in peers:
            theirs = row.seconds.get(peer)
            cells += ["", ""] if theirs is None else [f"{theirs:.4f}", f"{theirs / ours:.1f}×"]
        print(f"| {row.name} | " + " | ".join(cells) + " |")
