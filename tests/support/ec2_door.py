"""The EC2 face behind its real door, in one process: real keys, sealed secrets, sessions, limits."""

from __future__ import annotations

import functools
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import falcon
import falcon.testing
from botocore import auth
from botocore.config import Config
from ec2_face import ENDPOINT, SESSION, InProcess
from simulation import ADMIN, Cloud

import ec2.app
import ec2.rendered
from backend.commands import CreateAccessKey
from ec2.app import Ec2Face
from ec2.context import Ec2Settings
from ec2.service import operation, service
from gateway.auth.ec2 import Ec2Door, SessionMint
from gateway.crypto import SecretBox, new_key_id, new_secret
from gateway.limits import Limiter
from gateway.settings import checked


class Keys(NamedTuple):
    """What signs a request."""

    id: str
    secret: str
    token: str | None = None


class DoorCloud:
    """A cloud in memory (or on another database) whose clients sign at the cloud's time."""

    def __init__(self, monkeypatch: Any, *, url: str = "sqlite://", **settings: Any) -> None:
        strict = service("ec2", strict=True)
        routed = functools.partial(operation, ec2=strict, sts=service("sts", strict=True))
        monkeypatch.setattr(ec2.app, "operation", routed)
        monkeypatch.setattr(ec2.rendered, "_instance_xml", strict.fragment("Instance"))
        self.cloud = Cloud(url=url)
        self.cloud.clock.now = time.time()
        monkeypatch.setattr(auth, "get_current_datetime", self._now)
        self.engine = self.cloud.engine
        self.box = SecretBox(bytes(32))
        made = checked(Path("/nowhere"), **settings)
        self.door = Ec2Door(self.engine, self.box, made)
        self.face = Ec2Face(
            self.engine,
            Ec2Settings(page_secret="secret"),
            mint=SessionMint(self.box),
            admit=Limiter(made.limits, monotonic=self.cloud.clock),
        )
        self.callers: list[Any] = []
        app = falcon.App()
        app.add_sink(self._answer, re.compile("/"))
        self.app = falcon.testing.TestClient(app)
        self.transport = InProcess(app)

    def _now(self, *_: Any, **__: Any) -> datetime:
        return datetime.fromtimestamp(self.cloud.clock.now, UTC).replace(tzinfo=None)

    def _answer(self, req: falcon.Request, resp: falcon.Response, **_: Any) -> None:
        self.face.on_request(req, resp, self._authenticate)

    def _authenticate(self, request: Any, request_id: str) -> Any:
        caller = self.door(request, request_id)
        self.callers.append(caller)
        return caller

    def keys(self, user: str) -> Keys:
        """A fresh access key of a user's."""
        made = Keys(new_key_id(), new_secret())
        sealed = self.box.seal(made.id, made.secret)
        self.engine.execute(ADMIN, CreateAccessKey(key_id=made.id, user_name=user, secret=sealed))
        return made

    def client(self, keys: Keys, service_name: str = "ec2", **config: Any) -> Any:
        """A client of botocore's that signs with a key."""
        config = {"retries": {"total_max_attempts": 1}, "parameter_validation": False} | config
        made = SESSION.client(
            service_name,
            region_name="us-east-1",
            endpoint_url=ENDPOINT,
            aws_access_key_id=keys.id,
            aws_secret_access_key=keys.secret,
            aws_session_token=keys.token,
            config=Config(**config),
        )
        made._endpoint.http_session = self.transport
        return made

    def sts(self, keys: Keys) -> Any:
        """A client of STS."""
        return self.client(keys, "sts")


def keys_of(reply: dict[str, Any]) -> Keys:
    """The temporary key in a reply of STS."""
    told = reply["Credentials"]
    return Keys(told["AccessKeyId"], told["SecretAccessKey"], told["SessionToken"])
