"""The walks of ``docs/walks`` with a real curl against real guests: a page is a test, in each rendering."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import transcript
from live_cloud import BIN, LiveCloud, key_of, wait_for
from views import BOOTED, REPOSITORY, nothing_left

from backend.drivers.user_network.plan import SHIFT, lowest_port
from backend.model import id_of

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(1500)]  # a walk boots its guests four times
WALKS = REPOSITORY / "docs" / "walks"


@pytest.mark.parametrize("rendering", ["text-plain", "text-occi", "occi-json"])
def test_a_walk_with_curl_is_answered_as_its_page_says(real_cloud: LiveCloud, tmp_path: Path, rendering: str):
    cloud, tenant = real_cloud, real_cloud.tenant(rendering)
    environment = {
        **{name: value for name, value in cloud.environment.items() if not name.startswith(("AWS_", "SSH_"))},
        "HOME": str(tmp_path),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ISTHMUS_HOME": str(cloud.home),
        "ISTHMUS_ENDPOINT": cloud.endpoint,
        "ISTHMUS_USER": tenant["occi_user"],
        "ISTHMUS_PASSWORD": tenant["occi_password"],
        "ISTHMUS_IMAGE": cloud.image,
        "SSH_PORT": str(22 if lowest_port() <= 22 else 22 + SHIFT),
    }
    named = transcript.play(WALKS / f"{rendering}.md", tmp_path, environment, patience=BOOTED)

    ec2 = cloud.client(key=key_of(tenant))
    machines = [id_of("i", named[each]) for each in ("machine", "second")]
    described = ec2.describe_instances(InstanceIds=machines)["Reservations"]
    assert {each["Instances"][0]["State"]["Name"] for each in described} == {"terminated"}
    assert ec2.describe_volumes()["Volumes"] == []
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert all(each["DefaultForAz"] for each in ec2.describe_subnets()["Subnets"])
    assert [each["GroupName"] for each in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]
    auth = (tenant["occi_user"], tenant["occi_password"])
    model = cloud.occi("GET", "/-/", auth=auth).body
    assert cloud.image in model
    assert named["saved"] not in model
    assert "http://example.org/tags#" not in model
    for machine in machines:
        nothing_left(cloud, machine)
    wait_for(lambda: cloud.cli("task", "list", "--open") == [], "all work done")
    assert cloud.cli("check") == []


def test_no_list_of_processes_shows_the_password():
    """curl is told it by a file: the shell writes that without starting a program with the password."""
    for page in WALKS.glob("*.md"):
        commands = [step.command for step in transcript.steps(page) if "ISTHMUS_PASSWORD" in step.command]
        assert [command.split("echo ")[0] for command in commands] == ["umask 077; "], page
