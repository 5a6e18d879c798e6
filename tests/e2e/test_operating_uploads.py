"""Uploads through the real server: bodies of every kind, clients that leave, and what an upload is good for."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import socket

import pytest
from botocore.exceptions import ClientError
from live_cloud import key_of, wait_for

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def theirs(cloud):
    return cloud.tenant("uploading")


@pytest.fixture
def put(cloud, theirs):
    """Sends a request about uploads as the tenant's user."""

    def send(method, name, body=None, **headers):
        auth = (theirs["occi_user"], theirs["occi_password"])
        return cloud.occi(
            method, f"/uploads/{name}", body, {k.replace("_", "-"): v for k, v in headers.items()}, auth
        )

    return send


def _files(cloud):
    return {path for path in (cloud.home / "uploads").rglob("*") if path.is_file()}


@pytest.fixture(scope="module", autouse=True)
def others(cloud):
    """What tests of other modules have uploaded to the same installation."""
    _OTHERS.update(_files(cloud))


_OTHERS = set()


def _lying(cloud):
    return sorted(path.name for path in _files(cloud) - _OTHERS)


def test_an_upload_becomes_an_image_of_its_tenants_alone(cloud, theirs, put, blank_image):
    made = put("PUT", "blank.qcow2", blank_image.read_bytes())
    assert (made.status, json.loads(made.body)["location"]) == (201, "upload:blank.qcow2")
    client = cloud.client(key=key_of(theirs))
    image = client.register_image(Name="uploaded", ImageLocation="upload:blank.qcow2")["ImageId"]
    [shown] = client.describe_images(ImageIds=[image])["Images"]
    assert shown["State"] == "available"
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        cloud.client().register_image(Name="stolen", ImageLocation="upload:blank.qcow2")
    task = client.import_image(DiskContainers=[{"Format": "QCOW2", "Url": "upload:blank.qcow2"}])[
        "ImportTaskId"
    ]

    def imported():
        [found] = client.describe_import_image_tasks(ImportTaskIds=[task])["ImportImageTasks"]
        return found["Status"] == "completed"

    wait_for(imported, "import")
    assert put("DELETE", "blank.qcow2").status == 204
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        client.register_image(Name="again", ImageLocation="upload:blank.qcow2")


def test_no_place_on_the_server_is_open_by_itself(cloud, theirs, blank_image):
    client = cloud.client(key=key_of(theirs))
    for location in (str(blank_image), f"file://{blank_image}", cloud.endpoint + "/livez", "/etc/passwd"):
        with pytest.raises(ClientError, match="InvalidParameterValue"):
            client.register_image(Name="taken", ImageLocation=location)


def test_a_chunked_body_of_many_megabytes(cloud, put):
    data = os.urandom(MEGABYTE) * 40
    made = put("PUT", "chunked", iter([data[at : at + MEGABYTE] for at in range(0, len(data), MEGABYTE)]))
    assert made.status == 201
    assert json.loads(made.body)["bytes"] == len(data)
    [listed] = json.loads(put("GET", "").body)
    assert (listed["name"], listed["bytes"]) == ("chunked", len(data))
    assert put("DELETE", "chunked").status == 204


def test_a_stranger_is_told_before_anything_is_kept(cloud):
    refused = cloud.http("PUT", "/uploads/x", b"x" * 5 * MEGABYTE)
    assert refused.status == 401
    assert "Basic" in refused.headers["WWW-Authenticate"]
    assert "x" not in _lying(cloud)


def _begun(cloud, theirs, more, body):
    """A connection on which an upload has begun."""
    word = base64.b64encode(f"{theirs['occi_user']}:{theirs['occi_password']}".encode()).decode()
    connection = socket.create_connection(("127.0.0.1", cloud.port), timeout=30)
    head = f"PUT /uploads/broken HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {word}\r\n{more}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.parametrize(
    ("more", "body"),
    [
        ("Content-Length: 1000", b"x" * 10),
        ("Transfer-Encoding: chunked", b"3\r\nabc\r\n"),
        ("Transfer-Encoding: chunked", b"zz\r\nabc"),
    ],
)
def test_what_is_cut_off_leaves_nothing(cloud, theirs, more, body):
    with _begun(cloud, theirs, more, body) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert _lying(cloud) == []


def test_the_faces_answer_while_clients_upload_slowly(cloud, theirs):
    with contextlib.ExitStack() as stack:
        uploads = [
            stack.enter_context(_begun(cloud, theirs, "Content-Length: 1000", b"x")) for _ in range(20)
        ]
        assert cloud.http("GET", "/livez").status == 200
        assert cloud.client().describe_images(Owners=["self"])["Images"]
        answered, _, _ = select.select(uploads, [], [], 0)
        assert len(answered) < len(uploads), "the faces waited for the last upload"
    wait_for(lambda: _lying(cloud) == [], "no part of a broken upload")
