"""Unsolicited packets, sent all the time, and what of them reaches a guest's cable: run inside a namespace.

``packet_watch.py send PORT ADDRESS…`` sends UDP to the addresses in turn, about 500 packets a second.
``packet_watch.py count PORT`` counts those that are put on the cables of a host's guests (``vnet…``), told as
a JSON object by address for each line on its input.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ovn_lab import Namespace

PAUSE = 0.002
EVERY_PROTOCOL = 3
ETHERNET, IPV4, UDP = 14, b"\x08\x00", 17


class Count:
    """What has reached the guests of a host since."""

    def __init__(self, host: Namespace, port: int) -> None:
        self._process = host.popen(
            sys.executable, __file__, "count", str(port), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=_environment(),
        )  # fmt: skip
        self.seen()

    def seen(self) -> dict[str, int]:
        """Packets by destination."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told: dict[str, int] = json.loads(self._process.stdout.readline())
        return told


def flood(space: Namespace, port: int, *addresses: str) -> subprocess.Popen[Any]:
    """Send until the process is killed."""
    return space.popen(sys.executable, __file__, "send", str(port), *addresses, env=_environment())


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parent)}


def _send(port: int, addresses: list[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        for address in itertools.cycle(addresses):
            with contextlib.suppress(OSError):  # nobody answers for it yet, or not any more
                ours.sendto(b"unsolicited", (address, port))
            time.sleep(PAUSE)


def _count(port: int) -> None:
    seen: collections.Counter[str] = collections.Counter()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL)) as every:
        while True:
            ready, _, _ = select.select([every, sys.stdin], [], [])
            if every in ready:
                frame, (device, _, way, *_) = every.recvfrom(256)
                if device.startswith("vnet") and way == socket.PACKET_OUTGOING:
                    _note(seen, frame, port)
            elif not sys.stdin.readline():
                return
            else:
                print(json.dumps(seen), flush=True)


def _note(seen: collections.Counter[str], frame: bytes, port: int) -> None:
    packet = frame[ETHERNET:]
    if frame[12:14] != IPV4 or packet[9] != UDP:
        return
    header = (packet[0] & 15) * 4
    if int.from_bytes(packet[header + 2 : header + 4], "big") == port:
        seen[socket.inet_ntoa(packet[16:20])] += 1


if __name__ == "__main__":
    if sys.argv[1] == "send":
        _send(int(sys.argv[2]), sys.argv[3:])
    else:
        _count(int(sys.argv[2]))
