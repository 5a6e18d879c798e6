"""A bare EC2 client: signs with botocore's signer and reads bytes, so that the servers are timed."""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


class Target(NamedTuple):
    """A server to be measured."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    image: str
    region: str = "us-east-1"


class Ec2:
    """One keep-alive connection to a server."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.connection = http.client.HTTPConnection(urlsplit(target.endpoint).netloc, timeout=600)
        self.signer = SigV4Auth(Credentials(target.access_key, target.secret_key), "ec2", target.region)

    def prepared(self, action: str, **parameters: object) -> Callable[[], bytes]:
        """A signed request, ready to be sent once: signing is the client's cost, not the server's."""
        fields = {"Action": action, "Version": "2016-11-15"} | {k: str(v) for k, v in parameters.items()}
        body = urlencode(fields)
        request = AWSRequest(
            "POST",
            self.target.endpoint + "/",
            data=body,
            headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        )
        self.signer.add_auth(request)
        headers = dict(request.headers.items())

        def send() -> bytes:
            self.connection.request("POST", "/", body=body, headers=headers)
            reply = self.connection.getresponse()
            data = reply.read()
            if reply.status != 200:
                raise RuntimeError(f"{self.target.name}: {reply.status} {data[:500]!r}")
            return data

        return send

    def call(self, action: str, **parameters: object) -> bytes:
        """Sign and send."""
        return self.prepared(action, **parameters)()


def times(make: Callable[[], Callable[[], object]], repeats: int) -> list[float]:
    """Seconds of each call; each is prepared outside the measurement, the first is not counted."""
    make()()
    taken = []
    for _ in range(repeats):
        call = make()
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return taken


def median_seconds(make: Callable[[], Callable[[], object]], repeats: int) -> float:
    """The median time of a call."""
    return statistics.median(times(make, repeats))
