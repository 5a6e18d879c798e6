"""The worker dies as by ``kill -9`` before and after every act of launch, stop, start, suspend, resume, reset and
terminate, on a real guest; each time the next worker ends the work, once.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_cloud import BIN, LiveCloud, wait_for

pytestmark = pytest.mark.qemu
LONG = 400.0  # seconds for an operation with a new worker at each act, on a busy machine


class Mortal:
    """Web processes, and a worker that is started again at once whenever it dies."""

    def __init__(self, cloud: LiveCloud, failpoints: Path) -> None:
        self.cloud = cloud
        self.deaths = 0
        self._environment = {**cloud.environment, "ISTHMUS_FAILPOINTS": str(failpoints)}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_working, daemon=True)
        self._web = self._start("web", "--listen", f"127.0.0.1:{cloud.port}")
        self._worker = self._start("worker")
        self._thread.start()

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with self.cloud.log.open("ab") as log:
            return subprocess.Popen(
                [str(BIN / "isthmus"), *words, "--home", str(self.cloud.home)],
                env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip

    def _keep_working(self) -> None:
        while not self._stopping.is_set():
            if self._worker.wait() == -9:
                self.deaths += 1
            if not self._stopping.is_set():
                self._worker = self._start("worker")

    def stop(self) -> None:
        self._stopping.set()
        while self._thread.is_alive():
            for process in (self._web, self._worker):
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            self._thread.join(1)
        self._web.wait(60)


@pytest.fixture
def failpoints(tmp_path: Path) -> Path:
    folder = tmp_path / "failpoints"
    folder.mkdir()
    return folder


@pytest.fixture
def mortal(tmp_path: Path, failpoints: Path, guest_image: Path) -> Iterator[Mortal]:
    cloud = LiveCloud(tmp_path).init("--host")
    cloud.image = cloud.cli("image", "import", str(guest_image), "--name", "guest", "--public")["id"]
    mortal = Mortal(cloud, failpoints)
    try:
        cloud.wait_ready()
        cloud.wait_hosts()
        yield mortal
    finally:
        mortal.stop()
        cloud.end()


def test_work_ends_once_wherever_the_worker_dies(mortal, failpoints):
    cloud = mortal.cloud
    vm = ""
    expected = 0

    def arm(*acts: str) -> None:
        nonlocal expected
        for act in acts:
            for when in ("before", "after"):
                (failpoints / f"{act}:{when}").touch()
                expected += 1

    def reaches(state: str) -> None:
        wait_for(lambda: cloud.cli("vm", "show", vm)["state"] == state, f"{vm} {state}", LONG)
        assert [path.name for path in failpoints.iterdir()] == []
        assert mortal.deaths == expected

    def console() -> str:
        return cloud.cli("vm", "console", vm)["output"]

    arm("prol.new:0", "prol.new:1", "prol.new:2", "boot.new:0")
    made = cloud.client().run_instances(
        ImageId=cloud.image, MinCount=1, MaxCount=1, InstanceType="t2.nano",
        UserData="#!/bin/sh\necho hello\n",
    )  # fmt: skip
    vm = made["Instances"][0]["InstanceId"]
    reaches("runn")
    assert len(cloud.guests()) == 1
    wait_for(lambda: "isthmus-guest: ready" in console(), "guest ready", LONG)
    assert console().count("isthmus-guest: started") == 1

    arm("shut.poff:0")
    cloud.cli("vm", "stop", vm)
    reaches("poff")
    assert cloud.guests() == []
    assert "isthmus-guest: power button" in console()

    arm("boot.poff:0", "boot.poff:1")
    cloud.cli("vm", "start", vm)
    reaches("runn")
    assert len(cloud.guests()) == 1
    wait_for(lambda: '"boots":2' in console(), "guest ready again", LONG)
    started = console().count("isthmus-guest: started")

    arm("save.susp:0")
    cloud.cli("vm", "suspend", vm)
    reaches("susp.disk")
    assert cloud.guests() == []

    arm("boot.susp:0")
    cloud.cli("vm", "start", vm)
    reaches("runn")
    assert len(cloud.guests()) == 1
    assert console().count("isthmus-guest: started") == started  # it went on; it did not boot again

    arm("runn.reset:0")
    cloud.cli("vm", "reset", vm)
    wait_for(lambda: console().count("isthmus-guest: ready") > started, "guest ready after the reset", LONG)
    reaches("runn")

    arm("shut.done:0", "epil.done:0", "epil.done:1", "epil.done:2")
    cloud.cli("vm", "terminate", vm)
    reaches("done")
    assert cloud.guests() == []
    assert cloud.cli("job", "list", "--open") == []
    (host,) = cloud.cli("host", "list")
    left = [path for path in (cloud.home / "hosts").rglob(f"*{vm}*") if path.is_file()]
    assert [path for path in left if "log" not in path.parts] == []
    cloud.cli("host", "delete", host["id"])  # refused while anything is placed, reserved or left behind there
