"""Sixty ways to break a server of ours, each with the requirement that it breaks.

A fault sits between the HTTP server and the application. It changes what the application hears, or what the
client gets, or answers itself; the application stays as it is. Faults are what real servers do wrong.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import msgspec

from rendering.query_params import decode_pairs

JSON = "application/occi+json"
INFRA = "http://schemas.ogf.org/occi/infrastructure"
_DEEDS = frozenset({"POST", "PUT", "DELETE"})
_HERE = threading.local()


class Reply:
    """An answer on its way out; faults change it."""

    def __init__(self, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes | str = b"") -> None:
        self.status = status
        self.headers = list(headers)
        self.body = body.encode() if isinstance(body, str) else body

    @property
    def text(self) -> str:
        return self.body.decode()

    @text.setter
    def text(self, text: str) -> None:
        self.body = text.encode()

    def get(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    def set(self, name: str, value: str) -> None:
        self.drop(name)
        self.headers.append((name, value))

    def drop(self, name: str) -> None:
        self.headers = [(key, value) for key, value in self.headers if key.lower() != name.lower()]

    @property
    def media(self) -> str:
        return self.get("content-type").split(";")[0]


class Heard:
    """A request on its way in: a view of a WSGI environment, whose changes the application sees."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ

    @property
    def method(self) -> str:
        return str(self.environ["REQUEST_METHOD"])

    @property
    def path(self) -> str:
        return str(self.environ["PATH_INFO"])

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.environ.get("QUERY_STRING", ""), keep_blank_values=True))

    @query.setter
    def query(self, query: dict[str, str]) -> None:
        self.environ["QUERY_STRING"] = urlencode(query)

    def header(self, name: str) -> str:
        return str(self.environ.get(_key(name), ""))

    def set(self, name: str, value: str) -> None:
        self.environ[_key(name)] = value

    def drop(self, *names: str) -> None:
        for name in names:
            self.environ.pop(_key(name), None)

    @property
    def body(self) -> bytes:
        """What the client sends; read once, and given to the application anew."""
        if "broken.body" not in self.environ:
            length = int(self.environ.get("CONTENT_LENGTH") or 0)
            self.body = self.environ["wsgi.input"].read(length) if length else b""
            self.environ["wsgi.input"] = io.BytesIO(self.environ["broken.body"])
        found: bytes = self.environ["broken.body"]
        return found

    @body.setter
    def body(self, body: bytes) -> None:
        self.environ["broken.body"] = body
        self.environ["wsgi.input"] = io.BytesIO(body)
        self.environ["CONTENT_LENGTH"] = str(len(body))

    @property
    def is_entity(self) -> bool:
        return re.fullmatch(r"/[a-z]+/[^/]+", self.path) is not None and not self.is_query

    @property
    def is_collection(self) -> bool:
        return self.path.endswith("/") and self.path.count("/") == 2 and not self.is_query

    @property
    def is_query(self) -> bool:
        return self.path in {"/-/", "/.well-known/org/ogf/occi/-/"}

    @property
    def is_action(self) -> bool:
        return "action" in self.query


def _key(name: str) -> str:
    upper = name.upper().replace("-", "_")
    return upper if upper in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{upper}"


class Fault(NamedTuple):
    """One way to be wrong. ``before`` may answer itself; ``after`` changes the answer."""

    name: str
    breaks: tuple[str, ...]
    before: Callable[[Heard], Reply | None] = lambda _heard: None
    after: Callable[[Heard, Reply], None] = lambda _heard, _reply: None


class Breakable:
    """An application that can be broken: ``fault`` is the one in force, or None."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.fault: Fault | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        fault, _HERE.sent, _HERE.anybody = self.fault, None, False
        if fault is None:
            return self._app(environ, start_response)
        heard = Heard(environ)
        heard.body  # noqa: B018 - later it would have been read by the application
        reply = fault.before(heard) or self._answered(environ)
        fault.after(heard, reply)
        reply.set("Content-Length", str(len(reply.body)))
        start_response(f"{reply.status} Whatever", reply.headers)
        return [reply.body if environ["REQUEST_METHOD"] != "HEAD" else b""]

    def ask(self, heard: Heard, method: str, path: str, **headers: str) -> Reply:
        """What the application says to another request of the same client."""
        environ = {
            key: value
            for key, value in heard.environ.items()
            if not key.startswith("HTTP_") or key in {"HTTP_HOST", "HTTP_AUTHORIZATION", "HTTP_ACCEPT"}
        }
        environ |= {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "wsgi.input": io.BytesIO(),
            "CONTENT_LENGTH": "",
        }
        environ |= {_key(name): value for name, value in headers.items()}
        return self._answered(environ)

    def _answered(self, environ: dict[str, Any]) -> Reply:
        told: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
            told[:] = [int(status.split()[0]), headers]

        body = b"".join(self._app(environ, start_response))
        return Reply(told[0], told[1], body)


# Tools --------------------------------------------------------------------------------------------------


def _text(reply: Reply) -> bool:
    return reply.media in {"text/plain", "text/occi+plain"}


def _lines(change: Callable[[str], str | None]) -> Callable[[Heard, Reply], None]:
    """Change each line of answers in text/plain, and each element in text/occi; None drops it."""

    def after(_heard: Heard, reply: Reply) -> None:
        if reply.status >= 400:
            return
        if _text(reply):
            found = [change(line) for line in reply.text.split("\n")]
            reply.text = "\n".join(line for line in found if line is not None)
        elif reply.media == "text/occi":
            for name in ("Category", "Link", "X-OCCI-Attribute", "X-OCCI-Location"):
                if parts := re.findall(r'(?:"(?:[^"\\]|\.)*"|<[^>]*>|[^,"<])+', reply.get(name)):
                    kept = [change(f"{name}: {part.strip()}") for part in parts]
                    values = [line.partition(": ")[2] for line in kept if line]
                    reply.drop(name)
                    if values:
                        reply.set(name, ", ".join(values))

    return after


def _json(change: Callable[[Any], Any]) -> Callable[[Heard, Reply], None]:
    """Change the document of answers in JSON."""

    def after(_heard: Heard, reply: Reply) -> None:
        if reply.media == JSON and reply.status < 400 and reply.body:
            reply.text = json.dumps(change(json.loads(reply.body)))

    return after


def _json_entities(change: Callable[[dict[str, Any]], None]) -> Callable[[Heard, Reply], None]:
    """Change every entity in answers in JSON, alone or in a collection."""

    def everywhere(document: Any) -> Any:
        if isinstance(document, dict):
            for each in [document, *document.get("resources", []), *document.get("links", [])]:
                if "kind" in each:
                    change(each)
        return document

    return _json(everywhere)


def _both(
    text: Callable[[Heard, Reply], None], document: Callable[[Heard, Reply], None]
) -> Callable[[Heard, Reply], None]:
    def after(heard: Heard, reply: Reply) -> None:
        text(heard, reply)
        document(heard, reply)

    return after


def _without(*texts: str) -> Callable[[Heard, Reply], None]:
    """Drop the lines that have all of some texts."""
    return _lines(lambda line: None if all(text in line for text in texts) else line)


def _replaced(old: str, new: str) -> Callable[[Heard, Reply], None]:
    def after(_heard: Heard, reply: Reply) -> None:
        if reply.status < 400:
            reply.text = reply.text.replace(old, new)
            reply.headers = [
                (name, value.replace(old, new) if name.lower().startswith(("x-occi", "category")) else value)
                for name, value in reply.headers
            ]

    return after


def _swallowed(
    when: Callable[[Heard], bool], status: int = 200, body: str = ""
) -> Callable[[Heard], Reply | None]:
    """Say yes and do nothing."""

    def before(heard: Heard) -> Reply | None:
        if not when(heard) or not heard.header("Authorization"):
            return None
        heard.body  # noqa: B018 - what is not read would stay in the connection
        return Reply(status, [("Content-Type", "text/plain"), ("Server", "broken OCCI/1.1 OCCI/1.2")], body)

    return before


def _forgiven(code: int, when: Callable[[Heard], bool]) -> Callable[[Heard, Reply], None]:
    """Say yes where the application refused with a status."""

    def after(heard: Heard, reply: Reply) -> None:
        if reply.status == code and when(heard):
            reply.status, reply.body = 200, b""

    return after


def _status(old: int, new: int) -> Callable[[Heard, Reply], None]:
    def after(_heard: Heard, reply: Reply) -> None:
        if reply.status == old:
            reply.status = new

    return after


def _heard(change: Callable[[Heard], None]) -> Callable[[Heard], Reply | None]:
    def before(heard: Heard) -> Reply | None:
        change(heard)
        return None

    return before


def _bodies(pattern: str, new: str) -> Callable[[Heard], Reply | None]:
    """Hear another body than was sent."""

    def before(heard: Heard) -> Reply | None:
        if heard.method in _DEEDS and (body := heard.body):
            heard.body = re.sub(pattern.encode(), new.encode(), body)
        return None

    return before


# OCCI's faults ------------------------------------------------------------------------------------------


def _first_only(_heard: Heard, reply: Reply) -> None:
    if _heard.is_collection and _heard.method == "GET" and reply.status == 200:
        if _text(reply) or reply.media == "text/uri-list":
            reply.text = reply.text.split("\n")[0]


def _accept_json_by_default(heard: Heard) -> None:
    if heard.header("Accept") in {"", "*/*"}:
        heard.set("Accept", JSON)


def _accept_anything(heard: Heard) -> None:
    if "occi" not in heard.header("Accept") and "text/" not in heard.header("Accept"):
        heard.set("Accept", "*/*")


def _no_filter(where: Callable[[Heard], bool]) -> Callable[[Heard], Reply | None]:
    def change(heard: Heard) -> None:
        if heard.method == "GET" and where(heard):
            heard.drop("Category", "X-OCCI-Category", "X-OCCI-Attribute")

    return _heard(change)


def _put_as_post(heard: Heard) -> None:
    if heard.method == "PUT" and heard.is_entity:
        heard.environ["REQUEST_METHOD"] = "POST"


def _believes_the_body(heard: Heard) -> None:
    if heard.is_action and (found := re.search(rb"/action#\"; *class|Category: *([a-z]+);", heard.body)):
        term = (found[1] or b"").decode()
        if term:
            heard.query = {"action": term}


def _no_paging(heard: Heard) -> None:
    heard.query = {name: value for name, value in heard.query.items() if name not in {"page", "number"}}


def _sizes(heard: Heard) -> None:
    if heard.method == "POST" and heard.path == "/storage/" and b"occi.storage.size" not in heard.body:
        if "json" in heard.header("Content-Type"):
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                document = json.loads(heard.body)
                document.setdefault("attributes", {})["occi.storage.size"] = 1.0
                heard.body = json.dumps(document).encode()
        elif heard.body:
            heard.body += b"\nX-OCCI-Attribute: occi.storage.size=1.0"
        else:
            given = heard.header("X-OCCI-Attribute")
            heard.set(
                "X-OCCI-Attribute", f"{given}, occi.storage.size=1.0" if given else "occi.storage.size=1.0"
            )


def _without_links(heard: Heard) -> None:
    if heard.method == "POST" and heard.is_collection:
        heard.drop("Link")
        if "json" in heard.header("Content-Type") and heard.body:
            with contextlib.suppress(ValueError):
                document = json.loads(heard.body)
                if isinstance(document, dict) and "kind" in document:
                    document.pop("links", None)
                    heard.body = json.dumps(document).encode()
        elif heard.body:
            lines = heard.body.split(b"\n")
            heard.body = b"\n".join(line for line in lines if not line.lower().startswith(b"link:"))


def _refuses_lists(heard: Heard) -> Reply | None:
    body = heard.body if heard.method in _DEEDS else b""
    listed = re.search(rb'(?m)^(?:Category|X-OCCI-Attribute):[^\n]*", *[a-zA-Z]', body)
    if listed and "json" not in heard.header("Content-Type"):
        return Reply(400, [("Content-Type", "text/plain")], "no lists")
    return None


def _only_first_header(heard: Heard) -> None:
    for name in ("Category", "X-OCCI-Attribute"):
        value = heard.header(name)
        parts = re.findall(r'(?:"(?:[^"\\]|\.)*"|[^,"])+', value)
        if len(parts) > 1:
            heard.set(name, parts[0])


def _nested(document: dict[str, Any]) -> None:
    flat, nested = document.get("attributes", {}), {}
    for name, value in flat.items():
        here = nested
        *above, last = name.split(".")
        for each in above:
            here = here.setdefault(each, {}) if isinstance(here.setdefault(each, {}), dict) else here
        here[last] = value
    document["attributes"] = nested


def _typed_wrongly(model: Any) -> Any:
    for group in ("kinds", "mixins", "actions") if isinstance(model, dict) else ():
        for category in model.get(group, []):
            if isinstance(category, dict):
                for each in category.get("attributes", {}).values():
                    each["type"] = "integer"
    return model


def _bare_lists(document: Any) -> Any:
    return document["resources"] if isinstance(document, dict) and "resources" in document else document


def _unescaped(line: str) -> str:
    return line.replace('\\"', '"').replace("\\\\", "\\")


def _cut_at_commas(line: str) -> str:
    if line.startswith("X-OCCI-Attribute") and '="' in line and "," in line:
        return line.split(",")[0] + '"'
    return line


def _drops(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(entity: dict[str, Any]) -> None:
        for name in names:
            entity.pop(name, None)
            entity.get("attributes", {}).pop(name, None)

    return change


def _save_without_template(heard: Heard, reply: Reply) -> None:
    if heard.query.get("action") == "save" and reply.status == 200:
        reply.body = b""
        reply.drop("Category")


def _no_credentials_asked(heard: Heard, reply: Reply) -> None:
    reply.drop("WWW-Authenticate")


def _crlf(heard: Heard, reply: Reply) -> None:
    if _text(reply) and reply.status < 400:
        reply.text = reply.text.replace("\n", "\r\n")


def _nothing_but_ok(heard: Heard, reply: Reply) -> None:
    if reply.status == 201:
        reply.drop("Location")
        reply.drop("X-OCCI-Location")
        reply.text = "[]" if reply.media == JSON else "OK"


def _rel_both_ways(line: str) -> str:
    return re.sub(r'; rel="[^"]*"', "", line) if line.startswith("Category") and "os_tpl#" in line else line


OCCI_FAULTS = (
    Fault("no version in Server", ("OCCI-HTTP-008",), after=lambda _h, r: r.set("Server", "httpd")),
    Fault("no Content-Type", ("OCCI-HTTP-007",), after=lambda _h, r: r.drop("Content-Type")),
    Fault("serves any version", ("OCCI-HTTP-009",), before=_heard(lambda h: h.drop("User-Agent"))),
    Fault("JSON by default", ("OCCI-HTTP-010",), before=_heard(_accept_json_by_default)),
    Fault("any Accept will do", ("OCCI-HTTP-011",), before=_heard(_accept_anything)),
    Fault(
        "no well-known path, or half of one",
        ("OCCI-HTTP-020",),
        before=_swallowed(lambda h: h.path.startswith("/.well-known/")),
    ),
    Fault("no actions in the query interface", ("OCCI-HTTP-021",), after=_without('class="action"')),
    Fault("no filter in the query interface", ("OCCI-HTTP-022",), before=_no_filter(lambda h: h.is_query)),
    Fault(
        "user mixins are not added",
        ("OCCI-HTTP-024",),
        before=_swallowed(lambda h: h.method == "POST" and h.is_query),
    ),
    Fault(
        "user mixins are not removed",
        ("OCCI-HTTP-026",),
        before=_swallowed(lambda h: h.method == "DELETE" and h.is_query),
    ),
    Fault(
        "any mixin can be removed",
        ("OCCI-HTTP-027",),
        after=_forgiven(403, lambda h: h.is_query),
    ),
    Fault(
        "entities without kind",
        ("OCCI-HTTP-030", "OCCI-TEXT-005"),
        after=lambda h, r: _without("Category", 'class="kind"')(h, r) if h.is_entity else None,
    ),
    Fault("PUT leaves what is missing", ("OCCI-HTTP-032",), before=_heard(_put_as_post)),
    Fault(
        "updates are ignored",
        ("OCCI-HTTP-035",),
        before=_swallowed(lambda h: h.method == "POST" and h.is_entity and not h.is_action),
    ),
    Fault(
        "actions are ignored",
        ("OCCI-HTTP-036",),
        before=_swallowed(lambda h: h.is_action and h.is_entity),
    ),
    Fault("the body's action wins", ("OCCI-AMB-10",), before=_heard(_believes_the_body)),
    Fault(
        "entities are not deleted",
        ("OCCI-HTTP-037",),
        before=_swallowed(lambda h: h.method == "DELETE" and h.is_entity),
    ),
    Fault("collections show one member", ("OCCI-HTTP-040",), after=_first_only),
    Fault("no filter of collections", ("OCCI-HTTP-041",), before=_no_filter(lambda h: h.is_collection)),
    Fault("creation tells no location", ("OCCI-HTTP-042",), after=_nothing_but_ok),
    Fault("required attributes are made up", ("OCCI-HTTP-043",), before=_heard(_sizes)),
    Fault(
        "actions on collections are ignored",
        ("OCCI-HTTP-044",),
        before=_swallowed(lambda h: h.is_action and h.is_collection and not h.path.startswith("/conf")),
    ),
    Fault(
        "PUT on a kind",
        ("OCCI-HTTP-045",),
        after=_forgiven(405, lambda h: h.method == "PUT"),
    ),
    Fault(
        "nothing is associated",
        ("OCCI-HTTP-051",),
        before=_swallowed(lambda h: h.method == "POST" and h.path.startswith("/conf") and not h.is_action),
    ),
    Fault(
        "collections are not replaced",
        ("OCCI-HTTP-052",),
        before=_swallowed(lambda h: h.method == "PUT" and h.path.endswith("/")),
    ),
    Fault(
        "nothing is dissociated",
        ("OCCI-HTTP-053",),
        before=_swallowed(lambda h: h.method == "DELETE" and h.path.startswith("/conf")),
    ),
    Fault("any mixin applies", ("OCCI-HTTP-055",), after=_forgiven(403, lambda h: h.method == "POST")),
    Fault("inline links are ignored", ("OCCI-HTTP-060",), before=_heard(_without_links)),
    Fault("no pages", ("OCCI-HTTP-062",), before=_heard(_no_paging)),
    Fault("pages of any size", ("OCCI-HTTP-063",), after=_forgiven(413, lambda h: "number" in h.query)),
    Fault("no lists in a line", ("OCCI-TEXT-003",), before=_refuses_lists),
    Fault("commas end values", ("OCCI-TEXT-004",), after=_lines(_cut_at_commas)),
    Fault(
        "no OK beside headers",
        ("OCCI-TEXT-015",),
        after=lambda _h, r: setattr(r, "body", b"") if r.media == "text/occi" else None,
    ),
    Fault("the first header wins", ("OCCI-TEXT-016",), before=_heard(_only_first_header)),
    Fault(
        "URIs of categories",
        ("OCCI-TEXT-018",),
        before=lambda h: (
            Reply(200, [("Content-Type", "text/uri-list"), ("Server", "b OCCI/1.1")], "http://a/")
            if h.is_query and h.header("Accept") == "text/uri-list"
            else None
        ),
    ),
    Fault(
        "text/occi+plain is unknown",
        ("OCCI-TEXT-014",),
        before=lambda h: (
            Reply(406, [("Content-Type", "text/plain")], "no")
            if "text/occi+plain" in (h.header("Accept"), h.header("Content-Type"))
            else None
        ),
    ),
    Fault("quotes are not escaped", ("OCCI-TEXT-002",), after=_lines(_unescaped)),
    Fault("JSON without ids", ("OCCI-JSON-002",), after=_json_entities(lambda e: e.pop("id", None))),
    Fault(
        "JSON links without source",
        ("OCCI-JSON-003", "OCCI-JSON-004"),
        after=_json_entities(_drops("source")),
    ),
    Fault("JSON collections as bare lists", ("OCCI-JSON-009",), after=_json(_bare_lists)),
    Fault("JSON with nested names", ("OCCI-JSON-011",), after=_json_entities(_nested)),
    Fault("JSON with types of its own", ("OCCI-JSON-012",), after=_json(_typed_wrongly)),
    Fault(
        "JSON with members of its own",
        ("OCCI-JSON-014",),
        after=_json_entities(lambda e: e.__setitem__("colour", "blue")),
    ),
    Fault(
        "immutable attributes are changed",
        ("OCCI-CORE-007",),
        after=_forgiven(403, lambda h: h.is_entity and h.method in {"POST", "PUT"}),
    ),
    Fault("machines without suspend", ("OCCI-INFRA-010",), after=_replaced("action#suspend", "action#pause")),
    Fault(
        "states of its own",
        ("OCCI-INFRA-011",),
        after=_replaced('occi.compute.state="active"', 'occi.compute.state="running"'),
    ),
    Fault("save makes no template", ("OCCI-INFRA-012",), after=_save_without_template),
    Fault(
        "ipnetworking",
        ("OCCI-INFRA-021",),
        after=_replaced("Category: ipnetwork;", "Category: ipnetworking;"),
    ),
    Fault(
        "storage without size", ("OCCI-INFRA-030",), after=_without("X-OCCI-Attribute", "occi.storage.size")
    ),
    Fault("templates that depend on nothing", ("OCCI-INFRA-070",), after=_lines(_rel_both_ways)),
    Fault("no large template", ("OCCI-CRTP-003",), after=_without("Category: large;")),
    Fault(
        "no claim of the profile",
        ("OCCI-CRTP-006",),
        after=lambda _h, r: r.set("Server", "isthmus OCCI/1.1 OCCI/1.2"),
    ),
    Fault("asks for no credentials", ("OCCI-HTTP-015",), after=_no_credentials_asked),
    Fault("lines end in CRLF", ("OCCI-REAL-02",), after=_crlf),
    Fault(
        "deleted things are 200",
        ("OCCI-AMB-07",),
        after=_forgiven(404, lambda h: h.is_entity and h.method == "GET"),
    ),
    Fault(
        "empty collections are 404",
        ("OCCI-AMB-05",),
        after=lambda h, r: (
            setattr(r, "status", 404)
            if h.is_collection and h.method == "GET" and not r.body and r.media == "text/plain"
            else None
        ),
    ),
    Fault("malformed bodies are read as nothing", ("OCCI-HTTP-042",), after=_status(400, 200)),
)


# EC2's faults -------------------------------------------------------------------------------------------


def _params(heard: Heard) -> dict[str, str]:
    """The parameters of a call, wherever they stand."""
    text = heard.environ.get("QUERY_STRING", "")
    if heard.method == "POST" and "form" in heard.header("Content-Type"):
        text = f"{text}&{heard.body.decode()}"
    return dict(parse_qsl(text, keep_blank_values=True))


def _calls(*actions: str) -> Callable[[Heard], bool]:
    return lambda heard: _params(heard).get("Action") in actions


def _xml(pattern: str, new: str, *actions: str) -> Callable[[Heard, Reply], None]:
    """Change the text of replies; of some operations' or of all."""

    def after(heard: Heard, reply: Reply) -> None:
        if reply.media == "text/xml" and (not actions or _calls(*actions)(heard)):
            reply.text = re.sub(pattern, new, reply.text, flags=re.DOTALL)

    return after


def _code(old: str, new: str) -> Callable[[Heard, Reply], None]:
    return _xml(f"<Code>{old}</Code>", f"<Code>{new}</Code>")


def _done(action: str, inner: str = "<return>true</return>") -> Callable[[Heard], Reply | None]:
    """Answer as if a call had been carried out."""

    def before(heard: Heard) -> Reply | None:
        params = _params(heard)
        if params.get("Action") != action or params.get("DryRun", "false") == "true":
            return None
        told = inner.format_map(_Given(params))
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns='
            f'"http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>6b1f7c1e-0f8e-4d92-a5b3-5f6f8f4f4d0a</requestId>'
            f"{told}</{action}Response>"
        )
        return Reply(200, [("Content-Type", "text/xml;charset=UTF-8"), ("Server", "broken")], text)

    return before


class _Given(dict[str, str]):
    def __missing__(self, _key: str) -> str:
        return ""


class Believing:
    """EC2's door for requests that a fault changed: it looks at the signature of what was sent."""

    def __init__(self, door: Any) -> None:
        self._door = door
        self._first: Any = None

    def __call__(self, request: Any, request_id: str) -> Any:
        sent = getattr(_HERE, "sent", None)
        try:
            found = self._door(sent(request) if sent is not None else request, request_id)
        except Exception:
            if not getattr(_HERE, "anybody", False) or self._first is None:
                raise
            return self._first
        self._first = self._first or found
        return found


def _said_otherwise(
    change: Callable[[dict[str, str]], None], *actions: str
) -> Callable[[Heard], Reply | None]:
    """Hear other parameters than were sent."""

    def before(heard: Heard) -> Reply | None:
        params = _params(heard)
        if "Action" not in params or (actions and params["Action"] not in actions):
            return None
        changed = dict(params)
        change(changed)
        if changed == params:
            return None
        query, body = heard.environ.get("QUERY_STRING", ""), heard.body
        pairs = decode_pairs(query.encode()) + decode_pairs(body)
        _HERE.sent = lambda request: msgspec.structs.replace(request, query=query, body=body, pairs=pairs)
        own = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
        heard.query = {name: value for name, value in changed.items() if name in own}
        if body:
            heard.body = urlencode(
                {name: value for name, value in changed.items() if name not in own}
            ).encode()
        return None

    return before


def _without_params(*beginnings: str) -> Callable[[dict[str, str]], None]:
    def change(params: dict[str, str]) -> None:
        for name in [name for name in params if name.startswith(beginnings)]:
            del params[name]

    return change


def _one_filter(params: dict[str, str]) -> None:
    for name in [name for name in params if re.match(r"Filter\.(?!1\.)", name)]:
        del params[name]


def _one_value(params: dict[str, str]) -> None:
    for name in [name for name in params if re.match(r"Filter\.\d+\.Value\.(?!1$)", name)]:
        del params[name]


def _anybody(heard: Heard) -> Reply | None:
    """The door takes everyone for the owner of the first key that it saw."""
    _HERE.anybody = True
    return None


def _any_code(_heard: Heard, reply: Reply) -> None:
    if reply.media == "text/xml" and reply.status >= 400:
        reply.status = 200


_CHANGE = r"<currentState>(.*?)</currentState><previousState>(.*?)</previousState>"

EC2_FAULTS = (
    Fault(
        "EC2 replies without a request id", ("EC2-WIRE-011",), after=_xml("<requestId>.*?</requestId>", "")
    ),
    Fault("EC2's namespace without its slash", ("EC2-WIRE-005",), after=_xml("2016-11-15/", "2016-11-15")),
    Fault("EC2 replies are HTML", ("EC2-WIRE-009",), after=lambda _h, r: r.set("Content-Type", "text/html")),
    Fault("markup is not escaped", ("EC2-WIRE-013",), after=_xml("&(?:lt|amp);", "<")),
    Fault("booleans with capitals", ("EC2-WIRE-017",), after=_xml(">true<", ">True<")),
    Fault(
        "unknown actions are unknown parameters",
        ("EC2-ERR-002",),
        after=_code("InvalidAction", "UnknownParameter"),
    ),
    Fault("refusals are 200", ("EC2-ERR-001", "EC2-ERR-002"), after=_any_code),
    Fault(
        "parameters that there are not are ignored",
        ("EC2-ERR-004",),
        before=_said_otherwise(
            _without_params("Bogus", "Unknown", "Nonsense", "NoSuch", "Colour", "Conformance")
        ),
    ),
    Fault(
        "unknown ids are malformed",
        ("EC2-ERR-008",),
        after=_code(r"Invalid(\w+)ID\.NotFound", r"Invalid\1ID.Malformed"),
    ),
    Fault(
        "dry runs are real", ("EC2-ERR-010", "EC2-ERR-011"), before=_said_otherwise(_without_params("DryRun"))
    ),
    Fault("dry runs answer 200", ("EC2-ERR-010",), after=_status(412, 200)),
    Fault("signatures are not looked at", ("EC2-SIG-004", "EC2-SIG-005"), before=_anybody),
    Fault(
        "refused credentials are an internal error",
        ("EC2-SIG-003",),
        after=_code("AuthFailure", "InternalError"),
    ),
    Fault("MaxResults is ignored", ("EC2-PAGE-001",), before=_said_otherwise(_without_params("MaxResults"))),
    Fault("pages begin anew", ("EC2-PAGE-002",), before=_said_otherwise(_without_params("NextToken"))),
    Fault("filters are ignored", ("EC2-FILTER-001",), before=_said_otherwise(_without_params("Filter."))),
    Fault("only the first filter counts", ("EC2-FILTER-004",), before=_said_otherwise(_one_filter)),
    Fault("only the first value counts", ("EC2-FILTER-003",), before=_said_otherwise(_one_value)),
    Fault(
        "client tokens are ignored",
        ("EC2-IDEM-001", "EC2-IDEM-002"),
        before=_said_otherwise(_without_params("ClientToken"), "RunInstances"),
    ),
    Fault(
        "volumes are made again",
        ("EC2-IDEM-003", "EC2-IDEM-004"),
        before=_said_otherwise(_without_params("ClientToken"), "CreateVolume"),
    ),
    Fault(
        "launches answer running",
        ("EC2-STATE-001",),
        after=_xml(
            "<code>0</code><name>pending</name>", "<code>16</code><name>running</name>", "RunInstances"
        ),
    ),
    Fault(
        "state changes are told the wrong way round",
        ("EC2-STATE-003", "EC2-STATE-004", "EC2-STATE-005"),
        after=_xml(_CHANGE, r"<currentState>\2</currentState><previousState>\1</previousState>"),
    ),
    Fault(
        "stopped instances are told as terminated",
        ("EC2-WAIT-002", "EC2-STATE-003"),
        after=_xml("<code>80</code><name>stopped</name>", "<code>48</code><name>terminated</name>"),
    ),
    Fault(
        "protection is told by another code",
        ("EC2-STATE-008",),
        after=_code("OperationNotPermitted", "IncorrectInstanceState"),
    ),
    Fault("tags are not kept", ("EC2-TAG-001",), before=_done("CreateTags")),
    Fault("tags are not deleted", ("EC2-TAG-001",), before=_done("DeleteTags")),
    Fault("rules are not kept", ("EC2-GROUP-002",), before=_done("AuthorizeSecurityGroupIngress")),
    Fault("volumes are not deleted", ("EC2-STATE-011", "EC2-IDEM-011"), before=_done("DeleteVolume")),
    Fault(
        "reservations show all their instances",
        ("EC2-FILTER-013",),
        before=_said_otherwise(_without_params("Filter."), "DescribeInstances"),
    ),
    Fault("times without milliseconds", ("EC2-WIRE-016",), after=_xml(r"(T\d\d:\d\d:\d\d)\.\d{3}Z", r"\1Z")),
)
