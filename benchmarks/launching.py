"""RunInstances accepted: durably on our side, in memory on the peers'."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.client import Ec2, Target, median_seconds
from benchmarks.report import Row, show
from benchmarks.servers import isthmus, ministack, moto


def run(*, quick: bool) -> None:
    """Measure and print."""
    count = 30 if quick else 200
    one: dict[str, float] = {}
    hundred: dict[str, float] = {}
    crowd: dict[str, float] = {}
    with isthmus() as (ours, _home), ministack() as fast, moto() as slow:
        for target in (ours, fast, slow):
            one[target.name] = _each(target, 20 if target is slow else count)
            hundred[target.name] = _hundred(target, 2 if target is slow else 5)
            crowd[target.name] = _crowd(target, 5 if target is slow else count // 4)
    show(
        "RunInstances accepted (seconds, median; ratio = peer / isthmus)",
        [
            Row("one instance a call", one),
            Row("one instance a call, per launch with 4 clients at once", crowd),
            Row("100 instances in one call", hundred),
        ],
    )


def _each(target: Target, count: int) -> float:
    client = Ec2(target)
    return median_seconds(lambda: _launch(client, 1), count)


def _hundred(target: Target, repeats: int) -> float:
    client = Ec2(target)
    return median_seconds(lambda: _launch(client, 100), repeats)


def _crowd(target: Target, count: int) -> float:
    """Seconds for each launch when four clients launch as fast as they are answered."""
    clients = [Ec2(target) for _ in range(4)]
    calls = [[_launch(client, 1) for _ in range(count)] for client in clients]

    def work(mine: list[Callable[[], bytes]]) -> None:
        for call in mine:
            call()

    begun = time.perf_counter()
    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(work, calls))
    return (time.perf_counter() - begun) / (count * len(clients))


def _launch(client: Ec2, count: int) -> Callable[[], bytes]:
    return client.prepared(
        "RunInstances", ImageId=client.target.image, InstanceType="t2.micro", MinCount=count, MaxCount=count
    )
