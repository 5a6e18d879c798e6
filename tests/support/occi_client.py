"""An OCCI client of our own: writes and reads the three renderings without the server's code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from live_cloud import Answer, LiveCloud

INFRASTRUCTURE = "http://schemas.ogf.org/occi/infrastructure#"
ACTION = "http://schemas.ogf.org/occi/infrastructure/compute/action#"
COMPUTE = f"{INFRASTRUCTURE}compute"
SSH_KEY = "http://schemas.ogf.org/occi/infrastructure/credentials#ssh_key"
USER_DATA = "http://schemas.ogf.org/occi/infrastructure/compute#user_data"

PLAIN, HEADERS, JSON = "text/plain", "text/occi", "application/occi+json"
RENDERINGS = (PLAIN, HEADERS, JSON)
Values = Mapping[str, Any]

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ITEM = re.compile(rf"(?:{_QUOTED}|[^,\"])+")
_PART = re.compile(rf"(?:{_QUOTED}|[^;\"])+")


class Seen(NamedTuple):
    """One machine as a rendering shows it."""

    kind: str
    mixins: frozenset[str]
    attributes: dict[str, Any]
    actions: frozenset[str]

    @property
    def state(self) -> str:
        return self.attributes["occi.compute.state"]


class OcciClient:
    """Speaks one rendering in both directions."""

    def __init__(self, cloud: LiveCloud, media: str = PLAIN, auth: tuple[str, str] | None = None) -> None:
        self.cloud = cloud
        self.media = media
        self.auth = auth

    def send(self, method: str, path: str, said: dict[str, Any] | None = None, **headers: str) -> Answer:
        """One request; ``said`` is what :func:`request` made."""
        said = said or {}
        given = {"Accept": self.media, **said.get("headers", {}), **headers}
        return self.cloud.occi(method, path, said.get("body"), given, self.auth)

    def model(self) -> list[dict[str, Any]]:
        """All mixins of the query interface."""
        answer = self.cloud.occi("GET", "/-/", headers={"Accept": JSON}, auth=self.auth)
        assert answer.status == 200, answer
        found: list[dict[str, Any]] = json.loads(answer.body)["mixins"]
        return found

    def mixin(self, term: str) -> str:
        """The identifier of the mixin with this term."""
        [found] = {each["scheme"] + each["term"] for each in self.model() if each["term"] == term}
        return found

    def create(self, mixins: Iterable[str] = (), attributes: Values | None = None) -> str:
        """Make a machine and answer its URI."""
        answer = self.send("POST", "/compute/", request(self.media, COMPUTE, mixins, attributes))
        assert answer.status == 201, answer
        return answer.headers["Location"]

    def read(self, path: str) -> Seen:
        answer = self.send("GET", path)
        assert answer.status == 200, answer
        return seen(answer)

    def act(self, path: str, term: str, method: str | None = None) -> Answer:
        attributes = {"method": method} if method else {}
        return self.send("POST", f"{path}?action={term}", invocation(self.media, ACTION + term, attributes))

    def update(self, path: str, attributes: Values) -> Answer:
        return self.send("POST", path, request(self.media, "", (), attributes))

    def locations(self, path: str) -> set[str]:
        """The URIs in a collection."""
        answer = self.send("GET", path, Accept="text/uri-list")
        assert answer.status == 200, answer
        return set(answer.body.split())


# Writing ------------------------------------------------------------------------------------------------


def request(
    media: str, kind: str = COMPUTE, mixins: Iterable[str] = (), attributes: Values | None = None
) -> dict[str, Any]:
    """Body and headers of a description of an entity, or (without kind) of a part of one."""
    attributes = attributes or {}
    if media == JSON:
        document = {"kind": kind, "mixins": list(mixins), "attributes": dict(attributes)}
        return _json({name: value for name, value in document.items() if value})
    categories = [category(each, "mixin") for each in mixins]
    return _text(media, [category(kind, "kind"), *categories] if kind else categories, attributes)


def invocation(media: str, action: str, attributes: Values) -> dict[str, Any]:
    """Body and headers that invoke an action."""
    if media == JSON:
        return _json({"action": action, **({"attributes": dict(attributes)} if attributes else {})})
    return _text(media, [category(action, "action")], attributes)


def category(identifier: str, kind: str) -> str:
    scheme, _, term = identifier.partition("#")
    return f'{term}; scheme="{scheme}#"; class="{kind}"'


def pair(name: str, value: Any) -> str:
    """An attribute with its value, quoted as the standard says: no escapes but two."""
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name}="{escaped}"'
    return f"{name}={str(value).lower()}"


def _json(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"body": json.dumps(document), "headers": {"Content-Type": JSON}}


def _text(media: str, categories: list[str], attributes: Values) -> dict[str, Any]:
    pairs = [pair(name, value) for name, value in attributes.items()]
    if media == PLAIN:
        lines = [f"Category: {each}" for each in categories] + [f"X-OCCI-Attribute: {each}" for each in pairs]
        return {"body": "\n".join(lines), "headers": {"Content-Type": PLAIN}}
    fields = {"Category": ", ".join(categories), "X-OCCI-Attribute": ", ".join(pairs)}
    wire = {name: text.encode().decode("latin-1") for name, text in fields.items() if text}
    return {"headers": {"Content-Type": HEADERS, **wire}}


# Reading ------------------------------------------------------------------------------------------------


def seen(answer: Answer) -> Seen:
    """A machine out of an answer, in the rendering that its Content-Type names."""
    if answer.headers["Content-Type"].startswith(JSON):
        document = json.loads(answer.body)
        return Seen(
            document["kind"], frozenset(document.get("mixins", [])), document.get("attributes", {}),
            frozenset(document.get("actions", [])),
        )  # fmt: skip
    categories, links, attributes = _fields(answer)
    ids = {_identifier(each): _parameter(each, "class") for each in categories}
    [kind] = [name for name, class_ in ids.items() if class_ == "kind"]
    return Seen(
        kind,
        frozenset(name for name, class_ in ids.items() if class_ == "mixin"),
        dict(map(_value, attributes)),
        frozenset(_parameter(link, "rel") for link in links if "?action=" in link),
    )


def _fields(answer: Answer) -> tuple[list[str], list[str], list[str]]:
    names = ("Category", "Link", "X-OCCI-Attribute")
    if answer.headers["Content-Type"].startswith(HEADERS):
        joined = [(answer.headers.get(name) or "").encode("latin-1").decode() for name in names]
        categories, links, attributes = ([e.strip() for e in _ITEM.findall(text)] for text in joined)
        return categories, links, attributes
    lines = [line.partition(": ") for line in answer.body.split("\n")]
    assert {name for name, _, _ in lines} <= set(names), answer.body
    categories, links, attributes = ([text for name, _, text in lines if name == each] for each in names)
    return categories, links, attributes


def _identifier(category_line: str) -> str:
    return _parameter(category_line, "scheme") + category_line.split(";")[0]


def _parameter(line: str, name: str) -> str:
    parts = (part.strip().partition("=") for part in _PART.findall(line))
    return next(value.strip('"') for key, _, value in parts if key == name)


def _value(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if value.startswith('"'):
        return name, re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    return name, json.loads(value)
