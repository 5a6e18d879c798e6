"""A real installation for end-to-end tests: its own home, a real `isthmus serve`, real client libraries.

Nothing is shared with another installation but the machine. Processes are ended by their own process ids.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

BIN = Path(sys.executable).parent
PATIENCE = 60.0  # seconds after which something will not happen any more, on a busy machine


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: str

    def locations(self) -> list[str]:
        """The URIs of a text/plain or text/uri-list listing, or of a creation."""
        lines = (line.removeprefix("X-OCCI-Location:").strip() for line in self.body.splitlines())
        return [line for line in lines if line.startswith("http")]


class Key(NamedTuple):
    id: str
    secret: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition: Any, what: str, patience: float = PATIENCE) -> Any:
    """What the condition answers as soon as it is true.

    A question that takes long, as one of the command line, is asked no more than half of the time: what is
    waited for needs the processor, too.
    """
    deadline = time.monotonic() + patience
    while True:
        asked = time.monotonic()
        found = condition()
        if found:
            return found
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"{what}: not within {patience:.0f} s")
        time.sleep(max(0.05, now - asked))


class LiveCloud:
    """One installation. ``start`` and ``stop`` as often as a test likes; the home stays."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.home = folder / "home"
        self.log = folder / "server.log"
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.environment = {**os.environ, **environment}
        self.environment.pop("ISTHMUS_HOME", None)
        self.process: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, Any] = {}
        self.image = ""

    # The command line -----------------------------------------------------------------------------------

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command of the operator's."""
        return subprocess.run(
            [str(BIN / "isthmus"), *words, "--home", str(self.home)],
            check=False, capture_output=True, text=True, input=stdin, env=self.environment, timeout=PATIENCE * 3,
        )  # fmt: skip

    def cli(self, *words: str, stdin: str = "") -> Any:
        """Run a command that must succeed, and read its JSON."""
        done = self.run(*words, "--json", stdin=stdin)
        assert done.returncode == 0, f"isthmus {' '.join(words)}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def init(self, *words: str) -> LiveCloud:
        self.facts = self.cli("init", *words)
        return self

    # Processes ------------------------------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> LiveCloud:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(BIN / "isthmus"), "serve", "--home", str(self.home), "--listen", f"127.0.0.1:{self.port}"],
                env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        if wait:
            self.wait_ready()
        return self

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process is None or self.process.poll() is None, f"it ended: {self.tail()}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.http("GET", "/readyz").status == 200
            return False

        wait_for(ready, f"ready; log: {self.tail()}")

    def wait_hosts(self) -> None:
        """Until every host is on: before that, instances wait."""
        wait_for(lambda: all(h["state"] == "on" for h in self.cli("host", "list")), "hosts on", PATIENCE * 2)

    def children(self, verb: str) -> list[int]:
        """Process ids below `isthmus serve`: ``web`` (the master first, then its workers) or ``worker``."""
        assert self.process is not None
        return [pid for pid in _descendants(self.process.pid) if verb in _words(pid)]

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def guests(self) -> list[int]:
        """QEMU processes whose disks lie in this home."""
        mark = str(self.home).encode()
        every = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in every if b"qemu-system" in (line := _command_line(pid)) and mark in line]

    def end(self) -> None:
        """Stop everything, guests too."""
        self.stop()
        for pid in self.guests():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def tail(self, size: int = 20_000) -> str:
        return self.log.read_bytes()[-size:].decode(errors="replace") if self.log.exists() else ""

    # Clients --------------------------------------------------------------------------------------------

    @property
    def key(self) -> Key:
        return Key(self.facts["access_key"], self.facts["secret_key"])

    @property
    def occi_auth(self) -> tuple[str, str]:
        return self.facts["occi_user"], self.facts["occi_password"]

    def client(self, service: str = "ec2", key: Key | None = None, **config: Any) -> Any:
        """A boto3 client, of the first tenant unless another key is given. It does not retry."""
        key = key or self.key
        config.setdefault("retries", {"max_attempts": 0})
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=config.pop("region_name", self.facts["region"]),
            aws_access_key_id=key.id,
            aws_secret_access_key=key.secret,
            config=Config(**config),
        )

    def http(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One HTTP request, not authenticated by itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            data = body.encode() if isinstance(body, str) else body
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode("utf-8", "replace"))

    def occi(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Answer:
        """An OCCI request of the first tenant's user, or another. A full URI will do as the path."""
        name, password = auth or self.occi_auth
        token = base64.b64encode(f"{name}:{password}".encode()).decode()
        path = path.removeprefix(self.endpoint)
        return self.http(method, path, body, {"Authorization": f"Basic {token}", **(headers or {})})

    def tenant(self, name: str) -> dict[str, str]:
        """Another tenant: what `isthmus tenant create` says."""
        return self.cli("tenant", "create", name)


def key_of(tenant: dict[str, str]) -> Key:
    return Key(tenant["access_key"], tenant["secret_key"])


def _descendants(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _words(pid: int) -> list[str]:
    return _command_line(pid).decode(errors="replace").split("\0")
