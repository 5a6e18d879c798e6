"""A conversation with the OCCI face in this process: lines of text in, answers out."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.testing
import msgspec

from backend.model import Api, Caller
from occi.app import OcciFace
from tests.support.simulation import Cloud

INFRA = "http://schemas.ogf.org/occi/infrastructure#"
ACTION = "http://schemas.ogf.org/occi/infrastructure/compute/action#"
STORAGE_ACTION = "http://schemas.ogf.org/occi/infrastructure/storage/action#"
CRTP = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#"
OURS = "http://cloud.example.org/occi/infrastructure/"
COMPUTE = f'Category: compute; scheme="{INFRA}"; class="kind"'
STORAGE = f'Category: storage; scheme="{INFRA}"; class="kind"'
STORAGELINK = f'Category: storagelink; scheme="{INFRA}"; class="kind"'
WEB = 'Category: web; scheme="http://cloud.example.org/ann#"; class="mixin"'
TAG = f'{WEB}; rel="http://nobody/knows#this"; location="/tag/web/"'
PLAIN = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/occi+json", "Accept": "application/occi+json"}


def action(term: str, scheme: str = ACTION) -> str:
    return f'Category: {term}; scheme="{scheme}"; class="action"'


def attribute(name: str, value: Any) -> str:
    shown = f'"{value}"' if isinstance(value, str) else value
    return f"X-OCCI-Attribute: {name}={shown}"


class Client:
    """One tenant's HTTP client."""

    def __init__(self, cloud: Cloud, caller: Caller) -> None:
        self.cloud = cloud
        self.caller = msgspec.structs.replace(caller, api=Api.OCCI)
        face = OcciFace(cloud.engine, domain="cloud.example.org", public_url="http://h", server="isthmus/1")
        app = falcon.App()
        self.prefix = ""
        app.add_sink(lambda req, resp: face.on_request(req, resp, self.caller, prefix=self.prefix), "/")
        self.http = falcon.testing.TestClient(app)

    def __call__(
        self,
        method: str,
        path: str,
        *lines: str,
        headers: dict[str, str] | None = None,
        query: str | None = None,
        body: str | bytes | None = None,
    ) -> Any:
        if lines:
            body, headers = "\n".join(lines), {**PLAIN, **(headers or {})}
        return self.http.simulate_request(method, path, body=body, headers=headers, query_string=query)

    def make(self, *lines: str, kind: str = COMPUTE) -> str:
        """The path of a new entity."""
        made = self("POST", "/", kind, *lines)
        assert made.status_code == 201, made.text
        return str(made.headers["location"]).removeprefix("http://h")

    def json(self, path: str) -> Any:
        """What is there, in JSON."""
        got = self("GET", path, headers={"Accept": "application/occi+json"})
        assert got.status_code == 200, got.text
        return got.json

    def attributes(self, path: str) -> Any:
        return self.json(path)["attributes"]

    def own(self, path: str = "/", **more: Any) -> list[str]:
        """What is at a path besides the network and the group that every tenant has, and their links."""
        given = ("/network/", "/securitygroup/", "/networkinterface/", "/securitygrouplink/")
        return [each for each in self.locations(path, **more) if not each.startswith(given)]

    def locations(self, path: str, **more: Any) -> list[str]:
        got = self("GET", path, **more)
        assert got.status_code == 200, got.text
        return [line.removeprefix("X-OCCI-Location: http://h") for line in got.text.splitlines()]
