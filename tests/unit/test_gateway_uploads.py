"""Uploads: whole or not at all, within their limits, each tenant's its own, and what HTTP answers."""

from __future__ import annotations

import hashlib
import io
import os
import stat

import falcon
import falcon.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.model import Api, Caller
from gateway.upload_pages import UploadPages, is_ours
from gateway.uploads import CutOff, NoRoom, TooLarge, Uploads, is_name

DAY = 86_400


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "uploads", most_bytes=1000, tenant_bytes=2500)


def put(uploads, name, data, *, length=-1, tenant="t1"):
    return uploads.receive(tenant, name, io.BytesIO(data).read, len(data) if length == -1 else length)


def lying(uploads, tenant="t1"):
    """Every file of a tenant, hidden ones too."""
    folder = uploads._folder / tenant
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_an_upload_is_whole_private_and_known_by_its_bytes(uploads):
    made = put(uploads, "disk.qcow2", b"x" * 700)
    assert (made.size_bytes, made.sha256, made.replaced) == (
        700,
        hashlib.sha256(b"x" * 700).hexdigest(),
        False,
    )
    assert made.location == "upload:disk.qcow2"
    path = uploads.path("t1", "disk.qcow2")
    assert path.read_bytes() == b"x" * 700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = put(uploads, "disk.qcow2", b"y")
    assert again.replaced
    assert path.read_bytes() == b"y"
    assert lying(uploads) == ["disk.qcow2"]


def test_one_moment_is_told_of_an_upload(uploads):
    received = put(uploads, "disk", b"bytes")
    (listed,) = uploads.of("t1")
    assert received.at == listed.at


def test_tenants_do_not_see_one_anothers(uploads):
    put(uploads, "mine", b"1")
    assert [upload.name for upload in uploads.of("t1")] == ["mine"]
    assert uploads.of("t2") == []
    assert uploads.path("t2", "mine") is None
    assert not uploads.delete("t2", "mine")
    assert uploads.delete("t1", "mine")
    assert not uploads.delete("t1", "mine")


@pytest.mark.parametrize("length", [-1, None])
def test_one_that_is_too_large_is_refused_and_nothing_stays(uploads, length):
    with pytest.raises(TooLarge):
        put(uploads, "large", b"x" * 1001, length=length)
    assert lying(uploads) == []
    assert put(uploads, "large", b"x" * 1000, length=length).size_bytes == 1000


@pytest.mark.parametrize("length", [-1, None])
def test_all_of_a_tenants_together_have_a_limit(uploads, length):
    put(uploads, "a", b"x" * 1000)
    put(uploads, "b", b"x" * 1000)
    with pytest.raises(NoRoom, match="2500"):
        put(uploads, "c", b"x" * 501, length=length)
    assert lying(uploads) == ["a", "b"]
    put(uploads, "a", b"y" * 1000, length=length)  # what is replaced does not count
    put(uploads, "c", b"x" * 500, length=length)
    put(uploads, "c", b"x" * 1000, tenant="t2")  # nor do others'


def test_what_comes_at_the_same_time_counts(uploads):
    """Two uploads, each within the limit, that together are not: the later of them ends."""
    put(uploads, "a", b"x" * 1000)
    inner = []

    def read(size):
        if not inner:
            inner.append(put(uploads, "b", b"x" * 900))
            return b"x" * 400
        return b"x" * 300 if len(inner) == 1 and inner.append(1) is None else b""

    with pytest.raises(NoRoom):
        uploads.receive("t1", "c", read, None)
    assert lying(uploads) == ["a", "b"]


def test_what_is_cut_off_does_not_appear_and_leaves_the_old_one(uploads):
    put(uploads, "disk", b"old")
    with pytest.raises(CutOff):
        put(uploads, "disk", b"new", length=4)

    def broken(_size):
        raise CutOff("gone")

    with pytest.raises(CutOff):
        uploads.receive("t1", "disk", broken, None)
    assert lying(uploads) == ["disk"]
    assert uploads.path("t1", "disk").read_bytes() == b"old"


def test_not_more_is_read_than_was_announced(uploads):
    stream = io.BytesIO(b"abcdef")
    assert uploads.receive("t1", "disk", stream.read, 3).size_bytes == 3
    assert stream.read() == b"def"


def test_parts_of_a_killed_process_go_a_day_later(tmp_path):
    now = [1_800_000_000.0]
    uploads = Uploads(tmp_path, most_bytes=1000, tenant_bytes=2500, clock=lambda: now[0])
    put(uploads, "a", b"1")
    for name, age in ((".old.part", 2 * DAY), (".young.part", 60)):
        (tmp_path / "t1" / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / "t1" / name, (now[0] - age, now[0] - age))
    assert [upload.name for upload in uploads.of("t1")] == ["a"]
    put(uploads, "b", b"1")
    assert lying(uploads) == [".young.part", "a", "b"]


def test_a_full_disk_is_no_room(uploads, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.uploads.os.fsync", full)
    with pytest.raises(NoRoom, match="disk"):
        put(uploads, "a", b"1")
    assert lying(uploads) == []


@given(st.text(max_size=140))
def test_a_name_is_no_path(name):
    if is_name(name):
        assert 1 <= len(name) <= 128
        assert "/" not in name
        assert not name.startswith(".")
        assert name.isascii()


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".part", "a/b", "a\0", "a\n", "ä", "x" * 129, "a b", "-f", "_x"]
)
def test_names_that_are_none(name):
    assert not is_name(name)


# HTTP ---------------------------------------------------------------------------------------------------


def caller(tenant="t1"):
    return Caller(tenant_id=tenant, account_id="1", user_id="u", user_name="ann", api=Api.OCCI)


def refuse(_req, resp, status, code, message):
    resp.status = falcon.code_to_http_status(status)
    resp.media = {"code": code, "message": message}


@pytest.fixture
def client(uploads):
    pages = UploadPages(uploads, refuse, parallel=1)
    app = falcon.App()
    app.add_sink(lambda req, resp: pages.on_request(req, resp, caller()), prefix="/")
    client = falcon.testing.TestClient(app)
    client.pages = pages
    return client


def test_put_list_and_delete(client):
    made = client.simulate_put("/uploads/disk.raw", body=b"x" * 512)
    assert made.status_code == 201
    assert made.headers["location"] == "/uploads/disk.raw"
    digest = hashlib.sha256(b"x" * 512).hexdigest()
    assert made.headers["etag"] == f'"{digest}"'
    assert made.json["location"] == "upload:disk.raw"
    assert (made.json["bytes"], made.json["sha256"]) == (512, digest)
    assert client.simulate_put("/uploads/disk.raw", body=b"y").status_code == 204
    for path in ("/uploads", "/uploads/"):
        [listed] = client.simulate_get(path).json
        assert (listed["name"], listed["bytes"], listed["location"]) == ("disk.raw", 1, "upload:disk.raw")
    assert client.simulate_delete("/uploads/disk.raw").status_code == 204
    assert client.simulate_delete("/uploads/disk.raw").status_code == 404
    assert client.simulate_get("/uploads/").json == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/uploads/a%2Fb", 400),
        ("PUT", "/uploads/..", 400),
        ("PUT", "/uploads/.hidden", 400),
        ("PUT", "/uploads/", 405),
        ("GET", "/uploads/disk", 405),
        ("POST", "/uploads/", 405),
        ("DELETE", "/uploads/absent", 404),
    ],
)
def test_what_is_refused(client, uploads, method, path, status):
    answer = client.simulate_request(method, path, body=b"x")
    assert answer.status_code == status
    assert answer.json["message"]
    assert ("allow" in answer.headers) == (status == 405)
    assert lying(uploads) == []


def test_limits_in_http(client, uploads):
    assert client.simulate_put("/uploads/a", body=b"x" * 1001).status_code == 413
    for name in "ab":
        assert client.simulate_put(f"/uploads/{name}", body=b"x" * 1000).status_code == 201
    assert client.simulate_put("/uploads/c", body=b"x" * 501).status_code == 507
    ranged = client.simulate_put("/uploads/c", body=b"x", headers={"Content-Range": "bytes 0-0/9"})
    assert ranged.status_code == 400
    assert lying(uploads) == ["a", "b"]


def test_the_faces_keep_their_threads(client):
    assert client.pages._turn.acquire(blocking=False)
    busy = client.simulate_put("/uploads/a", body=b"x")
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "10")
    client.pages._turn.release()
    assert client.simulate_put("/uploads/a", body=b"x").status_code == 201


@pytest.mark.parametrize(
    ("path", "ours"),
    [("/uploads", True), ("/uploads/", True), ("/uploads/x", True), ("/uploadsx", False), ("/", False)],
)
def test_which_paths_are_ours(path, ours):
    assert is_ours(path) is ours
