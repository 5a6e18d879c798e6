"""Certificates that sign themselves, for tests of who has one."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ANN = "CN=ann,O=Grid,C=DE"


def certificate_of_ann() -> bytes:
    """A certificate whose subject is :data:`ANN`, in PEM; good for a day."""
    parts = [(NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Grid"), (NameOID.COMMON_NAME, "ann")]
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)
