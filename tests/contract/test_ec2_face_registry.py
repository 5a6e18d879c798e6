"""Images, key pairs, tags, regions, types, account and identity through the EC2 face."""

from __future__ import annotations

import base64
import shutil
import subprocess

import msgspec
import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ec2_face import Ec2Cloud
from simulation import Cloud

from backend.engine import EngineSettings
from backend.errors import BackendError, Code
from backend.model import Content
from ec2.ppk import ppk


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch)


def refused(call, **parameters) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def lines(*command: str, data: bytes = b"") -> str:
    return (
        subprocess.run(command, input=data, capture_output=True, check=True, timeout=30)
        .stdout.decode()
        .strip()
    )


# Key pairs ----------------------------------------------------------------------------------------------


def test_a_created_rsa_key(face, tmp_path):
    made = face.ann.create_key_pair(
        KeyName="web", TagSpecifications=[{"ResourceType": "key-pair", "Tags": [{"Key": "a", "Value": "b"}]}]
    )
    assert made["KeyMaterial"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert made["Tags"] == [{"Key": "a", "Value": "b"}]
    path = tmp_path / "key"
    path.write_text(made["KeyMaterial"])
    path.chmod(0o600)
    der = subprocess.run(
        ["openssl", "pkcs8", "-in", path, "-topk8", "-nocrypt", "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    digest = lines("openssl", "dgst", "-sha1", "-c", data=der).rsplit(" ", 1)[-1]
    assert made["KeyFingerprint"] == digest
    (listed,) = face.ann.describe_key_pairs(KeyNames=["web"], IncludePublicKey=True)["KeyPairs"]
    assert listed["PublicKey"].split()[:2] == lines("ssh-keygen", "-y", "-f", str(path)).split()[:2]
    assert (listed["KeyPairId"], listed["KeyFingerprint"], listed["KeyType"]) == (
        made["KeyPairId"],
        digest,
        "rsa",
    )
    assert "PublicKey" not in face.ann.describe_key_pairs()["KeyPairs"][0]
    stored = face.cloud.engine.key_pairs(face.cloud.caller)
    assert "PRIVATE" not in repr(stored)


def test_a_created_ed25519_key(face, tmp_path):
    made = face.ann.create_key_pair(KeyName="ed", KeyType="ed25519")
    path = tmp_path / "key"
    path.write_text(made["KeyMaterial"])
    path.chmod(0o600)
    assert made["KeyMaterial"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    shown = lines("ssh-keygen", "-l", "-f", str(path)).split()[1]
    assert shown == f"SHA256:{made['KeyFingerprint'].rstrip('=')}"


class Putty:
    """A PPK file, read as appendix C of PuTTY's manual says."""

    def __init__(self, text: str) -> None:
        rows = iter(text.splitlines())
        self.fields: dict[str, str] = {}
        for row in rows:
            name, _, value = row.partition(": ")
            if name.endswith("-Lines"):
                value = "".join(next(rows) for _ in range(int(value)))
            self.fields[name] = value
        self.public = self.strings(base64.b64decode(self.fields["Public-Lines"]))
        self.private = self.strings(base64.b64decode(self.fields["Private-Lines"]))

    @staticmethod
    def strings(blob: bytes) -> list[bytes]:
        found = []
        while blob:
            size = int.from_bytes(blob[:4], "big")
            found.append(blob[4 : 4 + size])
            blob = blob[4 + size :]
        return found

    def numbers(self) -> list[int]:
        return [int.from_bytes(each, "big", signed=True) for each in self.private]


def test_a_key_in_putty_form(face, tmp_path):
    for kind in ("rsa", "ed25519"):
        made = face.ann.create_key_pair(KeyName=f"win {kind}", KeyType=kind, KeyFormat="ppk")
        putty = Putty(made["KeyMaterial"])
        assert putty.fields["PuTTY-User-Key-File-3"] == f"ssh-{kind}"
        assert (putty.fields["Encryption"], putty.fields["Comment"]) == ("none", f"win {kind}")
        (listed,) = face.ann.describe_key_pairs(KeyNames=[f"win {kind}"], IncludePublicKey=True)["KeyPairs"]
        assert listed["PublicKey"].split()[1] == putty.fields["Public-Lines"]
        if kind == "rsa":
            d, p, q, inverse = putty.numbers()
            exponent, modulus = (int.from_bytes(each, "big", signed=True) for each in putty.public[1:])
            assert p * q == modulus
            assert inverse * q % p == 1
            assert pow(pow(4711, exponent, modulus), d, modulus) == 4711
        else:
            (seed,) = putty.private
            own = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
            assert own == putty.public[1]
        if shutil.which("puttygen"):
            (tmp_path / kind).write_text(made["KeyMaterial"])
            read = lines("puttygen", str(tmp_path / kind), "-O", "public-openssh")
            assert read.split()[:2] == listed["PublicKey"].split()[:2]


def test_a_putty_file_is_the_one_that_putty_writes():
    # The seed is that of RFC 8032, 7.1, test 1; the file is what puttygen 0.78 makes of that key.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert (
        ppk(Ed25519PrivateKey.from_private_bytes(seed), "a key")
        == """\
PuTTY-User-Key-File-3: ssh-ed25519
Encryption: none
Comment: a key
Public-Lines: 2
AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3
B1Ea
Private-Lines: 1
AAAAIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
Private-MAC: 2a2df597ba5724835499177ef54519e4b51a92a3ff6d2f35838cef3b5df2ad88
"""
    )


@pytest.mark.parametrize("form", ["openssh", "rfc4716", "der", "bare-der"])
@pytest.mark.parametrize("kind", [("rsa", "2048"), ("ed25519", "256")])
def test_imported_keys_in_every_form(face, tmp_path, form, kind):
    path = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind[0], "-b", kind[1], "-N", "", "-C", "me: and\\ you", "-f", path],
        check=True,
    )
    public = (tmp_path / "key.pub").read_bytes()
    key = serialization.load_ssh_public_key(public)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    material = {
        "openssh": public,
        "rfc4716": lines("ssh-keygen", "-e", "-m", "RFC4716", "-f", f"{path}.pub").encode(),
        "der": base64.encodebytes(der),
        "bare-der": der,
    }[form]
    reply = face.ann.import_key_pair(KeyName="mine", PublicKeyMaterial=material)
    if kind[0] == "rsa":
        assert reply["KeyFingerprint"] == lines("openssl", "dgst", "-md5", "-c", data=der).rsplit(" ", 1)[-1]
    else:
        assert (
            lines("ssh-keygen", "-l", "-f", str(path)).split()[1]
            == f"SHA256:{reply['KeyFingerprint'].rstrip('=')}"
        )
    (listed,) = face.ann.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    assert listed["PublicKey"].split()[:2] == public.decode().split()[:2]
    assert listed["KeyType"] == kind[0]


@pytest.mark.parametrize(
    "command",
    [("-t", "ecdsa"), ("-t", "rsa", "-b", "1536"), ("-t", "rsa", "-b", "3072")],
    ids=lambda c: "-".join(c),
)
def test_keys_that_ec2_does_not_take(face, tmp_path, command):
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", *command, "-N", "", "-f", path], check=True)
    public = (tmp_path / "key.pub").read_bytes()
    assert (
        refused(face.ann.import_key_pair, KeyName="k", PublicKeyMaterial=public)[0] == "InvalidKeyPair.Format"
    )


@pytest.mark.parametrize(
    "material",
    [
        b"",
        b"ssh-rsa",
        b"ssh-rsa AAAA",
        b"ssh-rsa !!!",
        b"nonsense",
        b"\xff\xfe\x00",
        b"---- BEGIN SSH2 PUBLIC KEY ----",
        b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----",
        b"ssh-dss AAAAB3NzaC1kc3MAAACB",
        b"A" * 20_000,
        b'command="id" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x',
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\nssh-rsa AAAA",
        b"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
    ],
)
def test_what_is_no_key_is_refused(face, material):
    assert (
        refused(face.ann.import_key_pair, KeyName="k", PublicKeyMaterial=material)[0]
        == "InvalidKeyPair.Format"
    )
    assert face.ann.describe_key_pairs()["KeyPairs"] == []


def test_key_pair_names_and_ids(face):
    made = face.ann.create_key_pair(KeyName="one", KeyType="ed25519")
    face.ann.create_key_pair(KeyName="two", KeyType="ed25519")
    assert refused(face.ann.create_key_pair, KeyName="one") == (
        "InvalidKeyPair.Duplicate",
        "The keypair 'one' already exists.",
    )
    assert refused(face.ann.describe_key_pairs, KeyNames=["one", "x"]) == (
        "InvalidKeyPair.NotFound",
        "The key pair 'x' does not exist",
    )
    assert refused(face.ann.describe_key_pairs, KeyNames=["x", "one", "y"]) == (
        "InvalidKeyPair.NotFound",
        "The key pairs 'x, y' do not exist",
    )
    assert refused(face.ann.describe_key_pairs, KeyPairIds=["key-1"])[0] == "InvalidParameterValue"
    for bad in ("", " a", "a\nb", "é", "x" * 256):
        assert refused(face.ann.create_key_pair, KeyName=bad)[0] in {
            "InvalidParameterValue",
            "MissingParameter",
        }
    assert refused(face.ann.create_key_pair, KeyName="p", KeyFormat="der")[0] == "InvalidParameterValue"
    found = face.ann.describe_key_pairs(Filters=[{"Name": "key-name", "Values": ["t*"]}])["KeyPairs"]
    assert [pair["KeyName"] for pair in found] == ["two"]
    assert face.ann.delete_key_pair(KeyPairId=made["KeyPairId"])["KeyPairId"] == made["KeyPairId"]
    assert face.ann.delete_key_pair(KeyName="one")["Return"] is True
    assert refused(face.ann.delete_key_pair)[0] == "MissingParameter"
    assert [pair["KeyName"] for pair in face.ann.describe_key_pairs()["KeyPairs"]] == ["two"]
    (instance,) = face.run(KeyName="two")
    assert face.describe(instance)["KeyName"] == "two"
    assert face.listed(key_name="two") == [instance]


def test_key_pairs_are_those_of_a_region(monkeypatch, database):
    settings = EngineSettings(zones={"us-east-1": ("us-east-1a",), "mars-1": ("mars-1a",)})
    face = Ec2Cloud(monkeypatch, cloud=Cloud(url=database, settings=settings))
    face.keys["AKIAMARS"] = ("mars-secret", msgspec.structs.replace(face.cloud.caller, region="mars-1"))
    here, mars = face.ann, face.client("AKIAMARS")
    made = here.create_key_pair(KeyName="k", KeyType="ed25519")
    here.create_key_pair(KeyName="here", KeyType="ed25519")
    other = mars.create_key_pair(
        KeyName="k",
        KeyType="ed25519",
        TagSpecifications=[{"ResourceType": "key-pair", "Tags": [{"Key": "t"}]}],
    )

    def names(client):
        return [pair["KeyName"] for pair in client.describe_key_pairs()["KeyPairs"]]

    assert (names(here), names(mars)) == (["here", "k"], ["k"])
    assert here.describe_tags()["Tags"] == []
    assert [tag["ResourceId"] for tag in mars.describe_tags()["Tags"]] == [other["KeyPairId"]]
    unknown = ("InvalidKeyPair.NotFound", "The key pair 'here' does not exist")
    assert refused(mars.describe_key_pairs, KeyNames=["here"]) == unknown
    launch = {"ImageId": face.cloud.image.id, "MinCount": 1, "MaxCount": 1}
    assert refused(mars.run_instances, KeyName="here", **launch) == unknown
    for client, pair in ((here, made), (mars, other)):
        (instance,) = face.run(client, KeyName="k")
        region = face.keys["AKIAMARS"][1] if client is mars else face.cloud.caller
        (key,) = face.cloud.engine.instance(region, instance).public_keys
        shown = client.describe_key_pairs(KeyPairIds=[pair["KeyPairId"]], IncludePublicKey=True)
        assert key == shown["KeyPairs"][0]["PublicKey"]
    foreign = f"The key pair '{other['KeyPairId']}' does not exist"
    tag = {"Resources": [other["KeyPairId"]], "Tags": [{"Key": "x", "Value": ""}]}
    assert refused(here.create_tags, **tag) == ("InvalidKeyPair.NotFound", foreign)
    assert "KeyPairId" not in here.delete_key_pair(KeyPairId=other["KeyPairId"])
    here.delete_key_pair(KeyName="k")
    assert (names(here), names(mars)) == (["here"], ["k"])


# Images -------------------------------------------------------------------------------------------------


class Importer:
    """Stands for the gateway's: knows the disk images of one directory, of which one is none."""

    def __init__(self, contents) -> None:
        self.contents = contents
        self.taken: list[tuple[str, str]] = []

    def resolve(self, location: str, tenant_id: str) -> str | None:
        if location == "upload:mine":
            return f"upload:{tenant_id}/mine"
        return location if location.startswith("/allowed/") else None

    def import_location(self, location: str, form: str) -> Content:
        if location == "/allowed/text":
            raise BackendError(Code.IMAGE_UNREADABLE, "It is not a disk image.")
        self.taken.append((location, form))
        return self.contents.add(location.encode())


def test_an_image_is_only_taken_from_where_the_operator_allows(monkeypatch):
    cloud = Cloud()
    importer = Importer(cloud.contents)
    face = Ec2Cloud(monkeypatch, cloud=cloud, importer=importer)
    register = face.ann.register_image
    sentence = (
        "Value (/etc/passwd) for parameter imageLocation is invalid. "
        "It is not a disk image in a place that the operator of this cloud allows."
    )
    assert refused(register, Name="image", ImageLocation="/etc/passwd") == ("InvalidParameterValue", sentence)
    assert refused(register, Name="image", ImageLocation="/allowed/text") == (
        "InvalidParameterValue",
        "It is not a disk image.",
    )
    assert importer.taken == []
    first = register(Name="one", ImageLocation="/allowed/a b.qcow2", Description="d & d")["ImageId"]
    second = register(Name="two", ImageLocation="upload:mine")["ImageId"]
    brought = [("/allowed/a b.qcow2", ""), (f"upload:{cloud.tenant.id}/mine", "")]
    assert importer.taken == brought
    assert refused(register, Name="one", ImageLocation="/allowed/a b.qcow2") == (
        "InvalidAMIName.Duplicate",
        f"AMI name one is already in use by AMI {first}",
    )
    assert importer.taken == brought  # refused before anything was copied
    face.ann.modify_image_attribute(ImageId=first, LaunchPermission={"Add": [{"Group": "all"}]})
    assert face.bob.describe_images(ImageIds=[first])["Images"][0]["ImageLocation"] == "111122223333/one"
    face.ann.modify_image_attribute(ImageId=first, LaunchPermission={"Remove": [{"Group": "all"}]})
    shown, uploaded = face.ann.describe_images(ImageIds=[first, second])["Images"]
    assert shown["ImageLocation"] == "/allowed/a b.qcow2"
    assert uploaded["ImageLocation"] == "upload:mine"
    assert (shown["Name"], shown["Description"], shown["State"]) == ("one", "d & d", "available")
    assert shown["RootDeviceName"] == "/dev/vda"
    assert shown["Public"] is False
    assert shown["OwnerId"] == "111122223333"
    assert [image["ImageId"] for image in face.ann.describe_images(Owners=["self"])["Images"]][1:] == [
        first,
        second,
    ]


def test_without_an_importer_no_image_is_taken(face):
    assert (
        refused(face.ann.register_image, Name="image", ImageLocation="/etc/passwd")[0]
        == "UnsupportedOperation"
    )
    assert refused(face.ann.register_image, Name="image")[0] == "MissingParameter"
    assert refused(face.ann.register_image, Name="a", ImageLocation="/x")[0] == "InvalidAMIName.Malformed"


def test_sharing_an_image(face):
    private = face.cloud.register("private").id if hasattr(face.cloud, "register") else face.cloud.image.id
    face.ann.modify_image_attribute(ImageId=private, LaunchPermission={"Remove": [{"Group": "all"}]})
    unknown = ("InvalidAMIID.NotFound", f"The image id '[{private}]' does not exist")
    assert refused(face.bob.describe_images, ImageIds=[private]) == unknown
    assert refused(face.bob.run_instances, ImageId=private, MinCount=1, MaxCount=1) == unknown
    face.ann.modify_image_attribute(ImageId=private, LaunchPermission={"Add": [{"UserId": "444455556666"}]})
    assert face.ann.describe_image_attribute(ImageId=private, Attribute="launchPermission")[
        "LaunchPermissions"
    ] == [{"UserId": "444455556666"}]
    (seen,) = face.bob.describe_images(ImageIds=[private])["Images"]
    assert seen["OwnerId"] == "111122223333"
    assert [image["ImageId"] for image in face.bob.describe_images(ExecutableUsers=["self"])["Images"]] == [
        private
    ]
    assert (
        refused(face.bob.modify_image_attribute, ImageId=private, Description={"Value": "x"})[0]
        == "AuthFailure"
    )
    assert (
        refused(face.bob.describe_image_attribute, ImageId=private, Attribute="launchPermission")[0]
        == "AuthFailure"
    )
    assert refused(face.bob.deregister_image, ImageId=private)[0] == "AuthFailure"
    face.run(face.bob, ImageId=private)
    modify = face.ann.modify_image_attribute
    modify(ImageId=private, Attribute="launchPermission", OperationType="add", UserGroups=["all"])
    assert private in [
        image["ImageId"] for image in face.bob.describe_images(ExecutableUsers=["all"])["Images"]
    ]
    modify(
        ImageId=private,
        Attribute="launchPermission",
        OperationType="remove",
        UserGroups=["all"],
        UserIds=["444455556666"],
    )
    assert (
        face.ann.describe_image_attribute(ImageId=private, Attribute="launchPermission")["LaunchPermissions"]
        == []
    )
    assert (
        refused(modify, ImageId=private, LaunchPermission={"Add": [{"UserId": "12"}]})[0]
        == "InvalidAMIAttributeItemValue"
    )
    assert (
        refused(modify, ImageId=private, OperationType="add", UserGroups=["some"])[0]
        == "InvalidAMIAttributeItemValue"
    )
    assert refused(modify, ImageId=private)[0] == "InvalidParameterCombination"
    modify(ImageId=private, Description={"Value": "new"})
    assert face.ann.describe_image_attribute(ImageId=private, Attribute="description")["Description"] == {
        "Value": "new"
    }
    face.ann.deregister_image(ImageId=private)
    assert refused(face.ann.deregister_image, ImageId=private) == (
        "InvalidAMIID.Unavailable",
        f"The image id '[{private}]' is no longer available",
    )
    assert (
        refused(face.ann.run_instances, ImageId=private, MinCount=1, MaxCount=1)[0]
        == "InvalidAMIID.Unavailable"
    )


def test_a_deregistered_image_is_known_to_its_owner_alone(face):
    gone, kept = face.cloud.register("gone").id, face.cloud.image.id
    face.ann.deregister_image(ImageId=gone)
    assert face.ann.describe_images(ImageIds=[gone])["Images"] == []
    assert [each["ImageId"] for each in face.ann.describe_images(ImageIds=[gone, kept])["Images"]] == [kept]
    unavailable = ("InvalidAMIID.Unavailable", f"The image id '[{gone}]' is no longer available")
    unknown = ("InvalidAMIID.NotFound", f"The image id '[{gone}]' does not exist")
    for client, answer in ((face.ann, unavailable), (face.bob, unknown)):
        attribute = {"ImageId": gone, "Attribute": "launchPermission"}
        assert refused(client.describe_image_attribute, **attribute) == answer
        assert refused(client.modify_image_attribute, ImageId=gone, Description={"Value": "x"}) == answer
        assert refused(client.run_instances, ImageId=gone, MinCount=1, MaxCount=1) == answer
        assert refused(client.deregister_image, ImageId=gone) == answer
    assert refused(face.bob.describe_images, ImageIds=[gone]) == unknown
    strange = "ami-00000000000000000"
    assert refused(face.ann.describe_images, ImageIds=[gone, strange, kept]) == (
        "InvalidAMIID.NotFound",
        f"The image id '[{strange}]' does not exist",
    )


def test_describing_images(face):
    image = face.cloud.image.id
    assert [each["ImageId"] for each in face.bob.describe_images()["Images"]] == [image]
    assert face.bob.describe_images(Owners=["self"])["Images"] == []
    assert face.bob.describe_images(Owners=["amazon"])["Images"] == []
    for name, value in {
        "name": "gue*",
        "is-public": "true",
        "state": "available",
        "architecture": "x86_64",
    }.items():
        assert len(face.bob.describe_images(Filters=[{"Name": name, "Values": [value]}])["Images"]) == 1
    face.ann.create_tags(Resources=[image], Tags=[{"Key": "k", "Value": "v"}])
    assert face.ann.describe_images()["Images"][0]["Tags"] == [{"Key": "k", "Value": "v"}]
    assert "Tags" not in face.bob.describe_images()["Images"][0]
    assert refused(face.ann.describe_images, ImageIds=["ami-x"]) == (
        "InvalidAMIID.Malformed",
        'Invalid id: "ami-x" (expecting "ami-...")',
    )


# Tags ---------------------------------------------------------------------------------------------------


def test_tags_of_all_kinds(face):
    (one,) = face.run()
    key = face.ann.create_key_pair(KeyName="k", KeyType="ed25519")["KeyPairId"]
    kinds = {one: "instance", key: "key-pair", face.cloud.image.id: "image"}
    face.ann.create_tags(
        Resources=list(kinds), Tags=[{"Key": "Name", "Value": "x"}, {"Key": "e", "Value": ""}]
    )
    found = face.ann.describe_tags()["Tags"]
    assert {(tag["ResourceId"], tag["ResourceType"]) for tag in found} == set(kinds.items())
    assert len(found) == 6
    assert {tag["Value"] for tag in found} == {"x", ""}
    assert face.bob.describe_tags()["Tags"] == []

    def filtered(name, *values):
        return [
            (tag["ResourceId"], tag["Key"])
            for tag in face.ann.describe_tags(Filters=[{"Name": name, "Values": list(values)}])["Tags"]
        ]

    assert filtered("resource-type", "image") == [(face.cloud.image.id, "Name"), (face.cloud.image.id, "e")]
    assert filtered("key", "N*") == sorted((item, "Name") for item in kinds)
    assert filtered("tag:Name", "x") == filtered("key", "Name") == filtered("value", "x")
    pages = face.ann.get_paginator("describe_tags").paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["Tags"]) for page in pages] == [5, 1]
    face.ann.delete_tags(Resources=[one], Tags=[{"Key": "Name", "Value": "other"}])
    assert len(face.ann.describe_tags()["Tags"]) == 6
    face.ann.delete_tags(Resources=[one, key], Tags=[{"Key": "Name"}])
    face.ann.delete_tags(Resources=[face.cloud.image.id])
    assert [(tag["ResourceId"], tag["Key"]) for tag in face.ann.describe_tags()["Tags"]] == sorted(
        [(one, "e"), (key, "e")]
    )


def test_tags_are_listed_as_long_as_their_instances(monkeypatch, database):
    settings = EngineSettings(zones={"us-east-1": ("us-east-1a",), "mars-1": ("mars-1a",)})
    face = Ec2Cloud(monkeypatch, cloud=Cloud(url=database, settings=settings))
    face.keys["AKIAMARS"] = ("mars-secret", msgspec.structs.replace(face.cloud.caller, region="mars-1"))
    mars = face.client("AKIAMARS")
    one, other = face.run(MinCount=2, MaxCount=2)
    (there,) = face.run(mars)
    face.ann.create_tags(Resources=[one, other, face.cloud.image.id], Tags=[{"Key": "k", "Value": "v"}])
    mars.create_tags(Resources=[there], Tags=[{"Key": "k", "Value": "v"}])

    def tagged(client):
        return {tag["ResourceId"] for tag in client.describe_tags()["Tags"]}

    assert tagged(face.ann) == {one, other, face.cloud.image.id}
    assert tagged(mars) == {there, face.cloud.image.id}
    face.cloud.settle()
    face.ann.terminate_instances(InstanceIds=[one])
    face.cloud.settle()
    assert face.state(one) == "terminated"
    assert one in tagged(face.ann)
    face.cloud.clock.advance(settings.done_visible + 1)
    assert face.listed() == [other]
    assert tagged(face.ann) == {other, face.cloud.image.id}


def test_tags_that_are_refused_change_nothing(face):
    (one,) = face.run()
    name = [{"Key": "a", "Value": "b"}]
    create = face.ann.create_tags
    assert refused(create, Resources=[one, "nonsense"], Tags=name) == (
        "InvalidID",
        "The ID 'nonsense' is not valid",
    )
    assert (
        refused(create, Resources=[one, "i-00000000000000000"], Tags=name)[0] == "InvalidInstanceID.NotFound"
    )
    assert refused(create, Resources=[one, "vol-0123456789abcdef0"], Tags=name)[0] == "InvalidVolume.NotFound"
    assert (
        refused(create, Resources=[one, "key-0123456789abcdef0"], Tags=name)[0] == "InvalidKeyPair.NotFound"
    )
    assert refused(face.bob.create_tags, Resources=[one], Tags=name)[0] == "InvalidInstanceID.NotFound"
    assert refused(create, Resources=[one], Tags=[{"Key": "AWS:x", "Value": ""}]) == (
        "InvalidParameterValue",
        "Tag keys starting with 'aws:' are reserved for internal use",
    )
    assert (
        refused(create, Resources=[one], Tags=[{"Key": "x" * 129, "Value": ""}])[0] == "InvalidParameterValue"
    )
    assert refused(create, Resources=[one], Tags=[{"Value": "x"}])[0] == "MissingParameter"
    many = [{"Key": str(n), "Value": ""} for n in range(51)]
    assert refused(create, Resources=[one], Tags=many) == (
        "TagLimitExceeded",
        "The maximum number of Tags for a resource has been reached.",
    )
    assert face.ann.describe_tags()["Tags"] == []


# Regions, types, account, identity ----------------------------------------------------------------------


def test_regions_and_zones(face):
    assert face.ann.describe_regions()["Regions"] == [
        {"RegionName": "us-east-1", "Endpoint": "cloud.example:8773", "OptInStatus": "opt-in-not-required"}
    ]
    assert refused(face.ann.describe_regions, RegionNames=["mars-1"])[0] == "InvalidParameterValue"
    (zone,) = face.ann.describe_availability_zones(ZoneNames=["us-east-1a"])["AvailabilityZones"]
    assert (zone["ZoneId"], zone["State"], zone["Messages"]) == ("use1-az1", "available", [])
    assert (
        refused(face.ann.describe_availability_zones, ZoneNames=["us-east-1q"])[0] == "InvalidParameterValue"
    )
    filters = [{"Name": "zone-id", "Values": ["use1-az2"]}]
    assert face.ann.describe_availability_zones(Filters=filters)["AvailabilityZones"] == []


def test_instance_types(face):
    found = face.ann.describe_instance_types()["InstanceTypes"]
    assert [each["InstanceType"] for each in found] == ["t2.large", "t2.nano"]
    large = found[0]
    assert large["VCpuInfo"]["DefaultVCpus"] == 2
    assert large["MemoryInfo"]["SizeInMiB"] == 8192
    assert large["InstanceStorageInfo"]["TotalSizeInGB"] == 2
    assert refused(face.ann.describe_instance_types, InstanceTypes=["x", "t2.nano"]) == (
        "InvalidInstanceType",
        "The following supplied instance types do not exist: [x]",
    )
    small = face.ann.describe_instance_types(Filters=[{"Name": "vcpu-info.default-vcpus", "Values": ["1"]}])
    assert [each["InstanceType"] for each in small["InstanceTypes"]] == ["t2.nano"]
    for kind, location in {
        "region": "us-east-1",
        "availability-zone": "us-east-1a",
        "availability-zone-id": "use1-az1",
    }.items():
        offered = face.ann.describe_instance_type_offerings(LocationType=kind)["InstanceTypeOfferings"]
        assert [(each["InstanceType"], each["Location"]) for each in offered] == [
            ("t2.large", location),
            ("t2.nano", location),
        ]
    assert face.ann.describe_instance_type_offerings(LocationType="outpost")["InstanceTypeOfferings"] == []


def test_account_attributes(face):
    rows = face.ann.describe_account_attributes()["AccountAttributes"]
    values = {row["AttributeName"]: row["AttributeValues"][0]["AttributeValue"] for row in rows}
    assert values["supported-platforms"] == "VPC"
    assert values["max-instances"] == "1000"
    (one,) = face.ann.describe_account_attributes(AttributeNames=["max-instances"])["AccountAttributes"]
    assert one["AttributeName"] == "max-instances"
    assert refused(face.ann.describe_account_attributes, AttributeNames=["x"])[0] == "InvalidParameterValue"


def test_who_am_i(face):
    reply = face.client("AKIABOB", "sts").get_caller_identity()
    assert reply["Account"] == "444455556666"
    assert reply["Arn"] == "arn:aws:iam::444455556666:user/bob"
    assert reply["UserId"] == face.cloud.other.user_id
