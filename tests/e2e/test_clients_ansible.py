"""Ansible's amazon.aws and community.aws collections, unchanged, on a cloud with real guests.

The playbooks are in ``ansible``. What makes something is played twice: the second time nothing is left to do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from live_cloud import LiveCloud, key_of, wait_for

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(1500)]
REPOSITORY = Path(__file__).resolve().parents[2]
PLAYBOOKS = Path(__file__).parent / "ansible"
ANSIBLE = Path(os.environ.get("ISTHMUS_CACHE", REPOSITORY / ".cache")) / "ansible"
PATIENCE = 420.0  # seconds for one run on a busy machine
COLLEAGUE = "123456789012"
BOOTED = 240.0


class Recap(NamedTuple):
    """What a run said at its end, and the tasks that changed something."""

    ok: int
    changed: int
    tasks: list[str]


class Site:
    """A tenant, and somebody who manages what is his with Ansible."""

    def __init__(self, cloud: LiveCloud, folder: Path) -> None:
        self.cloud = cloud
        self.folder = folder
        self.tenant = cloud.tenant("ansible")
        self.key = key_of(self.tenant)
        self.ec2 = cloud.client(key=self.key)
        self.account = cloud.client("sts", key=self.key).get_caller_identity()["Account"]
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "own")], check=True)
        self.facts = {
            "region": cloud.facts["region"],
            "image": cloud.image,
            "owner": self.account,
            "colleague": COLLEAGUE,
            "folder": str(folder),
            "public_key": (folder / "own.pub").read_text().strip(),
        }

    @property
    def environment(self) -> dict[str, str]:
        """As a user has it: the endpoint and the keys are all that Ansible learns of this cloud."""
        return {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))
            },
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_ACCESS_KEY_ID": self.key.id,
            "AWS_SECRET_ACCESS_KEY": self.key.secret,
            "AWS_EC2_METADATA_DISABLED": "true",
            "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ANSIBLE),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "LC_ALL": "C.UTF-8",
        }

    def run(self, program: str, *words: str) -> str:
        """Run one of Ansible's programs, which must succeed; what it says."""
        done = subprocess.run(
            [str(ANSIBLE / "bin" / program), *words],
            cwd=PLAYBOOKS, env=self.environment, capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def play(self, *playbooks: str, check: bool = False) -> Recap:
        """Play playbooks in one go."""
        words = (*(["--check"] if check else []), "--extra-vars", json.dumps(self.facts))
        said = self.run("ansible-playbook", *words, *(f"{name}.yml" for name in playbooks))
        found = re.search(
            r"ok=(\d+) +changed=(\d+) +unreachable=0 +failed=0", said.rpartition("PLAY RECAP")[2]
        )
        assert found, said
        changed = [task for task in said.split("\nTASK ") if "\nchanged:" in task]
        return Recap(int(found[1]), int(found[2]), [task.split("]", 1)[0][1:] for task in changed])

    def settled(self) -> None:
        """All work is done, and hosts are as the database says."""
        wait_for(lambda: self.cloud.cli("task", "list", "--open") == [], "all work done", BOOTED)
        assert self.cloud.cli("check") == []


@pytest.fixture(scope="module")
def site(client_cloud: LiveCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(client_cloud, tmp_path_factory.mktemp("site"))
    yield site
    left = site.ec2.get_paginator("describe_instances").paginate()
    ids = [
        each["InstanceId"] for page in left for group in page["Reservations"] for each in group["Instances"]
    ]
    if ids:
        site.ec2.terminate_instances(InstanceIds=ids)
        site.ec2.get_waiter("instance_terminated").wait(InstanceIds=ids)


def everything(site: Site) -> dict[str, Any]:
    """The ids of all networks of the tenant, to see whether a run changed any."""
    ec2 = site.ec2
    return {
        "vpcs": {each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]},
        "subnets": {each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]},
        "groups": {each["GroupId"] for each in ec2.describe_security_groups()["SecurityGroups"]},
        "tables": {each["RouteTableId"] for each in ec2.describe_route_tables()["RouteTables"]},
        "acls": {each["NetworkAclId"] for each in ec2.describe_network_acls()["NetworkAcls"]},
        "gateways": {each["InternetGatewayId"] for each in ec2.describe_internet_gateways()["InternetGateways"]},
        "options": {each["DhcpOptionsId"] for each in ec2.describe_dhcp_options()["DhcpOptions"]},
        "interfaces": {each["NetworkInterfaceId"] for each in ec2.describe_network_interfaces()["NetworkInterfaces"]},
        "addresses": {each["AllocationId"] for each in ec2.describe_addresses()["Addresses"]},
    }  # fmt: skip


def test_networks_are_drawn_once_and_rubbed_out_again(site: Site):
    before = everything(site)
    first = site.play("networks", "networks_shown")
    assert first.changed == 15, first.tasks
    drawn = everything(site)
    assert all(drawn[kind] > before[kind] for kind in before), drawn
    again = site.play("networks")
    assert again.changed == 0, again.tasks
    would = site.play("networks_gone", check=True)
    assert would.changed >= 9, would.tasks
    assert everything(site) == drawn
    assert site.play("networks_gone").changed == 10
    assert everything(site) == before
    assert site.play("networks_gone").changed == 0


def test_machines_and_their_disks_are_made_once_change_and_go(site: Site):
    first = site.play("machines", "machines_shown")
    assert first.changed == 11, first.tasks
    assert (site.folder / "made.pem").read_text().startswith("-----BEGIN")
    again = site.play("machines")
    assert again.changed == 0, again.tasks
    [machine] = of_name(site, "web")
    wait_for(lambda: "user-data: ansible was here" in console(site, machine), "user data", BOOTED)
    shown = inventory(site)
    told = shown["_meta"]["hostvars"][machine["InstanceId"]]
    assert told["ansible_host"] == {"__ansible_unsafe": machine["PublicIpAddress"]}
    assert shown["role_web"]["hosts"] == [machine["InstanceId"]]
    assert len(shown["pool_pair"]["hosts"]) == 2
    site.play("machines_change")
    assert "isthmus-guest: power button" in console(site, machine)
    assert site.play("machines_gone").changed > 0
    assert site.play("machines_gone").changed == 0
    assert of_name(site, "web") == []
    assert site.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert site.ec2.describe_volumes()["Volumes"] == []
    site.settled()


def test_machines_are_launched_from_templates_into_placement_groups(site: Site):
    first = site.play("templates")
    assert first.changed == 3, first.tasks
    [machine] = of_name(site, "templated")
    again = site.play("templates")
    assert again.changed == 0, again.tasks
    wait_for(lambda: "user-data: from a template" in console(site, machine), "user data", BOOTED)
    site.play("templates_change")
    assert site.ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert site.ec2.describe_placement_groups()["PlacementGroups"] == []


def of_name(site: Site, name: str) -> list[dict[str, Any]]:
    """The living machines of a name."""
    living = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    found = site.ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": [name]}, living])
    return [each for group in found["Reservations"] for each in group["Instances"]]


def console(site: Site, machine: dict[str, Any]) -> str:
    return site.ec2.get_console_output(InstanceId=machine["InstanceId"], Latest=True).get("Output", "")


def inventory(site: Site) -> dict[str, Any]:
    """What the inventory plugin makes of the cloud's machines."""
    path = site.folder / "site.aws_ec2.yml"
    path.write_text(
        json.dumps(
            {
                "plugin": "amazon.aws.aws_ec2",
                "regions": [site.facts["region"]],
                "filters": {"instance-state-name": "running"},
                "hostnames": ["instance-id"],
                "keyed_groups": [
                    {"prefix": "role", "key": "tags.role"},
                    {"prefix": "pool", "key": "tags.pool"},
                ],
                "compose": {"ansible_host": "public_ip_address"},
            }
        )
    )
    return json.loads(site.run("ansible-inventory", "-i", str(path), "--list"))
