"""A little OpenID Connect issuer on the loopback interface: real HTTP, real keys, and planned trouble."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jws, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

AUDIENCE = "isthmus"
_KINDS: dict[str, Callable[[], Any]] = {
    "RS": lambda: RSAKey.generate_key(2048),
    "PS": lambda: RSAKey.generate_key(2048),
    "ES": lambda: ECKey.generate_key("P-256"),
    "Ed": lambda: OKPKey.generate_key("Ed25519"),
}


class LittleIssuer:
    """Serves discovery and keys, and makes tokens. ``answers`` replaces what a path answers.

    An answer is (status, headers, body), or a function that gets the handler and answers by itself.
    """

    def __init__(self, path: str = "") -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.keys: dict[str, tuple[Any, str]] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                answer = issuer.answers.get(self.path) or issuer._usual(self.path)
                if callable(answer):
                    answer(self)
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        self.path = path
        self.url = self.origin + path
        self.discovery = f"{path}/.well-known/openid-configuration"
        self.jwks = f"{path}/keys"
        self.rotate("ES256", "first")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _usual(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if path == self.discovery:
            document: Any = {"issuer": self.url, "jwks_uri": self.origin + self.jwks}
        elif path == self.jwks:
            document = {"keys": [self.public(kid) for kid in self.keys]}
        else:
            return 404, {}, b"{}"
        return 200, {}, json.dumps(document).encode()

    def public(self, kid: str) -> dict[str, Any]:
        """A key as it is published."""
        key, algorithm = self.keys[kid]
        return {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": algorithm}

    def rotate(self, algorithm: str, kid: str) -> None:
        """Sign with a new key from now on, the only one that is published."""
        self.keys = {kid: (_KINDS[algorithm[:2]](), algorithm)}

    def claims(self, subject: str, **claims: Any) -> dict[str, Any]:
        """What a good token says; a claim of None is left out."""
        now = int(claims.pop("now", time.time()))
        said = {"iss": self.url, "sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + 300, **claims}
        return {name: value for name, value in said.items() if value is not None}

    def token(
        self,
        subject: str = "ann-at-issuer",
        *,
        header: dict[str, Any] | None = None,
        key: Any = None,
        **claims: Any,
    ) -> str:
        """A signed token; ``header`` and ``key`` are for bad ones."""
        kid, (own, algorithm) = next(iter(self.keys.items()))
        fields = {"alg": algorithm, "kid": kid, **(header or {})}
        fields = {name: value for name, value in fields.items() if value is not None}
        every = ["none", "HS256", "RS256", "RS512", "PS256", "ES256", "EdDSA", "Ed25519"]
        registry = jws.JWSRegistry(algorithms=every, strict_check_header=False)
        return jwt.encode(fields, self.claims(subject, **claims), key or own, registry=registry)

    def signed_by_public_key(self, subject: str, **claims: Any) -> str:
        """The old attack: HS256, with the published key as the secret; by hand, as libraries refuse to."""
        kid, (key, _) = next(iter(self.keys.items()))
        parts = [{"alg": "HS256", "kid": kid}, self.claims(subject, **claims)]
        text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        signature = hmac.digest(key.as_pem(private=False), text.encode(), "sha256")
        return f"{text}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
