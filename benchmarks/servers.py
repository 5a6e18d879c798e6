"""The servers that are compared, each started on loopback and ended by its own process id."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3

from benchmarks.client import Target

BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[str], ready_url: str, **environment: str) -> Iterator[None]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(ready_url, process, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(url: str, process: subprocess.Popen[bytes], log: object) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=2).read()
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    log.seek(0)  # type: ignore[attr-defined]
    raise RuntimeError(f"{url} never answered: {log.read()[-2000:]!r}")  # type: ignore[attr-defined]


def isthmus_command(home: Path, *arguments: str) -> dict[str, object]:
    """Run the operator's command line and read its JSON."""
    words = [str(BIN / "isthmus"), *arguments]
    options = ["--home", str(home), "--json"]
    place = words.index("--") if "--" in words else len(words)
    words[place:place] = options
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@contextlib.contextmanager
def isthmus(*hosts: str, image: Path | None = None) -> Iterator[tuple[Target, Path]]:
    """Isthmus on SQLite with signatures verified, on simulated hosts unless told otherwise."""
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
        home = Path(folder) / "home"
        known = isthmus_command(home, "init", "--no-host")
        limits = ("instances=-2", "cores=-2", "memory_mib=-2")
        isthmus_command(home, "tenant", "quota", str(known["account_id"]), "--", *limits)
        for uri in hosts:
            isthmus_command(home, "host", "add", uri.format(home=home))
        disk = image or _blank(Path(folder))
        made = isthmus_command(home, "image", "import", str(disk), "--name", "bench", "--public")
        port = free_port()
        listen = f"127.0.0.1:{port}"
        command = [str(BIN / "isthmus"), "serve", "--home", str(home), "--listen", listen]
        waiting = {} if hosts else {"ISTHMUS_REFUSE_WHEN_FULL": "false"}  # all that is launched waits then
        with _running(command, f"http://{listen}/readyz", **waiting):
            yield (
                Target(
                    name="isthmus",
                    endpoint=f"http://{listen}",
                    access_key=str(known["access_key"]),
                    secret_key=str(known["secret_key"]),
                    image=str(made["id"]),
                    region=str(known["region"]),
                ),
                home,
            )


def _blank(folder: Path) -> Path:
    path = folder / "blank.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "64M"], check=True)
    return path


@contextlib.contextmanager
def moto() -> Iterator[Target]:
    """moto's server: in memory, no signatures."""
    port = free_port()
    command = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, f"http://127.0.0.1:{port}/moto-api/"):
        yield _peer("moto_server", port)


@contextlib.contextmanager
def ministack() -> Iterator[Target]:
    """Ministack: in memory, no signatures, thin replies."""
    port = free_port()
    with _running(
        [str(BIN / "ministack")],
        f"http://127.0.0.1:{port}/_localstack/health",
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        SERVICES="ec2,sts",
        LOG_LEVEL="ERROR",
    ):
        yield _peer("ministack", port)


def _peer(name: str, port: int) -> Target:
    endpoint = f"http://127.0.0.1:{port}"
    client = boto3.client(
        "ec2",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    images = client.describe_images()["Images"]
    return Target(name, endpoint, "test", "test", images[0]["ImageId"] if images else "ami-12345678")
