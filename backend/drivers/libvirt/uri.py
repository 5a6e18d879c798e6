"""What a host's URI says, without libvirt: kinds of hosts, and our own options in its query.

=================  =====================  ================================================================
option             hosts                  meaning
=================  =====================  ================================================================
``acceleration``   QEMU                   ``auto`` (default: probed), ``kvm`` or ``tcg``
``pool``           with a daemon          name of the directory pool, default ``isthmus``
``pool_path``      with a daemon          its directory, if it has yet to be defined
``format``         QEMU                   of new volumes: ``qcow2`` (default) or ``raw``
``shared``         QEMU                   a name: all hosts with it see the same volumes and images
``store``          embedded               directory of volumes and images, default below the root
``cpus``           ``test:///default``    cores of the simulated host, default 64
``memory_gib``     ``test:///default``    its memory, default 512
``disk_gib``       ``test:///``           its disk, default 10240
=================  =====================  ================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from backend.model import Value
from backend.ports import StepFailed

ACCELERATIONS: Final = frozenset({"auto", "kvm", "tcg"})
FORMATS: Final = frozenset({"qcow2", "raw"})
_SIZES: Final = frozenset({"cpus", "memory_gib", "disk_gib"})
_LARGEST_SIZE: Final = 1_000_000
_CHOICES: Final[Mapping[str, frozenset[str]]] = {"acceleration": ACCELERATIONS, "format": FORMATS}
_DIRECTORIES: Final = ("pool_path", "store")
_STORE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
OWN_OPTIONS: Final = _SIZES | _CHOICES.keys() | {"pool", "pool_path", "shared", "store"}


class HostKind(Enum):
    """What a URI stands for."""

    EMBEDDED = "embedded"
    DAEMON = "daemon"
    SIMULATED = "simulated"
    SIMULATED_FILE = "simulated from a file"


class Parts(Value, frozen=True, kw_only=True):
    """A host's URI taken apart: what libvirt gets, and our own options."""

    uri: str
    options: Mapping[str, str]


_KINDS: Final[Mapping[tuple[str, str], HostKind]] = {
    ("qemu", "/embed"): HostKind.EMBEDDED,
    ("qemu", "/system"): HostKind.DAEMON,
    ("qemu", "/session"): HostKind.DAEMON,
    ("qemu", "remote"): HostKind.DAEMON,
    ("test", "/default"): HostKind.SIMULATED,
    ("test", "local"): HostKind.SIMULATED_FILE,
}
"""Scheme and path (or ``remote``: by a transport or host name; ``local``: any other path)."""


def parts_of(uri: str) -> Parts:
    """Take our options out of a URI; raises StepFailed for values that make no sense."""
    try:
        split = urlsplit(uri)
    except ValueError as error:
        raise StepFailed(f"{uri}: {error}") from error
    pairs = parse_qsl(split.query, keep_blank_values=True)
    options = {name: value for name, value in pairs if name in OWN_OPTIONS}
    rest = urlencode([(name, value) for name, value in pairs if name not in OWN_OPTIONS], quote_via=quote)
    for name in sorted(_SIZES & options.keys()):
        if not _is_size(options[name]):
            raise StepFailed(f"{uri}: {name} must be a whole number from 1 to {_LARGEST_SIZE}")
    for name in sorted(_CHOICES.keys() & options.keys()):
        if options[name] not in _CHOICES[name]:
            raise StepFailed(f"{uri}: {name} must be one of {', '.join(sorted(_CHOICES[name]))}")
    for name in _DIRECTORIES:
        if not options.get(name, "/").startswith("/"):
            raise StepFailed(f"{uri}: {name} must be an absolute directory")
    if "shared" in options and not _STORE.fullmatch(options["shared"]):
        raise StepFailed(f"{uri}: shared must be a name of letters, digits, dots, dashes and underlines")
    # urlunsplit would drop the empty authority of qemu:///system for schemes it does not know.
    query = f"?{rest}" if rest else ""
    return Parts(uri=f"{split.scheme}://{split.netloc}{split.path}{query}", options=options)


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 7 and 1 <= int(text) <= _LARGEST_SIZE


def kind_of(parts: Parts) -> HostKind:
    """The kind of host a URI means; raises StepFailed when there is no driver for it."""
    split = urlsplit(parts.uri)
    scheme, _, transport = split.scheme.partition("+")
    local = not transport and not split.netloc
    found = _KINDS.get((scheme, split.path if local else "remote")) or _KINDS.get(
        (scheme, "local" if local else "")
    )
    if found is None:
        raise StepFailed(f"{parts.uri}: no driver for this kind of host")
    return found


def embedded_root(parts: Parts) -> Path:
    """The directory of an embedded host; raises StepFailed when none is named."""
    root = dict(parse_qsl(urlsplit(parts.uri).query)).get("root", "")
    if not root.startswith("/"):
        raise StepFailed(f"{parts.uri}: root must be an absolute directory")
    return Path(root)


def store_directory(parts: Parts) -> Path:
    """The directory of an embedded host's volumes and images.

    Raises:
        StepFailed: the host is to share it, and none is named: a root is one host's alone.
    """
    if "store" not in parts.options and "shared" in parts.options:
        raise StepFailed(f"{parts.uri}: an embedded host needs a store to be shared")
    return Path(parts.options.get("store") or embedded_root(parts) / "isthmus")


def check(uri: str) -> None:
    """Raise StepFailed for a URI that no host can have, and say why. Nobody is asked whether it is there."""
    parts = parts_of(uri)
    if kind_of(parts) is HostKind.EMBEDDED:
        embedded_root(parts)
        store_directory(parts)
