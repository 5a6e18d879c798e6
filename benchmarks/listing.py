"""DescribeInstances at growing sizes, whole, by tag and of one id, against what people would pick."""

from __future__ import annotations

import re

from benchmarks.client import Ec2, Target, median_seconds
from benchmarks.launching import CLOUD
from benchmarks.report import Row, show
from benchmarks.servers import isthmus, ministack, moto

SIZES = (1, 100, 1000, 10_000)
MOTO_LIMIT = 1000  # beyond that a listing takes it minutes


def run(*, quick: bool) -> None:
    """Measure and print."""
    sizes = SIZES[:3] if quick else SIZES
    rows: list[Row] = []
    with isthmus(CLOUD) as (ours, _home), ministack() as fast, moto() as slow:
        for size in sizes:
            peers = [fast] if size > MOTO_LIMIT else [fast, slow]
            rows += _measure(size, ours, peers)
    show("DescribeInstances (seconds, median; ratio = peer / isthmus)", rows)


def _measure(size: int, ours: Target, peers: list[Target]) -> list[Row]:
    times: dict[str, dict[str, float]] = {}
    for target in (ours, *peers):
        client = Ec2(target)
        some = _fill(client, size)
        repeats = 5 if size >= 1000 else 20
        if target.name == "moto_server" and size >= 1000:
            repeats = 1
        calls = {
            f"all of {size}": {},
            f"by tag, of {size}": {"Filter.1.Name": "tag:half", "Filter.1.Value.1": "yes"},
            f"one id, of {size}": {"InstanceId.1": some},
        }
        for name, parameters in calls.items():

            def make(client: Ec2 = client, parameters: dict[str, str] = parameters):
                return client.prepared("DescribeInstances", **parameters)

            times.setdefault(name, {})[target.name] = median_seconds(make, repeats)
    return [Row(name, found) for name, found in times.items()]


def _fill(client: Ec2, size: int) -> str:
    """Launch until there are so many; half of them tagged. Answers the id of one."""
    have = _ids(client.call("DescribeInstances"))
    while len(have) < size:
        step = min(100, size - len(have))
        tags = {
            "TagSpecification.1.ResourceType": "instance",
            "TagSpecification.1.Tag.1.Key": "half",
            "TagSpecification.1.Tag.1.Value": "yes" if len(have) // 100 % 2 == 0 else "no",
        }
        made = _ids(
            client.call(
                "RunInstances",
                ImageId=client.target.image,
                InstanceType="t2.micro",
                MinCount=step,
                MaxCount=step,
                **tags,
            )
        )
        have += made
    return have[len(have) // 2]


def _ids(reply: bytes) -> list[str]:
    return [found.decode() for found in re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", reply)]
