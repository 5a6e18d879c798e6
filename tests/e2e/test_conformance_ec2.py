"""The conformance tool as people run it, a process of its own: against Isthmus with real guests, and against moto."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from live_cloud import BIN, PATIENCE, Key, LiveCloud, free_port, key_of, wait_for
from lxml import etree

KNOWN = Path(__file__).parent / "conformance_moto.toml"
OPTIONS = ("--instance-type", "t2.nano", "--strict")
LONG = 1200.0  # seconds in which the whole suite has run, on a busy machine

pytestmark = pytest.mark.timeout(1500)


class Tool:
    """One run of the tool, and everything that it let others see."""

    def __init__(self, folder: Path, endpoint: str, key: Key, *options: str) -> None:
        self.reports = {kind: folder / f"report.{kind}" for kind in ("json", "html", "xml")}
        command = [
            str(BIN / "isthmus-conformance"), "ec2", endpoint, "--access-key", key.id, *options,
            "--json-file", str(self.reports["json"]), "--html", str(self.reports["html"]),
            "--junit", str(self.reports["xml"]),
        ]  # fmt: skip
        environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": key.secret, "COLUMNS": "200"}
        self.seen: set[str] = set()
        with (folder / "out").open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
            watcher = threading.Thread(target=self._watch, args=(process,), daemon=True)
            watcher.start()
            self.status = process.wait(LONG)
            watcher.join()
        self.output = (folder / "out").read_text()
        self.report: dict[str, Any] = json.loads(self.reports["json"].read_bytes())

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """What anybody on the machine sees of the process."""
        while process.poll() is None:
            with contextlib.suppress(OSError):
                self.seen.add(Path(f"/proc/{process.pid}/cmdline").read_bytes().decode())
            time.sleep(0.2)

    def everything(self) -> str:
        return self.output + "".join(path.read_text() for path in self.reports.values()) + "".join(self.seen)

    def bad(self) -> dict[str, str]:
        """What neither passed nor is an option that is not offered, with what was said of it."""
        return {
            each["id"]: f"{each['verdict']}: {each['message']}"
            for each in self.report["results"]
            if each["verdict"] not in {"passed", "absent"}
        }


def _counted(client: Any) -> dict[str, set[str]]:
    """What there is of each kind, by id; terminated instances and deleted things are nothing."""
    running = [
        {
            "Name": "instance-state-name",
            "Values": ["pending", "running", "stopping", "stopped", "shutting-down"],
        }
    ]
    own = {"OwnerIds": ["self"]}
    return {
        "instances": {
            each["InstanceId"]
            for group in client.describe_instances(Filters=running)["Reservations"]
            for each in group["Instances"]
        },
        "volumes": {each["VolumeId"] for each in client.describe_volumes()["Volumes"]},
        "snapshots": {each["SnapshotId"] for each in client.describe_snapshots(**own)["Snapshots"]},
        "images": {each["ImageId"] for each in client.describe_images(Owners=["self"])["Images"]},
        "keys": {each["KeyName"] for each in client.describe_key_pairs()["KeyPairs"]},
        "groups": {each["GroupId"] for each in client.describe_security_groups()["SecurityGroups"]},
        "addresses": {each["AllocationId"] for each in client.describe_addresses()["Addresses"]},
        "vpcs": {each["VpcId"] for each in client.describe_vpcs()["Vpcs"]},
        "subnets": {each["SubnetId"] for each in client.describe_subnets()["Subnets"]},
        "interfaces": {
            each["NetworkInterfaceId"] for each in client.describe_network_interfaces()["NetworkInterfaces"]
        },
        "tables": {each["RouteTableId"] for each in client.describe_route_tables()["RouteTables"]},
        "gateways": {
            each["InternetGatewayId"] for each in client.describe_internet_gateways()["InternetGateways"]
        },
        "options": {each["DhcpOptionsId"] for each in client.describe_dhcp_options()["DhcpOptions"]},
        "lists": {each["NetworkAclId"] for each in client.describe_network_acls()["NetworkAcls"]},
        "templates": {
            each["LaunchTemplateId"] for each in client.describe_launch_templates()["LaunchTemplates"]
        },
        "placement": {each["GroupName"] for each in client.describe_placement_groups()["PlacementGroups"]},
        "tags": {f"{each['ResourceId']} {each['Key']}" for each in client.describe_tags()["Tags"]},
    }


@pytest.fixture(scope="module")
def judged(tmp_path_factory: Any, guest_image: Path) -> Iterator[LiveCloud]:
    """A cloud with real guests, with every option that the tool judges; guests are not waited for long."""
    cloud = LiveCloud(tmp_path_factory.mktemp("judged")).init("--host")
    settings = cloud.home / "isthmus.toml"
    settings.write_text(
        f"{settings.read_text()}\n[ec2]\nversion_2 = true\n[deadlines]\nshutdown = 10\nreboot = 10\n"
    )
    cloud.image = cloud.cli("image", "import", str(guest_image), "--name", "guest", "--public")["id"]
    try:
        cloud.start().wait_hosts()
        yield cloud
    finally:
        cloud.end()


@pytest.mark.qemu
def test_isthmus_with_real_guests_passes(judged: LiveCloud, tmp_path: Path):
    key = judged.key
    client = judged.client()
    before = _counted(client)
    tool = Tool(tmp_path, judged.endpoint, key, *OPTIONS, "--image", judged.image)
    assert tool.bad() == {}
    assert tool.status == 0
    assert tool.report["litter"] == []
    assert [each["litter"] for each in tool.report["results"] if each["litter"]] == []
    unjudged = {each["id"] for each in tool.report["requirements"] if each["unjudged"]}
    left_out = {each["id"] for each in tool.report["matrix"] if each["verdict"] != "passed"}
    assert left_out - unjudged == set(), "everything is offered here, and judged"
    wait_for(lambda: _counted(client) == before, "everything as it was", PATIENCE)
    everything = tool.everything()
    assert key.secret not in everything
    assert "PRIVATE KEY-----\nM" not in everything
    assert tool.seen, "nobody looked"
    assert etree.fromstring(tool.reports["xml"].read_bytes()).tag == "testsuites"
    assert "EC2-SIG-005" in tool.reports["html"].read_text()


def test_reading_only_changes_nothing(cloud: LiveCloud, tmp_path: Path):
    tenant = cloud.tenant("looked-at")
    key = key_of(tenant)
    client = cloud.client(key=key)
    before = _counted(client)
    tool = Tool(tmp_path, cloud.endpoint, key, *OPTIONS, "--read-only", "--brief")
    assert tool.bad() == {}
    assert tool.status == 0
    assert tool.report["read_only"]
    assert len(tool.report["results"]) > 200
    assert _counted(client) == before


@contextlib.contextmanager
def _moto(folder: Path) -> Iterator[str]:
    port = free_port()
    with (folder / "moto").open("wb") as out:
        command = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            wait_for(lambda: _answers(port), "moto answers")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5).read()
        return True
    return False


def test_what_moto_fails_is_known(tmp_path: Path):
    """A server of somebody else's is judged, too: each requirement that it fails is listed with the reason."""
    with _moto(tmp_path) as endpoint:
        client = boto3.client(
            "ec2",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        image = client.describe_images()["Images"][0]["ImageId"]
        tool = Tool(tmp_path, endpoint, Key("x", "x"), "--brief", "--deadline", "2", "--image", image)
    known = tomllib.loads(KNOWN.read_text())
    listed = [each for reason in known["failed"] for each in reason["requirements"]]
    assert len(set(listed)) == len(listed), "listed twice"
    assert all(each["reason"] for each in known["failed"])
    failed = {each["id"] for each in tool.report["matrix"] if each["verdict"] == "failed"}
    assert failed == set(listed)
    assert [each["message"] for each in tool.report["results"] if each["verdict"] == "broken"] == []
    assert tool.status == 1


def test_the_tool_does_not_load_the_sdk():
    code = (
        "import sys, conformance.ec2.checks, conformance.ec2.session, conformance.cli\n"
        "print([name for name in ('boto3', 'botocore', 'ec2', 'gateway') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
