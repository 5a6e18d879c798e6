"""Private keys as PuTTY keeps them: PPK version 3, not encrypted, as EC2 gives them out.

Source: PuTTY user manual, appendix C "PPK file format". No library that is kept writes this form.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_LINE = 64


def ppk(key: RSAPrivateKey | Ed25519PrivateKey, comment: str) -> str:
    """The file of a private key; the comment is one line of printable ASCII."""
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    algorithm, public = line.split()[:2]
    private = base64.b64encode(_private_blob(key)).decode("ascii")
    rows = [
        f"PuTTY-User-Key-File-3: {algorithm}",
        "Encryption: none",
        f"Comment: {comment}",
        *_lines("Public", public),
        *_lines("Private", private),
        f"Private-MAC: {_mac(algorithm, comment, public, private)}",
    ]
    return "\n".join(rows) + "\n"


def _lines(word: str, text: str) -> list[str]:
    cut = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return [f"{word}-Lines: {len(cut)}", *cut]


def _mac(algorithm: str, comment: str, public: str, private: str) -> str:
    """Without a passphrase the key is empty: the sum finds damage, it proves nothing."""
    texts = [
        algorithm.encode(),
        b"none",
        comment.encode(),
        base64.b64decode(public),
        base64.b64decode(private),
    ]
    return hmac.new(b"", b"".join(_string(text) for text in texts), hashlib.sha256).hexdigest()


def _private_blob(key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    if isinstance(key, Ed25519PrivateKey):
        return _string(key.private_bytes_raw())
    numbers = key.private_numbers()
    return b"".join(_mpint(number) for number in (numbers.d, numbers.p, numbers.q, numbers.iqmp))


def _string(data: bytes) -> bytes:
    """RFC 4251's ``string``."""
    return len(data).to_bytes(4, "big") + data


def _mpint(number: int) -> bytes:
    """RFC 4251's ``mpint`` of a positive number: a zero byte keeps its first bit from being a sign."""
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))
