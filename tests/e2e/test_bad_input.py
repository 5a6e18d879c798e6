"""Bad input of every kind, over HTTP: each face refuses in its own words, nothing breaks and nothing changes."""

from __future__ import annotations

import base64
import io
import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pycdlib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_cloud import Answer, Key, LiveCloud, key_of, wait_for
from occi_client import (
    ACTION,
    COMPUTE,
    HEADERS,
    INFRASTRUCTURE,
    JSON,
    PLAIN,
    RENDERINGS,
    SSH_KEY,
    USER_DATA,
    OcciClient,
    category,
    pair,
    seen,
)
from wire import FORM, VERSION, call, census, refusal, signed

from backend.model import uuid_of
from ec2.actions import ACTIONS
from ec2.service import EC2, STS

WAIT = {"Delay": 1, "MaxAttempts": 60}
UNKNOWN = "0123456789abcdef0"
KIND = f"Category: {category(COMPUTE, 'kind')}"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFCpJ2wA4MJ2cNQFBBCUnCDyAFh6jNmfuC7kBAF1VnLJ"

# Text that means something to somebody: XML, SQL, shells, templates, YAML, formats, paths, scripts of the world.
HOSTILE = [
    """<script>alert("x")</script>&amp;<!--]]>""",
    """<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>&e;""",
    """'; DROP TABLE instance; --""",
    """$(touch /tmp/owned)`id`;|&& ${IFS}""",
    """{{7*7}} ${7*7} #{7*7} %s%n%p""",
    """- !!python/object/apply:os.system ["id"] #: {a: *b}""",
    """../../../../etc/passwd\\..\\x""",
    """a, b; c="d"; e=f\\"g""",
    """Zażółć gęślą jaźń — 漢字 🦄 \u202eelbat\u202c e\u0301""",
    """https://x.example/?a=b&c=d#e""",
]


@pytest.fixture(scope="module")
def vm(cloud: LiveCloud) -> str:
    """A running instance of the first tenant, which every test leaves as it was."""
    client = cloud.client()
    made = client.run_instances(ImageId=cloud.image, MinCount=1, MaxCount=1, InstanceType="t2.nano")
    instance: str = made["Instances"][0]["InstanceId"]
    client.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig=WAIT)
    wait_for(lambda: all(vm["state"] in {"runn", "done", "poff"} for vm in cloud.cli("vm", "list")), "quiet")
    return instance


@pytest.fixture
def unchanged(cloud: LiveCloud, vm: str) -> Iterator[None]:
    """Nothing in the database differs after the test."""
    before = census(cloud)
    yield
    assert census(cloud) == before


def sent(cloud: LiveCloud, data: bytes, patience: float = 3.0) -> bytes:
    """What the server says to these bytes until it closes the connection or has nothing more to say."""
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=20) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        connection.settimeout(patience)
        said = b""
        with suppress(TimeoutError, ConnectionResetError):
            while chunk := connection.recv(65536):
                said += chunk
        return said


# EC2: who is it? ----------------------------------------------------------------------------------------

ASK = {"Action": "DescribeInstances", "Version": VERSION}
CREDENTIAL = "Credential=AKIAAAAAAAAAAAAAAAAA/20260101/us-east-1/ec2/aws4_request"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"key": Key("AKIAUNKNOWNUNKNOWN22", "x")}, 401, "AuthFailure"),
        ({"age": timedelta(minutes=16)}, 400, "RequestExpired"),
        ({"age": timedelta(days=4000)}, 400, "RequestExpired"),
        ({"age": timedelta(minutes=-16)}, 400, "RequestExpired"),
        ({"region": "mars-north-1"}, 401, "AuthFailure"),
        ({"service": "s3"}, 401, "AuthFailure"),
        ({"spoil": {"X-Amz-Date": "yesterday"}}, 400, "IncompleteSignature"),
        ({"spoil": {"X-Amz-Date": "20260230T250000Z"}}, 400, "IncompleteSignature"),
        ({"spoil": {"Authorization": ""}}, 401, "AuthFailure"),
        ({"spoil": {"Authorization": "AWS4-HMAC-SHA256"}}, 400, "IncompleteSignature"),
        ({"spoil": {"Authorization": "AWS4-HMAC-SHA256 nonsense, ,=,=="}}, 400, "IncompleteSignature"),
        ({"spoil": {"Authorization": f"AWS4-HMAC-SHA256 {CREDENTIAL}"}}, 400, "IncompleteSignature"),
        (
            {"spoil": {"Authorization": f"AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=, Signature="}},
            400,
            "IncompleteSignature",
        ),
        (
            {"spoil": {"Authorization": f"AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=host, Signature=\xff"}},
            400,
            "IncompleteSignature",
        ),
        ({"spoil": {"Authorization": "AWS4-HMAC-SHA256 " + "Credential=a/b/c/d/e, " * 500}}, 400, "IncompleteSignature"),
        ({"spoil": {"Authorization": "AWS5-HMAC-SHA512 x"}}, 401, "AuthFailure"),
        ({"spoil": {"Authorization": "Basic YTpi"}}, 401, "AuthFailure"),
    ],
)  # fmt: skip
def test_a_request_that_nobody_signed(cloud, unchanged, changes, status, code):
    said = refusal(signed(cloud, ASK, **changes))
    assert (said.status, said.code) == (status, code)


def test_a_body_that_was_changed_after_signing(cloud, unchanged):
    """The signature covers every byte: method, path, query, signed headers and body."""
    ask = b"Action=TerminateInstances&Version=2016-11-15&InstanceId.1=i-" + UNKNOWN.encode()
    assert refusal(signed(cloud, ask)).code == "InvalidInstanceID.NotFound"
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    made = AWSRequest("POST", cloud.endpoint + "/", data=ask, headers={"Content-Type": FORM})
    made.headers["Host"] = f"127.0.0.1:{cloud.port}"
    SigV4Auth(Credentials(*cloud.key), "ec2", cloud.facts["region"]).add_auth(made)
    headers = dict(made.headers.items())
    for method, path, body in (
        ("POST", "/", ask + b"&DryRun=true"), ("POST", "/", ask.replace(b"0", b"1")), ("POST", "/?DryRun=true", ask),
        ("POST", "/services/Cloud", ask), ("PUT", "/", ask),
    ):  # fmt: skip
        answer = cloud.http(method, path, body, headers)
        assert 400 <= answer.status < 500
        assert refusal(answer).code in {"AuthFailure", "InvalidAction", "InvalidRequest"}


def test_a_disabled_key(cloud, vm):
    made = key_of(cloud.cli("key", "create"))
    assert signed(cloud, ASK, key=made).status == 200
    cloud.cli("key", "disable", made.id)
    before = census(cloud)
    assert refusal(signed(cloud, ASK, key=made))[:2] == (401, "AuthFailure")
    assert census(cloud) == before


# EC2: what does it say? ---------------------------------------------------------------------------------

RUN = (("ImageId", "{image}"), ("InstanceType", "t2.nano"), ("MinCount", "1"), ("MaxCount", "1"))


def _changed(*pairs: tuple[str, str], leave_out: str = "") -> tuple[tuple[str, str], ...]:
    named = {name for name, _ in pairs} | {leave_out}
    return (*(each for each in RUN if each[0] not in named), *pairs)


@pytest.mark.parametrize(
    ("action", "pairs", "code"),
    [
        ("RunInstances", _changed(leave_out="ImageId"), "MissingParameter"),
        ("RunInstances", _changed(leave_out="MinCount"), "MissingParameter"),
        ("RunInstances", _changed(("MinCount", "")), "InvalidParameterValue"),
        ("RunInstances", _changed(("MinCount", "one")), "InvalidParameterValue"),
        ("RunInstances", _changed(("MinCount", "1.0")), "InvalidParameterValue"),
        ("RunInstances", _changed(("MinCount", "٣")), "InvalidParameterValue"),
        ("RunInstances", _changed(("MinCount", "9" * 5000)), "InvalidParameterValue"),
        ("RunInstances", _changed(("MinCount", "0")), "InvalidParameterValue"),
        ("RunInstances", _changed(("MaxCount", "-1")), "InvalidParameterValue"),
        ("RunInstances", _changed(("MinCount", "2")), "InvalidParameterCombination"),
        ("RunInstances", _changed(("ImageId", "ami-")), "InvalidAMIID.Malformed"),
        ("RunInstances", _changed(("ImageId", "i-" + UNKNOWN)), "InvalidAMIID.Malformed"),
        ("RunInstances", _changed(("ImageId", "ami-" + UNKNOWN)), "InvalidAMIID.NotFound"),
        ("RunInstances", _changed(("InstanceType", "x9.<huge>")), "InvalidParameterValue"),
        ("RunInstances", _changed(("KeyName", "no such key")), "InvalidKeyPair.NotFound"),
        ("RunInstances", _changed(("UserData", "not base64!")), "InvalidUserData.Malformed"),
        ("RunInstances", _changed(("UserData", "A" * 24000)), "InvalidParameterValue"),
        ("RunInstances", _changed(("ClientToken", "x" * 65)), "InvalidParameterValue"),
        ("RunInstances", _changed(("Placement.AvailabilityZone", "nowhere")), "InvalidParameterValue"),
        ("RunInstances", _changed(("SubnetId", "subnet-" + UNKNOWN)), "InvalidSubnetID.NotFound"),
        ("RunInstances", _changed(("Nonsense", "1")), "UnknownParameter"),
        ("RunInstances", _changed(("Placement.Nonsense", "1")), "UnknownParameter"),
        ("RunInstances", _changed(("DryRun", "perhaps")), "InvalidParameterValue"),
        ("RunInstances", _changed(("InstanceInitiatedShutdownBehavior", "explode")), "InvalidParameterValue"),
        ("DescribeInstances", (("InstanceId.1", ""),), "InvalidInstanceID.Malformed"),
        ("DescribeInstances", (("InstanceId.1", "i-<b>'\"&"),), "InvalidInstanceID.Malformed"),
        ("DescribeInstances", (("InstanceId.1", "i-0123456789ABCDEF0"),), "InvalidInstanceID.Malformed"),
        ("DescribeInstances", (("InstanceId.1", "i-" + UNKNOWN),), "InvalidInstanceID.NotFound"),
        ("DescribeInstances", (("MaxResults", "4"),), "InvalidParameterValue"),
        ("DescribeInstances", (("MaxResults", "1001"),), "InvalidParameterValue"),
        ("DescribeInstances", (("NextToken", "' OR 1=1 --"),), "InvalidNextToken"),
        ("DescribeInstances", (("Filter.1.Name", "no-such-filter"), ("Filter.1.Value.1", "x")), "InvalidParameterValue"),
        ("DescribeInstances", (("MaxResults", "5"), ("InstanceId.1", "{vm}")), "InvalidParameterCombination"),
        ("TerminateInstances", (), "InvalidParameterCombination"),
        ("TerminateInstances", (("InstanceId.1", "{vm}"), ("InstanceId.2", "i-" + UNKNOWN)), "InvalidInstanceID.NotFound"),
        ("TerminateInstances", (("InstanceId.1", "{vm}"), ("InstanceId.2", "vm")), "InvalidInstanceID.Malformed"),
        ("StartInstances", (("InstanceId.1", "{vm}"), ("Frobnicate", "x")), "UnknownParameter"),
        ("StopInstances", (("InstanceId.1", "{vm}"), ("Hibernate", "true")), "UnsupportedHibernationConfiguration"),
        ("ModifyInstanceAttribute", (("InstanceId", "{vm}"), ("InstanceType.Value", "t2.micro")), "IncorrectInstanceState"),
        ("DescribeInstanceAttribute", (("InstanceId", "{vm}"), ("Attribute", "soul")), "InvalidParameterValue"),
        ("CreateTags", (("ResourceId.1", "{vm}"),), "MissingParameter"),
        ("CreateTags", (("ResourceId.1", "{vm}"), ("Tag.1.Key", "aws:x"), ("Tag.1.Value", "")), "InvalidParameterValue"),
        ("CreateTags", (("ResourceId.1", "{vm}"), ("Tag.1.Key", "k" * 129)), "InvalidParameterValue"),
        ("CreateTags", (("ResourceId.1", "{vm}"), ("Tag.1.Key", "k"), ("Tag.1.Value", "v" * 257)), "InvalidParameterValue"),
        ("CreateTags", (("ResourceId.1", "{vm}"), ("Tag.1.Key", "k"), ("Tag.2.Key", "k")), "InvalidParameterValue"),
        ("CreateTags", (("ResourceId.1", "{vm}"), ("Tag.1.Key", "a\x00b")), "InvalidParameterValue"),
        ("CreateTags", (("ResourceId.1", "{vm}"), ("Tag.1.Key", "a"), ("Tag.1.Value", "b\x1b[2J")), "InvalidParameterValue"),
        ("CreateTags", tuple([("ResourceId.1", "{vm}")] + [(f"Tag.{n}.Key", f"k{n}") for n in range(1, 52)]), "TagLimitExceeded"),
        ("CreateTags", (("ResourceId.1", "no-id"), ("Tag.1.Key", "k")), "InvalidID"),
        ("CreateKeyPair", (("KeyName", ""),), "InvalidParameterValue"),
        ("CreateKeyPair", (("KeyName", "line\nfeed"),), "InvalidParameterValue"),
        ("CreateKeyPair", (("KeyName", "k" * 256),), "InvalidParameterValue"),
        ("CreateKeyPair", (("KeyName", "k"), ("KeyType", "dsa")), "InvalidParameterValue"),
        ("ImportKeyPair", (("KeyName", "k"), ("PublicKeyMaterial", "AAAA")), "InvalidKeyPair.Format"),
        ("ImportKeyPair", (("KeyName", "k"), ("PublicKeyMaterial", "%%%")), "InvalidParameterValue"),
        ("RegisterImage", (("Name", "n" * 3), ("ImageLocation", "/etc/shadow")), None),
        ("RegisterImage", (("Name", "n" * 3), ("ImageLocation", "../../etc/shadow")), None),
        ("DeregisterImage", (("ImageId", "ami-../../x"),), "InvalidAMIID.Malformed"),
        ("CreateVpnGateway", (("Type", "ipsec.1"),), "UnsupportedOperation"),
        ("LaunchRockets", (), "InvalidAction"),
        ("<b>&", (), "InvalidAction"),
        ("", (), "MissingAction"),
    ],
)  # fmt: skip
def test_parameters_that_cannot_be(cloud, vm, unchanged, action, pairs, code):
    filled = [(name, value.replace("{vm}", vm).replace("{image}", cloud.image)) for name, value in pairs]
    answer = call(cloud, action, *filled)
    said = refusal(answer)
    assert said.code == code or code is None
    assert answer.status == 400
    assert len(answer.body) < 4000  # a refusal does not repeat what it was sent at length


@pytest.mark.parametrize(
    "body",
    [
        b"Action=DescribeInstances",
        b"Action=DescribeInstances&Version=tomorrow",
        b"Action=DescribeInstances&Version=2999-01-01",
        b"Version=2016-11-15",
        b"Action=DescribeInstances&Action=TerminateInstances&Version=2016-11-15",
        b"Action=DescribeInstances&Version=2016-11-15&InstanceId.1=%ff%fe",
        b"Action=DescribeInstances&Version=2016-11-15&InstanceId.1=\xff\xfe",
        b"Action=DescribeInstances&Version=2016-11-15&InstanceId.1=%c0%af%ed%a0%80",
        b"Action=DescribeInstances&Version=2016-11-15&InstanceId.1=%zz",
        b"Action=DescribeInstances&Version=2016-11-15&%00=%00",
        b"Action=DescribeInstances&Version=2016-11-15&=x",
        b"Action=DescribeInstances&Version=2016-11-15&InstanceId=i-" + UNKNOWN.encode(),
        b"Action=DescribeInstances&Version=2016-11-15&InstanceId.0=i-" + UNKNOWN.encode(),
        b"Action=DescribeInstances&Version=2016-11-15&InstanceId.-1=i-" + UNKNOWN.encode(),
        b"Action=DescribeInstances&Version=2016-11-15&InstanceId.99999999999=i-" + UNKNOWN.encode(),
        b"Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-1&InstanceId.1.Deep=x",
        b"Action=DescribeInstances&Version=2016-11-15&" + b"Filter.1." * 3000 + b"=x",
        b"Action=DescribeInstances&Version=2016-11-15&" + b"x" * 200_000 + b"=1",
        b"Action=DescribeInstances&Version=2016-11-15&InstanceId.1=" + b"i" * 900_000,
        b"Action=DescribeInstances&Version=2016-11-15&" + b"&".join(b"InstanceId.%d=i" % n for n in range(1, 20_000)),
        b'{"Action": "DescribeInstances"}',
        b"\x00\x01\x02",
        b"&" * 100_000,
    ],
)  # fmt: skip
def test_bodies_that_are_no_request(cloud, unchanged, body):
    answer = signed(cloud, body)
    if b"Action=" in body:
        assert 400 <= refusal(answer).status < 500
    else:  # without an action it is not EC2's
        assert 400 <= answer.status < 500
        assert "html" not in answer.headers["Content-Type"]


def test_ten_megabytes_and_a_hundred_thousand_fields_well_signed(cloud, unchanged):
    assert refusal(signed(cloud, b"Action=RunInstances&UserData=" + b"A" * 10_000_000))[:2] == (
        413,
        "RequestEntityTooLarge",
    )
    fields = b"&".join(b"A.%d=" % number for number in range(100_000))
    said = refusal(signed(cloud, b"Action=DescribeInstances&Version=2016-11-15&" + fields))
    assert 400 <= said.status < 500


def test_every_operation_refuses_a_parameter_that_no_model_has(cloud, unchanged):
    for action in ACTIONS:
        version = "2011-06-15" if action in STS.endpoints else VERSION
        pairs = {"Action": action, "Version": version, "Nonsense.1.Evil": "<x>"}
        answer = signed(cloud, pairs, service="sts" if action in STS.endpoints else "ec2")
        assert answer.status == 400, action
        codes = ("UnknownParameter", "MissingParameter", "InvalidQueryParameter", "ValidationError")
        assert any(f"<Code>{code}</Code>" in answer.body for code in codes), answer.body


# Hostile text that is somebody's good right -------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_text_in_tags_and_titles_comes_back_unharmed_through_both_faces(cloud, vm, text):
    client, path = cloud.client(), f"/compute/{uuid_of(vm)}"
    client.create_tags(
        Resources=[vm], Tags=[{"Key": text[:120], "Value": text}, {"Key": "Name", "Value": text}]
    )
    for media in RENDERINGS:
        assert OcciClient(cloud, media).read(path).attributes["occi.core.title"] == text
        given = f"{media} {text}"
        assert OcciClient(cloud, media).update(path, {"occi.core.title": given}).status == 200
        [instance] = client.describe_instances(Filters=[{"Name": "tag:Name", "Values": [_literal(given)]}])[
            "Reservations"
        ][0]["Instances"]
        assert {tag["Key"]: tag["Value"] for tag in instance["Tags"]} == {text[:120]: text, "Name": given}
        client.create_tags(Resources=[vm], Tags=[{"Key": "Name", "Value": text}])
    found = client.describe_tags(Filters=[{"Name": "key", "Values": [_literal(text[:120])]}])["Tags"]
    assert [(tag["Key"], tag["Value"]) for tag in found] == [(text[:120], text)]
    client.delete_tags(Resources=[vm], Tags=[{"Key": text[:120]}, {"Key": "Name"}])
    assert "occi.core.title" not in OcciClient(cloud, JSON).read(path).attributes


def _literal(text: str) -> str:
    """A filter value in which nothing is a wildcard."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")


@pytest.mark.parametrize("name", [text for text in HOSTILE if text.isascii()])
def test_names_of_keys_come_back_unharmed(cloud, name):
    client = cloud.client()
    made = client.import_key_pair(KeyName=name, PublicKeyMaterial=f"{PUBLIC_KEY} {name}".encode())
    [found] = client.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"]
    assert (found["KeyName"], found["KeyPairId"]) == (name, made["KeyPairId"])
    client.delete_key_pair(KeyName=name)


@pytest.mark.parametrize(
    "data",
    [bytes(range(256)) * 4, "\n".join(HOSTILE).encode(), b"#cloud-config\n'\"\n---\n...\n", b"\x00" * 16384, b"\xff\xfe\r\n"],
    ids=["bytes", "text", "yaml", "zeros", "bom"],
)  # fmt: skip
def test_user_data_is_bytes(cloud, vm, data):
    client = cloud.client()
    made = client.run_instances(
        ImageId=cloud.image, MinCount=1, MaxCount=1, InstanceType="t2.nano", UserData=data
    )["Instances"][0]["InstanceId"]
    said = client.describe_instance_attribute(InstanceId=made, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(said) == data
    shown = OcciClient(cloud, JSON).read(f"/compute/{uuid_of(made)}").attributes["occi.compute.userdata"]
    assert base64.b64decode(shown) == data
    client.terminate_instances(InstanceIds=[made])
    client.get_waiter("instance_terminated").wait(InstanceIds=[made], WaiterConfig=WAIT)


@pytest.mark.qemu
def test_hostile_text_reaches_the_guests_seed_and_does_no_harm(real_cloud, tmp_path):
    """User data byte by byte; names and comments as data, not as more YAML."""
    data = b"\n".join([b"#hostile", *(text.encode() for text in HOSTILE), bytes(range(256))])
    hostile = "".join(HOSTILE)[:120]
    comment = "me: [a, *b] #\"'; - !!x"
    location = OcciClient(real_cloud, JSON).create(
        [SSH_KEY, USER_DATA, OcciClient(real_cloud).mixin(real_cloud.image)],
        {
            "occi.core.title": hostile, "occi.core.summary": "\n".join(HOSTILE),
            "occi.compute.userdata": base64.b64encode(data).decode(),
            "occi.credentials.ssh.publickey": f"{PUBLIC_KEY} {comment}",
        },
    )  # fmt: skip
    instance = real_cloud.client().describe_instances(
        Filters=[{"Name": "tag:Name", "Values": [_literal(hostile)]}]
    )
    vm = instance["Reservations"][0]["Instances"][0]["InstanceId"]
    assert location.endswith(uuid_of(vm))
    seeds = real_cloud.home / "hosts" / "embed"
    [seed] = wait_for(lambda: [path for path in seeds.rglob("seed.iso") if vm in str(path)], "the seed")
    files = _files_of(seed.read_bytes())
    assert files["user-data"] == data
    meta = files["meta-data"].decode()
    assert f"instance-id: {vm}" in meta or json.loads(meta)["instance-id"] == vm
    assert [line for line in meta.splitlines() if comment in line or json.dumps(comment)[1:-1] in line]
    assert len(files) <= 4
    real_cloud.client().terminate_instances(InstanceIds=[vm], Force=True)
    real_cloud.client().get_waiter("instance_terminated").wait(
        InstanceIds=[vm], WaiterConfig={"Delay": 1, "MaxAttempts": 200}
    )


def _files_of(image: bytes) -> dict[str, bytes]:
    disc = pycdlib.PyCdlib()
    disc.open_fp(io.BytesIO(image))
    found = {}
    for child in disc.list_children(rr_path="/"):
        if child.is_file():
            content = io.BytesIO()
            name = child.rock_ridge.name().decode()
            disc.get_file_from_iso_fp(content, rr_path=f"/{name}")
            found[name] = content.getvalue()
    disc.close()
    return found


# OCCI ---------------------------------------------------------------------------------------------------

OS_TPL = category(f"{INFRASTRUCTURE}os_tpl", "mixin")
CRTP = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#"
UNKNOWN_MIXIN = category("http://nobody.example.org/x#y", "mixin")


def attribute(name: str, value: Any) -> str:
    return f"X-OCCI-Attribute: {pair(name, value)}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("\n\n\n", 400),
        ("nonsense", 400),
        ("Category:", 400),
        ("Category: compute", 400),
        (f'Category: storage; scheme="{INFRASTRUCTURE}"', 400),
        (f'Category: network; scheme="{INFRASTRUCTURE}"', 400),
        (f'Category: os_tpl; scheme="{INFRASTRUCTURE}"', 400),
        ('Category: compute; class="kind"', 400),
        (f'Category: compute; scheme="{INFRASTRUCTURE}; class="kind"', 400),
        (f'Category: compute; scheme="{INFRASTRUCTURE}"; class="sort"', 400),
        (f'Category: compute; scheme="{INFRASTRUCTURE}"; class="mixin"', 400),
        (f'Category: COM PUTE; scheme="{INFRASTRUCTURE}"; class="kind"', 400),
        (f"{KIND}\nCategory: {category(f'{INFRASTRUCTURE}storage', 'kind')}", 400),
        (f"{KIND}\nCategory: {category('http://schemas.ogf.org/occi/core#resource', 'kind')}", 400),
        (f"Category: {category('http://schemas.ogf.org/occi/core#entity', 'kind')}", 400),
        (f"Category: {category('http://nobody.example.org/x#compute', 'kind')}", 404),
        (f"Category: {OS_TPL}", 400),
        (f"{KIND}\nCategory: {UNKNOWN_MIXIN}", 404),
        (f"{KIND}\nCategory: {category(CRTP + 'small', 'mixin')}\nCategory: {category(CRTP + 'large', 'mixin')}", 400),
        (f"{KIND}\nCategory: {category(ACTION + 'start', 'action')}", 400),
        (f"{KIND}\nCategory: {category(SSH_KEY, 'mixin')}", 400),
        (f"{KIND}\nCategory: {category(SSH_KEY, 'mixin')}\n" + attribute("occi.credentials.ssh.publickey", "not a key"), 400),
        (f"{KIND}\n" + attribute("occi.credentials.ssh.publickey", PUBLIC_KEY), 404),
        (f"{KIND}\n" + attribute("occi.compute.soul", "x"), 404),
        (f"{KIND}\n" + attribute("occi.compute.cores", "two"), 400),
        (f"{KIND}\n" + attribute("occi.compute.cores", 0), 400),
        (f"{KIND}\n" + attribute("occi.compute.cores", 1000), 400),
        (f"{KIND}\nX-OCCI-Attribute: occi.compute.cores=-1", 400),
        (f"{KIND}\nX-OCCI-Attribute: occi.compute.cores=1e3", 400),
        (f"{KIND}\nX-OCCI-Attribute: occi.compute.memory=NaN", 400),
        (f"{KIND}\nX-OCCI-Attribute: occi.compute.memory=" + "9" * 5000, 400),
        (f"{KIND}\nX-OCCI-Attribute: occi.core.title=", 400),
        (f'{KIND}\nX-OCCI-Attribute: occi.core.title="open', 400),
        (f"{KIND}\nX-OCCI-Attribute: =x", 400),
        (f"{KIND}\nX-OCCI-Attribute: occi.core.title", 400),
        (f"{KIND}\n" + attribute("occi.core.title", "t" * 256), 400),
        (f"{KIND}\n" + attribute("occi.core.title", "a\x00b"), 400),
        (f"{KIND}\n" + attribute("occi.core.title", "a\x1b[2Jb"), 400),
        (f"{KIND}\n" + attribute("occi.compute.architecture", "vax"), 400),
        *((f"{KIND}\n" + attribute("occi.compute.hostname", text), 400) for text in HOSTILE),
        (f"{KIND}\n" + attribute("occi.compute.hostname", "a" * 254), 400),
        (f"{KIND}\n" + attribute("occi.compute.hostname", "-rf"), 400),
        (f'{KIND}\nLink: </storage/x>; rel="{INFRASTRUCTURE}storage"', 404),
        (f'{KIND}\nLink: </network/x>; rel="{INFRASTRUCTURE}network"', 404),
        (f'{KIND}\nLink: <x; rel="y"', 400),
        (f"{KIND}\nX-OCCI-Location: http://[bad/compute/x", 400),
        (f"{KIND}\nX-Evil: 1", 400),
        (f"{KIND}\n" + "Category: x\n" * 10_000, 400),
        (b'Category: \xff\xfe; scheme="x#"; class=kind', 400),
        (f"{KIND}\n".encode() + b'X-OCCI-Attribute: occi.core.title="\xc3\x28"', 400),
        (b"\x00" * 1000, 400),
    ],
)  # fmt: skip
def test_text_that_describes_no_machine(cloud, unchanged, body, status):
    answer = cloud.occi("POST", "/compute/", body, {"Content-Type": PLAIN})
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/plain; charset=utf-8"), answer
    assert answer.body.strip()
    assert len(answer.body) < 2000


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Category": "nonsense"}, 400),
        ({"Category": category(COMPUTE, "kind") + "," + category(f"{INFRASTRUCTURE}storage", "kind")}, 400),
        ({"Category": category(COMPUTE, "kind") + ', "'}, 400),
        ({"Category": category(COMPUTE, "kind") + ", " + UNKNOWN_MIXIN}, 404),
        ({"Category": category(COMPUTE, "kind"), "X-OCCI-Attribute": "occi.core.title=unquoted text"}, 400),
        ({"Category": category(COMPUTE, "kind"), "X-OCCI-Attribute": 'occi.core.title="\xff\xfe'}, 400),
        ({"Category": category(COMPUTE, "kind"), "X-OCCI-Attribute": "," * 5000}, 400),
        ({"Category": category(COMPUTE, "kind"), "Link": "<>" * 100}, 400),
    ],
)  # fmt: skip
def test_headers_that_describe_no_machine(cloud, unchanged, headers, status):
    answer = cloud.occi("POST", "/compute/", None, {"Content-Type": HEADERS, "Accept": HEADERS, **headers})
    assert (answer.status, answer.headers["Content-Type"]) == (status, HEADERS), answer
    assert answer.headers["X-OCCI-Error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'"kind"', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 50_000, 400),
        (b'\xef\xbb\xbf{"kind": "x"}', 400),
        (b'{"kind": "\xff"}', 400),
        (b'{"kind": "\\ud800"}', 400),
        ({"kind": 1}, 400),
        ({"kind": ""}, 400),
        ({"kind": "compute"}, 400),
        ({"kind": "http://nobody.example.org/x#compute"}, 404),
        ({"kind": f"{INFRASTRUCTURE}storage"}, 400),
        ({"kind": f"{INFRASTRUCTURE}network"}, 400),
        ({"kind": [COMPUTE]}, 400),
        ({"kind": COMPUTE, "mixins": "x"}, 400),
        ({"kind": COMPUTE, "mixins": [1]}, 400),
        ({"kind": COMPUTE, "mixins": ["http://nobody.example.org/x#y"]}, 404),
        ({"kind": COMPUTE, "mixins": [CRTP + "small", CRTP + "large"]}, 400),
        ({"kind": COMPUTE, "evil": 1}, 400),
        ({"kind": COMPUTE, "attributes": []}, 400),
        ({"kind": COMPUTE, "attributes": {"occi.compute.cores": "1"}}, 400),
        ({"kind": COMPUTE, "attributes": {"occi.compute.cores": True}}, 400),
        ({"kind": COMPUTE, "attributes": {"occi.compute.cores": 1.5}}, 400),
        ({"kind": COMPUTE, "attributes": {"occi.compute.cores": 10**400}}, 400),
        ({"kind": COMPUTE, "attributes": {"occi.compute.cores": None}}, 400),
        ({"kind": COMPUTE, "attributes": {"occi.compute.memory": -1}}, 400),
        ({"kind": COMPUTE, "attributes": {"occi.core.title": {"a": 1}}}, 400),
        ({"kind": COMPUTE, "attributes": {"occi.core.title": "a\u0000b"}}, 400),
        ({"kind": COMPUTE, "attributes": {"occi": {"core": {"title": "nested"}}}}, 404),
        ({"kind": COMPUTE, "links": [{"kind": "x"}]}, 400),
        ({"resources": [{"kind": COMPUTE}, {"kind": "http://nobody.example.org/x#y"}]}, 404),
        ({"resources": [{"kind": COMPUTE}], "kind": COMPUTE}, 400),
        ({"action": ACTION + "start"}, 400),
        (b'{"kind": "' + COMPUTE.encode() + b'", "attributes": {"occi.compute.memory": NaN}}', 400),
        (b'{"kind": "' + COMPUTE.encode() + b'", "attributes": {"occi.compute.memory": 1e999}}', 400),
    ],
)  # fmt: skip
def test_json_that_describes_no_machine(cloud, unchanged, body, status):
    data = body if isinstance(body, bytes) else json.dumps(body)
    answer = cloud.occi("POST", "/compute/", data, {"Content-Type": JSON, "Accept": JSON})
    assert (answer.status, answer.headers["Content-Type"]) == (status, JSON), answer
    said = json.loads(answer.body)
    assert said["status"] == status
    assert said["error"]


@pytest.mark.parametrize(
    ("method", "path", "lines", "status"),
    [
        ("POST", "{vm}?action=start", [f"Category: {category(ACTION + 'stop', 'action')}"], 400),
        ("POST", "{vm}?action=dance", [], 404),
        ("POST", "{vm}?action=", [], 404),
        ("POST", "{vm}?action=stop", [KIND], 400),
        ("POST", "{vm}?action=stop", [f"Category: {category(ACTION + 'stop', 'action')}"] * 2, 400),
        ("POST", "{vm}?action=stop", [f"Category: {category(ACTION + 'stop', 'action')}", attribute("method", "hammer")], 400),
        ("POST", "{vm}?action=stop", [f"Category: {category(ACTION + 'stop', 'action')}", attribute("size", 3)], 404),
        ("POST", "{vm}?action=start", [f"Category: {category(ACTION + 'start', 'action')}"], 409),
        ("POST", "{vm}", [], 400),
        ("POST", "{vm}", [attribute("occi.compute.state", "inactive")], 403),
        ("POST", "{vm}", [attribute("occi.core.id", "other")], 403),
        ("POST", "{vm}", [attribute("occi.compute.userdata", "eA==")], 404),
        ("POST", "{vm}", [f"Category: {UNKNOWN_MIXIN}"], 404),
        ("POST", "{vm}", [f"Category: {category('http://schemas.ogf.org/occi/core#link', 'kind')}"], 400),
        ("POST", "/compute/", ["X-OCCI-Location: {vm}"], 400),
        ("PUT", "/compute/", [KIND], 405),
        ("PUT", "/-/", [KIND], 405),
        ("PUT", "/compute/i-mine", [KIND], 400),
        ("PUT", "/compute/not%2Fmine", [KIND], 400),
        ("PUT", "/storage/mine", [KIND], 400),
        ("PUT", f"/compute/{uuid_of('i-0123456789abcdef0')}", [KIND], 400),
        ("POST", "/link/?action=start", [], 404),
        ("POST", "/-/", [f'Category: {UNKNOWN_MIXIN}; location="/metrics/"'], 409),
        ("PATCH", "{vm}", [KIND], 405),
        ("PATCH", "/", [KIND], 405),
        ("DELETE", "/compute/../-/", [], 404),
        ("GET", "/compute/%2e%2e/%2e%2e/etc/passwd", [], 404),
        ("GET", "/compute/{vm}", [], 404),
        ("GET", "/compute/' OR 1=1", [], 404),
        ("GET", "/nowhere/", [], 404),
        ("GET", "/compute/?page=0&number=5", [], 400),
        ("GET", "/compute/?page=1", [], 400),
        ("GET", "/compute/?page=1&number=٣", [], 400),
        ("GET", "/compute/?page=1&number=100000", [], 413),
        ("POST", "/-/", [KIND], 400),
        ("POST", "/-/", [f"Category: {UNKNOWN_MIXIN}"], 400),
        ("POST", "/-/", [f'Category: {UNKNOWN_MIXIN}; location="/compute/"'], 409),
        ("POST", "/-/", [f'Category: {UNKNOWN_MIXIN}; location="/../../etc/"'], 400),
        ("POST", "/-/", [f'Category: {UNKNOWN_MIXIN}; location="/a b/"'], 400),
        ("POST", "/-/", [f'Category: {category(INFRASTRUCTURE + "evil", "mixin")}; location="/evil/"'], 403),
        ("POST", "/-/", [f'Category: {UNKNOWN_MIXIN}; location="/x/"; attributes="a.b"'], 400),
        ("DELETE", "/-/", [f"Category: {OS_TPL}"], 403),
        ("DELETE", "/-/", [f"Category: {UNKNOWN_MIXIN}"], 404),
        ("DELETE", "/-/", [], 400),
        ("POST", "/os_tpl/", ["X-OCCI-Location: {vm}"], None),
        ("DELETE", "/resource_tpl/small/", ["X-OCCI-Location: {vm}"], None),
    ],
)  # fmt: skip
def test_requests_that_occi_has_no_place_for(cloud, vm, unchanged, method, path, lines, status):
    here = f"/compute/{uuid_of(vm)}"
    body = "\n".join(lines).replace("{vm}", here)
    target = path.replace("{vm}", here).replace(" ", "%20").replace("٣", "%D9%A3")
    answer = cloud.occi(method, target, body, {"Content-Type": PLAIN})
    assert answer.status == status or (status is None and 400 <= answer.status < 500), answer
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    if answer.status == 405:
        assert method not in answer.headers["Allow"]
        assert "OPTIONS" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Accept": "application/xml"}, 406),
        ({"Accept": "text/uri-list"}, 400),
        ({"Accept": "/;;q=x"}, 400),
        ({"User-Agent": "x OCCI/9.9"}, 501),
        ({"Content-Type": "application/xml"}, 406),
        ({"Content-Type": ";;;"}, 400),
        ({"Host": "evil.example.org/<script>"}, 400),
        ({"Host": "a b"}, 400),
        ({"Category": 'x; scheme="http://x#"; class="kind"'}, 400),
    ],
)  # fmt: skip
def test_headers_of_the_protocol(cloud, vm, unchanged, headers, status):
    method, body = ("POST", "<x/>") if "Content-Type" in headers else ("GET", None)
    path = "/compute/" if "Category" in headers else f"/compute/{uuid_of(vm)}"
    answer = cloud.occi(method, path, body, headers)
    assert answer.status == status, answer
    assert "<script>" not in answer.body


def test_nothing_in_a_title_becomes_a_header_or_a_line(cloud, vm):
    """A line break in JSON is refused, or stays inside the value in every rendering."""
    path = f"/compute/{uuid_of(vm)}"
    evil = 'x"\r\nX-Evil: 1\nX-OCCI-Attribute: occi.compute.state="error"\r\n\r\n<html>'
    for name in ("occi.core.title", "occi.core.summary"):
        before = census(cloud)
        answer = OcciClient(cloud, JSON).update(path, {name: evil})
        if answer.status != 200:
            assert answer.status == 400
            assert census(cloud) == before
            continue
        for media in RENDERINGS:
            read = OcciClient(cloud, media).send("GET", path)
            assert read.headers["X-Evil"] is None
            if read.status == 200:
                assert seen(read).state == "active"
        assert OcciClient(cloud, JSON).update(path, {name: "harmless"}).status == 200
    cloud.client().delete_tags(Resources=[vm], Tags=[{"Key": "Name"}])


# HTTP ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nContent-Length: 60",
        "Content-Length: 4, 4",
        "Content-Length: +4",
        "Content-Length: 0x4",
        "Content-Length: -4",
        "Content-Length : 4",
        " Content-Length: 4",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding:\x0bchunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Content-Length: 4\r\nX-Evil: a\x00b",
        "Content-Length: 4\x00",
    ],
)  # fmt: skip
def test_a_request_within_a_request_is_never_served(cloud, unchanged, head):
    """Two readers must never disagree where a request ends."""
    mark = uuid.uuid4().hex
    inner = f"GET /smuggled-{mark} HTTP/1.1\r\nHost: x\r\n\r\n"
    outer = f"POST /compute/ HTTP/1.1\r\nHost: 127.0.0.1:{cloud.port}\r\nContent-Type: text/plain\r\n{head}\r\n\r\n"
    said = sent(cloud, (outer + f"0\r\n\r\n{inner}").encode("latin-1"))
    assert said.startswith(b"HTTP/1.1 4") or said.startswith(b"HTTP/1.1 501"), said[:200]
    assert said.count(b"HTTP/1.1 ") == 1
    assert f"smuggled-{mark}" not in cloud.log.read_text()


def test_a_slow_or_broken_request_disturbs_nobody(cloud, unchanged):
    with socket.create_connection(("127.0.0.1", cloud.port)) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nAction=Run")
        assert cloud.occi("GET", "/-/").status == 200
    with socket.create_connection(("127.0.0.1", cloud.port)) as broken:
        broken.sendall(b"POST /compute/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    assert cloud.occi("GET", "/-/").status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "BREW"])
def test_ec2_by_methods_it_does_not_have(cloud, unchanged, method):
    answer = signed(cloud, {"Action": "RebootInstances", "Version": VERSION}, method=method)
    assert 400 <= answer.status < 500 or answer.status == 501
    assert "html" not in answer.headers["Content-Type"]


# Anything at all ----------------------------------------------------------------------------------------

FUZZ = settings(
    max_examples=150, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@pytest.fixture(scope="module")
def fuzzed(cloud: LiveCloud) -> dict[str, str]:
    """A tenant that may do little harm: what is accepted by chance costs nothing."""
    said = cloud.tenant("fuzzed")
    cloud.cli("tenant", "quota", "fuzzed", "instances=1")
    return said


TEXTS = st.one_of(
    st.sampled_from([*HOSTILE, "1", "0", "-1", "true", "", "*", "i-" + UNKNOWN, "ami-" + UNKNOWN, "9" * 30]),
    st.text(max_size=40),
)
NAMES = sorted(
    {
        f"{member.request_name}{suffix}"
        for action in ACTIONS
        for member in (EC2.endpoints.get(action) or STS.endpoints[action]).shape.input.members
        for suffix in ("", ".1", ".1.Name", ".1.Value.1", ".Value", ".2.Key", ".x")
    }
)


@given(
    action=st.sampled_from(sorted(set(ACTIONS) - {"CreateKeyPair"})),
    pairs=st.lists(st.tuples(st.one_of(st.sampled_from(NAMES), st.text(max_size=20)), TEXTS), max_size=6),
    tail=st.one_of(st.just(b""), st.binary(max_size=40)),
)
@FUZZ
def test_any_parameters_get_a_well_formed_answer(cloud, fuzzed, action, pairs, tail):
    from urllib.parse import urlencode

    said = urlencode([("Action", action), ("Version", VERSION), *pairs]).encode()
    answer = signed(cloud, said + (b"&" + tail if tail else b""), key=key_of(fuzzed))
    assert answer.status < 500, answer
    if answer.status != 200:
        refusal(answer)


LINES = st.one_of(
    st.sampled_from(
        [
            KIND, f"Category: {OS_TPL}", f"Category: {UNKNOWN_MIXIN}", attribute("occi.compute.cores", 2),
            f"Category: {category(SSH_KEY, 'mixin')}", f"Category: {category(ACTION + 'stop', 'action')}",
            "X-OCCI-Location: /compute/x", 'Link: </storage/x>; rel="y#z"', "X-OCCI-Attribute: a=b", "",
        ]
    ),
    st.builds(attribute, st.sampled_from(["occi.core.title", "occi.compute.memory", "method"]), TEXTS),
    st.text(max_size=60),
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.sampled_from([COMPUTE, ACTION + "stop", CRTP + "small"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["kind", "mixins", "attributes", "links", "action", "resources", "id", "title", "occi.core.title"])
        | st.text(max_size=10),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
BODIES = st.one_of(
    st.tuples(st.just(PLAIN), st.lists(LINES, max_size=6).map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))),
    st.tuples(st.just(JSON), VALUES.map(lambda value: json.dumps(value).encode("utf-8", "replace"))),
    st.tuples(st.sampled_from([PLAIN, JSON, HEADERS, "text/uri-list"]), st.binary(max_size=80)),
)  # fmt: skip
PATHS = st.sampled_from(
    ["/", "/-/", "/compute/", f"/compute/{uuid_of('i-' + UNKNOWN)}", "/compute/?action=stop", "/os_tpl/", "/tags/x/", "/x"]
)  # fmt: skip


@given(
    method=st.sampled_from(["GET", "POST", "POST", "POST", "PUT", "DELETE"]),
    path=PATHS, body=BODIES, accept=st.sampled_from([PLAIN, HEADERS, JSON, "text/uri-list", "*/*"]),
)  # fmt: skip
@FUZZ
def test_any_body_gets_an_answer_in_the_rendering_asked_for(cloud, fuzzed, method, path, body, accept):
    media, data = body
    answer = cloud.occi(
        method, path, data, {"Content-Type": media, "Accept": accept},
        (fuzzed["occi_user"], fuzzed["occi_password"]),
    )  # fmt: skip
    assert answer.status < 500, answer
    _check_rendering(answer, accept)


def _check_rendering(answer: Answer, accept: str) -> None:
    if answer.status in {204, 406}:
        return
    given = answer.headers["Content-Type"].split(";")[0]
    assert given == accept or accept in {"*/*", "text/uri-list"}, answer
    if given == JSON:
        json.loads(answer.body)
    elif given == HEADERS and answer.status >= 400:
        assert answer.headers["X-OCCI-Error"]
