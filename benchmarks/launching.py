"""RunInstances accepted: durably on our side, in memory on the peers'."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from benchmarks.client import Ec2, Target, median_seconds, times
from benchmarks.report import Row, show
from benchmarks.servers import isthmus, ministack, moto

CLOUD = "test:///default?cpus=20000&memory_gib=20000&disk_gib=200000"


def run(*, quick: bool) -> None:
    """Measure and print."""
    count = 30 if quick else 200
    one: dict[str, float] = {}
    hundred: dict[str, float] = {}
    crowd: dict[str, float] = {}
    late: dict[str, float] = {}
    with isthmus() as (ours, _home), ministack() as fast, moto() as slow:
        for target in (ours, fast, slow):
            one[target.name] = _each(target, 20 if target is slow else count)
            hundred[target.name] = _hundred(target, 2 if target is slow else 5)
        for target in (fast, slow):
            crowd[target.name], late[target.name] = _crowd(target, count // 2)
    with isthmus(CLOUD) as (ours, _home):
        crowd[ours.name], late[ours.name] = _crowd(ours, count // 2)
    show(
        "RunInstances accepted (seconds, median; ratio = peer / isthmus)",
        [
            Row("one instance a call", one),
            Row("100 instances in one call", hundred),
            Row("4 clients at once, while what they launch is started", crowd),
            Row("the same, 99th percentile", late),
        ],
    )


def _each(target: Target, count: int) -> float:
    client = Ec2(target)
    return median_seconds(lambda: _launch(client, 1), count)


def _hundred(target: Target, repeats: int) -> float:
    client = Ec2(target)
    return median_seconds(lambda: _launch(client, 100), repeats)


def _crowd(target: Target, count: int) -> tuple[float, float]:
    """Median and 99th percentile when four clients launch as fast as they are answered."""

    def work(client: Ec2) -> list[float]:
        return times(lambda: _launch(client, 1), count)

    with ThreadPoolExecutor(4) as pool:
        taken = sorted(chain.from_iterable(pool.map(work, [Ec2(target) for _ in range(4)])))
    return taken[len(taken) // 2], taken[len(taken) * 99 // 100]


def _launch(client: Ec2, count: int) -> Callable[[], bytes]:
    return client.prepared(
        "RunInstances", ImageId=client.target.image, InstanceType="t2.micro", MinCount=count, MaxCount=count
    )
