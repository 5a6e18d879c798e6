"""OCCI messages as clients send them, and what is put in their place: the material of mutations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

INFRA = "http://schemas.ogf.org/occi/infrastructure#"
COMPUTE_ACTION = "http://schemas.ogf.org/occi/infrastructure/compute/action#"
OURS = "http://cloud.example.org/occi/infrastructure/"
PLAIN, HEADERS, JSON, URI_LIST = "text/plain", "text/occi", "application/occi+json", "text/uri-list"


class Message(NamedTuple):
    """One request: to a parser only what it says, to a server all of it.

    ``content_type`` is as sent; ``fields`` are OCCI's headers. ``media`` names the parser.
    """

    method: str
    path: str
    media: str
    fields: Mapping[str, str] = {}
    body: bytes = b""
    accept: str = "text/plain"
    content_type: str = ""
    query: str = ""


def _category(term: str, scheme: str = INFRA, class_: str = "kind", more: str = "") -> str:
    return f'{term}; scheme="{scheme}"; class="{class_}"{more}'


_COMPUTE = _category("compute")
_LARGE = _category("large", "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#", "mixin")
_KEY = _category("ssh_key", "http://schemas.ogf.org/occi/infrastructure/credentials#", "mixin")
_TAG = _category(
    "web", "http://cloud.example.org/ann#", "mixin", '; rel="http://nobody/knows#this"; location="/tag/web/"'
)
_STOP = _category("stop", COMPUTE_ACTION, "action")
_DISK = (
    f'</storage/7d1c>; rel="{INFRA}storage"; self="/storagelink/1"; category="{INFRA}storagelink"; '
    'occi.core.id="1"; occi.core.source="/compute/9"; occi.core.target="/storage/7d1c"; occi.storagelink.deviceid="vdb"'
)  # fmt: skip
_OLD_DISK = f'</storage/7d1c>; rel="{INFRA}storage"; category="{INFRA}storagelink" occi.storagelink.deviceid="vdb" a.b=1;'
_RULES = json.dumps([{"type": "inbound", "protocol": "tcp", "port": "80-443", "range": "0.0.0.0/0"}])
_DESCRIBED = _category(
    "storage", INFRA, "kind",
    '; title="Storage, in \\"quotes\\""; rel="http://schemas.ogf.org/occi/core#resource"; location="/storage/"; '
    'attributes="occi.core.id{immutable} occi.core.title occi.storage.size{required} occi.storage.state{immutable required}"; '
    'actions="http://schemas.ogf.org/occi/infrastructure/storage/action#online"',
)  # fmt: skip


def _plain(method: str, path: str, *lines: str, ends: str = "\n", **more: Any) -> Message:
    return Message(
        method,
        path,
        PLAIN,
        body=ends.join(lines).encode(),
        content_type=more.pop("content_type", PLAIN),
        **more,
    )


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _headers(method: str, path: str, **fields: str) -> Message:
    given = {name.replace("_", "-"): value.encode().decode("latin-1") for name, value in fields.items()}
    return Message(method, path, HEADERS, fields=given, content_type=HEADERS, accept=HEADERS)


def _json(method: str, path: str, said: Any, **more: Any) -> Message:
    body = json.dumps(said, ensure_ascii=False).encode()
    return Message(method, path, JSON, body=body, content_type=JSON, accept=JSON, **more)


def _x(name: str, value: Any) -> str:
    return (
        f'X-OCCI-Attribute: {name}="{_quoted(value)}"'
        if isinstance(value, str)
        else f"X-OCCI-Attribute: {name}={value}"
    )


_JSON_LINK = {
    "kind": f"{INFRA}storagelink", "id": "im-1", "source": {"location": "/compute/9"},
    "target": {"location": "/storage/7d1c", "kind": f"{INFRA}storage"},
    "attributes": {"occi.storagelink.deviceid": "vdb"},
}  # fmt: skip
_JSON_COMPUTE = {
    "kind": f"{INFRA}compute", "mixins": [f"{OURS}os_tpl#ami-1"], "id": "im-1", "title": 'a "b" \\ c 𝔸',
    "attributes": {"occi.compute.cores": 2, "occi.compute.memory": 0.5, "occi.core.title": "b", "flag": True},
    "links": [_JSON_LINK],
}  # fmt: skip

CORPUS: tuple[Message, ...] = (
    _plain("POST", "/compute/", f"Category: {_COMPUTE}"),
    _plain("POST", "/compute/", f"Category: {_COMPUTE}", f"Category: {_LARGE}", f"Category: {_KEY}", f"Link: {_DISK}",
           _x("occi.core.title", 'web, "first"; \\o/'), _x("occi.compute.cores", 2), _x("occi.compute.memory", 1.0),
           _x("occi.credentials.ssh.publickey", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAB ann@example.org")),
    _plain("POST", "/", f"Category: {_COMPUTE}, {_LARGE}", f"X-OCCI-Link: {_OLD_DISK}",
           'X-OCCI-Attribute: occi.core.title="ü, €", occi.compute.cores=1, on=true;', ends="\r\n", content_type="text/plain,text/occi"),
    _plain("PUT", "/compute/{compute}", f"Category: {_COMPUTE}", _x("occi.core.title", "renamed"),
           f'Link: </compute/1?action=stop>; rel="{COMPUTE_ACTION}stop"'),
    _plain("POST", "/compute/{compute}", _x("occi.core.title", "𝔸 e\u0301 \u2028")),
    _plain("POST", "/compute/{compute}", f"Category: {_STOP}", _x("method", "graceful"), query="action=stop"),
    _plain("POST", "/storage/", f"Category: {_category('storage')}", _x("occi.storage.size", 0.1), content_type="text/occi+plain"),
    _plain("POST", "/storagelink/", f"Category: {_category('storagelink')}", _x("occi.core.source", "/compute/{compute}"),
           _x("occi.core.target", "http://h/storage/{storage}"), _x("occi.storagelink.deviceid", "/dev/vdf")),
    _plain("POST", "/securitygroup/", f"Category: {_category('securitygroup')}", _x("occi.securitygroup.rules", _RULES)),
    _plain("POST", "/network/", f"Category: {_category('network')}",
           f"Category: {_category('ipnetwork', INFRA[:-1] + '/network#', 'mixin')}", _x("occi.network.address", "192.168.5.0/24")),
    _plain("POST", "/-/", f"Category: {_TAG}"),
    _plain("POST", "/tag/web/", "X-OCCI-Location: http://h/compute/{compute}", "X-OCCI-Location: /storage/{storage}"),
    _plain("PUT", "/tag/web/", "X-OCCI-Location: http://h/compute/{compute}, http://h/storage/{storage}"),
    _plain("DELETE", "/tag/web/", "X-OCCI-Location: /compute/{compute}"),
    _plain("DELETE", "/-/", f"Category: {_TAG}"),
    _plain("POST", "/-/", f"Category: {_DESCRIBED}"),
    Message("POST", "/compute/", PLAIN, body='X-OCCI-Attribute: a="Gr\xfc\xdfe"'.encode("latin-1"), content_type="text/plain; charset=ISO-8859-1"),
    _headers("POST", "/compute/", Category=f"{_COMPUTE}, {_LARGE}", Link=_DISK, X_OCCI_Attribute='occi.core.title="a, b", occi.compute.cores=1'),
    _headers("POST", "/compute/{compute}", X_OCCI_Attribute='occi.core.summary="ü; \\"x\\""'),
    _headers("POST", "/compute/", X_OCCI_Category=f"{_COMPUTE};", X_OCCI_Link=_OLD_DISK),
    _headers("POST", "/tag/web/", X_OCCI_Location="http://h/compute/{compute}, http://h/storage/{storage}"),
    _headers("GET", "/compute/", Category=_LARGE),
    _headers("GET", "/", X_OCCI_Attribute='occi.core.title="web"'),
    _headers("GET", "/-/", Category=_LARGE),
    _json("POST", "/compute/", _JSON_COMPUTE),
    _json("POST", "/", {"resources": [{"kind": f"{INFRA}compute"}, {"kind": f"{INFRA}storage", "attributes": {"occi.storage.size": 1}}]}),
    _json("POST", "/compute/{compute}", {"attributes": {"occi.core.title": "renamed"}}),
    _json("POST", "/compute/{compute}", {"action": f"{COMPUTE_ACTION}restart", "attributes": {"method": "cold"}}, query="action=restart"),
    _json("POST", "/-/", {"mixins": [{"term": "web", "scheme": "http://cloud.example.org/ann#", "location": "/tag/web/",
                                      "attributes": {"a.b": {"type": "number", "default": 1.5}}}]}),
    _json("POST", "/tag/web/", ["http://h/compute/{compute}"]),
    _json("POST", "/", {"links": [_JSON_LINK]}),
    _json("PUT", "/compute/{compute}", {"kind": f"{INFRA}compute", "mixins": [], "attributes": {"a": [1, {"b": "c"}], "d": -1e300}}),
    Message("POST", "/tag/web/", URI_LIST, body=b"# mine\r\nhttp://h/compute/{compute}\r\n\r\n/storage/{storage}\n", content_type=URI_LIST),
    Message("GET", "/", PLAIN), Message("GET", "/-/", PLAIN, accept=JSON), Message("GET", "/compute/", PLAIN, accept=URI_LIST),
    Message("GET", "/compute/{compute}", PLAIN, accept=HEADERS), Message("HEAD", "/-/", PLAIN), Message("OPTIONS", "/compute/", PLAIN),
    Message("GET", "/storage/{storage}", PLAIN, accept="text/*;q=0.5, application/occi+json;q=0.9"),
    Message("GET", "/compute/", PLAIN, query="page=1&number=2"),
    Message("DELETE", "/compute/{theirs}", PLAIN), Message("GET", "/compute/{theirs}", PLAIN), Message("DELETE", "/storagelink/", PLAIN),
)  # fmt: skip
"""The ``{names}`` stand for ids of what a server has (``theirs``: another tenant's)."""

WORDS: tuple[str, ...] = (
    "", " ", "  ", "\t", "\n", "\r", "\r\n", "\x00", "\x07", "\x7f", "\x85", "\u00a0", "\u2028", "\ufeff", "ü", "€", "𝔸", "e\u0301", "\ud7ff",
    ";", "; ", ",", ", ", "=", '"', "\\", '\\"', "\\\\", "<", ">", "'", "#", "?", "&", "%", "%00", "%2F", "{", "}", "[", "]", ":", "/", "//", "..", ".", "-", "_",
    "0", "-0", "-0.0", "1", "-1", "007", "1.0", ".5", "5.", "1e5", "1e999", "NaN", "Infinity", "-Infinity", "9" * 19, "9" * 20, "9" * 400, "0." + "3" * 400,
    "true", "false", "True", "null", '""', "[]", "{}", "[[[[[[[[[[[[[[[[[[[[", '{"a":', "\\u0000", "\\ud800", "\\ud83d\\ude00",
    "Category", "Category:", "Link", "Link:", "X-OCCI-Attribute", "X-OCCI-Attribute:", "X-OCCI-Location", "X-OCCI-Location:", "X-OCCI-Link:", "x-occi-category:",
    "scheme", "scheme=", "class=", "title=", "rel=", "location=", "attributes=", "actions=", "self=", "category=", "kind", "mixin", "action", "?action=", "?action=stop",
    "occi.core.id", "occi.core.title", "occi.core.summary", "occi.core.source", "occi.core.target", "occi.core.target.kind", "occi.compute.cores", "occi.compute.memory",
    "occi.compute.state", "occi.compute.userdata", "occi.storage.size", "occi.network.address", "occi.networkinterface.address", "method", "immutable", "required", "{immutable}",
    INFRA, f"{INFRA}compute", f"{INFRA}storage", f"{INFRA}network", f"{INFRA}networkinterface", f"{INFRA}storagelink", f"{INFRA}securitygroup", f"{INFRA}ipreservation",
    "http://schemas.ogf.org/occi/core#", "http://schemas.ogf.org/occi/core#entity", "compute", "storage", "network", "start", "stop", "save", "suspend", "online", "resize", "up", "down",
    "http://h/compute/", "/compute/", "/storage/{storage}", "/compute/{compute}", "/compute/{theirs}", "/network/", "/-/", "/.well-known/org/ogf/occi/-/", "/tag/web/", "/mixin/",
    '"kind"', '"kinds"', '"mixins"', '"attributes"', '"links"', '"resources"', '"target"', '"source"', '"location"', '"title"', '"id"', '"default"', '"rel"', '"summary"',
    "192.168.5.0/24", "10.0.0.0/8", "0.0.0.0/0", "::/0", "/dev/vdf", "x" * 300, "a." * 200, "((((", "%s", "${jndi}", "../../etc/passwd", "<!DOCTYPE x>", "' OR 1=1 --",
)  # fmt: skip

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
PATHS = (
    "/", "/-/", "/.well-known/org/ogf/occi/-/", "/compute/", "/compute", "/storage/", "/network/", "/storagelink/", "/networkinterface/", "/securitygroup/",
    "/securitygrouplink/", "/ipreservation/", "/tag/web/", "/os_tpl/", "/resource_tpl/", "/mixin/", "/nothing/", "/compute/{compute}", "/storage/{storage}",
    "/network/{network}", "/storagelink/{storagelink}", "/networkinterface/{networkinterface}", "/securitygroup/{securitygroup}", "/compute/{theirs}", "/compute/123",
)  # fmt: skip
QUERIES = (
    "",
    "action=stop",
    "action=start",
    "action=save",
    "action=resize",
    "action=",
    "page=1&number=1",
    "page=0",
    "number=x",
    "action=stop&action=start",
    "%ff",
    "a=b&&=",
)
TYPES = (
    PLAIN,
    HEADERS,
    JSON,
    URI_LIST,
    "text/occi+plain",
    "text/plain,text/occi",
    "text/plain; charset=ISO-8859-1",
    "application/json",
    "text/html",
    "*/*",
    ";;",
    "",
)
ACCEPTS = (
    PLAIN,
    HEADERS,
    JSON,
    URI_LIST,
    "*/*",
    "text/*;q=0.2, application/occi+json",
    "image/png",
    ";;;q=z",
    "",
)
