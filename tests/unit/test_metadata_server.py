"""The metadata service's doors, by real sockets on loopback: HTTP, identity, hops, and guests that mean ill."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import MetadataRetrievalError
from botocore.session import Session
from botocore.utils import IMDSRegionProvider, InstanceMetadataFetcher, InstanceMetadataRegionFetcher
from metadata_guest import TOKEN, TTL, Port, primary, service_of, until_closed
from simulation import Cloud
from structlog.testing import capture_logs

from backend.drivers.libvirt import relay
from backend.model import MetadataOptions
from gateway.metadata.server import Doors, Limits
from gateway.metadata.service import Response
from gateway.metadata.throttle import Throttle

ID = "/latest/meta-data/instance-id"
IP_MINTTL = 21
QUICK = Limits(arrival=0.4, departure=1.0, connections=20, of_one=5)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    # Threads ask: a database in memory belongs to one
    return Cloud(url=f"sqlite:///{tmp_path_factory.mktemp('db')}/cloud.db")


@pytest.fixture(scope="module")
def instance(cloud):
    return cloud.started(user_data=bytes(range(256)) * 64)


@pytest.fixture(scope="module")
def other(cloud):
    return cloud.started(metadata=MetadataOptions(tokens="required", hop_limit=2))


@pytest.fixture(scope="module")
def port(cloud, instance, other):
    nics = {"127.0.0.1": primary(cloud, instance), "127.0.0.2": primary(cloud, other)}
    found = Port(service_of(cloud, Throttle(rate=1e6, burst=1e6)), nics, hops=1)
    yield found
    found.close()


@pytest.fixture
def quick(cloud, instance):
    nics = {f"127.0.0.{number}": primary(cloud, instance) for number in range(1, 9)}
    found = Port(service_of(cloud, Throttle(rate=1e6, burst=1e6)), nics, limits=QUICK)
    yield found
    found.close()


def left_in_peace(port):
    """Wait until no connection is open, and none is yet to be accepted."""
    quiet = 0
    deadline = time.monotonic() + 10
    while quiet < 5 and time.monotonic() < deadline:
        quiet = 0 if port.server._open else quiet + 1
        time.sleep(0.05)
    assert not port.server._open


def raw(port, data, **options):
    with port.connect(**options) as connection:
        connection.sendall(data)
        return until_closed(connection)


# HTTP ---------------------------------------------------------------------------------------------------


def test_an_answer_has_the_headers_of_amazons(port, instance):
    status, body, headers = port.ask(ID)
    assert (status, body.decode()) == (200, instance.id)
    assert headers["Server"] == "EC2ws"
    assert headers["Content-Type"] == "text/plain"
    assert headers["Content-Length"] == str(len(body))
    assert headers["Connection"] == "close"
    assert headers["Accept-Ranges"] == "none"
    assert set(headers) == {
        *("Server", "Content-Type", "Content-Length", "Connection", "Accept-Ranges"),
        *("Date", "ETag", "Last-Modified"),
    }


def test_the_connection_ends_with_the_answer(port, instance):
    data = raw(port, f"GET {ID} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".encode())
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.endswith(b"\r\n\r\n" + instance.id.encode())


def test_a_second_request_on_the_connection_is_not_answered(port, instance):
    one = f"GET {ID} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert raw(port, one + one).count(b"HTTP/1.1 200") == 1


def test_http_1_0_and_no_host(port, instance):
    assert raw(port, f"GET {ID} HTTP/1.0\r\n\r\n".encode()).endswith(instance.id.encode())


def test_head_has_the_length_and_no_body(port, instance):
    data = raw(port, f"HEAD {ID} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert f"Content-Length: {len(instance.id)}\r\n".encode() in data
    assert data.endswith(b"\r\n\r\n")


def test_user_data_goes_through_unchanged(port):
    status, body, headers = port.ask("/latest/user-data")
    assert (status, body) == (200, bytes(range(256)) * 64)
    assert headers["Content-Type"] == "application/octet-stream"


def test_unchanged_has_no_body(port):
    _, _, headers = port.ask(ID)
    data = raw(port, f"GET {ID} HTTP/1.1\r\nHost: x\r\nIf-None-Match: {headers['ETag']}\r\n\r\n".encode())
    assert data.startswith(b"HTTP/1.1 304 Not Modified\r\n")
    assert data.endswith(b"\r\n\r\n")


def test_a_request_may_come_in_pieces(port, instance):
    with port.connect() as connection:
        for byte in f"GET {ID} HTTP/1.1\r\nHost: x\r\n\r\n".encode():
            connection.sendall(bytes([byte]))
        assert until_closed(connection).endswith(instance.id.encode())


def test_a_client_that_waits_for_leave_gets_it(port):
    with port.connect() as connection:
        connection.sendall(
            f"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n{TTL}: 60\r\n"
            "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert until_closed(connection).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_ends_its_side_is_answered(port, instance):
    with port.connect() as connection:
        connection.sendall(f"GET {ID} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        assert until_closed(connection).endswith(instance.id.encode())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # HTTP/1.1 needs a host
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: no\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n bad\x00: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431),
        (b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 200_000, 413),
        (b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"a" * 0x8000 + b"\r\n8000\r\n" + b"a" * 0x8000 + b"\r\n1\r\na\r\n0\r\n\r\n", 413),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(port, instance, data, status):
    assert raw(port, data).startswith(f"HTTP/1.1 {status} ".encode())
    assert port.ask(ID)[0] == 200


def test_a_body_is_ignored(port, instance):
    head = f"GET {ID} HTTP/1.1\r\nHost: x\r\n"
    assert raw(port, f"{head}Content-Length: 4\r\n\r\nbody".encode()).endswith(instance.id.encode())
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
    assert raw(port, chunked.encode()).endswith(instance.id.encode())


# Who asks -----------------------------------------------------------------------------------------------


def test_who_asks_is_known_by_the_address(port, instance, other):
    assert port.ask(ID)[1].decode() == instance.id
    assert port.ask(ID, source="127.0.0.2")[0] == 401
    _, token, _ = port.ask("/latest/api/token", "PUT", source="127.0.0.2", **{TTL: "60"})
    assert port.ask(ID, source="127.0.0.2", **{TOKEN: token.decode()})[1].decode() == other.id


def test_nothing_that_a_guest_says_names_it(port, instance, other):
    claims = {"X-Forwarded-For": other.address, "X-Instance-ID": other.id, "X-Real-IP": "127.0.0.2"}
    assert port.ask(ID, **claims)[1].decode() == instance.id


def test_an_address_of_nobody_finds_nothing(port):
    assert port.ask(ID, source="127.0.0.3")[0] == 404
    assert port.ask("/latest/api/token", "PUT", source="127.0.0.3", **{TTL: "60"})[0] == 404


@pytest.mark.parametrize(("source", "hops"), [("127.0.0.1", 2), ("127.0.0.2", 3)])
def test_a_token_arrives_within_its_hops_only(port, source, hops):
    """The instance's limit and one router: beyond that many hops the packets are gone."""
    put = f"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n{TTL}: 60\r\n\r\n".encode()
    for least, arrives in ((hops, True), (hops + 1, False)):
        with port.connect(source, timeout=1) as connection:
            connection.setsockopt(socket.IPPROTO_IP, IP_MINTTL, least)  # as if so many routers were passed
            connection.sendall(put)
            if arrives:
                assert until_closed(connection).startswith(b"HTTP/1.1 200 ")
            else:
                with pytest.raises(TimeoutError):
                    connection.recv(100)


def test_what_is_read_arrives_from_anywhere(port, instance):
    with port.connect() as connection:
        connection.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 64)
        connection.sendall(f"GET {ID} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert until_closed(connection).endswith(instance.id.encode())


# Clients ------------------------------------------------------------------------------------------------


def fetcher_of(kind, port, **options):
    return kind(timeout=5, num_attempts=1, base_url=port.url, env={}, **options)


def test_botocore_finds_the_region(port):
    assert fetcher_of(InstanceMetadataRegionFetcher, port).retrieve_region() == "us-east-1"


def test_botocore_finds_no_credentials_and_says_nothing_of_it(port):
    assert fetcher_of(InstanceMetadataFetcher, port).retrieve_iam_role_credentials() == {}


def test_botocore_without_version_1(port):
    fetcher = fetcher_of(InstanceMetadataRegionFetcher, port, config={"ec2_metadata_v1_disabled": True})
    assert fetcher.retrieve_region() == "us-east-1"


def test_botocore_of_an_instance_with_the_service_disabled(cloud):
    silent = cloud.started(metadata=MetadataOptions(endpoint=False))
    port = Port(service_of(cloud), {"127.0.0.1": primary(cloud, silent)})
    try:
        assert fetcher_of(InstanceMetadataRegionFetcher, port).retrieve_region() is None
        with pytest.raises(MetadataRetrievalError):
            fetcher_of(
                InstanceMetadataFetcher, port, config={"ec2_metadata_v1_disabled": True}
            ).retrieve_iam_role_credentials()
    finally:
        port.close()


def test_botocores_session_takes_the_region_from_the_service(port, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", port.url)
    assert IMDSRegionProvider(Session(), environ={}).provide() == "us-east-1"


# Many, slow and ill-meaning ------------------------------------------------------------------------------


def test_requests_at_the_same_time_get_their_own_answers(port, instance, other):
    _, token, _ = port.ask("/latest/api/token", "PUT", source="127.0.0.2", **{TTL: "600"})

    def ask(number):
        if number % 2:
            return port.ask(ID)[1].decode() == instance.id
        return port.ask(ID, source="127.0.0.2", **{TOKEN: token.decode()})[1].decode() == other.id

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(200)))


def test_one_that_says_nothing_is_let_go(quick):
    with quick.connect() as connection:
        assert until_closed(connection).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_one_that_dribbles_is_let_go(quick):
    with quick.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        said = b""
        connection.settimeout(0.05)
        while not said:
            connection.sendall(b"X: y\r\n")
            with contextlib.suppress(TimeoutError):
                said = connection.recv(100)
        assert said.startswith(b"HTTP/1.1 408 ")


def test_a_guest_has_so_many_connections_and_leaves_the_others_theirs(quick):
    held = [quick.connect() for _ in range(QUICK.of_one)]
    try:
        time.sleep(0.1)
        with quick.connect() as one_more:
            assert one_more.recv(10) == b""
        assert quick.ask(ID, source="127.0.0.2")[0] == 200
    finally:
        for connection in held:
            connection.close()
    left_in_peace(quick)
    assert quick.ask(ID)[0] == 200


def test_connections_altogether_are_bounded_and_come_back(quick):
    held = []
    for number in range(1, 7):
        held += [quick.connect(f"127.0.0.{number}") for _ in range(QUICK.of_one)]
    time.sleep(0.1)
    assert quick.server._open.total() <= QUICK.connections
    for connection in held:
        connection.close()
    left_in_peace(quick)
    assert quick.ask(ID)[0] == 200


def test_one_that_goes_away_costs_nothing(quick, instance):
    for piece in (b"", b"GET", f"GET {ID} HTTP/1.1\r\nHost: x\r\n\r\n".encode()):
        for _ in range(4):
            connection = quick.connect()
            connection.sendall(piece)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            connection.close()
    left_in_peace(quick)
    assert quick.ask(ID)[1].decode() == instance.id


class Much:
    """A service with an answer that no buffer of the system's takes whole."""

    def answer(self, _request, _nic_id):
        return Response(status=200, body=bytes(8 << 20))


def test_one_that_takes_nothing_is_let_go():
    port = Port(Much(), {"127.0.0.1": "eni-1"}, limits=QUICK)
    held = [port.connect() for _ in range(QUICK.of_one)]
    try:
        for connection in held:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        left_in_peace(port)
        assert not [each for each in os.listdir("/proc/self/fd") if _is_peer_of(each, held)]
    finally:
        for connection in held:
            connection.close()
        port.close()


def _is_peer_of(descriptor, clients):
    """Whether a descriptor of this process is the service's side of one of some connections."""
    with contextlib.suppress(OSError):
        if not os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):
            return False
        with socket.socket(fileno=os.dup(int(descriptor))) as found:
            return found.getpeername() in [client.getsockname() for client in clients]
    return False


def test_a_broken_database_is_the_services_fault(cloud):
    def broken(_nic_id):
        raise OSError("no database, token=secret")

    service = service_of(cloud)
    service._guest = broken
    port = Port(service, {"127.0.0.1": "eni-1"})
    try:
        status, body, _ = port.ask(ID, **{TOKEN: "a-secret-token"})
        assert (status, body.count(b"secret")) == (500, 0)
    finally:
        port.close()


def test_logs_tell_path_status_and_interface_only(port):
    with capture_logs() as logs:
        port.ask(f"{ID}?x=hidden", **{TOKEN: "hidden", "User-Agent": "hidden"})
    (line,) = [line for line in logs if line["event"] == "metadata.request"]
    assert line | {"interface": ""} == {
        "event": "metadata.request",
        "log_level": "debug",
        "interface": "",
        "path": ID,
        "status": 401,
    }


# Sockets ------------------------------------------------------------------------------------------------


class Unix(http.client.HTTPConnection):
    """A client of a UNIX socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self._path)


def ask(path, target=ID):
    connection = Unix(path)
    try:
        connection.request("GET", target)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "metadata"


def doors_of(cloud, folder, *instances, **options):
    nics = [primary(cloud, instance) for instance in instances]
    found = Doors(service_of(cloud), folder, lambda: nics, **options)
    found.start()
    return found


def test_each_interface_has_a_socket_of_its_own(cloud, folder, instance):
    second = cloud.started()
    doors = doors_of(cloud, folder, instance)
    try:
        path = doors.open(primary(cloud, second))
        assert path == str(folder / primary(cloud, second)) == doors.path(primary(cloud, second))
        assert ask(path) == second.id
        assert ask(doors.path(primary(cloud, instance))) == instance.id
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    finally:
        doors.stop()


def test_an_open_socket_stays_as_it_is(cloud, folder, instance):
    doors = doors_of(cloud, folder, instance)
    try:
        path = doors.path(primary(cloud, instance))
        before = os.stat(path).st_ino
        waiting = Unix(path)
        waiting.connect()
        assert doors.open(primary(cloud, instance)) == path
        assert os.stat(path).st_ino == before
        waiting.request("GET", ID)
        assert waiting.getresponse().read().decode() == instance.id
        waiting.close()
        os.unlink(path)  # by whomever
        assert ask(doors.open(primary(cloud, instance))) == instance.id
    finally:
        doors.stop()


def test_a_closed_socket_is_gone_and_opens_again(cloud, folder, instance):
    doors = doors_of(cloud, folder, instance)
    try:
        nic_id = primary(cloud, instance)
        doors.close(nic_id)
        doors.close(nic_id)
        assert not os.path.exists(doors.path(nic_id))
        assert ask(doors.open(nic_id)) == instance.id
    finally:
        doors.stop()


def test_sockets_are_served_again_after_a_restart(cloud, folder, instance):
    first = doors_of(cloud, folder, instance)
    path = first.path(primary(cloud, instance))
    stale = first.open("eni-0123456789abcdef0")
    first.stop()
    assert os.path.exists(path)
    with pytest.raises(ConnectionRefusedError):
        ask(path)
    second = doors_of(cloud, folder, instance)
    try:
        assert ask(path) == instance.id
        assert not os.path.exists(stale)
    finally:
        second.stop()


def test_the_interface_of_an_ended_instance_finds_nothing(cloud, folder, instance):
    doors = doors_of(cloud, folder)
    try:
        assert "404 - Not Found" in ask(doors.open("eni-0123456789abcdef0"))
    finally:
        doors.stop()


def test_a_home_may_lie_deep(cloud, tmp_path, instance):
    """Deeper than an address of a socket can tell; QEMU's program gets there all the same."""
    folder = tmp_path / ("d" * 80) / ("e" * 80)
    doors = doors_of(cloud, folder, instance)
    try:
        path = doors.open(primary(cloud, instance))
        assert len(path) > 160
        request = f"GET {ID} HTTP/1.0\r\n\r\n".encode()
        ours, theirs = socket.socketpair()
        with (
            ours,
            theirs,
            subprocess.Popen(
                [sys.executable, "-I", "-S", relay.__file__, path], stdin=theirs, stdout=theirs, stderr=theirs
            ) as process,
        ):
            theirs.close()
            ours.settimeout(30)
            ours.sendall(request)
            assert until_closed(ours).endswith(instance.id.encode())
            assert process.wait(30) == 0
    finally:
        doors.stop()


def test_nobody_is_served_before_the_start_or_after_the_end(cloud, folder):
    doors = Doors(service_of(cloud), folder, list)
    with pytest.raises(OSError, match="not running"):
        doors.open("eni-0123456789abcdef0")
    doors.start()
    doors.stop()
    doors.stop()
    with pytest.raises(OSError, match="not running"):
        doors.open("eni-0123456789abcdef0")


def test_a_slow_guest_at_one_socket_holds_up_no_other(cloud, folder, instance):
    second = cloud.started()
    doors = doors_of(cloud, folder, instance, second, limits=QUICK)
    held = []
    try:
        for _ in range(QUICK.of_one + 3):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(doors.path(primary(cloud, instance)))
            held.append(connection)
        assert ask(doors.path(primary(cloud, second))) == second.id
    finally:
        for connection in held:
            connection.close()
        doors.stop()


def test_doors_may_be_opened_from_many_threads(cloud, folder):
    doors = Doors(service_of(cloud), folder, list)
    doors.start()
    names = [f"eni-{number:017x}" for number in range(40)] * 2
    try:
        with ThreadPoolExecutor(8) as threads:
            paths = list(threads.map(doors.open, names))
        assert {os.path.basename(path) for path in paths} == set(names) == set(os.listdir(folder))
    finally:
        doors.stop()
    assert not [each for each in threading.enumerate() if each.name == "metadata"]
