"""Images come over HTTP whole or not at all, and only from where the operator allows."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from backend.errors import BackendError
from backend.images import ImageStore, Limits, Sources
from backend.images import download as module
from backend.images.download import fits

DATA = os.urandom(3 << 20) + bytes(5 << 20) + os.urandom(1024)


class Handler(BaseHTTPRequestHandler):
    """Serves DATA in the way that the path names, and notes what it was asked."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        kind = urlsplit(self.path).path.strip("/").split("/")[-1]
        self.server.asked.append((kind, self.headers.get("Range"), self.headers.get("If-Range")))
        getattr(self, f"do_{kind.replace('-', '_')}")()

    def send(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not False:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_whole(self):
        self.send(200, DATA)

    def do_resumed(self):
        begin = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        end = min(begin + (3 << 20), len(DATA))
        where = f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}"
        self.close_connection = end < len(DATA)
        headers = {"Content_Range": where} if begin else {}
        self.send(206 if begin else 200, DATA[begin:end], len(DATA) - begin, ETag='"one"', **headers)

    def do_unmarked(self):
        first = sum(kind == "unmarked" for kind, *_ in self.server.asked) == 1
        self.close_connection = first
        self.send(200, DATA[: 1 << 20] if first else DATA, len(DATA))

    def do_changed(self):
        first = sum(kind == "changed" for kind, *_ in self.server.asked) == 1
        self.close_connection = first
        if first:
            self.send(200, bytes(1 << 20), len(DATA) * 2, ETag='"old"')
        else:
            self.send(200, DATA, ETag='"new"')

    def do_truncated(self):
        self.close_connection = True
        self.send(200, DATA[: 1 << 20], len(DATA))

    def do_chunked(self):
        self.send(200, b"", False, Transfer_Encoding="chunked")
        for begin in range(0, len(DATA), 1 << 20):
            part = DATA[begin : begin + (1 << 20)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def do_endless(self):
        self.send(200, b"", False, Transfer_Encoding="chunked")
        try:
            while True:
                self.wfile.write(b"%x\r\n%s\r\n" % (1 << 20, b"x" * (1 << 20)))
        except OSError:
            self.close_connection = True

    def drip(self):
        with suppress(OSError):
            while not threading.Event().wait(0.05):
                self.wfile.write(b"x")
                self.wfile.flush()
        self.close_connection = True

    def do_dripping(self):
        self.send(200, b"", 1 << 20)
        self.drip()

    def do_slow_header(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.drip()

    def do_lengthless(self):
        self.close_connection = True
        self.send(200, DATA, False)

    def do_packed(self):
        self.send(200, DATA, Content_Encoding="gzip")

    def do_huge(self):
        self.close_connection = True
        self.send(200, b"x", 1 << 60)

    def do_absent(self):
        self.send(404, b"no")

    def do_busy(self):
        if sum(kind == "busy" for kind, *_ in self.server.asked) == 1:
            self.send(503)
        else:
            self.do_whole()

    def do_round(self):
        self.send(302, Location="round")

    def do_moved(self):
        self.send(307, Location="whole")

    def do_outside(self):
        self.send(302, Location=self.server.outside + "/whole")

    def do_to_file(self):
        self.send(302, Location="file:///etc/passwd")


@contextmanager
def serving(address="127.0.0.1"):
    server = ThreadingHTTPServer((address, 0), Handler)
    server.handle_error = lambda *_: None  # clients that hang up are a part of the tests
    server.asked, server.outside = [], ""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        server.url = f"http://{address}:{server.server_port}"
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server():
    with serving() as made:
        yield made


@pytest.fixture
def store(tmp_path, server):
    sources = Sources(urls=(f"{server.url}/images/",))
    return ImageStore(tmp_path / "images", sources, limits=Limits(spare_bytes=0, seconds=60))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda _seconds: None)


@pytest.mark.parametrize("kind", ["whole", "chunked", "resumed", "unmarked", "changed", "busy", "moved"])
def test_all_bytes_come(store, server, kind):
    told = []
    content = store.bring("one", f"{server.url}/images/{kind}?x=1", progress=lambda *now: told.append(now))
    assert content.checksum == hashlib.sha256(DATA).hexdigest()
    assert told[-1] == (10_000, 10_000)
    store.drop("one")
    assert store.files() == {f"{content.checksum}.raw"}


def test_a_broken_download_goes_on_where_it_was(store, server):
    store.bring("one", f"{server.url}/images/resumed")
    assert [asked[1:] for asked in server.asked] == [
        (None, None),
        (f"bytes={3 << 20}-", '"one"'),
        (f"bytes={6 << 20}-", '"one"'),
    ]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("truncated", "broke off 5 times"),
        ("lengthless", "does not say how long"),
        ("packed", "packed"),
        ("huge", "room"),
        ("absent", "404"),
        ("round", "more than 5 times"),
        ("to-file", "no http or https URL"),
    ],
)
def test_what_does_not_come_whole_is_refused(store, server, kind, told):
    with pytest.raises(BackendError, match=told):
        store.bring("one", f"{server.url}/images/{kind}")
    assert store.files() == frozenset()


@pytest.mark.parametrize("kind", ["dripping", "slow-header"])
def test_a_server_that_drips_does_not_hold_a_worker(server, tmp_path, kind):
    begun = time.monotonic()
    limits = Limits(spare_bytes=0, seconds=1)
    with pytest.raises(BackendError, match="takes too long"):
        module.download(f"{server.url}/{kind}", tmp_path / "disk", None, 1 << 30, limits)
    assert time.monotonic() - begun < 5


def test_what_has_no_end_stops_at_the_room_there_is(server, tmp_path):
    free = os.statvfs(tmp_path)
    limits = Limits(spare_bytes=free.f_bavail * free.f_frsize - (16 << 20))
    store = ImageStore(tmp_path / "images", Sources(urls=None), limits=limits)
    with pytest.raises(BackendError, match="room"):
        store.bring("one", f"{server.url}/endless")
    assert store.files() == frozenset()


def test_a_redirection_leads_only_where_the_operator_allows(store, server):
    with serving("127.0.0.2") as other:
        server.outside = f"{other.url}/images"
        with pytest.raises(BackendError, match="allows no image from http://127.0.0.2"):
            store.bring("one", f"{server.url}/images/outside")
        assert other.asked == []
        store.sources = Sources(urls=(server.url, f"{other.url}/images"))
        assert store.bring("one", f"{server.url}/images/outside").virtual_bytes == len(DATA)


@pytest.mark.parametrize(
    "path",
    ["/whole", "/images/../whole", "/images/%2e%2e/whole", "/images/..%2fwhole", "/imagesx/whole", "/images"],
)
def test_only_what_begins_as_the_operator_said(store, server, path):
    if path == "/images":
        path = "/other/images/whole"
    with pytest.raises(BackendError, match="allows no image"):
        store.bring("one", server.url + path)
    assert server.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "169.254.169.254",
        "10.1.2.3",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
    ],
)
def test_addresses_inside_are_closed_unless_named(server, tmp_path, monkeypatch, host):
    connected = []
    monkeypatch.setattr(module.socket, "create_connection", lambda *args, **_: connected.append(args))
    store = ImageStore(tmp_path / "images", Sources(urls=("http://", "https://")))
    for scheme in ("http", "https"):
        with pytest.raises(BackendError, match="not public|no host"):
            store.bring("one", f"{scheme}://{host}:{server.server_port}/whole")
    assert connected == []


def test_a_name_is_resolved_once_and_the_address_judged_is_the_one_used(server, tmp_path, monkeypatch):
    """A name server that answers a public address first and an inside one later gains nothing."""
    answers = [[("93.184.216.34", 80)], [("127.0.0.1", server.server_port)]]
    connected = []

    def resolve(_host, _port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in answers.pop(0)]

    def connect(address, **_):
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(module.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(module.socket, "create_connection", connect)
    store = ImageStore(tmp_path / "images", Sources(urls=("http://",)))
    with pytest.raises(BackendError, match="not public"):
        store.bring("one", "http://images.example.org/whole")
    assert connected == ["93.184.216.34"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://user:secret@127.0.0.1/x", "password"),
        ("http://", "no http"),
        ("http://[::1/x", "not understood"),
        ("http://127.0.0.1:99999/x", "not understood"),
        ("http://127.0.0.1/a b", "signs"),
        ("http://127.0.0.1/a\r\nX: y", "signs"),
        ("http://nowhere.invalid/x", "no host|broke off"),
        ("http://127.0.0.1:1/x", "broke off"),
    ],
)
def test_urls_that_lead_nowhere(tmp_path, url, told):
    store = ImageStore(tmp_path / "images", Sources(urls=None))
    with pytest.raises(BackendError, match=told) as refused:
        store.bring("one", url)
    assert "secret" not in refused.value.message


def test_prefixes():
    def fitting(url, prefix):
        return fits(urlsplit(url), prefix)

    assert fitting("https://a.org/x/y", "https://a.org/x")
    assert fitting("https://a.org/x/y", "https://a.org/x/")
    assert fitting("https://A.org:443/x", "https://a.org")
    assert fitting("http://a.org/x", "http://")
    assert not fitting("https://a.org.evil.com/x", "https://a.org")
    assert not fitting("https://a.org@evil.com/x", "https://a.org")
    assert not fitting("https://a.org:444/x", "https://a.org")
    assert not fitting("http://a.org/x", "https://a.org")
    assert not fitting("https://a.org/xyz", "https://a.org/x")
