"""Subjects of certificates that a proxy has verified, in one spelling whatever the proxy's is.

Proxies write a subject as RFC 4514 says (``CN=ann,O=Grid,C=DE``: nginx, Apache) or as OpenSSL used to
(``/C=DE/O=Grid/CN=ann``: HAProxy, ``$ssl_client_s_dn_legacy``, grid software), which is the other way round.
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Mapping
from typing import Final

from cryptography.x509 import Name, NameAttribute, load_pem_x509_certificate
from cryptography.x509.oid import NameOID, ObjectIdentifier

from gateway.settings import X509Table

ISSUER: Final = "x509"
"""The issuer of identities that are certificates' subjects."""
_LONGEST: Final = 2048
_VERIFIED: Final = "SUCCESS"

_SPELLED: Final[Mapping[ObjectIdentifier, str]] = {
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.TITLE: "title",
    NameOID.GIVEN_NAME: "GN",
    NameOID.SURNAME: "SN",
    NameOID.PSEUDONYM: "pseudonym",
    NameOID.DN_QUALIFIER: "dnQualifier",
    NameOID.POSTAL_CODE: "postalCode",
    NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
}
"""Attributes that RFC 4514 has no short name for, as OpenSSL calls them."""


class _Names(dict[str, ObjectIdentifier]):
    """Attribute names in every spelling, without regard to case (RFC 4514, 3)."""

    def get(self, key: str, default: object = None) -> ObjectIdentifier | None:  # type: ignore[override]
        return super().get(key.lower()) or (default if isinstance(default, ObjectIdentifier) else None)


_NAMES: Final = _Names(
    {
        **{name.lower(): oid for oid, name in _SPELLED.items()},
        "cn": NameOID.COMMON_NAME,
        "l": NameOID.LOCALITY_NAME,
        "st": NameOID.STATE_OR_PROVINCE_NAME,
        "s": NameOID.STATE_OR_PROVINCE_NAME,
        "o": NameOID.ORGANIZATION_NAME,
        "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "c": NameOID.COUNTRY_NAME,
        "street": NameOID.STREET_ADDRESS,
        "dc": NameOID.DOMAIN_COMPONENT,
        "uid": NameOID.USER_ID,
        "userid": NameOID.USER_ID,
        "e": NameOID.EMAIL_ADDRESS,
        "email": NameOID.EMAIL_ADDRESS,
        "givenname": NameOID.GIVEN_NAME,
        "surname": NameOID.SURNAME,
    }
)
_PART = re.compile(r"/(?=(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+)=)")
"""A slash that begins an attribute; others belong to a value, as in CN=host/node.example.org."""
_ESCAPED = re.compile(r"(?:\\x[89A-Fa-f][0-9A-Fa-f])+")
"""Bytes of UTF-8 as OpenSSL writes them. It leaves a backslash alone, so nothing else is read from one."""


class NoSubject(ValueError):  # noqa: N818 - it says what is the case
    """A text is no subject of a certificate."""


def subject_of(text: str) -> str:
    """The one spelling of a subject, as RFC 4514 says; in it values are compared to the letter.

    Raises:
        NoSubject: the text is in neither form.
    """
    if len(text) > _LONGEST or not text.isprintable():
        raise NoSubject("it is too long, or has signs that cannot be printed")
    try:
        name = _slashed(text) if text.startswith("/") else Name.from_rfc4514_string(text, _NAMES)
    except (ValueError, OverflowError) as error:
        raise NoSubject("it is neither CN=…,O=…,C=… (RFC 4514) nor /C=…/O=…/CN=… (OpenSSL)") from error
    return spelled(name)


def subject_in(pem: bytes) -> str:
    """The subject of a certificate in PEM.

    Raises:
        NoSubject: there is no certificate, or it has no subject.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            return spelled(load_pem_x509_certificate(pem).subject)
    except ValueError as error:
        raise NoSubject("it is no certificate in PEM, or one without a subject") from error


def spelled(name: Name) -> str:
    """A name, the last attribute first; several in one place are a set, and come in one order."""
    places = ["+".join(sorted(each.rfc4514_string(_SPELLED) for each in place)) for place in name.rdns]
    text = ",".join(reversed(places))
    values = [each.value for each in name if isinstance(each.value, str)]
    if not text or not all(each.isprintable() for each in (text, *values)):  # \\00 is how a zero is written
        raise NoSubject("it is empty, or has signs that cannot be printed")
    return text


def _slashed(text: str) -> Name:
    """OpenSSL's one line. A comma before a slash is two lines that were joined: whose is the second?"""
    if ",/" in text:
        raise ValueError(text)
    first, *parts = _PART.split(text)
    if first or not parts:
        raise ValueError(text)
    return Name([_attribute(*part.split("=", 1)) for part in parts])


def _attribute(name: str, value: str) -> NameAttribute[str]:
    oid = ObjectIdentifier(name) if name[0].isdigit() else _NAMES.get(name)
    if oid is None or not value:
        raise ValueError(name)
    return NameAttribute(oid, _ESCAPED.sub(_unescaped, value))


def _unescaped(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("\\x", "")).decode()


class CertificateDoor:
    """Which subject a proxy vouches for. Headers of others are as if they were not there."""

    def __init__(self, settings: X509Table) -> None:
        self._header = _variable(settings.header)
        self._verified = _variable(settings.verified)
        self._proxies = tuple(ipaddress.ip_network(each) for each in settings.proxies)

    def __call__(self, env: Mapping[str, object]) -> str | None:
        """The subject in a request's WSGI environment, or None when no proxy says one that can be read."""
        given = env.get(self._header) if self._header else None
        if not isinstance(given, str) or not given or not self._is_proxy(str(env.get("REMOTE_ADDR") or "")):
            return None
        if self._verified and env.get(self._verified) != _VERIFIED:
            return None
        try:
            return subject_of(given.encode("latin-1").decode().strip(" "))
        except ValueError:
            return None

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return any((mapped or found) in each for each in self._proxies)


def _variable(header: str) -> str:
    """What WSGI calls a header."""
    return f"HTTP_{header.upper().replace('-', '_')}" if header else ""
