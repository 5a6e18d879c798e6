"""Hostile disk images, brought through the API: refused with a clear error, and nothing of them stays."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from live_cloud import LiveCloud, wait_for

SECRET = "what no image may lead to"


def _qcow2(path: Path, *more: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *more, str(path), "1M"], check=True)


def _backing(path: Path, secret: Path) -> None:
    _qcow2(path, "-u", "-b", str(secret), "-F", "raw")


def _data_file(path: Path, secret: Path) -> None:
    _qcow2(path, "-o", f"data_file={path.parent / 'data'},data_file_raw=on")
    subprocess.run(["qemu-img", "amend", "-q", "-o", f"data_file={secret}", str(path)], check=False)


def _descriptor(path: Path, secret: Path) -> None:
    path.write_text(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        f'createType="monolithicFlat"\nRW 2048 FLAT "{secret}" 0\n'
    )


def _bomb(path: Path, _secret: Path) -> None:
    """A small qcow2 that says it describes 8 EiB, with tables to match."""
    head = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 16, 1 << 62, 0, 1 << 24, 65536, 131072, 1, 0, 0
    )
    path.write_bytes(head.ljust(1 << 18, b"\0"))


def _truncated(path: Path, _secret: Path) -> None:
    whole = path.with_suffix(".whole")
    _qcow2(whole)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 5 0 1M", str(whole)], check=True)
    path.write_bytes(whole.read_bytes()[: 5 * 65536 - 512])
    whole.unlink()


def _huge(path: Path, _secret: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 << 40)


def _link(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


HOSTILE: tuple[Callable[[Path, Path], None], ...] = (
    _backing,
    _data_file,
    _descriptor,
    _bomb,
    _truncated,
    _huge,
    _link,
)


@pytest.fixture(scope="module")
def hostile_cloud(tmp_path_factory: Any) -> Iterator[LiveCloud]:
    folder = tmp_path_factory.mktemp("hostile")
    cloud = LiveCloud(folder).init()
    (folder / "incoming").mkdir()
    (folder / "secret").write_bytes(SECRET.encode().ljust(1 << 20, b"."))
    settings = cloud.home / "isthmus.toml"
    settings.write_text(settings.read_text() + f'\n[images]\ndirectories = ["{folder / "incoming"}"]\n')
    cloud.cli("host", "add", "test:///default")
    try:
        cloud.start().wait_hosts()
        yield cloud
    finally:
        cloud.end()


def stored(cloud: LiveCloud) -> set[str]:
    return {path.name for path in (cloud.home / "images").rglob("*") if path.is_file()}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__.strip("_"))
def test_a_hostile_image_is_refused_and_nothing_of_it_stays(hostile_cloud: LiveCloud, make: Any):
    cloud, ec2 = hostile_cloud, hostile_cloud.client()
    folder = cloud.home.parent
    file = folder / "incoming" / f"{make.__name__}.img"
    make(file, folder / "secret")
    before = stored(cloud)
    images = ec2.describe_images(Owners=["self"])["Images"]

    with pytest.raises(botocore.exceptions.ClientError) as refused:
        ec2.register_image(Name=f"hostile {make.__name__}", ImageLocation=str(file))
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["Error"]["Code"] == "InvalidParameterValue"
    assert len(answer["Error"]["Message"]) > 20
    assert SECRET not in answer["Error"]["Message"]

    asked = _import(ec2, file)
    if asked.startswith("import-ami-"):
        ended = wait_for(lambda: _ended(ec2, asked), "the import ended")
        assert ended["Status"] == "deleted"
        assert len(ended["StatusMessage"]) > 20
        assert SECRET not in ended["StatusMessage"]
    else:
        assert asked == "InvalidParameterValue"  # where it leads is not allowed
    assert stored(cloud) == before
    assert ec2.describe_images(Owners=["self"])["Images"] == images
    file.unlink()


def _import(ec2: Any, file: Path) -> str:
    """The id of the task, or the code of the refusal."""
    try:
        task: str = ec2.import_image(DiskContainers=[{"Url": f"file://{file}"}])["ImportTaskId"]
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return task


def _ended(ec2: Any, task: str) -> dict[str, Any] | None:
    (found,) = ec2.describe_import_image_tasks(ImportTaskIds=[task])["ImportImageTasks"]
    return found if found["Status"] in {"completed", "deleted"} else None
