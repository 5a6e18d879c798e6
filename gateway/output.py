"""What the command line shows: tables for people, JSON for programs (``--json``), errors with a next step."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

Row = Mapping[str, Any]
_WIDE: Final = 1000


class Output:
    """Prints results on standard output and everything else on standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._people = Console(soft_wrap=True, highlight=False)
        if not self._people.is_terminal:
            self._people.width = _WIDE  # for grep and awk: nothing is cut or wrapped
        self._errors = Console(stderr=True, soft_wrap=True, highlight=False)

    @property
    def _is_narrow(self) -> bool:
        return self._people.is_terminal

    def document(self, value: Any) -> None:
        """Print one value as JSON."""
        sys.stdout.write(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False) + "\n")

    def rows(self, rows: Sequence[Row], columns: Sequence[str], *, empty: str = "None.") -> None:
        """A list: all fields of each row as JSON, or the named columns as a table."""
        if self.as_json:
            self.document(list(rows))
        elif not rows:
            self.say(empty)
        else:
            table = Table(box=None, pad_edge=False)
            for column in columns:
                table.add_column(column.replace("_", " "), overflow="fold", no_wrap=not self._is_narrow)
            for row in rows:
                table.add_row(*[_cell(name, row.get(name)) for name in columns])
            self._table(table)

    def _table(self, table: Table) -> None:
        if self._is_narrow:
            self._people.print(table)
            return
        with self._people.capture() as captured:
            self._people.print(table)
        lines = captured.get().splitlines()
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))  # the last column is not padded

    def one(self, row: Row, columns: Sequence[str] | None = None) -> None:
        """One thing: all its fields as JSON, or the named ones (else all) line by line."""
        if self.as_json:
            self.document(row)
            return
        names = [name for name in columns or row if name in row]
        width = max((len(name) for name in names), default=0)
        for name in names:
            self.say(f"{name.replace('_', ' '):{width}}  {_cell(name, row[name])}")

    def say(self, text: str) -> None:
        """A line for people; programs do not get it."""
        if not self.as_json:
            self._people.print(text, markup=False)

    def hint(self, text: str) -> None:
        """A line for people on standard error."""
        if not self.as_json:
            self._errors.print(text, markup=False)

    def fail(self, message: str, code: str = "error") -> None:
        """Say why a command failed: JSON on standard error for programs."""
        if self.as_json:
            sys.stderr.write(json.dumps({"error": {"code": code, "message": message}}) + "\n")
        else:
            self._errors.print(f"error: {message}", markup=False)

    @contextmanager
    def copying(self, what: str) -> Iterator[Any]:
        """A progress bar for bytes, on a terminal; answers a function to tell how many of how many."""
        if self.as_json or not self._errors.is_terminal:
            yield lambda _done, _size: None
            return
        columns = (TextColumn(what, markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._errors, transient=True) as bar:
            task = bar.add_task("")
            yield lambda done, size: bar.update(task, completed=done, total=size or None)

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[int], None]]:
        """A progress bar, on a terminal; answers a function to tell how many percent are done."""
        if self.as_json or not self._errors.is_terminal:
            yield lambda _percent: None
            return
        columns = (TextColumn(what, markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._errors, transient=True) as bar:
            task = bar.add_task("", total=100)
            yield lambda percent: bar.update(task, completed=percent)


def _cell(name: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_at") or name in {"at", "last_seen", "state_since"}:
        return moment(float(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    return str(value)


def moment(seconds: float) -> str:
    """A Unix time as people read it, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def ago(seconds: float) -> str:
    """How long ago a Unix time was."""
    gone = max(0.0, time.time() - seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if gone >= size:
            return f"{gone / size:.0f} {unit}"
    return f"{gone:.0f} s"
