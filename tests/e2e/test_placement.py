"""Placement groups and a full cloud, with a real server and simulated libvirt hosts in two zones."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from live_cloud import LiveCloud, wait_for

HOST = "test:///default?cpus=2&memory_gib=1&disk_gib=20&number={number}"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: Any, blank_image: Any) -> Any:
    made = LiveCloud(
        tmp_path_factory.mktemp("placement"),
        ISTHMUS_REGIONS='{"us-east-1": ["us-east-1a", "us-east-1b"]}',
        ISTHMUS_POLL_INTERVAL="1",
    ).init()
    made.image = made.cli("image", "import", str(blank_image), "--name", "blank", "--public")["id"]
    for number, zone in enumerate(("us-east-1a", "us-east-1a", "us-east-1b")):
        made.cli("host", "add", HOST.format(number=number), "--zone", zone)
    try:
        made.start().wait_hosts()
        yield made
    finally:
        made.end()


def _run(cloud: LiveCloud, count: int, **placement: Any) -> list[str]:
    reply = cloud.client().run_instances(
        ImageId=cloud.image, InstanceType="t2.nano", MinCount=count, MaxCount=count, Placement=placement
    )
    return [each["InstanceId"] for each in reply["Instances"]]


def test_groups_bind_the_scheduler_and_a_full_cloud_says_so(cloud: LiveCloud) -> None:
    ec2 = cloud.client()
    ec2.create_placement_group(GroupName="web", Strategy="spread")
    ec2.create_placement_group(GroupName="hpc", Strategy="cluster")
    apart = _run(cloud, 2, GroupName="web", AvailabilityZone="us-east-1a")
    ec2.get_waiter("instance_running").wait(InstanceIds=apart, WaiterConfig={"Delay": 1})
    shown = [cloud.cli("vm", "show", each) for each in apart]
    assert len({each["host"] for each in shown}) == 2
    assert [each["group"] for each in shown] == ["web", "web"]
    topology = ec2.describe_instance_topology(InstanceIds=apart)["Instances"]
    assert len({each["NetworkNodes"][-1] for each in topology}) == 2
    with pytest.raises(ClientError) as full:
        _run(cloud, 1, GroupName="web", AvailabilityZone="us-east-1a")
    assert full.value.response["Error"]["Code"] == "InsufficientInstanceCapacity"
    assert full.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    together = _run(cloud, 2, GroupName="hpc")  # the one zone that still has a host for two
    ec2.get_waiter("instance_running").wait(InstanceIds=together, WaiterConfig={"Delay": 1})
    assert {cloud.cli("vm", "show", each)["zone"] for each in together} == {"us-east-1b"}
    with pytest.raises(ClientError) as used:
        ec2.delete_placement_group(GroupName="hpc")
    assert used.value.response["Error"]["Code"] == "InvalidPlacementGroup.InUse"
    ec2.terminate_instances(InstanceIds=[*apart, *together])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=together, WaiterConfig={"Delay": 1})
    wait_for(lambda: ec2.delete_placement_group(GroupName="hpc"), "the group deleted")
