"""The EC2 door over the wire: profiles with roles, signatures of other programs, limits, paths, broken requests."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from aws_cli import CACHE, PROGRAMS
from botocore.config import Config
from botocore.exceptions import ClientError
from hand_signer import Pairs, Signer, query_of, v2, v4, v4_query
from live_cloud import Answer, Key, LiveCloud, key_of

VERSION = "2016-11-15"
FORM = {"content-type": "application/x-www-form-urlencoded"}
REGIONS: Pairs = [("Action", "DescribeRegions"), ("Version", VERSION)]
JAVASCRIPT = CACHE / "javascript"


class Door(LiveCloud):
    """A cloud without hosts, and requests to it that are signed by hand."""

    def signer(self, **changes: str) -> Signer:
        return Signer(self.key.id, self.key.secret)._replace(**changes)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def send(
        self, pairs: Pairs, *, method: str = "POST", path: str = "/", signer: Signer | None = None, **how: Any
    ) -> Answer:
        """A request signed in its header: parameters in the body of a POST, else in the query."""
        body = query_of(pairs).encode() if method == "POST" else b""
        headers = v4(
            signer or self.signer(),
            host=self.host,
            now=how.pop("now", datetime.now(UTC)),
            method=method,
            path=path,
            pairs=() if body else pairs,
            body=body,
            headers=FORM if body else {},
            **how,
        )
        target = path if body else f"{path}?{query_of(pairs)}"
        return self.http(method, target, body or None, headers)


@pytest.fixture(scope="module")
def door(tmp_path_factory: Any) -> Iterator[Door]:
    made = Door(tmp_path_factory.mktemp("door"), ISTHMUS_EC2__VERSION_2="true")
    made.init()
    try:
        made.start()
        yield made
    finally:
        made.end()


def error_of(answer: Answer) -> tuple[int, str]:
    """Status and code; the document is of its service's form, and the request's id the same everywhere."""
    tree = ET.fromstring(answer.body)
    sts = tree.tag.endswith("ErrorResponse")
    assert answer.headers["Content-Type"] == "text/xml;charset=UTF-8"
    told = tree.find("{*}RequestId" if sts else "RequestID")
    assert told is not None
    assert told.text == answer.headers["x-amzn-RequestId"] == answer.headers["x-amz-request-id"]
    code = tree.find("{*}Error/{*}Code" if sts else "Errors/Error/Code")
    assert code is not None
    assert code.text
    return answer.status, code.text


def accepted(answer: Answer) -> bool:
    assert answer.status == 200, answer.body
    tree = ET.fromstring(answer.body)
    told = tree.find("{*}requestId")
    assert told is not None
    assert told.text == answer.headers["x-amzn-RequestId"] == answer.headers["x-amz-request-id"]
    return True


# Profiles -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roles(door: Door) -> dict[str, Any]:
    """A tenant that trusts the first one, and profiles that lead into it."""
    lab = door.tenant("lab")
    first = door.cli("role", "create", "operator", "--tenant", "lab", "--trust", door.facts["account_id"])
    second = door.cli("role", "create", "auditor", "--tenant", "lab", "--longest", "43200")
    folder = door.home.parent
    (folder / "credentials").write_text(
        f"[base]\naws_access_key_id = {door.key.id}\naws_secret_access_key = {door.key.secret}\n"
    )
    (folder / "config").write_text(
        "[profile base]\nregion = us-east-1\n"
        f"[profile lab]\nregion = us-east-1\nrole_arn = {first['arn']}\nsource_profile = base\n"
        "role_session_name = e2e\n"
        f"[profile chained]\nregion = us-east-1\nrole_arn = {second['arn']}\nsource_profile = lab\n"
        "role_session_name = deeper\n"
        f"[profile long]\nregion = us-east-1\nrole_arn = {second['arn']}\nsource_profile = lab\n"
        "duration_seconds = 7200\n"
    )
    environment = {
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_ENDPOINT_URL": door.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        "AWS_PAGER": "",
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin",
    }
    return {"lab": lab, "environment": environment, "arns": (first["arn"], second["arn"])}


def test_roles_at_the_command_line(door, roles):
    listed = {role["name"]: role for role in door.cli("role", "list")}
    assert listed["operator"]["trusted"] == [door.facts["account_id"]]
    assert (listed["auditor"]["tenant"], listed["auditor"]["longest"]) == ("lab", 43_200)
    assert "operator" in door.run("role", "list").stdout
    assert door.run("role", "create", "operator", "--tenant", "lab").returncode == 1
    assert door.run("role", "create", "x", "--trust", "nobody").returncode == 1
    assert door.cli("role", "create", "brief", "--tenant", "lab")
    assert door.cli("role", "delete", "brief", "--tenant", "lab")["deleted"]
    gone = door.run("role", "delete", "brief", "--tenant", "lab")
    assert "isthmus role list" in gone.stderr


def test_profiles_of_boto3(door, roles, monkeypatch):
    for name, value in roles["environment"].items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    account = roles["lab"]["account_id"]
    session = boto3.Session(profile_name="lab")
    me = session.client("sts").get_caller_identity()
    assert me["Arn"] == f"arn:aws:sts::{account}:assumed-role/operator/e2e"
    session.client("ec2").create_key_pair(KeyName="by-role")
    theirs = door.client(key=key_of(roles["lab"])).describe_key_pairs()["KeyPairs"]
    assert [pair["KeyName"] for pair in theirs] == ["by-role"]
    assert boto3.Session(profile_name="base").client("ec2").describe_key_pairs()["KeyPairs"] == []
    deeper = boto3.Session(profile_name="chained").client("sts").get_caller_identity()
    assert deeper["Arn"] == f"arn:aws:sts::{account}:assumed-role/auditor/deeper"
    with pytest.raises(ClientError, match="1 hour session limit for roles assumed by role chaining"):
        boto3.Session(profile_name="long").client("sts").get_caller_identity()


def aws(
    program: str, door: Door, environment: dict[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "--endpoint-url", door.endpoint, "--output", "json", *words],
        check=False, capture_output=True, text=True, env=environment, timeout=120,
    )  # fmt: skip


def variables(told: str) -> dict[str, str]:
    """A temporary key for the environment, out of what `aws sts` says."""
    key = json.loads(told)["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_SESSION_TOKEN": key["SessionToken"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_profiles_of_the_command_line_client(door, roles):
    """Debian's version 2 asks Amazon itself for a profile's role: it knows no AWS_ENDPOINT_URL yet."""
    me = aws(PROGRAMS["v1"], door, roles["environment"], "sts", "get-caller-identity", "--profile", "lab")
    assert me.returncode == 0, me.stderr
    assert json.loads(me.stdout)["Arn"].endswith(":assumed-role/operator/e2e")
    seen = aws(PROGRAMS["v1"], door, roles["environment"], "ec2", "describe-regions", "--profile", "chained")
    assert json.loads(seen.stdout)["Regions"][0]["RegionName"] == "us-east-1"


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_command_line_client_with_temporary_keys(door, roles, program):
    environment = roles["environment"]
    told = aws(
        program, door, environment, "sts", "assume-role", "--role-arn", roles["arns"][0],
        "--role-session-name", "cli", "--profile", "base",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    me = aws(program, door, environment | variables(told.stdout), "sts", "get-caller-identity")
    account = roles["lab"]["account_id"]
    assert json.loads(me.stdout)["Arn"] == f"arn:aws:sts::{account}:assumed-role/operator/cli"
    told = aws(
        program,
        door,
        environment,
        "sts",
        "get-session-token",
        "--duration-seconds",
        "900",
        "--profile",
        "base",
    )
    mine = environment | variables(told.stdout)
    seen = aws(program, door, mine, "ec2", "describe-regions")
    assert json.loads(seen.stdout)["Regions"][0]["RegionName"] == "us-east-1"
    assert "(AccessDenied)" in aws(program, door, mine, "sts", "get-session-token").stderr
    wrong = aws(program, door, mine | {"AWS_SESSION_TOKEN": "x"}, "ec2", "describe-regions")
    assert "(AuthFailure)" in wrong.stderr


def test_the_javascript_sdk_takes_on_a_role(door, roles):
    script = """
const { EC2Client, DescribeRegionsCommand } = require("@aws-sdk/client-ec2");
const { STSClient, AssumeRoleCommand, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
const [endpoint, accessKeyId, secretAccessKey, RoleArn] = process.argv.slice(1);
const at = (credentials) => ({ endpoint, region: "us-east-1", credentials });
(async () => {
  const sts = new STSClient(at({ accessKeyId, secretAccessKey }));
  const told = await sts.send(new AssumeRoleCommand({ RoleArn, RoleSessionName: "js" }));
  const { AccessKeyId, SecretAccessKey, SessionToken } = told.Credentials;
  const mine = { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
  const me = await new STSClient(at(mine)).send(new GetCallerIdentityCommand({}));
  const seen = await new EC2Client(at(mine)).send(new DescribeRegionsCommand({}));
  let refused = "";
  try { await sts.send(new AssumeRoleCommand({ RoleArn: RoleArn + "x", RoleSessionName: "js" })); }
  catch (error) { refused = error.name; }
  console.log(JSON.stringify({ arn: me.Arn, regions: seen.Regions.length, refused }));
})();
"""
    done = subprocess.run(
        ["node", "-e", script, door.endpoint, door.key.id, door.key.secret, roles["arns"][0]],
        check=False, capture_output=True, text=True, cwd=JAVASCRIPT, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["arn"].endswith(":assumed-role/operator/js")
    assert (told["regions"], told["refused"]) == (1, "AccessDenied")


def test_an_ended_role_ends_what_runs(door, roles):
    door.cli("role", "create", "brief", "--tenant", "lab", "--trust", door.facts["account_id"])
    arn = f"arn:aws:iam::{roles['lab']['account_id']}:role/brief"
    told = door.client("sts").assume_role(RoleArn=arn, RoleSessionName="ab")["Credentials"]
    client = boto3.client(
        "ec2", endpoint_url=door.endpoint, region_name="us-east-1", aws_access_key_id=told["AccessKeyId"],
        aws_secret_access_key=told["SecretAccessKey"], aws_session_token=told["SessionToken"],
    )  # fmt: skip
    assert client.describe_regions()["Regions"]
    door.cli("role", "delete", "brief", "--tenant", "lab")
    with pytest.raises(ClientError, match="AuthFailure"):
        client.describe_regions()
    log = door.log.read_text()
    assert '"operator/e2e"' in log or "brief/ab" in log
    for secret in (told["SecretAccessKey"], told["SessionToken"]):
        assert secret not in log


# Signatures ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(door: Door) -> Signer:
    told = door.client("sts").get_session_token()["Credentials"]
    return Signer(told["AccessKeyId"], told["SecretAccessKey"], token=told["SessionToken"])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/services/Cloud",
        "/services/Cloud/",
        "/services/Eucalyptus",
        "/services/Eucalyptus/",
        "/services/compute",
        "/services/compute/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_paths(door, session, path, method):
    assert accepted(door.send(REGIONS, method=method, path=path))
    assert accepted(door.send(REGIONS, method=method, path=path, signer=session))
    now, host = datetime.now(UTC), door.host
    for signer in (door.signer(), session):
        query = v4_query(signer, host=host, now=now, pairs=REGIONS, method="GET", path=path)
        assert accepted(door.http("GET", f"{path}?{query_of(query)}"))
        old = query_of(v2(signer, host=host, now=now, pairs=REGIONS, method=method, path=path))
        if method == "GET":
            assert accepted(door.http("GET", f"{path}?{old}"))
        else:
            assert accepted(door.http("POST", path, old, FORM))
    assert error_of(door.send(REGIONS, method=method, path=path, signer=door.signer(secret="x"))) == (
        401,
        "AuthFailure",
    )


@pytest.mark.parametrize(
    "version", ["2006-06-26", "2007-08-29", "2008-12-01", "2009-11-30", "2010-08-31", "2011-12-15",
                "2012-12-01", "2013-10-15", "2014-10-01", "2015-10-01", "2016-11-15"],
)  # fmt: skip
def test_every_version_answers_in_its_own_namespace(door, version):
    answer = door.send([("Action", "DescribeRegions"), ("Version", version)])
    assert accepted(answer)
    assert ET.fromstring(answer.body).tag == (
        f"{{http://ec2.amazonaws.com/doc/{version}/}}DescribeRegionsResponse"
    )


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "QUERY"])
@pytest.mark.parametrize("path", ["/services/Cloud", "/services/Eucalyptus/", "/"])
def test_other_methods(door, method, path):
    answer = door.send(REGIONS, method=method, path=path)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")
    if method == "HEAD":
        assert answer.body == ""
        assert answer.headers["x-amzn-RequestId"] == answer.headers["x-amz-request-id"]
    else:
        assert error_of(answer) == (405, "InvalidRequest")


@pytest.mark.parametrize("arguments", [["-d", query_of(REGIONS)], ["-G", "-d", query_of(REGIONS)]])
def test_curl_signs_by_itself(door, session, arguments):
    for signer in (door.signer(), session):
        token = ["-H", f"x-amz-security-token: {signer.token}"] if signer.token else []
        done = subprocess.run(
            ["curl", "-sS", "--aws-sigv4", "aws:amz:us-east-1:ec2", "-K", "-", *token, *arguments,
             f"{door.endpoint}/"],
            check=True, capture_output=True, text=True, input=f'user = "{signer.id}:{signer.secret}"\n',
        )  # fmt: skip
        assert "<regionName>us-east-1</regionName>" in done.stdout


@pytest.mark.parametrize("token", [None, "of a session"])
@pytest.mark.parametrize("validate", ["hmac-v4", "ec2"])
def test_boto_2_signs_in_both_versions(door, session, token, validate, monkeypatch):
    from boto.ec2.connection import EC2Connection
    from boto.regioninfo import RegionInfo

    class Connection(EC2Connection):  # type: ignore[misc]
        def _required_auth_capability(self) -> list[str]:
            return [validate]

    signer = session if token else door.signer()
    monkeypatch.setenv("S3_USE_SIGV4", "")
    region = RegionInfo(name="us-east-1", endpoint="127.0.0.1")
    connection = Connection(
        signer.id, signer.secret, security_token=signer.token, region=region, is_secure=False,
        port=door.port, path="/services/Eucalyptus", validate_certs=False,
    )  # fmt: skip
    connection.auth_region_name = "us-east-1"
    if validate == "hmac-v4":
        connection._auth_handler.region_name, connection._auth_handler.service_name = "us-east-1", "ec2"
    assert [each.name for each in connection.get_all_regions()] == ["us-east-1"]


@pytest.mark.parametrize(
    ("offset", "expected"), [(-290, 200), (290, 200), (-310, 400), (310, 400), (-86_400, 400), (86_400, 400)]
)
def test_clocks(door, offset, expected):
    now = datetime.now(UTC) + timedelta(seconds=offset)
    answer = door.send(REGIONS, now=now)
    assert answer.status == expected
    if expected == 400:
        assert error_of(answer) == (400, "RequestExpired")
        assert answer.headers["Date"]  # by which clients correct their clocks


def test_presigned_requests_end(door):
    now = datetime.now(UTC)
    for age, expires, expected in ((0, 1, 200), (30, 60, 200), (61, 60, 400), (604_700, 604_800, 200)):
        query = v4_query(
            door.signer(), host=door.host, now=now - timedelta(seconds=age), pairs=REGIONS, expires=expires
        )
        answer = door.http("GET", f"/?{query_of(query)}")
        assert answer.status == expected, (age, expires)
    for expires in (0, 604_801):
        query = v4_query(door.signer(), host=door.host, now=now, pairs=REGIONS, expires=expires)
        assert error_of(door.http("GET", f"/?{query_of(query)}")) == (400, "IncompleteSignature")


# Requests made by hand, byte by byte --------------------------------------------------------------------


def raw(door: Door, *parts: bytes) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=60)
    connection.connect()
    for part in parts:
        connection.sock.sendall(part)
    response = http.client.HTTPResponse(connection.sock)
    response.begin()
    return response


def answer_of(response: http.client.HTTPResponse) -> Answer:
    return Answer(response.status, response.headers, response.read().decode("utf-8", "replace"))


def head(method: str, target: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def test_headers_twice_are_one_with_a_comma(door):
    headers = v4(
        door.signer(), host=door.host, now=datetime.now(UTC), method="GET", pairs=REGIONS,
        headers={"x-note": "one,two"},
    )  # fmt: skip
    listed = [(name, value) for name, value in headers.items() if name != "x-note"]
    twice = [*listed, ("X-Note", "one"), ("x-note", "  two ")]
    assert accepted(answer_of(raw(door, head("GET", f"/?{query_of(REGIONS)}", twice))))
    other = [*listed, ("X-Note", "two"), ("x-note", "one")]
    assert error_of(answer_of(raw(door, head("GET", f"/?{query_of(REGIONS)}", other)))) == (
        401,
        "AuthFailure",
    )


@pytest.mark.parametrize(
    "more",
    [
        [("Host", "other.example")],
        [("Authorization", "AWS4-HMAC-SHA256 Credential=x")],
        [("X-Amz-Date", "20200101T000000Z")],
        [("X-Amz-Security-Token", "x")],
    ],
)
def test_headers_of_the_signature_twice_are_refused(door, more):
    headers = v4(door.signer(), host=door.host, now=datetime.now(UTC), method="GET", pairs=REGIONS)
    answer = answer_of(raw(door, head("GET", f"/?{query_of(REGIONS)}", [*headers.items(), *more])))
    assert 400 <= answer.status < 500


def test_folded_headers_are_refused(door):
    """Obsolete since RFC 7230: two readers of one request would differ about them."""
    headers = v4(
        door.signer(), host=door.host, now=datetime.now(UTC), method="GET", pairs=REGIONS,
        headers={"x-note": "one two"},
    )  # fmt: skip
    folded = [(name, "one\r\n two" if name == "x-note" else value) for name, value in headers.items()]
    answer = answer_of(raw(door, head("GET", f"/?{query_of(REGIONS)}", folded)))
    assert answer.status == 400
    assert answer.headers["x-amzn-RequestId"]


def test_absolute_targets(door):
    headers = v4(door.signer(), host=door.host, now=datetime.now(UTC), method="GET", pairs=REGIONS)
    target = f"{door.endpoint}/?{query_of(REGIONS)}"
    assert accepted(answer_of(raw(door, head("GET", target, list(headers.items())))))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("Action=%ff&Version=2016-11-15", "MalformedQueryString"),
        ("Action=%zz&Version=2016-11-15", "MalformedQueryString"),
        ("Action=%00&Version=2016-11-15", "InvalidParameterValue"),
    ],
)
def test_queries_that_cannot_be_read(door, query, code):
    assert error_of(answer_of(raw(door, head("GET", f"/?{query}", [("Host", door.host)])))) == (400, code)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("Version", VERSION)], (400, "MissingAction", "action")),
        ([("Action", "RunInstances"), *REGIONS], (400, "MalformedQueryString", "Action is given more than once")),
        ([("Action", ""), ("Version", VERSION)], (400, "MissingAction", "action")),
        ([("Action", "DescribeRegions")], (400, "MissingParameter", "The request must contain the parameter Version")),
        ([("Action", "MakeCoffee"), ("Version", VERSION)],
         (400, "InvalidAction", "The action MakeCoffee is not valid for this web service.")),
        ([("Action", "DescribeRegions"), ("Version", "2036-01-01")], (400, "NoSuchVersion", "2036-01-01")),
        ([("Action", "DescribeRegions"), ("Version", "soon")], (400, "NoSuchVersion", "soon")),
        ([("Action", "DescribeRegions"), ("Version", "2010-02-31")], (400, "NoSuchVersion", "2010-02-31")),
        ([*REGIONS, ("Colour", "red")],
         (400, "UnknownParameter", "The parameter Colour is not recognized")),
        ([*REGIONS, ("DryRun", "true")],
         (412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")),
        ([("Action", "AttachVolume"), ("Version", VERSION)],
         (400, "MissingParameter", "The request must contain the parameter")),
        ([*REGIONS, ("DryRun", "perhaps")], (400, "InvalidParameterValue", "dryRun")),
    ],
)  # fmt: skip
def test_refusals_before_the_action(door, pairs, expected):
    status, code, message = expected
    for method in ("GET", "POST"):
        answer = door.send(pairs, method=method)
        assert error_of(answer) == (status, code)
        assert message in (ET.fromstring(answer.body).findtext("Errors/Error/Message") or "")
        stranger = door.send(pairs, method=method, signer=door.signer(secret="x"))
        assert error_of(stranger) == (401, "AuthFailure")  # who is nobody learns nothing else


@pytest.mark.parametrize(
    ("pairs", "changes", "expected"),
    [
        ([("Action", "GetCallerIdentity")], {"secret": "x"}, (403, "InvalidClientTokenId")),
        ([("Action", "GetCallerIdentity")], {"id": "AKIAUNKNOWNUNKNOWN22"}, (403, "InvalidClientTokenId")),
        ([("Action", "GetCallerIdentity")], {"service": "ec2"}, (403, "InvalidClientTokenId")),
        ([("Action", "AssumeRole")], {}, (400, "ValidationError")),
        ([("Action", "GetSessionToken"), ("DurationSeconds", "1")], {}, (400, "ValidationError")),
        ([("Action", "GetCallerIdentity"), ("X", "1")], {}, (400, "InvalidQueryParameter")),
        ([("Action", "AssumeRoleWithSAML")], {}, (400, "InvalidAction")),
        ([("Action", "DescribeInstances")], {}, (400, "InvalidAction")),
        ([], {}, (400, "MissingAction")),
    ],
)
def test_sts_refuses_in_its_own_form(door, pairs, changes, expected):
    signer = door.signer(**{"service": "sts"} | changes)
    answer = door.send([*pairs, ("Version", "2011-06-15")], signer=signer)
    assert error_of(answer) == expected
    assert ET.fromstring(answer.body).tag == "{https://sts.amazonaws.com/doc/2011-06-15/}ErrorResponse"


def test_a_signature_for_sts_opens_nothing_else(door):
    assert error_of(door.send(REGIONS, signer=door.signer(service="sts"))) == (401, "AuthFailure")


def chunks(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 17, 4096])
def test_chunked_bodies(door, size):
    body = query_of(REGIONS).encode()
    headers = v4(door.signer(), host=door.host, now=datetime.now(UTC), body=body, headers=FORM)
    listed = [*headers.items(), ("Transfer-Encoding", "chunked")]
    assert accepted(answer_of(raw(door, head("POST", "/", listed), chunks(body, size))))


def tags(size: int) -> bytes:
    """A body of about so many bytes that names ids which are not there."""
    start = query_of([("Action", "CreateTags"), ("Version", VERSION), ("Tag.1.Key", "k")])
    ids = [f"&ResourceId.{n}=vol-0123456789abcdef0" for n in range(1, 900)]
    filled = start + "".join(ids)
    return (filled + "&Tag.1.Value=" + "v" * (size - len(filled) - 13)).encode()


def test_bodies_up_to_the_limit_are_read_and_longer_ones_refused_on_a_connection_that_stays(door):
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=60)
    limit = 1 << 20
    for body, expected in (
        (tags(limit), (400, "InvalidParameterValue")),  # of a tag's value, so it was read to its end
        (tags(limit + 1), (413, "RequestEntityTooLarge")),
        (tags(4 * limit), (413, "RequestEntityTooLarge")),
    ):
        headers = v4(door.signer(), host=door.host, now=datetime.now(UTC), body=body, headers=FORM)
        connection.request("POST", "/", body, headers)
        assert error_of(answer_of(connection.getresponse())) == expected
        kept = connection.sock
        good = query_of(REGIONS).encode()
        headers = v4(door.signer(), host=door.host, now=datetime.now(UTC), body=good, headers=FORM)
        connection.request("POST", "/", good, headers)
        assert accepted(answer_of(connection.getresponse()))
        assert connection.sock is kept
    connection.close()


def test_a_body_that_does_not_come(door):
    listed = [("Host", door.host), ("Content-Length", "100"), *FORM.items()]
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=60)
    connection.connect()
    connection.sock.sendall(head("POST", "/", listed) + b"Action=A")
    connection.sock.shutdown(1)
    response = http.client.HTTPResponse(connection.sock)
    response.begin()
    assert error_of(answer_of(response)) == (400, "InvalidRequest")


def test_what_is_no_http_has_an_id_too(door):
    answer = answer_of(raw(door, b"GARBAGE\r\n\r\n"))
    assert answer.status == 400
    assert answer.headers["X-Request-Id"] == answer.headers["x-amzn-RequestId"]
    assert answer.headers["X-Request-Id"] in answer.body


# Limits -------------------------------------------------------------------------------------------------

READING, CHANGING = 4, 2  # calls a second, and at once


@pytest.fixture(scope="module")
def slow(tmp_path_factory: Any) -> Iterator[Door]:
    made = Door(
        tmp_path_factory.mktemp("slow"),
        ISTHMUS_WEB__WORKERS="1",
        ISTHMUS_LIMITS__READING=str(READING),
        ISTHMUS_LIMITS__READING_BURST=str(READING),
        ISTHMUS_LIMITS__CHANGING=str(CHANGING),
        ISTHMUS_LIMITS__CHANGING_BURST=str(CHANGING),
    )
    made.init()
    try:
        made.start()
        yield made
    finally:
        made.end()


def throttled(door: Door, kind: str) -> float:
    text = door.http("GET", "/metrics").body
    found = re.search(rf'isthmus_throttled_total\{{kind="{kind}"\}} ([0-9.]+)', text)
    return float(found[1]) if found else 0.0


def refusal(call: Any) -> dict[str, Any]:
    """The first answer of many calls that says to wait."""
    for _ in range(50):
        try:
            call()
        except ClientError as error:
            if error.response["Error"]["Code"] in {"RequestLimitExceeded", "Throttling"}:
                return dict(error.response)
    raise AssertionError("nobody said to wait")


def test_who_calls_too_often_is_told_so_and_nobody_else(slow):
    key = key_of(slow.tenant("eager"))
    eager, calm = slow.client(key=key, parameter_validation=False), slow.client()
    before = throttled(slow, "reading")
    for _ in range(READING):
        eager.describe_regions()
    reply = refusal(eager.describe_regions)
    assert (reply["Error"]["Code"], reply["Error"]["Message"]) == (
        "RequestLimitExceeded",
        "Request limit exceeded.",
    )
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert throttled(slow, "reading") > before
    assert calm.describe_regions()["Regions"]
    eager.create_key_pair(KeyName="k")  # another class of calls
    assert refusal(eager.modify_vpc_attribute)["Error"]["Code"] == "RequestLimitExceeded"  # before all else
    assert refusal(slow.client("sts", key=key).get_session_token)["Error"]["Code"] == "Throttling"


def test_strangers_use_up_nobodys_calls(slow):
    tenant = slow.tenant("quiet")
    stranger = slow.client(key=Key(tenant["access_key"], "wrong"))
    for _ in range(READING * 5):
        with pytest.raises(ClientError, match="AuthFailure"):
            stranger.describe_regions()
    mine = slow.client(key=key_of(tenant))
    for _ in range(READING):
        mine.describe_regions()


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_boto3_tries_again_until_it_is_let_in(slow, mode):
    key = key_of(slow.tenant(f"patient-{mode}"))
    client = boto3.client(
        "ec2", endpoint_url=slow.endpoint, region_name="us-east-1", aws_access_key_id=key.id,
        aws_secret_access_key=key.secret, config=Config(retries={"mode": mode, "max_attempts": 10}),
    )  # fmt: skip
    tries = [client.describe_regions()["ResponseMetadata"]["RetryAttempts"] for _ in range(READING * 4)]
    assert sum(tries) >= 1


def test_the_javascript_sdk_tries_again(slow):
    script = """
const { EC2Client, DescribeRegionsCommand } = require("@aws-sdk/client-ec2");
const [endpoint, accessKeyId, secretAccessKey] = process.argv.slice(1);
(async () => {
  const client = new EC2Client({
    endpoint, region: "us-east-1", credentials: { accessKeyId, secretAccessKey }, maxAttempts: 10,
  });
  let attempts = 0;
  for (let n = 0; n < 12; n++) attempts += (await client.send(new DescribeRegionsCommand({}))).$metadata.attempts;
  console.log(attempts);
})();
"""
    key = key_of(slow.tenant("patient-js"))
    done = subprocess.run(
        ["node", "-e", script, slow.endpoint, key.id, key.secret],
        check=False, capture_output=True, text=True, cwd=JAVASCRIPT, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 12


def test_without_limits_nobody_is_refused(door):
    client = door.client()
    for _ in range(300):
        client.describe_regions()
    assert throttled(door, "reading") == 0
