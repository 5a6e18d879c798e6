"""What a large cloud costs while nothing happens: the worker's processor time and memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.client import Ec2
from benchmarks.servers import isthmus

POLL_SECONDS = 30.0  # each host is asked for everything that often
HOST = "test:///default?cpus=256&memory_gib=2048&disk_gib=20000&number={number}"


def run(*, quick: bool) -> None:
    """Measure and print."""
    hosts, instances = (20, 500) if quick else (100, 10_000)
    uris = [HOST.format(number=number) for number in range(hosts)]
    with isthmus(*uris) as (target, home):
        client = Ec2(target)
        begun = time.perf_counter()
        for _ in range(instances // 100):
            client.call(
                "RunInstances", ImageId=target.image, InstanceType="t2.micro", MinCount=100, MaxCount=100
            )
        accepted = time.perf_counter() - begun
        while _running(client) < instances:
            time.sleep(1)
        started = time.perf_counter() - begun
        time.sleep(POLL_SECONDS)
        worker = _worker(home)
        before, since = _processor_seconds(worker), time.perf_counter()
        time.sleep(2 * POLL_SECONDS)
        share = (_processor_seconds(worker) - before) / (time.perf_counter() - since)
        print(f"\n## {instances} simulated instances on {hosts} hosts\n")
        print("| what | |\n|---|---:|")
        print(f"| accepted, each second | {instances / accepted:.0f} |")
        print(f"| from accepted to running, each second | {instances / started:.0f} |")
        print(f"| to compare all of them with their hosts: processor seconds | {share * POLL_SECONDS:.2f} |")
        print(f"| share of one processor while nothing happens | {share:.1%} |")
        print(f"| the worker's memory, as a share of 1 GiB | {_memory_mib(worker) / 1024:.2f} |")


def _running(client: Ec2) -> int:
    reply = client.call(
        "DescribeInstances", **{"Filter.1.Name": "instance-state-name", "Filter.1.Value.1": "running"}
    )
    return reply.count(b"<instanceId>")


def _worker(home: Path) -> int:
    """The process id of the worker of a home."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"worker" in words and str(home).encode() in words:
                return int(entry.name)
    raise RuntimeError("no worker")


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
