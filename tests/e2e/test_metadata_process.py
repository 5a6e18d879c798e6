"""``isthmus metadata`` as a process: real files, a real database, and guests known by their infra addresses."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend.commands import Launch, RegisterImage
from backend.model import MetadataOptions
from gateway.installation import Installation, acting_for, create_tenant, make
from gateway.server import PARENT_VARIABLE

INFRA = "127.64.0.0/16"
SERVICE = "127.64.0.1"
ID = "/latest/meta-data/instance-id"
TOKEN = "X-aws-ec2-metadata-token"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


def free_port() -> int:
    with socket.socket() as found:
        found.bind((SERVICE, 0))
        return int(found.getsockname()[1])


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    installation, _ = make(path, listen="127.0.0.1:0", regions={"us-east-1": ("us-east-1a",)})
    installation.close()
    config = path / "isthmus.toml"
    config.write_text(
        config.read_text()
        + '\n[network]\ndriver = "ovn"\nnorthbound = "tcp:127.0.0.1:1"\nnext_hop = "203.0.113.1"\n'
        + f'infra = "{INFRA}"\nmetadata = "{SERVICE}:{free_port()}"\n'
        + '[network.pools]\npublic = ["203.0.113.0/24"]\n'
    )
    return path


@pytest.fixture
def installation(home):
    found = Installation.at(home)
    yield found
    found.close()


class Process:
    """The metadata service, started and surely ended; or another command that serves it."""

    def __init__(self, installation, command=None, **environment):
        self.listen = installation.settings.network.metadata
        words = [sys.executable, "-P", "-m", "gateway.cli", "metadata", "--home"]
        self.process = subprocess.Popen(
            command or [*words, str(installation.home.path)],
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
        )

    def wait(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.ask("127.64.0.1", "/")
            except (OSError, http.client.HTTPException):  # or the port spoke to itself: it was free
                time.sleep(0.1)
            else:
                return self
        raise AssertionError(self.end())

    def ask(self, source, target=ID, method="GET", **headers):
        host, _, port = self.listen.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=20, source_address=(source, 0))
        try:
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors.decode()


@pytest.fixture
def process(installation):
    found = Process(installation)
    try:
        yield found.wait()
    finally:
        found.end(signal.SIGKILL)


def launched(installation, tenant_name="default", **parameters):
    """An instance of a tenant's, and the infra address of its interface."""
    engine = installation.engine
    tenant = engine.tenant(tenant_name)
    caller = acting_for(tenant)
    image = engine.execute(caller, RegisterImage(name="empty", content=installation.images.empty()))
    (instance,) = engine.execute(caller, Launch(image_id=image.id, **parameters)).instances
    (nic,) = engine.networks.nics_of([instance.id])[instance.id]
    return instance, engine.networks.around([nic.id]).infra[nic.id]


def test_each_guest_reads_its_own_by_its_infra_address(installation, process):
    """Two tenants whose guests have the same private address."""
    create_tenant(installation, "second")
    first, at_first = launched(installation, address="172.31.0.9", user_data=b"\x00one")
    second, at_second = launched(installation, "second", address="172.31.0.9", user_data=b"two")
    assert first.address == second.address
    assert at_first != at_second
    assert process.ask(at_first) == (200, first.id)
    assert process.ask(at_second) == (200, second.id)
    assert process.ask(at_first, "/latest/user-data") == (200, "\x00one")
    assert process.ask(at_second, "/latest/user-data") == (200, "two")
    assert process.ask("127.64.77.77")[0] == 404


def test_tokens_outlive_the_process(installation, process):
    instance, infra = launched(installation, metadata=MetadataOptions(tokens="required"))
    assert process.ask(infra)[0] == 401
    status, token = process.ask(infra, "/latest/api/token", "PUT", **{TTL: "300"})
    assert status == 200
    assert process.end(signal.SIGKILL)[0] == -signal.SIGKILL
    again = Process(installation)
    try:
        again.wait()
        assert again.ask(infra, **{TOKEN: token}) == (200, instance.id)
        assert again.ask(infra, **{TOKEN: token[:-2]})[0] == 401
    finally:
        again.end(signal.SIGKILL)


def test_it_ends_when_told_and_tells_nothing_of_its_guests(installation, process):
    _, infra = launched(installation, user_data=b"secret-user-data")
    process.ask(infra, "/latest/user-data", **{"User-Agent": "secret-agent", TOKEN: "secret-token"})
    status, errors = process.end()
    assert status == 0
    assert "secret" not in errors
    assert "the metadata service listens at" in errors


def test_it_ends_with_its_supervisor(installation):
    """The supervisor that it was told of is gone already."""
    orphan = Process(installation, **{PARENT_VARIABLE: "1"})
    assert orphan.process.wait(30) != 0
    orphan.end()


def test_serve_runs_it_and_replaces_one_that_was_killed(installation):
    """There is no OVN here: the worker says so, and metadata is served all the same."""
    words = [sys.executable, "-P", "-m", "gateway.cli", "serve", "--home", str(installation.home.path)]
    process = Process(installation, [*words, "--listen", "127.0.0.1:0"])
    try:
        process.wait()
        instance, infra = launched(installation)
        assert process.ask(infra) == (200, instance.id)
        (child,) = children(process.process.pid, " metadata ")
        os.kill(child, signal.SIGKILL)
        process.wait()
        assert process.ask(infra) == (200, instance.id)
        assert children(process.process.pid, " metadata ") != [child]
        status, _ = process.end()
        assert status == 0
    finally:
        process.end(signal.SIGKILL)


def children(parent, words):
    """The processes of a parent whose command line has some words."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            its_parent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            command = folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
            if int(its_parent) == parent and words in command:
                found.append(int(folder.name))
    return found


def test_a_taken_port_is_said_to_be(installation, process):
    second = Process(installation)
    second.process.wait(30)
    status, errors = second.end()
    assert status != 0
    assert f"Cannot listen on {process.listen}" in errors


def test_networks_without_a_port_need_no_process(tmp_path):
    path = tmp_path / "home"
    made, _ = make(path, listen="127.0.0.1:0", regions={"us-east-1": ("us-east-1a",)})
    made.close()
    process = Process(made)
    process.process.wait(30)
    status, errors = process.end()
    assert status != 0
    assert "sockets of the worker's" in errors
