"""Two regions in one installation, by clients that are told nothing but `--region`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_cli import AwsCli
from live_cloud import LiveCloud

HERE, THERE = "north", "south"


@pytest.fixture
def two_regions(tmp_path: Path, blank_image: Path) -> Iterator[LiveCloud]:
    """Each region with a zone and a simulated host of its own."""
    places = [word for region in (HERE, THERE) for word in ("--region", region, "--zone", f"{region}a")]
    cloud = LiveCloud(tmp_path).init(*places)
    for region, cpus in ((HERE, 4), (THERE, 8)):
        cloud.cli("host", "add", f"test:///default?cpus={cpus}", "--zone", f"{region}a")
    cloud.image = cloud.cli("image", "import", str(blank_image), "--name", "blank", "--public")["id"]
    try:
        cloud.start().wait_hosts()
        yield cloud
    finally:
        cloud.end()


def test_the_command_line_client_launches_in_both_and_sees_each_alone(two_regions):
    aws = AwsCli("v2", two_regions, two_regions.key)

    def ids(region: str) -> list[str]:
        return aws.text(
            "describe-instances", "--region", region, "--output", "text",
            "--query", "Reservations[].Instances[].InstanceId",
        ).split()  # fmt: skip

    for region in (HERE, THERE):
        told = aws("describe-regions", "--region", region)["Regions"]
        assert [each["RegionName"] for each in told] == [HERE, THERE]
        assert {each["Endpoint"] for each in told} == {f"127.0.0.1:{two_regions.port}"}
        (zone,) = aws("describe-availability-zones", "--region", region)["AvailabilityZones"]
        assert (zone["ZoneName"], zone["RegionName"]) == (f"{region}a", region)
        made = aws(
            "run-instances", "--region", region, "--image-id", two_regions.image, "--instance-type", "t2.nano",
        )["Instances"]  # fmt: skip
        instance = made[0]["InstanceId"]
        aws("wait", "instance-running", "--region", region, "--instance-ids", instance)
        assert ids(region) == [instance]
    assert not set(ids(HERE)) & set(ids(THERE))
    foreign = aws.run("terminate-instances", "--region", HERE, "--instance-ids", *ids(THERE))
    assert foreign.status != 0
    assert "InvalidInstanceID.NotFound" in foreign.err
    vpcs = [aws("describe-vpcs", "--region", region)["Vpcs"] for region in (HERE, THERE)]
    assert [len(each) for each in vpcs] == [1, 1]
    assert vpcs[0][0]["VpcId"] != vpcs[1][0]["VpcId"]
    elsewhere = aws.run("describe-instances", "--region", "west")
    assert elsewhere.status != 0
    assert "AuthFailure" in elsewhere.err
    hosts = {each["zone"]: each["uri"] for each in two_regions.cli("host", "list")}
    placed = {each["id"]: each["host"] for each in two_regions.cli("vm", "list")}
    assert {placed[each] for each in ids(HERE)} == {hosts[f"{HERE}a"]}
    assert {placed[each] for each in ids(THERE)} == {hosts[f"{THERE}a"]}
