"""Checks of key pairs: what is made, and how fingerprints are computed."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import rsa

from conformance.checks import expect, fail
from conformance.ec2 import things
from conformance.ec2.session import Ec2Session
from conformance.ec2.suite import SUITE


def _colons(digest: bytes) -> str:
    return digest.hex(":")


@SUITE.check("EC2-KEY-001", changes=True)
def a_new_key(session: Ec2Session) -> None:
    """A new key is an RSA key of 2048 bits in PEM, with the fingerprint of its private form."""
    found = session.make("CreateKeyPair", {"KeyName": session.name("key")})
    material = found.text("keyMaterial")
    try:
        private = form.load_pem_private_key(material.encode(), None)
    except ValueError as error:
        fail(f"the key material is no private key: {error}; it begins {material[:40]!r}")
    expect(isinstance(private, rsa.RSAPrivateKey), "the key is not of RSA")
    assert isinstance(private, rsa.RSAPrivateKey)
    expect(private.key_size == 2048, f"the key has {private.key_size} bits, not 2048")
    plain = private.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    wanted = _colons(hashlib.sha1(plain).digest())  # noqa: S324 - that is how AWS names keys
    told = found.get("keyFingerprint")
    expect(told == wanted, f"the fingerprint is {told}, and the SHA-1 of the key {wanted}")


@SUITE.check("EC2-KEY-002", changes=True)
def an_imported_key(session: Ec2Session) -> None:
    """The fingerprint of an imported RSA key is the MD5 of its public form, wherever it is told."""
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    line = public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()
    plain = public.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    wanted = _colons(hashlib.md5(plain).digest())  # noqa: S324 - that is how AWS names keys
    name = session.name("key")
    params = {"KeyName": name, "PublicKeyMaterial": things.encoded(f"{line} somebody")}
    made = session.make("ImportKeyPair", params).get("keyFingerprint")
    expect(made == wanted, f"the fingerprint is {made}, and the MD5 of the key {wanted}")
    told = session.ok("DescribeKeyPairs", {"KeyName.1": name}).get("keySet/item/keyFingerprint")
    expect(told == wanted, f"DescribeKeyPairs tells the fingerprint {told}, ImportKeyPair {wanted}")


@SUITE.check("EC2-KEY-003", changes=True)
def a_new_ed25519_key(session: Ec2Session) -> None:
    """A new ed25519 key is in OpenSSH's form."""
    found = session.make("CreateKeyPair", {"KeyName": session.name("key"), "KeyType": "ed25519"})
    material = found.text("keyMaterial")
    expect(
        material.startswith("-----BEGIN OPENSSH PRIVATE KEY-----"),
        f"the key begins {material.partition(chr(10))[0]!r}",
    )
    try:
        form.load_ssh_private_key(material.encode() + b"\n", None)
    except ValueError as error:
        fail(f"OpenSSH could not read the key: {error}")


@SUITE.check("EC2-KEY-004", changes=True)
def the_public_key(session: Ec2Session) -> None:
    """IncludePublicKey tells the key that was imported, and without it no key is told."""
    name = things.key(session)
    found = session.ok("DescribeKeyPairs", {"KeyName.1": name, "IncludePublicKey": True})
    told = found.get("keySet/item/publicKey").split()
    expect(told[:2] == things.PUBLIC_KEY.split()[:2], f"the public key is told as {' '.join(told)!r}")
    plain = session.ok("DescribeKeyPairs", {"KeyName.1": name})
    expect(not plain.has("keySet/item/publicKey"), "the public key is told without IncludePublicKey")


@SUITE.check("EC2-WAIT-009", changes=True)
def key_pairs_exist(session: Ec2Session) -> None:
    """The waiter KeyPairExists succeeds, and a deleted key pair is InvalidKeyPair.NotFound."""
    name = things.new_key(session)
    found = session.ok("DescribeKeyPairs", {"KeyName.1": name})
    expect(found.texts("keySet/item/keyName") == [name], "the new key pair is not told")
    session.ok("DeleteKeyPair", {"KeyName": name})
    session.refused("DescribeKeyPairs", {"KeyName.1": name}, "InvalidKeyPair.NotFound")
