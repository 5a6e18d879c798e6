"""EC2 key pairs: making them, reading public keys in every form EC2 takes, and EC2's fingerprints.

Source: EC2 user guide, "Create a key pair" and "Verify the fingerprint of your key pair". Making an RSA key
takes about 0.1 s, so it is done before any transaction begins. A private key is given out once and never
kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ec2.errors import Ec2Error
from ec2.ppk import ppk

RSA_BITS = 2048
RSA_SIZES = frozenset({1024, 2048, 4096})
MAX_MATERIAL = 16 * 1024

_SSH2_BEGIN = "---- BEGIN SSH2 PUBLIC KEY ----"
_SSH2_END = "---- END SSH2 PUBLIC KEY ----"

PublicKey = RSAPublicKey | Ed25519PublicKey


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key pair just made; ``private_key`` is for its owner alone."""

    key_type: str
    fingerprint: str
    public_key: str
    private_key: str = ""


def make_rsa(comment: str, *, putty: bool = False) -> NewKey:
    """A new RSA key of 2048 bits: the private part as PKCS#1 PEM, or as PuTTY has it."""
    key = generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode("ascii")
    return NewKey(
        key_type="rsa",
        fingerprint=created_rsa_fingerprint(key),
        public_key=_line(key.public_key(), comment),
        private_key=ppk(key, comment) if putty else pem,
    )


def make_ed25519(comment: str, *, putty: bool = False) -> NewKey:
    """A new Ed25519 key: the private part in OpenSSH's form, or as PuTTY has it."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode("ascii")
    return NewKey(
        key_type="ed25519",
        fingerprint=ed25519_fingerprint(key.public_key()),
        public_key=_line(key.public_key(), comment),
        private_key=ppk(key, comment) if putty else pem,
    )


def read_public_key(material: bytes, comment: str) -> NewKey:
    """A public key that a caller brings: OpenSSH, RFC 4716, or DER in base64 (or bare).

    Raises Ec2Error InvalidKeyPair.Format for everything else: DSA, ECDSA, unusual RSA sizes, private keys.
    """
    if len(material) > MAX_MATERIAL:
        raise _bad_format()
    key = _load(material)
    if isinstance(key, RSAPublicKey):
        if key.key_size not in RSA_SIZES:
            raise Ec2Error("InvalidKeyPair.Format", f"RSA keys of {key.key_size} bits are not supported")
        return NewKey(
            key_type="rsa", fingerprint=imported_rsa_fingerprint(key), public_key=_line(key, comment)
        )
    return NewKey(key_type="ed25519", fingerprint=ed25519_fingerprint(key), public_key=_line(key, comment))


def created_rsa_fingerprint(key: RSAPrivateKey) -> str:
    """SHA-1 of the private key in PKCS#8 DER: how EC2 names RSA keys that it made."""
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return _colons(hashlib.sha1(der, usedforsecurity=False).hexdigest())


def imported_rsa_fingerprint(key: RSAPublicKey) -> str:
    """MD5 of the public key in DER: how EC2 names RSA keys that were brought."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _colons(hashlib.md5(der, usedforsecurity=False).hexdigest())


def ed25519_fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the key's OpenSSH blob in base64, padding kept: how EC2 names Ed25519 keys."""
    blob = base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
    return base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii")


def _load(material: bytes) -> PublicKey:
    try:
        text = material.decode("utf-8").strip()
    except UnicodeDecodeError:
        return _load_der(material)
    if text.startswith(_SSH2_BEGIN):
        return _load_ssh(_blob_of_rfc4716(text))
    if text.startswith("ssh-"):
        parts = text.split()
        # Options before the key and several lines would be more than a key; only the comment is dropped.
        if len(parts) < 2 or "\n" in text:
            raise _bad_format()
        return _load_ssh(_unbase64(parts[1]), name=parts[0])
    return _load_der(_unbase64("".join(text.split())))


def _blob_of_rfc4716(text: str) -> bytes:
    """The key inside RFC 4716 markers: headers (continued by a backslash) are skipped."""
    lines = [line.strip() for line in text.splitlines()]
    if lines[-1] != _SSH2_END:
        raise _bad_format()
    body: list[str] = []
    continued = False
    for line in lines[1:-1]:
        if not continued and ":" not in line:
            body.append(line)
        continued = (continued or ":" in line) and line.endswith("\\")
    return _unbase64("".join(body))


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _bad_format() from None


def _load_ssh(blob: bytes, name: str = "") -> PublicKey:
    size = int.from_bytes(blob[:4], "big")
    inner = blob[4 : 4 + size]
    if name and inner != name.encode():
        raise _bad_format()
    try:
        return _supported(serialization.load_ssh_public_key(inner + b" " + base64.b64encode(blob)))
    except (ValueError, UnsupportedAlgorithm):
        raise _bad_format() from None


def _load_der(der: bytes) -> PublicKey:
    try:
        return _supported(serialization.load_der_public_key(der))
    except (ValueError, UnsupportedAlgorithm):
        raise _bad_format() from None


def _supported(key: object) -> PublicKey:
    if isinstance(key, RSAPublicKey | Ed25519PublicKey):
        return key
    raise _bad_format()


def _line(key: PublicKey, comment: str) -> str:
    return f"{key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode('ascii')} {comment}"


def _colons(digits: str) -> str:
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))


def _bad_format() -> Ec2Error:
    return Ec2Error("InvalidKeyPair.Format", "Key is not in valid OpenSSH public key format")
