"""What a machine is given at creation besides its size: keys and user data, in both spellings."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from occi.errors import OcciError
from occi.mixins import OPENSTACK_KEY_DATA, OPENSTACK_USER_DATA, PUBLIC_KEY, USER_DATA

_KEY = re.compile(
    r"(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-[a-z0-9-]+|sk-(?:ssh|ecdsa)-[a-z0-9@.-]+)"
    r" +[A-Za-z0-9+/]+={0,2}(?: [^\x00-\x1f\x7f]*)?"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")


def public_keys(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """The OpenSSH public keys among the attributes, each once; 400 for something else."""
    found = [
        _public_key(name, attributes[name]) for name in (PUBLIC_KEY, OPENSTACK_KEY_DATA) if name in attributes
    ]
    return tuple(dict.fromkeys(found))


def _public_key(name: str, text: str) -> str:
    """A key as it is, or in Base64, as rOCCI's description of the attribute asks (OCCI-EXT-003)."""
    for candidate in (text.strip(), _decoded(text).decode("utf-8", "replace").strip()):
        if _KEY.fullmatch(candidate):
            return candidate
    raise OcciError(400, f"{name} is not a public key in OpenSSH's form.")


def user_data(attributes: Mapping[str, Any]) -> bytes:
    """The user data among the attributes, raw; empty when there is none, 400 when there are two."""
    given = {_user_data(attributes[name]) for name in (USER_DATA, OPENSTACK_USER_DATA) if name in attributes}
    if len(given) > 1:
        raise OcciError(400, f"{USER_DATA} and {OPENSTACK_USER_DATA} differ.")
    return given.pop() if given else b""


def _user_data(text: str) -> bytes:
    """Clients send Base64; what is none is taken as it is written."""
    return _decoded(text) or text.encode()


def _decoded(text: str) -> bytes:
    if not _BASE64.fullmatch(text):
        return b""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        return b""


def encoded(data: bytes) -> str:
    """User data as it is rendered."""
    return base64.b64encode(data).decode()
