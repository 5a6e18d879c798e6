"""Secrets: encrypted at rest, hashed, compared and cached so that none can be read where it need not be.

EC2 secret keys must be known in clear to check a signature; they are kept under AES-256-GCM with a key that
lies in a file beside the database, never in it. Passwords are argon2id hashes. Of bearer tokens only the
SHA-256 is kept, which suffices for 256 random bits.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import string
import threading
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cachetools import TTLCache
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.home import Home, open_to_others, write_private

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SCHEME: Final = b"\x01"
_KEY_ID_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SECRET_ALPHABET: Final = string.ascii_letters + string.digits + "/+"
_PASSWORD_ALPHABET: Final = string.ascii_letters + string.digits


class KeyUnusable(Exception):  # noqa: N818 - it says what is the case
    """A key file is missing, damaged, or open to others; the message names it and the cure."""


class KeyFiles:
    """The two keys of an installation. All machines of one installation must have the same."""

    def __init__(self, home: Home) -> None:
        self._folder = home.keys

    @property
    def at_rest(self) -> bytes:
        """The key of the secrets in the database."""
        return _read_key(self._folder / "at-rest")

    @property
    def pages(self) -> str:
        """The secret that signs page tokens, and tokens of the metadata service."""
        return _read_key(self._folder / "pages").hex()

    def make(self) -> None:
        """Make the keys that are missing; never replace one, for it may be in use."""
        for name in ("at-rest", "pages"):
            path = self._folder / name
            if not path.exists():
                key = base64.b64encode(secrets.token_bytes(_KEY_BYTES))
                write_private(path, key + b"\n", exclusive=True)


def _read_key(path: Path) -> bytes:
    try:
        if open_to_others(path):
            raise KeyUnusable(f"{path} can be read by others. Close it: chmod 600 {path}")
        key = base64.b64decode(path.read_bytes(), validate=False)
    except FileNotFoundError as error:
        raise KeyUnusable(f"{path} is missing. Restore it from a backup of the home directory.") from error
    except ValueError as error:
        raise KeyUnusable(f"{path} is damaged. Restore it from a backup of the home directory.") from error
    if len(key) != _KEY_BYTES:
        raise KeyUnusable(f"{path} is damaged. Restore it from a backup of the home directory.")
    return key


# EC2 secret keys ----------------------------------------------------------------------------------------


class SecretBox:
    """Encrypts a secret; the id of what it belongs to is bound to it, so that rows cannot be swapped."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._opened = lru_cache(maxsize=4096)(self._open)

    def seal(self, key_id: str, secret: str) -> bytes:
        """The secret as it is kept: a version byte, the nonce, the ciphertext with its tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return _SCHEME + nonce + self._cipher.encrypt(nonce, secret.encode(), _SCHEME + key_id.encode())

    def open(self, key_id: str, sealed: bytes) -> str:
        """The secret in clear.

        Raises:
            KeyUnusable: it was sealed with another key, or for another key id, or is damaged.
        """
        return self._opened(key_id, sealed)

    def _open(self, key_id: str, sealed: bytes) -> str:
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, text, sealed[:1] + key_id.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise KeyUnusable(
                f"The secret of {key_id} was encrypted with another key than keys/at-rest."
            ) from error


class KeyVault:
    """Seals passphrases of disks under the key at rest. Implements the engine's ``Vault``.

    The key is read when it is first needed, as most processes never do.
    """

    def __init__(self, keys: KeyFiles) -> None:
        self._keys = keys

    @cached_property
    def _box(self) -> SecretBox:
        return SecretBox(self._keys.at_rest)

    def seal(self, owner: str, secret: str) -> bytes:
        """Encrypt a secret of an owner's; raises KeyUnusable without the key."""
        return self._box.seal(owner, secret)

    def open(self, owner: str, sealed: bytes) -> str:
        """The secret again, under the same owner only; raises KeyUnusable."""
        return self._box.open(owner, sealed)


LASTING: Final = "AKIA"
TEMPORARY: Final = "ASIA"
"""How the ids of access keys, and of the temporary keys of sessions, begin."""


def new_key_id(prefix: str = LASTING) -> str:
    """A fresh access key id: the prefix and 16 characters of Base32, like Amazon's."""
    return prefix + "".join(secrets.choice(_KEY_ID_ALPHABET) for _ in range(16))


def new_secret() -> str:
    """A fresh secret key: 40 characters, 240 bits."""
    return "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(40))


def new_password() -> str:
    """A fresh password that needs no quoting in a shell or a URL: 24 characters, 142 bits."""
    return "".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(24))


# Bearer tokens ------------------------------------------------------------------------------------------


def new_session_token(shortest: int = 0) -> str:
    """A fresh session token of 512 bits or more, in signs that need no quoting in a URL."""
    return secrets.token_urlsafe(max(64, shortest))


def new_token() -> str:
    """A fresh bearer token: 256 bits."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> str:
    """What is kept of a bearer token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


# Passwords ----------------------------------------------------------------------------------------------


class Passwords:
    """Argon2id hashes, and a short memory of what has been verified.

    A verification takes tens of milliseconds on purpose. Clients that send the password with every request
    are therefore remembered by an HMAC of user, password and stored hash, under a key that only this process
    has: a changed password is forgotten at once. At most ``parallel`` verifications run at a time, for each
    takes memory.
    """

    def __init__(self, *, memory: float = 300.0, parallel: int = 2) -> None:
        # OWASP's profile for interactive use: 19 MiB, two passes, one lane.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._key = secrets.token_bytes(32)
        self._known: TTLCache[bytes, bool] = TTLCache(maxsize=10_000, ttl=memory)
        self._lock = threading.Lock()
        self._turn = threading.BoundedSemaphore(parallel)
        self._decoy = self._hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """The hash to keep."""
        return self._hasher.hash(password)

    def verify(self, user: str, password: str, stored: str | None) -> bool:
        """Whether the password is the user's. None for ``stored`` (no such user) takes as long as a wrong
        one.
        """
        mark = self._mark(user, password, stored or "")
        with self._lock:
            if stored is not None and mark in self._known:
                return True
        right = self._check(password, stored or self._decoy) and stored is not None
        if right:
            with self._lock:
                self._known[mark] = True
        return right

    def _check(self, password: str, stored: str) -> bool:
        with self._turn:
            try:
                return self._hasher.verify(stored, password)
            except (VerificationError, InvalidHashError):
                return False

    def _mark(self, user: str, password: str, stored: str) -> bytes:
        parts = [part.encode("utf-8", "surrogatepass") for part in (user, password, stored)]
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, text, "sha256")
