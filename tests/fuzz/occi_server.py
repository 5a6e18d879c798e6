"""Mutated messages at a gateway with two tenants: no error of the server's, and no change where there may be none.

In this process (:func:`in_process`) everything from WSGI on is the gateway's own: the doors, the faces, the engine
and a database in memory; a worker's steps are taken between messages. Behind HTTP (:func:`over_http`) it is a server
of its own with its worker's threads.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import re
import sqlite3
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import campaign
import falcon.testing
import structlog
from mutation import Mutator
from occi_corpus import INFRA, Message
from occi_parser import Wrong
from simulation import ADMIN, Cloud

from backend.commands import CreateUser
from gateway.app import Gateway, application
from gateway.crypto import Passwords
from gateway.installation import make

_ZONES = {"us-east-1": ("us-east-1a",)}
_STEPS_EVERY, _FRESH_EVERY = 50, 500
_MEANT = frozenset({501, 503})
_PASSWORD = "a password"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Send = Callable[[str, str, str, Mapping[str, str], bytes], Answer]


def run(mutator: Mutator, *, http: bool, **options: Any) -> campaign.Outcome:
    """Send messages, in this process or over HTTP."""
    be_quiet()
    with over_http() if http else in_process() as server:
        outcome = campaign.run(mutator.request, server.judge, **options)
        try:
            server.check_others()
        except Wrong as error:
            print(error, file=sys.stderr)
            return outcome._replace(failed=outcome.failed + 1)
        return outcome


def be_quiet() -> None:
    """No line in the log for each request, only for errors."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


# What both have -----------------------------------------------------------------------------------------


class Server:
    """A gateway with things of the caller's (``known``: ids by kind) and of somebody else's."""

    def __init__(self, send: Send, user: str, password: str) -> None:
        self._send = send
        self._login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.known: dict[str, str] = {}

    def judge(self, number: int, message: Message) -> bool:
        """Whether a message was obeyed; raises Wrong for what must not be."""
        answer = self.send(message)
        check_answer(message, answer)
        return answer.status < 400

    def send(self, message: Message) -> Answer:
        """One message, with the ids of what is there in place of their names."""
        fields = {name: _UNSENDABLE.sub("", self._named(value)) for name, value in message.fields.items()}
        fields |= {"Authorization": self._login, "Accept": message.accept, "User-Agent": "fuzz OCCI/1.2"}
        if message.content_type:
            fields["Content-Type"] = message.content_type
        body = message.body
        for name, known in self.known.items():
            body = body.replace(f"{{{name}}}".encode(), known.encode())
        path = "/" + quote(
            self._named(message.path).lstrip("/"), safe="/-._~%:@!$&'()*+,;=", encoding="latin-1"
        )
        return self._send(message.method, path, quote(message.query, safe="=&%"), fields, body)

    def _named(self, text: str) -> str:
        for name, known in self.known.items():
            text = text.replace(f"{{{name}}}", known)
        return text

    def make(self, path: str, category: str, *attributes: str) -> str:
        """The id of a new thing."""
        body = "\n".join((f"Category: {category}", *(f"X-OCCI-Attribute: {each}" for each in attributes)))
        answer = self.send(Message("POST", path, "text/plain", body=body.encode(), content_type="text/plain"))
        if answer.status != 201:
            raise RuntimeError(f"{path}: {answer}")
        return answer.body.decode().rsplit("/", 1)[-1]

    def populate(self, others: Server) -> None:
        """Two machines with a disk and a tag, as much for the other tenant, and all ids."""
        for server in (others, self):
            compute, storage = (
                f'compute; scheme="{INFRA}"; class="kind"',
                f'storage; scheme="{INFRA}"; class="kind"',
            )
            made = server.make("/compute/", compute, 'occi.core.title="web"')
            server.make("/compute/", compute)
            disk = server.make("/storage/", storage, "occi.storage.size=1")
            server.known = {"compute": made, "storage": disk}
            tag = 'Category: web; scheme="http://cloud.example.org/ann#"; class="mixin"; location="/tag/web/"'
            server.send(Message("POST", "/-/", "text/plain", body=tag.encode(), content_type="text/plain"))
        self.known |= {"theirs": others.known["compute"]}
        self.find()

    def find(self) -> None:
        """The links, networks and groups that there are."""
        for kind in ("network", "networkinterface", "securitygroup", "storagelink"):
            listed = self.send(Message("GET", f"/{kind}/", "text/plain", accept="text/uri-list"))
            if listed.body:
                self.known[kind] = listed.body.decode().split("\n")[0].rsplit("/", 1)[-1]

    def check_others(self) -> None:
        """Raises Wrong when somebody else's things are not what they were."""


def check_answer(message: Message, answer: Answer) -> None:
    """The status is not the server's fault, and the form is that of its type."""
    if answer.status >= 500 and answer.status not in _MEANT:
        raise Wrong(f"{answer.status}: {answer.body[:300]!r}")
    for name, value in answer.headers.items():
        if _CONTROL.search(value):
            raise Wrong(f"header {name} is {value!r}")
    media = answer.headers.get("content-type", "").split(";")[0]
    if message.method != "HEAD" and media == "application/occi+json":
        json.loads(answer.body)
    elif media.startswith("text/"):
        answer.body.decode()
    if answer.status >= 400 and message.method != "HEAD" and not answer.body:
        raise Wrong(f"{answer.status} without a word")


# In this process ----------------------------------------------------------------------------------------


class InProcess(Server):
    """A gateway around a cloud in memory, whose rows are compared after each message."""

    def __init__(self, folder: Path) -> None:
        self.cloud = Cloud()
        self.cloud.clock.now = 1_800_000_000.0
        installation, _ = make(folder / "home", listen="127.0.0.1:0", regions=_ZONES)
        installation.close()
        cloud = self.cloud
        installation.store, installation.engine = cloud.store, cloud.engine
        installation.queue = _Queue()  # type: ignore[assignment]
        hashed = Passwords().hash(_PASSWORD)
        self.tenants = {"fuzz": cloud.tenant.id, "other": cloud.other_tenant.id}
        for name, tenant_id in self.tenants.items():
            cloud.engine.execute(ADMIN, CreateUser(tenant_id=tenant_id, name=name, password_hash=hashed))
        self._client = falcon.testing.TestClient(application(Gateway(installation)))
        super().__init__(self._in_process, "fuzz", _PASSWORD)
        others = Server(self._in_process, "other", _PASSWORD)
        self.populate(others)
        cloud.settle()
        self.find()
        self._database = self._connection()
        self._first, self._queued = self._image(), deque(cloud.queue.work)
        self._others = self._rows_of_others()
        self._now = self._first

    def _in_process(
        self, method: str, path: str, query: str, fields: Mapping[str, str], body: bytes
    ) -> Answer:
        given = self._client.simulate_request(
            method, path, query_string=query, headers=dict(fields), body=body
        )
        return Answer(
            given.status_code, {name.lower(): value for name, value in given.headers.items()}, given.content
        )

    def judge(self, number: int, message: Message) -> bool:
        if number % _FRESH_EVERY == 0:
            self.check_others()
            self._restore()
        elif number % _STEPS_EVERY == 0:
            self._work()
        before = self._database.total_changes
        obeyed = super().judge(number, message)
        if self._database.total_changes != before:
            image = self._image()
            may_change = obeyed and message.method not in {"GET", "HEAD", "OPTIONS"}
            if not may_change and image != self._now and _rows(image) != _rows(self._now):
                raise Wrong(f"{message.method} was not to change anything: {_difference(self._now, image)}")
            self._now = image
        return obeyed

    def _work(self) -> None:
        """The worker takes what is queued, all at once; the clock goes on."""
        self.cloud.settle()
        self._now = self._image()

    def _restore(self) -> None:
        """Be as in the beginning, so that there is always something to be hit."""
        with contextlib.closing(sqlite3.connect(":memory:")) as saved:
            saved.deserialize(self._first)
            saved.backup(self._database)
        self.cloud.queue.work = deque(self._queued)
        self.cloud.queue.keys = set()
        self._now = self._image()

    def check_others(self) -> None:
        now = self._rows_of_others()
        if now != self._others:
            changed = [table for table, rows in now.items() if rows != self._others[table]]
            raise Wrong(f"another tenant's rows changed: {', '.join(changed)}")

    def _connection(self) -> sqlite3.Connection:
        driver = self.cloud.store.engine.raw_connection().driver_connection
        assert isinstance(driver, sqlite3.Connection)
        return driver

    def _image(self) -> bytes:
        return bytes(self._database.serialize())

    def _rows_of_others(self) -> dict[str, list[Any]]:
        tables = [
            name for (name,) in self._database.execute("select name from sqlite_master where type = 'table'")
        ]
        found = {}
        for table in tables:
            columns = {row[1] for row in self._database.execute(f"pragma table_info({table})")}
            if "tenant_id" in columns:
                query = f"select * from {table} where tenant_id = ? order by 1, 2"
                found[table] = self._database.execute(query, (self.tenants["other"],)).fetchall()
        return found


class _Queue:
    """The engine has a queue of its own; the gateway only asks for its client."""

    def client(self) -> None:
        """Nothing has to be opened."""


def _rows(image: bytes) -> list[str]:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(image)
        return list(database.iterdump())


def _difference(before: bytes, after: bytes) -> str:
    old, new = _rows(before), _rows(after)
    return str([line[:300] for line in set(new) ^ set(old)][:6])


@contextlib.contextmanager
def in_process() -> Iterator[Server]:
    """A server in this process."""
    with tempfile.TemporaryDirectory(prefix="isthmus-fuzz-") as folder:
        yield InProcess(Path(folder))


# Over HTTP ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def over_http() -> Iterator[Server]:
    """A server with its worker's threads behind HTTP."""
    from served_cloud import served

    with served() as cloud:
        yield OverHttp(cloud)


class OverHttp(Server):
    """A gateway behind HTTP; what another tenant sees is compared."""

    def __init__(self, cloud: Any) -> None:
        self._address = urlsplit(cloud.url).netloc
        self._connection = http.client.HTTPConnection(self._address, timeout=20)
        engine = cloud.installation.engine
        tenant = cloud.installation.engine.tenant(cloud.credentials.tenant)
        from backend.commands import CreateTenant

        other = engine.execute(ADMIN, CreateTenant(name="other", account_id="444455556666"))
        assert tenant is not None
        hashed = Passwords().hash(_PASSWORD)
        engine.execute(ADMIN, CreateUser(tenant_id=other.id, name="other", password_hash=hashed))
        super().__init__(self._over_http, cloud.credentials.occi_user, cloud.credentials.occi_password)
        self._other = Server(self._over_http, "other", _PASSWORD)
        self.populate(self._other)
        self._others = self._seen_by_others()

    def _over_http(
        self, method: str, path: str, query: str, fields: Mapping[str, str], body: bytes
    ) -> Answer:
        target = f"{path}?{query}" if query else path
        try:
            self._connection.request(method, target, body=body or None, headers=dict(fields))
            reply = self._connection.getresponse()
            return Answer(reply.status, {n.lower(): v for n, v in reply.getheaders()}, reply.read())
        except (http.client.HTTPException, OSError):
            self._connection.close()
            self._connection = http.client.HTTPConnection(self._address, timeout=20)
            raise

    def _seen_by_others(self) -> Any:
        return self._other.send(Message("GET", "/", "text/plain", accept="text/uri-list")).body.split()

    def check_others(self) -> None:
        if self._seen_by_others() != self._others:
            raise Wrong("another tenant's things changed")
