"""A guest that asks the metadata service, and the real server on loopback for it to ask."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from typing import Any

from gateway.metadata.guests import Guests
from gateway.metadata.server import Server, listening_port
from gateway.metadata.service import MetadataService, Request, Response
from gateway.metadata.throttle import Throttle
from gateway.metadata.tokens import Tokens

SECRET = "a secret of the tests"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


def service_of(cloud: Any, throttle: Throttle | None = None) -> MetadataService:
    """The service over a cloud in memory, with its clock."""
    return MetadataService(Guests(cloud.engine.networks), Tokens(SECRET, cloud.clock), throttle)


def primary(cloud: Any, instance: Any) -> str:
    """The id of an instance's first interface."""
    return str(cloud.engine.networks.nics_of([instance.id])[instance.id][0].id)


class Guest:
    """Asks the rules directly, as one interface."""

    def __init__(self, service: MetadataService, nic_id: str) -> None:
        self.service = service
        self.nic_id = nic_id

    def ask(self, target: str, method: str = "GET", **headers: str) -> Response:
        given = tuple((name.replace("_", "-").lower(), value) for name, value in headers.items())
        return self.service.answer(Request(method=method, target=target, headers=given), self.nic_id)

    def read(self, path: str) -> str:
        found = self.ask(f"/latest/{path}")
        assert found.status == 200, (path, found)
        return found.body.decode()

    def token(self, seconds: int = 21600) -> str:
        found = self.ask("/latest/api/token", "PUT", **{TTL: str(seconds)})
        assert found.status == 200, found
        return found.body.decode()


class Port:
    """The service on a loopback port, with an event loop of its own; who asks is known by its address."""

    def __init__(
        self, service: MetadataService, nics: dict[str, str], *, hops: int = 0, **options: Any
    ) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        listener = listening_port("127.0.0.1", 0)
        self.port = listener.getsockname()[1]

        async def serve() -> None:
            self.server = Server(service, hops=hops, **options)
            self.listening = await self.server.on_port(listener, nics.get)

        asyncio.run_coroutine_threadsafe(serve(), self.loop).result(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def connect(self, source: str = "127.0.0.1", timeout: float = 10) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.port), timeout, source_address=(source, 0))
        return found

    def ask(
        self, path: str, method: str = "GET", *, source: str = "127.0.0.1", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=10, source_address=(source, 0)
        )
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def close(self) -> None:
        async def end() -> None:
            self.listening.close()
            await self.server.close()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


def until_closed(connection: socket.socket) -> bytes:
    """Everything that comes before the other side closes."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data
