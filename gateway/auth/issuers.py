"""The keys of OpenID issuers: found by discovery, kept for a while, and asked for again when one is missing.

Nobody waits long for an issuer. One thread for each asks at a time, however many requests want its keys; few
of them wait for it, and not longer than ``PATIENCE``; between two questions ``FLOOR`` passes. So neither a
dead issuer nor tokens with made-up key ids take threads from those who use other doors.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from backend.model import Value
from gateway.settings import is_loopback, is_secure

FRESH: Final = 3600.0
"""Seconds for which keys are used without asking again."""
KEPT: Final = 86_400.0
"""Seconds for which keys are used while their issuer does not answer."""
FLOOR: Final = 30.0
"""Seconds between two questions to an issuer."""
PATIENCE: Final = 3.0
"""Seconds that a request waits for an answer."""
_SILENCE: Final = 2.0
"""Seconds without a byte after which an issuer does not answer."""
_LONGEST: Final = 10.0
_DISCOVERY_BYTES: Final = 64 << 10
_KEYS_BYTES: Final = 512 << 10
_MOST_KEYS: Final = 100
_LEAST_RSA_BITS: Final = 2048
_WELL_KNOWN: Final = "/.well-known/openid-configuration"

Key = RSAKey | ECKey | OKPKey
_KINDS: Final[Mapping[str, type[RSAKey | ECKey | OKPKey]]] = {
    "RSA": RSAKey,
    "EC": ECKey,
    "OKP": OKPKey,
}
"""Keys of two halves; a secret that both sides know is none."""
_FITTING: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    **{f"{family}{bits}": ("RSA", frozenset()) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", frozenset({"P-256"})),
    "ES384": ("EC", frozenset({"P-384"})),
    "ES512": ("EC", frozenset({"P-521"})),
    "EdDSA": ("OKP", frozenset({"Ed25519", "Ed448"})),
    "Ed25519": ("OKP", frozenset({"Ed25519"})),
}
"""Which keys an algorithm is for: their type, and their curve where they have one."""
_SAME: Final = frozenset({"EdDSA", "Ed25519"})

_log = structlog.get_logger("isthmus.oidc")


class IssuerSilent(Exception):  # noqa: N818 - it says what is the case
    """An issuer's keys are not known, because it does not answer."""


class _Useless(Exception):  # noqa: N818 - it says what is the case
    """What an issuer answers is of no use; the message says why."""


_FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, _Useless)


class PublicKey(Value, frozen=True, kw_only=True):
    """A key that verifies signatures, and what its issuer says it is for."""

    kid: str
    key: Any
    kty: str
    curve: str
    algorithm: str

    def fits(self, algorithm: str) -> bool:
        """Whether it is one for an algorithm."""
        kty, curves = _FITTING[algorithm]
        said = not self.algorithm or self.algorithm == algorithm or {self.algorithm, algorithm} == _SAME
        return said and self.kty == kty and (not curves or self.curve in curves)


class _Kept(Value, frozen=True, kw_only=True):
    keys: tuple[PublicKey, ...]
    at: float

    def of(self, kid: str | None, algorithm: str) -> list[PublicKey]:
        """The keys that may have signed: by their id, or without one the only one that fits."""
        fitting = [each for each in self.keys if each.fits(algorithm)]
        if kid is None:
            return fitting if len(fitting) == 1 else []
        return [each for each in fitting if each.kid == kid]


class Issuer:
    """The keys of one issuer. Safe to use from several threads.

    ``turns`` is how many requests may wait at a time, for all issuers together; ``clock`` is monotonic.
    """

    def __init__(
        self,
        issuer: str,
        turns: threading.Semaphore,
        *,
        clock: Callable[[], float] = time.monotonic,
        fetch: Callable[[str, int], bytes] | None = None,
    ) -> None:
        self.issuer = issuer
        self._turns = turns
        self._clock = clock
        self._fetch = fetch or _fetch
        self._lock = threading.Lock()
        self._kept: _Kept | None = None
        self._jwks: tuple[str, float] | None = None
        self._asked: float | None = None
        self._done: threading.Event | None = None

    def keys(self, kid: str | None, algorithm: str) -> list[PublicKey]:
        """The keys that may have signed a token; none when the issuer has no such key.

        Raises:
            IssuerSilent: it does not answer, and its keys are not known, or too old.
        """
        kept = self._kept
        if kept is not None and self._clock() - kept.at < FRESH and (found := kept.of(kid, algorithm)):
            return found
        self._renew()
        kept = self._kept
        if kept is None or self._clock() - kept.at > KEPT:
            raise IssuerSilent(self.issuer)
        return kept.of(kid, algorithm)

    def begin(self) -> threading.Event | None:
        """Have the issuer asked, unless it just was: what happens when it has answered, or has not."""
        with self._lock:
            now = self._clock()
            if self._done is None:
                if self._asked is not None and now - self._asked < FLOOR:
                    return None
                done = threading.Event()
                self._asked = now
                threading.Thread(target=self._ask, args=(done,), name="oidc", daemon=True).start()
                self._done = done
            return self._done

    def _renew(self) -> None:
        """Have the issuer asked, and wait a little for the answer if there is room."""
        done = self.begin()
        left = PATIENCE - (self._clock() - (self._asked or 0.0))
        if done is None or left <= 0 or not self._turns.acquire(blocking=False):
            return
        try:
            done.wait(left)
        finally:
            self._turns.release()

    def _ask(self, done: threading.Event) -> None:
        try:
            keys = self._answered()
            self._kept = _Kept(keys=keys, at=self._clock())
            _log.info("keys of an issuer", issuer=self.issuer, keys=len(keys))
        except _FAILURES as error:
            self._jwks = None
            _log.warning("an issuer gives no keys", issuer=self.issuer, why=_said(error))
        except Exception:
            self._jwks = None
            _log.exception("internal error", issuer=self.issuer)
        finally:
            with self._lock:  # begin() has let go of it, and so has kept the event
                self._done = None
            done.set()

    def _answered(self) -> tuple[PublicKey, ...]:
        now = self._clock()
        if self._jwks is None or now - self._jwks[1] > FRESH:
            self._jwks = (self._discovered(), now)
        return _public_keys(_object(self._fetch(self._jwks[0], _KEYS_BYTES)))

    def _discovered(self) -> str:
        """Where the keys are (OpenID Connect Discovery 1.0, 4)."""
        document = _object(self._fetch(self.issuer.rstrip("/") + _WELL_KNOWN, _DISCOVERY_BYTES))
        if document.get("issuer") != self.issuer:
            raise _Useless("its discovery document is of another issuer")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not is_secure(url):
            raise _Useless("its discovery document has no https jwks_uri")
        if not url.startswith("https:") and self.issuer.startswith("https:"):
            raise _Useless("its keys are on this machine")
        return url


def look(issuer: str) -> tuple[PublicKey, ...]:
    """The keys that an issuer has now.

    Raises:
        IssuerSilent: it does not answer, or not to any use; the message says how.
    """
    try:
        return Issuer(issuer, threading.Semaphore())._answered()  # noqa: SLF001 - its own
    except _FAILURES as error:
        raise IssuerSilent(_said(error)) from error


def _said(error: Exception) -> str:
    """What went wrong, in one line, which holds nothing of any token: none is sent to an issuer."""
    return str(error)[:300] if isinstance(error, _Useless) else f"{type(error).__name__}: {error}"[:300]


def _object(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Useless("it answers with something else than JSON") from error


def _public_keys(document: dict[str, Any]) -> tuple[PublicKey, ...]:
    """The keys that verify; others, as those of types to come, are passed over (RFC 7517, 5)."""
    given = document.get("keys")
    if not isinstance(given, list) or len(given) > _MOST_KEYS:
        raise _Useless(f"its keys are no list, or more than {_MOST_KEYS}")
    return tuple(key for each in given if (key := _public_key(each)) is not None)


def _public_key(given: object) -> PublicKey | None:
    if not isinstance(given, dict) or given.get("use", "sig") != "sig":
        return None
    deeds = given.get("key_ops", ["verify"])
    kind = _KINDS.get(str(given.get("kty")))
    if kind is None or not isinstance(deeds, Sequence) or "verify" not in deeds:
        return None
    # What else a key says of itself is of no use here, and may be of any type.
    plain = {name: given[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in given}
    if kind is RSAKey and len(str(plain.get("n"))) * 6 < _LEAST_RSA_BITS:
        return None
    try:
        key = kind.import_key(plain)
        if isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_RSA_BITS:
            return None
    except (JoseError, ValueError, TypeError, KeyError, OverflowError):
        return None
    kid, algorithm = given.get("kid", ""), given.get("alg", "")
    return PublicKey(
        kid=kid if isinstance(kid, str) else "",
        key=key,
        kty=str(plain["kty"]),
        curve=str(plain.get("crv", "")),
        algorithm=algorithm if isinstance(algorithm, str) else "",
    )


def _fetch(url: str, most: int) -> bytes:
    """What is at a URL, whole and at most so many bytes; it is not followed elsewhere."""
    deadline = time.monotonic() + _LONGEST
    here = is_loopback(urlsplit(url).hostname or "")
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "isthmus"}
    with (
        httpx.Client(
            follow_redirects=False,
            timeout=_SILENCE,
            verify=ssl.create_default_context(),  # whom this machine trusts
            trust_env=not here,  # a proxy may be the way outside, but not to this machine
        ) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        if answer.status_code != 200 or answer.headers.get("content-encoding", "identity") != "identity":
            raise _Useless(f"it answers with {answer.status_code}, or encoded")
        data = bytearray()
        for part in answer.iter_raw():
            data += part
            if len(data) > most or time.monotonic() > deadline:
                raise _Useless("its answer is too long, or too slow")
    return bytes(data)
