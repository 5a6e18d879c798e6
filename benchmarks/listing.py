"""What tenants list all day, at growing sizes, and tags of one among many, against what people would pick.

Up to 10 000 instances are launched by the API, everywhere. Beyond that the peers would take hours: ours is
filled with rows (:mod:`benchmarks.stock`) to see what becomes of a call when there are 100 000 of everything.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from backend.store import Store
from benchmarks.client import Ec2, Target, median_seconds
from benchmarks.launching import CLOUD
from benchmarks.report import Row, show
from benchmarks.servers import isthmus, ministack, moto
from benchmarks.stock import stock

SIZES = (1, 100, 1000, 10_000)
LARGE = 100_000
MOTO_LIMIT = 1000  # beyond that a listing takes it minutes

Parameters = Mapping[str, str]


class Call(NamedTuple):
    """A call to be measured."""

    action: str
    parameters: Parameters


SETTLE_SECONDS = 600


def run(*, quick: bool) -> None:
    """Measure and print."""
    sizes = SIZES[:3] if quick else SIZES
    rows: list[Row] = []
    with isthmus(CLOUD) as (ours, home), ministack() as fast, moto() as slow:
        for size in sizes:
            peers = [fast] if size > MOTO_LIMIT else [fast, slow]
            rows += _measure(size, ours, peers)
        show("Listings and tags (seconds, median; ratio = peer / isthmus)", rows)
        _large(ours, home, 10_000 if quick else LARGE)


def _measure(size: int, ours: Target, peers: list[Target]) -> list[Row]:
    times: dict[str, dict[str, float]] = {}
    for target in (ours, *peers):
        client = Ec2(target)
        some = _fill(client, size)
        for name, call in _calls(client, size, some).items():
            slow = target.name == "moto_server" and size >= 1000
            repeats = 1 if slow else 5 if size >= 1000 else 20
            times.setdefault(name, {})[target.name] = median_seconds(_maker(client, call), repeats)
    return [Row(name, found) for name, found in times.items()]


def _calls(client: Ec2, size: int, some: str) -> dict[str, Call]:
    half = {"Filter.1.Name": "tag:half", "Filter.1.Value.1": "yes"}
    volume = _volume_of(client, some)
    calls = {
        f"DescribeInstances, all of {size}": Call("DescribeInstances", {}),
        f"DescribeInstances by tag, of {size}": Call("DescribeInstances", half),
        f"DescribeInstances, one id of {size}": Call("DescribeInstances", {"InstanceId.1": some}),
        f"DescribeImages, one id, beside {size}": Call("DescribeImages", {"ImageId.1": client.target.image}),
        f"CreateTags on one of {size}": Call(
            "CreateTags", {"ResourceId.1": some, "Tag.1.Key": "seen", "Tag.1.Value": "yes"}
        ),
    }
    if volume is None:  # this one makes no volumes for its instances
        return calls
    return calls | {
        f"DescribeVolumes, all of {size}": Call("DescribeVolumes", {}),
        f"DescribeVolumes, one id of {size}": Call("DescribeVolumes", {"VolumeId.1": volume}),
    }


def _maker(client: Ec2, call: Call) -> Callable[[], Callable[[], bytes]]:
    return lambda: client.prepared(call.action, **call.parameters)


def _volume_of(client: Ec2, instance_id: str) -> str | None:
    filters = {"Filter.1.Name": "attachment.instance-id", "Filter.1.Value.1": instance_id}
    reply = client.call("DescribeVolumes", **filters)
    found = re.search(rb"<volumeId>(vol-[0-9a-f]+)</volumeId>", reply)
    return None if found is None else found[1].decode()


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
    _settled(client)
    return have[len(have) // 2]


def _settled(client: Ec2) -> None:
    """Wait until what was launched runs: starting it is another measurement's."""
    pending = {"Filter.1.Name": "instance-state-name", "Filter.1.Value.1": "pending", "MaxResults": 5}
    until = time.monotonic() + SETTLE_SECONDS
    while _ids(client.call("DescribeInstances", **pending)):
        if time.monotonic() > until:
            raise RuntimeError(f"{client.target.name}: what was launched never ran")
        time.sleep(0.5)


def _ids(reply: bytes) -> list[str]:
    return [found.decode() for found in re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", reply)]


# A hundred thousand -------------------------------------------------------------------------------------


def _large(ours: Target, home: Path, size: int) -> None:
    """The same calls among few and among very many: what one costs must not grow."""
    client = Ec2(ours)
    with _store(home) as store:
        pattern = _ids(client.call("DescribeInstances"))[0]
        ids = stock(store, pattern, 1000)
        few = {name: _one(client, call) for name, call in _of_many(ids[500]).items()}
        ids += stock(store, pattern, size - 1000, begin=1001)
    many = {name: _one(client, call) for name, call in _of_many(ids[len(ids) // 2]).items()}
    print(f"\n## Beside {size} instances, as many volumes and their tags (isthmus alone; seconds, median)\n")
    print(f"| what | of 1000 more | of {size} more | grown |\n|---|---:|---:|---:|")
    for name, seconds in many.items():
        print(f"| {name} | {few[name]:.4f} | {seconds:.4f} | {seconds / few[name]:.1f}× |")


@contextmanager
def _store(home: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{home / 'isthmus.db'}")
    try:
        yield store
    finally:
        store.close()


def _one(client: Ec2, call: Call) -> float:
    return median_seconds(_maker(client, call), 9)


def _of_many(some: str) -> dict[str, Call]:
    """Calls whose replies are of one size however many there are."""
    volume = some.replace("i-", "vol-")
    name = {"Filter.1.Name": "tag:Name", "Filter.1.Value.1": f"web-{int(some[5:], 16)}"}
    half = {"Filter.1.Name": "tag:half", "Filter.1.Value.1": "no"}
    return {
        "DescribeInstances, one id": Call("DescribeInstances", {"InstanceId.1": some}),
        "DescribeInstances, a tag that one has": Call("DescribeInstances", name),
        "DescribeInstances, a page of 1000": Call("DescribeInstances", {"MaxResults": "1000"}),
        "DescribeInstances, a page of 5": Call("DescribeInstances", {"MaxResults": "5"}),
        "DescribeInstances, a page of 100 of the half with a tag": Call(
            "DescribeInstances", {"MaxResults": "100", **half}
        ),
        "DescribeVolumes, one id": Call("DescribeVolumes", {"VolumeId.1": volume}),
        "DescribeVolumes, a tag that one has": Call("DescribeVolumes", name),
        "DescribeVolumes, a page of 500": Call("DescribeVolumes", {"MaxResults": "500"}),
        "DescribeTags of one": Call(
            "DescribeTags", {"Filter.1.Name": "resource-id", "Filter.1.Value.1": some}
        ),
        "CreateTags on one": Call(
            "CreateTags", {"ResourceId.1": some, "Tag.1.Key": "seen", "Tag.1.Value": "yes"}
        ),
    }
