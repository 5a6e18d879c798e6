"""A real installation whose networks are OVN's, in a lab: gateway and worker outside, hosts in namespaces.

The web processes and the worker run where the tests do and reach databases and hosts by UNIX sockets; only the
metadata service runs on the lab's provider network, where guests are led to it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from live_cloud import BIN, PATIENCE, LiveCloud
from ovn_lab import GATEWAY, INFRA_NETWORK, NEXT_HOP, OvnLab

POOL = "203.0.113.64-203.0.113.127"


class OvnCloud(LiveCloud):
    """An installation on a lab's hosts. ``start`` and ``stop`` as often as a test likes."""

    def __init__(self, folder: Path, lab: OvnLab, **environment: str) -> None:
        super().__init__(folder, **environment)
        self.lab = lab
        self.parts: dict[str, subprocess.Popen[Any]] = {}
        self.uris: dict[str, str] = {}
        self.hosts: dict[str, str] = {}  # their ids by the names of the lab's hosts

    def make(self, *words: str) -> OvnCloud:
        """A home whose settings name the lab's databases, and every host of the lab."""
        self.init(*words)
        table = [
            "", "[network]", 'driver = "ovn"', f'northbound = "{self.lab.nb}"', f'southbound = "{self.lab.sb}"',
            f'next_hop = "{NEXT_HOP}"', f'infra = "{INFRA_NETWORK}"', f'metadata = "{GATEWAY}:8775"',
            "offload = false", f'pools = {{ public = ["{POOL}"] }}',
        ]  # fmt: skip
        config = self.home / "isthmus.toml"
        config.write_text(config.read_text() + "\n".join(table) + "\n")
        for name, chassis in self.lab.hosts.items():
            self.uris[name] = chassis.libvirtd()
            self.hosts[name] = self.cli("host", "add", self.uris[name])["id"]
        return self

    def start(self, *, wait: bool = True) -> OvnCloud:
        for name in ("web", "worker", "metadata"):
            self.start_part(name)
        if wait:
            self.wait_ready()
        return self

    def start_part(self, name: str) -> None:
        """Start one of the processes."""
        words = [str(BIN / "isthmus"), name, "--home", str(self.home)]
        with self.log.open("ab") as log:
            if name == "metadata":
                self.parts[name] = self.lab.outside.popen(
                    *words, stdout=log, stderr=log, env=self.environment
                )
                return
            if name == "web":
                words += ["--listen", f"127.0.0.1:{self.port}"]
            self.parts[name] = subprocess.Popen(
                words, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill_part(self, name: str) -> None:
        """SIGKILL one of the processes, and wait until it is gone."""
        process = self.parts.pop(name)
        process.kill()
        process.wait(PATIENCE)

    def keep_logs(self) -> None:
        """Copy what the lab's daemons said beside the home, where it outlives the lab."""
        for log in self.lab.home.glob("*.log"):
            shutil.copy(log, self.home.parent)

    def stop(self) -> None:
        for process in self.parts.values():
            process.terminate()
        for process in self.parts.values():
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.parts.clear()
