"""Session tokens of the metadata service, version 2: signed, and kept nowhere.

Any process that has the installation's key can make and check them. A token belongs to one instance and ends
at a time; both are part of what is signed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from itsdangerous import BadSignature, Signer

SHORTEST: Final = 1
LONGEST: Final = 21_600
"""How long a token may live, in seconds."""

_SALT: Final = "isthmus.metadata.token:"
_MOST_CHARACTERS: Final = 200


class Tokens:
    """Makes and checks tokens. ``secret`` must be the same on all machines of an installation."""

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._clock = clock

    def issue(self, instance_id: str, seconds: int) -> str:
        """A new token of an instance, good for so many seconds."""
        ends = int(self._clock()) + seconds
        return self._signer(instance_id).sign(f"{ends:x}-{secrets.token_hex(8)}").decode()

    def left(self, instance_id: str, token: str) -> int | None:
        """How many whole seconds a token is still good for; None when it is not this instance's, or ended."""
        if len(token) > _MOST_CHARACTERS:
            return None
        try:
            signed = self._signer(instance_id).unsign(token).decode()
        except (BadSignature, UnicodeError):
            return None
        ends = int(signed.partition("-")[0], 16)
        seconds = ends - int(self._clock())
        return seconds if seconds > 0 else None

    def _signer(self, instance_id: str) -> Signer:
        return Signer(
            self._secret, salt=_SALT + instance_id, key_derivation="hmac", digest_method=hashlib.sha256
        )
