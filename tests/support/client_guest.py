"""A real guest as its console, its processes and the operator know it: by no means of the client under test."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from live_cloud import LiveCloud, wait_for

from gateway.installation import Installation, operator

BOOTED = 240.0  # seconds in which a guest boots under emulation on a busy machine
READY = "isthmus-guest: ready "

SCRIPT = """#!/bin/sh
echo "hello from $INSTANCE_ID"
echo "nics" $(ls /sys/class/net | grep eth)
(
    was=
    while sleep 2; do
        now=$(timeout 3 wget -q -O - http://169.254.169.254/latest/meta-data/instance-type 2>/dev/null) || now=nothing
        [ "$now" = "$was" ] || echo "metadata: $now." >/dev/console
        was=$now
    done
) >/dev/null 2>&1 &
"""
"""User data: greets, and tells whenever the metadata service begins to say something else."""


class Guest:
    """One guest of a cloud."""

    def __init__(self, cloud: LiveCloud, instance_id: str) -> None:
        self.cloud = cloud
        self.id = instance_id

    def shown(self) -> dict[str, Any]:
        """What the operator sees of it."""
        return self.cloud.cli("vm", "show", self.id)

    def console(self) -> str:
        with contextlib.closing(Installation.at(self.cloud.home)) as installation:
            found = installation.engine.console(operator(), self.id)
        return found[0].decode("utf-8", "replace") if found else ""

    def says(self, words: str, times: int = 1) -> None:
        """Wait for words on its console."""
        wait_for(lambda: self.console().count(words) >= times, f"{self.id}: {words}", BOOTED)

    def ready(self, boots: int = 1) -> dict[str, Any]:
        """What it tells of itself, once its disk was booted so often."""

        def told() -> dict[str, Any]:
            lines = [line.split(READY)[1] for line in self.console().splitlines() if READY in line]
            last = json.loads(lines[-1]) if lines and lines[-1].rstrip().endswith("}") else {}
            return last if last.get("boots") == boots else {}

        return wait_for(told, f"{self.id}: boot {boots}", BOOTED)

    def runs(self) -> bool:
        """Whether there is a QEMU process of it."""
        return any(
            self.id.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in self.cloud.guests()
        )


def serial(volume_id: str) -> str:
    """By which guests know a volume."""
    return volume_id.replace("-", "")
