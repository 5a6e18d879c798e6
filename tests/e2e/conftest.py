"""Installations for end-to-end tests: a simulated cloud, and one with real guests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_cloud import LiveCloud

REPOSITORY = Path(__file__).resolve().parents[2]
CLOUDS = pytest.StashKey[list[LiveCloud]]()


@pytest.fixture(scope="session")
def guest_image() -> Path:
    """The test guest, built from packages or found in its cache."""
    cache = Path(os.environ.get("ISTHMUS_CACHE", REPOSITORY / ".cache"))
    path = cache / "guest" / "guest.qcow2"
    if not path.exists():
        subprocess.run([str(REPOSITORY / "conformance" / "guest" / "build")], check=True)
    return path


@pytest.fixture(scope="session")
def blank_image(tmp_path_factory: Any) -> Path:
    """An empty qcow2 of 64 MiB."""
    path = tmp_path_factory.mktemp("image") / "blank.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "64M"], check=True)
    return path


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: Any, blank_image: Path, request: Any) -> Iterator[LiveCloud]:
    """A simulated cloud that many tests share: use a tenant of your own, and leave its processes alone."""
    cloud = LiveCloud(tmp_path_factory.mktemp("cloud")).init()
    _remember(request.config, cloud)
    exports = cloud.home.parent / "exports"
    (exports / "bucket").mkdir(parents=True)
    settings = cloud.home / "isthmus.toml"
    settings.write_text(f'{settings.read_text()}\n[images]\nexport_directory = "{exports}"\n')
    cloud.cli("host", "add", "test:///default")
    cloud.image = cloud.cli("image", "import", str(blank_image), "--name", "blank", "--public")["id"]
    try:
        cloud.start().wait_hosts()
        yield cloud
    finally:
        cloud.end()


@pytest.fixture
def own_cloud(tmp_path: Path, blank_image: Path, request: Any) -> Iterator[LiveCloud]:
    """A simulated cloud of this test's own, initialised and not started: kill what you like."""
    cloud = LiveCloud(tmp_path).init()
    _remember(request.config, cloud)
    cloud.cli("host", "add", "test:///default")
    cloud.image = cloud.cli("image", "import", str(blank_image), "--name", "blank", "--public")["id"]
    try:
        yield cloud
    finally:
        cloud.end()


@pytest.fixture(scope="session")
def real_cloud(tmp_path_factory: Any, guest_image: Path, request: Any) -> Iterator[LiveCloud]:
    """A cloud with real QEMU guests on this machine, without a daemon."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed")
    cloud = LiveCloud(tmp_path_factory.mktemp("real")).init("--host")
    _remember(request.config, cloud)
    cloud.image = cloud.cli("image", "import", str(guest_image), "--name", "guest", "--public")["id"]
    try:
        cloud.start().wait_hosts()
        yield cloud
    finally:
        cloud.end()


@pytest.fixture(scope="session")
def client_cloud(tmp_path_factory: Any, guest_image: Path, request: Any) -> Iterator[LiveCloud]:
    """A cloud with real guests that admits old clients too: signature version 2, scopes made of host names."""
    cloud = LiveCloud(tmp_path_factory.mktemp("clients")).init("--host")
    _remember(request.config, cloud)
    settings = cloud.home / "isthmus.toml"
    settings.write_text(f"{settings.read_text()}\n[ec2]\nversion_2 = true\nany_service = true\n")
    cloud.image = cloud.cli("image", "import", str(guest_image), "--name", "guest", "--public")["id"]
    try:
        cloud.start().wait_hosts()
        yield cloud
    finally:
        cloud.end()


def _remember(config: pytest.Config, cloud: LiveCloud) -> None:
    config.stash.setdefault(CLOUDS, []).append(cloud)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """The servers' logs beside a failed test."""
    report = yield
    if report.failed:
        for cloud in item.config.stash.get(CLOUDS, []):
            if set(getattr(item, "fixturenames", ())) & {"cloud", "own_cloud", "real_cloud", "client_cloud"}:
                report.sections.append((f"log of {cloud.home}", cloud.tail()))
    return report
