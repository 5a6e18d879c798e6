"""Keys of encrypted volumes, told to libvirt for as long as an act needs them.

QEMU is given a key when it opens the disk and keeps it; libvirt needs it only then. So a secret is defined
before a start, a restoration, an attachment or a copy, and gone afterwards: nobody finds it on a host later.

A daemon keeps ephemeral secrets in memory. The embedded driver of libvirt 9 has three gaps of its own, all
seen: its secret driver crashes on ephemeral secrets and on undefining any (a callback that only daemons set),
and QEMU's driver finds the secret driver only in a thread that has said so and has an identity. For it,
secrets are defined as lasting, their files are removed at once, and the thread is told by the functions that
libvirt's own ``virt-qemu-run`` uses.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, ParamSpec, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

import libvirt

from backend.drivers.libvirt.connection import Caller, Wait
from backend.drivers.libvirt.domain_xml import key_uuid
from backend.drivers.libvirt.xml import E, text_of
from backend.ports import StepFailed

P = ParamSpec("P")
R = TypeVar("R")

USAGE: Final = "/isthmus/"
"""How the names begin under which our secrets are for volumes; libvirt's schema wants a path."""


class Act(Protocol):
    """Calls libvirt as a :class:`Caller` does, with the keys at hand."""

    def __call__(self, wait: Wait, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result."""
        ...


@contextlib.contextmanager
def lending(call: Caller, keys: Iterable[tuple[str, bytes]]) -> Iterator[Act]:
    """Have libvirt know keys of volumes, by the volumes' names, while the calls of the yielded act are made.

    Empty keys are of volumes that are not encrypted.
    """
    wanted = {name: key for name, key in keys if key}
    if not wanted:
        yield call
        return
    embedded = _embedded(call)
    connection = embedded.connection if embedded else call.connection
    with contextlib.ExitStack() as defined:
        if embedded:
            defined.callback(embedded.remove_files)
        for name, key in wanted.items():
            secret = call(
                Wait.NORMAL, connection.secretDefineXML, secret_document(name, lasting=embedded is not None)
            )
            if not embedded:
                defined.callback(_undefine, call, secret)
            call(Wait.NORMAL, secret.setValue, key)
        if embedded:
            embedded.remove_files()
            yield _Inside(call, embedded)
        else:
            yield call


def secret_document(volume: str, *, lasting: bool) -> str:
    """A secret for the key of a volume, which libvirt tells nobody."""
    return text_of(
        E.secret(
            E.uuid(key_uuid(volume)),
            E.usage(E.volume(USAGE + volume), type="volume"),
            ephemeral="no" if lasting else "yes",
            private="yes",
        )
    )


def _undefine(call: Caller, secret: libvirt.virSecret) -> None:
    with contextlib.suppress(StepFailed):
        call(Wait.NORMAL, secret.undefine)


def remove_files(root: Path) -> None:
    """Take the secrets of an embedded host off the disk; libvirt has those that are wanted in memory."""
    folder = root / "etc" / "secrets"
    for path in [*folder.glob("*.base64"), *folder.glob("*.xml")]:
        path.unlink(missing_ok=True)


# The embedded driver ------------------------------------------------------------------------------------


class _Embedded:
    """The secret driver that goes with an embedded QEMU driver; one for each process, as libvirt has it."""

    def __init__(self, uri: str) -> None:
        self._library = _library()
        self._root = Path(parse_qs(urlsplit(uri).query)["root"][0])
        self.remove_files()
        self.connection = libvirt.open(uri.replace("qemu:", "secret:", 1))
        self._pointer = _pointer_of(self.connection)

    def remove_files(self) -> None:
        """Take the secrets off the disk; libvirt has them in memory."""
        remove_files(self._root)

    @contextlib.contextmanager
    def known(self) -> Iterator[None]:
        """Let QEMU's driver find the secret driver, in this thread."""
        library = self._library
        identity = library.virIdentityGetSystem()
        library.virIdentitySetCurrent(identity)
        library.virSetConnectSecret(self._pointer)
        try:
            yield
        finally:
            library.virSetConnectSecret(None)
            library.virIdentitySetCurrent(None)


class _Inside:
    """An act whose calls run where the embedded secret driver is known."""

    def __init__(self, call: Caller, embedded: _Embedded) -> None:
        self._call = call
        self._embedded = embedded

    def __call__(self, wait: Wait, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        def known() -> R:
            with self._embedded.known():
                return function(*args, **kwargs)

        return self._call(wait, known)


_opening = threading.Lock()
_opened: dict[str, _Embedded] = {}


def _embedded(call: Caller) -> _Embedded | None:
    uri = call(Wait.FAST, call.connection.getURI)
    split = urlsplit(uri)
    if (split.scheme, split.path) != ("qemu", "/embed"):
        return None
    with _opening:
        if uri not in _opened:
            _opened[uri] = call(Wait.NORMAL, _Embedded, uri)
        return _opened[uri]


def _library() -> Any:
    library = ctypes.CDLL("libvirt.so.0")
    try:
        library.virIdentityGetSystem.restype = ctypes.c_void_p
        library.virIdentitySetCurrent.argtypes = [ctypes.c_void_p]
        library.virSetConnectSecret.argtypes = [ctypes.c_void_p]
    except AttributeError as error:
        raise StepFailed("this libvirt cannot use encrypted volumes without a daemon") from error
    return library


def _pointer_of(connection: libvirt.virConnect) -> int:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype = ctypes.c_void_p
    pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    found: int = pointer(connection._o, b"virConnectPtr")  # noqa: SLF001 - where the binding keeps it
    return found
