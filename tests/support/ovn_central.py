"""The central half of OVN for tests: both databases and northd, on UNIX sockets in a directory, without root."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMAS = Path("/usr/share/ovn")
PATIENCE = 10.0


def central_possible() -> bool:
    """Whether the daemons are installed."""
    return all(map(shutil.which, ("ovsdb-server", "ovsdb-tool", "ovn-northd"))) and SCHEMAS.is_dir()


class Central:
    """The daemons; ``north`` and ``south`` are the databases' addresses."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.north = f"unix:{home}/nb.sock"
        self.south = f"unix:{home}/sb.sock"
        self.extra: tuple[str, ...] = ()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for short in ("nb", "sb"):
            run("ovsdb-tool", "create", f"{home}/{short}.db", str(SCHEMAS / f"ovn-{short}.ovsschema"))
            self.start(short)
        self.start("northd")
        self.nbctl("init")

    def start(self, name: str) -> None:
        """Start ``nb``, ``sb`` or ``northd``, and wait until it listens."""
        if name == "northd":
            command = ["ovn-northd", f"--ovnnb-db={self.north}", f"--ovnsb-db={self.south}"]
        else:
            more = self.extra if name == "nb" else ()
            command = [
                "ovsdb-server",
                f"{self.home}/{name}.db",
                f"--remote=punix:{self.home}/{name}.sock",
                *more,
            ]
        log = (self.home / f"{name}.log").open("ab")
        self._running[name] = subprocess.Popen(
            [*command, f"--unixctl={self.home}/{name}.ctl"], stdout=log, stderr=log
        )
        log.close()
        deadline = time.monotonic() + PATIENCE
        while not _accepts(self.home / f"{name}.ctl"):
            assert time.monotonic() < deadline, (self.home / f"{name}.log").read_text()
            time.sleep(0.02)

    def kill(self, name: str) -> None:
        """SIGKILL a daemon."""
        process = self._running.pop(name)
        process.kill()
        process.wait()
        for kind in ("sock", "ctl"):
            (self.home / f"{name}.{kind}").unlink(missing_ok=True)

    @contextlib.contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """A daemon that hangs meanwhile."""
        self._running[name].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._running[name].send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End them all."""
        for name in list(self._running):
            self.kill(name)

    def nbctl(self, *words: str) -> str:
        """`ovn-nbctl`."""
        return run("ovn-nbctl", f"--db={self.north}", "--timeout=10", "--no-leader-only", *words)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Everything in the northbound database, rows of ours named by their keys instead of UUIDs."""
        said = run("ovsdb-client", "dump", self.north, "OVN_Northbound", "--format=json")
        tables = {}
        for line in said.splitlines():
            table = json.loads(line)
            tables[table["caption"].removesuffix(" table")] = [
                dict(zip(table["headings"], row, strict=True)) for row in table["data"]
            ]
        names = {
            row["_uuid"][1]: key
            for rows in tables.values()
            for row in rows
            if (key := dict(row.get("external_ids", ["map", []])[1]).get("isthmus-key"))
        }
        return {
            name: sorted(
                ({column: _named(value, names) for column, value in row.items()} for row in rows), key=str
            )
            for name, rows in tables.items()
            if name not in {"NB_Global", "Connection"}
        }


def _named(value: Any, names: dict[str, str]) -> Any:
    match value:
        case ["uuid", identity]:
            return names.get(identity, identity)
        case ["set" | "map", members]:
            return sorted((_named(each, names) for each in members), key=str)
        case [*members]:
            return [_named(each, names) for each in members]
        case _:
            return value


def run(*command: str) -> str:
    """A command's output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def _accepts(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return True
    return False
