"""What tenants may bring in: the operator's places, their own uploads, and nothing else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from backend.errors import BackendError, Code
from backend.images import ImageStore, Sources
from gateway.importer import Importer
from gateway.scratch import living, scratch_name, sweep
from gateway.settings import ImageSettings
from gateway.uploads import Uploads


@pytest.fixture
def places(tmp_path):
    """``open`` is allowed, ``closed`` is not; an upload of t1's."""
    for name in ("open", "open-too", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "disk.raw").write_bytes(b"x" * 512)
    uploads = Uploads(tmp_path / "uploads", most_bytes=10_000, tenant_bytes=10_000)
    uploads.receive("t1", "mine.raw", _reader(b"y" * 512))
    return tmp_path, uploads


def _reader(data):
    parts = [data]
    return lambda _size: parts.pop() if parts else b""


def importer(places, **settings):
    folder, uploads = places
    found = ImageSettings(
        **({"directories": (folder / "open",), "urls": ("https://ok.example/images/",)} | settings)
    )
    sources = Sources(directories=found.directories, urls=found.urls, uploads=folder / "uploads")
    return Importer(ImageStore(folder / "store", sources=sources), uploads, found, run=folder / "run")


def test_a_file_in_an_allowed_directory(places):
    folder, _ = places
    mine = importer(places)
    expected = str(folder / "open" / "disk.raw")
    for location in (expected, f"file://{expected}", f"{folder}/closed/../open/disk.raw"):
        assert mine.resolve(location, "t1") == expected
    content = mine.import_location(expected, "raw")
    assert (content.format, content.size_bytes) == ("raw", 512)
    assert [path.name for path in (folder / "store").rglob("*") if path.is_file()] == [
        f"{content.checksum}.raw"
    ]


@pytest.mark.parametrize(
    "location",
    [
        "FOLDER/closed/disk.raw",
        "FOLDER/open-too/disk.raw",
        "FOLDER/open/../closed/disk.raw",
        "FOLDER/open/link.raw",
        "FOLDER/open/loop",
        "FOLDER/open/absent.raw",
        "FOLDER/open",
        "file://elsewhere.example/FOLDER/open/disk.raw",
        "open/disk.raw",
        "disk.raw",
        "",
        "\0",
        "/\0",
        "/" + "a" * 5000,
        "file:///%2e%2e",
        "http://[::1",
        "ftp://ok.example/images/a",
        "upload:",
        "upload:../t1/mine.raw",
        "upload:t1/mine.raw",
        "upload:absent",
        "https://ok.example/other",
        "https://ok.example/imagesx",
        "https://ok.example/images/../other",
        "https://ok.example/images/%2e%2e/other",
        "https://ok.example.evil/images/a",
        "https://ok.example:8443/images/a",
        "http://ok.example/images/a",
        "https://ok.example@evil.example/images/a",
    ],
)
def test_everything_else_is_nothing(places, location):
    folder, _ = places
    (folder / "open" / "link.raw").symlink_to(folder / "closed" / "disk.raw")
    (folder / "open" / "loop").symlink_to(folder / "open" / "loop")
    assert importer(places).resolve(location.replace("FOLDER", str(folder)), "t1") is None


def test_a_url_below_an_allowed_one(places):
    url = "https://ok.example/images/debian/12.qcow2"
    assert importer(places).resolve(url, "t1") == url
    assert importer(places, urls=()).resolve(url, "t1") is None


def test_an_upload_is_its_tenants_alone(places):
    mine = importer(places)
    found = mine.resolve("upload:mine.raw", "t1")
    assert found == "upload:t1/mine.raw"
    assert mine.resolve("upload:mine.raw", "t2") is None
    assert mine.import_location(found, "raw").size_bytes == 512
    assert importer(places, uploads=False).resolve("upload:mine.raw", "t1") is None


def test_a_link_that_leads_elsewhere_by_now_is_not_followed(places):
    folder, _ = places
    link = folder / "open" / "link.raw"
    link.symlink_to(folder / "open" / "disk.raw")
    mine = importer(places)
    assert mine.resolve(str(link), "t1") is not None
    link.unlink()
    link.symlink_to(folder / "closed" / "disk.raw")
    with pytest.raises(BackendError) as refused:
        mine.import_location(str(link), "raw")
    assert refused.value.code is Code.IMAGE_UNREADABLE
    assert [path for path in (folder / "store").rglob("*") if path.is_file()] == []


# What a killed process leaves ---------------------------------------------------------------------------


def test_what_a_killed_import_left_goes_with_the_next(places):
    folder, _ = places
    store, run = ImageStore(folder / "store"), folder / "run"
    child = os.fork()
    if child == 0:
        with scratch_name(store, run) as name:
            Path(store.scratch(name)).write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with scratch_name(ImageStore(folder / "elsewhere"), folder / "other-run") as theirs:
        Path(store.scratch(theirs)).write_bytes(b"of another machine")
        assert len(living(run)) == 1
        assert len(store.files()) == 2
        with scratch_name(store, run) as mine:
            Path(store.scratch(mine)).write_bytes(b"mine")
            sweep(store, run)
            assert living(run) == {mine}
            assert store.files() == {f"work/{mine}", f"work/{theirs}"}
        assert living(run) == frozenset()
        assert store.files() == {f"work/{theirs}"}
