"""Another OCCI server: the framework pyssf 0.4.7 with the plainest backends, in memory.

Run by the Python of an environment where pyssf is installed: ``python pyssf_server.py PORT``. pyssf was written for
Python 2: the one module that it misses is supplied here, and its text is encoded on its way out.
"""

from __future__ import annotations

import io
import sys
import types
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server


class _Text(io.StringIO):
    def __init__(self, data: bytes | str = "") -> None:
        super().__init__(data.decode("latin-1") if isinstance(data, bytes) else data)


sys.modules["StringIO"] = types.ModuleType("StringIO")
sys.modules["StringIO"].StringIO = _Text  # type: ignore[attr-defined]

from occi.backend import ActionBackend, KindBackend, MixinBackend  # type: ignore[import-not-found]  # noqa: E402
from occi.extensions import infrastructure  # type: ignore[import-not-found]  # noqa: E402
from occi.wsgi import Application  # type: ignore[import-not-found]  # noqa: E402

_NEXT = {"start": "active", "stop": "inactive", "restart": "active", "suspend": "suspended"} | {
    "up": "active", "down": "inactive", "online": "online", "offline": "offline"
}  # fmt: skip


class Backend(KindBackend, ActionBackend):
    """Entities of one kind: a state, and the actions that lead to another."""

    def __init__(self, kind: Any, first: str) -> None:
        self._name = f"occi.{kind.term}.state"
        self._first = first
        self._actions = [action for action in kind.actions if action.term in _NEXT]

    def create(self, entity: Any, extras: Any) -> None:
        self._become(entity, self._first)

    def update(self, old: Any, new: Any, extras: Any) -> None:
        old.attributes.update(new.attributes)

    def replace(self, old: Any, new: Any, extras: Any) -> None:
        state = old.attributes[self._name]
        old.attributes = dict(new.attributes)
        self._become(old, state)

    def action(self, entity: Any, action: Any, attributes: Any, extras: Any) -> None:
        self._become(entity, _NEXT[action.term])

    def _become(self, entity: Any, state: str) -> None:
        entity.attributes[self._name] = state
        entity.actions = [action for action in self._actions if _NEXT[action.term] != state]


def application() -> Any:
    """pyssf's application with the infrastructure's kinds, and two templates."""
    app = Application()
    for kind, first in (
        (infrastructure.COMPUTE, "inactive"),
        (infrastructure.STORAGE, "offline"),
        (infrastructure.NETWORK, "inactive"),
        (infrastructure.STORAGELINK, "inactive"),
        (infrastructure.NETWORKINTERFACE, "inactive"),
    ):
        backend = Backend(kind, first)
        app.register_backend(kind, backend)
        for action in kind.actions:
            app.register_backend(action, backend)
    for mixin in (infrastructure.IPNETWORK, infrastructure.IPNETWORKINTERFACE):
        app.register_backend(mixin, MixinBackend())
    for mixin in (infrastructure.OS_TEMPLATE, infrastructure.RESOURCE_TEMPLATE):
        app.register_backend(mixin, MixinBackend())
    return app


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        """Nobody reads it."""


def main() -> None:
    app = application()

    def encoded(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        return [
            part.encode("utf-8") if isinstance(part, str) else part for part in app(environ, start_response)
        ]

    with make_server("127.0.0.1", int(sys.argv[1]), encoded, handler_class=_Quiet) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
