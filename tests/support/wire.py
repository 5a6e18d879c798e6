"""EC2 requests below the client libraries, well signed or badly on purpose, and the database as evidence."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from live_cloud import Answer, Key, LiveCloud
from sqlalchemy import select

from backend.store import Store
from backend.store.tables import metadata

VERSION = "2016-11-15"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
Pairs = Iterable[tuple[str, str]]

# What moves by itself: heartbeats, what hosts were last seen to have, and DBOS's own bookkeeping.
RESTLESS = {"worker": None, "host": None, "instance": {"last_seen"}, "console": {"at"}}


class Refusal(NamedTuple):
    """The three things clients look at."""

    status: int
    code: str
    message: str


class _SignedAt(SigV4Auth):
    """Signs for a moment of its own."""

    def __init__(self, key: Key, region: str, age: timedelta, service: str) -> None:
        super().__init__(Credentials(key.id, key.secret), service, region)
        self._age = age

    def add_auth(self, request: AWSRequest) -> None:
        moment = datetime.now(UTC) - self._age
        request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)
        canonical = self.canonical_request(request)
        signature = self.signature(self.string_to_sign(request, canonical), request)
        self._inject_signature_to_request(request, signature)


def signed(
    cloud: LiveCloud,
    body: bytes | Pairs | Mapping[str, str],
    *,
    key: Key | None = None,
    method: str = "POST",
    path: str = "/",
    age: timedelta = timedelta(),
    region: str | None = None,
    service: str = "ec2",
    content_type: str = FORM,
    spoil: Mapping[str, str] | None = None,
) -> Answer:
    """One signed request with exactly this body. ``spoil`` replaces headers after signing."""
    data = body if isinstance(body, bytes) else _encoded(body)
    made = AWSRequest(method, cloud.endpoint + path, data=data, headers={"Content-Type": content_type})
    made.headers["Host"] = f"127.0.0.1:{cloud.port}"
    _SignedAt(key or cloud.key, region or cloud.facts["region"], age, service).add_auth(made)
    headers = {**dict(made.headers.items()), **(spoil or {})}
    return cloud.http(method, path, data, headers)


def call(cloud: LiveCloud, action: str, *pairs: tuple[str, str], key: Key | None = None) -> Answer:
    """An operation with parameters in wire spelling."""
    return signed(cloud, [("Action", action), ("Version", VERSION), *pairs], key=key)


def _encoded(pairs: Pairs | Mapping[str, str]) -> bytes:
    listed = list(pairs.items()) if isinstance(pairs, Mapping) else list(pairs)
    return urlencode(listed).encode()


def refusal(answer: Answer) -> Refusal:
    """The error of a well-formed EC2 error document."""
    assert answer.headers["Content-Type"] == "text/xml;charset=UTF-8", answer
    document = ET.fromstring(answer.body)
    assert document.tag == "Response", answer.body
    assert document.findtext("RequestID"), answer.body
    code = document.findtext("Errors/Error/Code")
    message = document.findtext("Errors/Error/Message")
    assert code, answer.body
    assert message, answer.body
    return Refusal(answer.status, code, message)


def census(cloud: LiveCloud) -> dict[str, list[Any]]:
    """Every row of every table, but for what moves by itself: two are equal when nothing has changed."""
    store = Store(f"sqlite:///{cloud.home / 'isthmus.db'}")
    try:
        with store.read() as tx:
            found = {}
            for table in metadata.sorted_tables:
                restless = RESTLESS.get(table.name, set())
                if restless is not None:
                    columns = [column for column in table.columns if column.name not in restless]
                    rows = tx.connection.execute(select(*columns)).all()
                    found[table.name] = sorted(map(tuple, rows), key=repr)
            return found
    finally:
        store.close()
