"""The EC2 face in one process: botocore's client, its signature and its parser around the falcon app."""

from __future__ import annotations

import functools
import io
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import falcon
import falcon.testing
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from lxml import etree
from simulation import Cloud

import ec2.app
import ec2.rendered
from backend.model import Caller
from ec2 import signing
from ec2.app import Ec2Face
from ec2.context import Ec2Settings
from ec2.service import operation, service
from ec2.signature import SignaturePolicy, SignedRequest, refused
from gateway.auth.ec2 import SessionMint
from gateway.crypto import SecretBox

ENDPOINT = "http://cloud.example:8773"
VERSION = "2016-11-15"
SESSION = boto3.session.Session()  # one for all: it keeps the models it has read


class Resource:
    """The face mounted at the root, as the gateway does it."""

    def __init__(self, face: Ec2Face, authenticate: Any) -> None:
        self._face = face
        self._authenticate = authenticate

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._face.on_request(req, resp, self._authenticate)

    on_post = on_get


class InProcess:
    """A transport for botocore: every reply is also held to be well-formed XML with a request id."""

    def __init__(self, app: falcon.App) -> None:
        self._client = falcon.testing.TestClient(app)
        self.last: Any = None

    def send(self, request: Any) -> AWSResponse:
        parts = urlsplit(request.url)
        headers = {name: _text(value) for name, value in request.headers.items()} | {"host": parts.netloc}
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        reply = self._client.simulate_request(
            request.method, parts.path or "/", query_string=parts.query, headers=headers, body=body
        )
        self.last = reply
        assert reply.headers["content-type"] == "text/xml;charset=UTF-8"
        assert reply.headers["x-amzn-requestid"] in reply.text
        etree.fromstring(reply.content)
        return AWSResponse(request.url, reply.status_code, reply.headers, _Raw(reply.content))

    def close(self) -> None:
        pass


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Any:
        yield self.read()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class Ec2Cloud:
    """A cloud in memory with the EC2 face before it, and clients of two tenants.

    The face runs with strict writers: an action that says something EC2 has no word for fails.
    """

    def __init__(
        self, monkeypatch: Any, *, cloud: Cloud | None = None, importer: Any = None, **settings: Any
    ) -> None:
        strict = service("ec2", strict=True)
        monkeypatch.setattr(
            ec2.app, "operation", functools.partial(operation, ec2=strict, sts=service("sts", strict=True))
        )
        monkeypatch.setattr(ec2.rendered, "_instance_xml", strict.fragment("Instance"))
        monkeypatch.setattr(ec2.rendered, "writer", functools.cache(strict.fragment))
        self.cloud = cloud or Cloud()
        self.face = Ec2Face(
            self.cloud.engine,
            Ec2Settings(page_secret="secret", **settings),
            importer=importer,
            mint=SessionMint(SecretBox(bytes(32))),
        )
        self.keys = {
            "AKIAANN": ("ann-secret", self.cloud.caller),
            "AKIABOB": ("bob-secret", self.cloud.other),
        }
        app = falcon.App()
        app.add_route("/", Resource(self.face, self.authenticate))
        self.transport = InProcess(app)

    # Each when it is wanted first: botocore takes its time to make one.

    @functools.cached_property
    def ann(self) -> Any:
        return self.client("AKIAANN")

    @functools.cached_property
    def bob(self) -> Any:
        return self.client("AKIABOB")

    def authenticate(self, request: SignedRequest, request_id: str) -> Caller:
        policy = SignaturePolicy(version_2=True)
        presented = signing.present(request, policy)
        if presented is None or presented.access_key_id not in self.keys:
            raise refused()
        secret, caller = self.keys[presented.access_key_id]
        signing.verify(presented, secret=secret, request=request, now=datetime.now(UTC), policy=policy)
        return caller

    def client(self, key_id: str, service_name: str = "ec2", region: str = "us-east-1") -> Any:
        made = SESSION.client(
            service_name,
            region_name=region,
            endpoint_url=ENDPOINT,
            aws_access_key_id=key_id,
            aws_secret_access_key=self.keys[key_id][0],
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        made._endpoint.http_session = self.transport
        return made

    def post(
        self,
        action: str,
        *,
        version: str = VERSION,
        body: bytes | None = None,
        method: str = "POST",
        **fields: str,
    ) -> Any:
        """A request as the client libraries never send it, signed all the same."""
        text = urlencode({"Action": action, "Version": version, **fields}).encode() if body is None else body
        url = ENDPOINT + "/"
        if method == "GET":
            url, text = f"{url}?{text.decode()}", b""
        request = AWSRequest(method=method, url=url, data=text)
        if method == "POST":
            request.headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        SigV4Auth(Credentials("AKIAANN", self.keys["AKIAANN"][0]), "ec2", "us-east-1").add_auth(request)
        self.transport.send(request.prepare())
        return self.transport.last

    def refusal(self, action: str, **fields: Any) -> tuple[int, str, str]:
        """Status, code and message of a refused request."""
        reply = self.post(action, **fields)
        tree = etree.fromstring(reply.content)
        return reply.status_code, tree.findtext(".//{*}Code"), tree.findtext(".//{*}Message")

    def run(self, client: Any = None, **parameters: Any) -> list[str]:
        """Ids of new instances."""
        parameters = {"MinCount": 1, "MaxCount": 1, "ImageId": self.cloud.image.id} | parameters
        reply = (client or self.ann).run_instances(**parameters)
        return [instance["InstanceId"] for instance in reply["Instances"]]

    def describe(self, instance_id: str, client: Any = None) -> dict[str, Any]:
        """One instance as DescribeInstances tells it."""
        reply = (client or self.ann).describe_instances(InstanceIds=[instance_id])
        found: dict[str, Any] = reply["Reservations"][0]["Instances"][0]
        return found

    def listed(self, *, client: Any = None, **filters: Any) -> list[str]:
        """Ids of the instances that match filters; underscores stand for hyphens."""
        wanted = [
            {"Name": name.replace("_", "-"), "Values": values if isinstance(values, list) else [values]}
            for name, values in filters.items()
        ]
        reply = (client or self.ann).describe_instances(Filters=wanted)
        return [row["InstanceId"] for each in reply["Reservations"] for row in each["Instances"]]

    def state(self, instance_id: str) -> str:
        """EC2's word for an instance's state."""
        name: str = self.describe(instance_id)["State"]["Name"]
        return name
