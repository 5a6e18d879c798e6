"""RunInstances accepted: durably on our side, in memory on the peers'."""

from __future__ import annotations

from benchmarks.client import Ec2, Target, median_seconds
from benchmarks.report import Row, show
from benchmarks.servers import isthmus, ministack, moto


def run(*, quick: bool) -> None:
    """Measure and print."""
    count = 30 if quick else 200
    rates: dict[str, float] = {}
    hundred: dict[str, float] = {}
    with isthmus() as (ours, _home), ministack() as fast, moto() as slow:
        for target in (ours, fast, slow):
            rates[target.name] = _each(target, 20 if target is slow else count)
            hundred[target.name] = _hundred(target, 2 if target is slow else 5)
    show(
        "RunInstances accepted (seconds, median; ratio = peer / isthmus)",
        [Row("one instance a call", rates), Row("100 instances in one call", hundred)],
    )


def _each(target: Target, count: int) -> float:
    client = Ec2(target)
    return median_seconds(lambda: _launch(client, 1), count)


def _hundred(target: Target, repeats: int) -> float:
    client = Ec2(target)
    return median_seconds(lambda: _launch(client, 100), repeats)


def _launch(client: Ec2, count: int):
    return client.prepared(
        "RunInstances", ImageId=client.target.image, InstanceType="t2.micro", MinCount=count, MaxCount=count
    )
