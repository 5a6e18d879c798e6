"""Hosts by libvirt URI: which parts make the driver of which kind of URI.

Our own options are taken out of the URI's query before libvirt sees it:

=================  =====================  ================================================================
option             hosts                  meaning
=================  =====================  ================================================================
``acceleration``   QEMU                   ``auto`` (default: probed), ``kvm`` or ``tcg``
``pool``           with a daemon          name of the directory pool, default ``isthmus``
``pool_path``      with a daemon          its directory, if it has yet to be defined
``cpus``           ``test:///default``    cores of the simulated host, default 64
``memory_gib``     ``test:///default``    its memory, default 512
``disk_gib``       ``test:///``           its disk, default 10240
=================  =====================  ================================================================
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from backend.drivers.libvirt.connection import Links
from backend.drivers.libvirt.events import Happenings
from backend.drivers.libvirt.host import LibvirtHost
from backend.drivers.libvirt.local_storage import LocalStorage
from backend.drivers.libvirt.pool_storage import PoolStorage
from backend.drivers.libvirt.storage import SimulatedStorage, Storage
from backend.drivers.libvirt.xml import E, text_of
from backend.model import Value
from backend.ports import HostDriver, HostEvent, HostSilent, StepFailed

log = logging.getLogger(__name__)

OWN_OPTIONS: Final = frozenset({"acceleration", "pool", "pool_path", "cpus", "memory_gib", "disk_gib"})
ACCELERATIONS: Final = frozenset({"auto", "kvm", "tcg"})
POOL: Final = "isthmus"
POOL_PATH: Final = "/var/lib/libvirt/images/isthmus"
ROOT_LIMIT: Final = 107 - len(
    "/lib/qemu/channel/target/domain-99999-i-0123456789abcdef0/org.qemu.guest_agent.0"
)
"""Bytes of an embedded root: a UNIX socket's path holds 107, and libvirt makes sockets deep below it."""
QEMU_CONF: Final = """\
# Written for an embedded host: there is no log daemon, and no security driver set up for this directory.
stdio_handler = "file"
security_driver = "none"
# A private /dev for each guest needs mounts that a container or a changed root directory does not allow.
namespaces = []
# QEMU runs as the owner of every file here; an image is not to change hands.
dynamic_ownership = 0
"""
QEMU_CONF_ROOT: Final = """\
user = "root"
group = "root"
"""


class Parts(Value, frozen=True, kw_only=True):
    """A host's URI taken apart: what libvirt gets, and our own options."""

    uri: str
    options: Mapping[str, str]


class Kind(Value, frozen=True, kw_only=True):
    """What makes the driver for one kind of URI."""

    in_process: bool
    simulated: bool
    capabilities: dict[str, str]
    prepare: Callable[[Parts], str]
    storage: Callable[[Parts, Links], Storage]


Tell = Callable[[str | None], None]


class LibvirtHosts:
    """The drivers of all hosts, made on first use and kept. Implements ``Hosts``."""

    def __init__(self) -> None:
        self._hosts: dict[str, tuple[str, LibvirtHost]] = {}
        self._lock = threading.Lock()
        self._listeners: list[Callable[[HostEvent], None]] = []
        self._hints: SimpleQueue[HostEvent] = SimpleQueue()
        self._telling = False

    def driver(self, host_id: str, uri: str) -> HostDriver:
        """The driver of a host; raises HostSilent when it cannot be reached, StepFailed for a wrong URI."""
        with self._lock:
            known = self._hosts.get(host_id)
            if known is None or known[0] != uri:
                old, known = known, (uri, self._make(host_id, uri))
                self._hosts[host_id] = known
            else:
                old = None
        if old is not None:
            old[1].close()
        known[1].ensure()
        return known[1]

    def forget(self, host_id: str) -> None:
        """Close a host's driver; its guests live on."""
        with self._lock:
            known = self._hosts.pop(host_id, None)
        if known is not None:
            known[1].close()

    def watch(self, listener: Callable[[HostEvent], None]) -> None:
        """Tell a listener of hints, in a thread of its own: libvirt's event loop waits for nobody."""
        with self._lock:
            self._listeners.append(listener)
            if not self._telling:
                self._telling = True
                threading.Thread(target=self._tell_for_ever, name="libvirt-hints", daemon=True).start()

    def _make(self, host_id: str, uri: str) -> LibvirtHost:
        parts = parts_of(uri)
        kind = kind_of(parts)

        def tell(instance_id: str | None) -> None:
            if self._telling:
                self._hints.put(HostEvent(host_id=host_id, instance_id=instance_id))

        happenings = Happenings(tell)
        links = Links(
            kind.prepare(parts),
            in_process=kind.in_process,
            registered=happenings.register,
            reconnected=happenings.note_everything,
        )
        return LibvirtHost(
            links=links,
            storage=kind.storage(parts, links),
            happenings=happenings,
            simulated=kind.simulated,
            acceleration=parts.options.get("acceleration", "auto"),
            capabilities=dict(kind.capabilities),
        )

    def _tell_for_ever(self) -> None:
        while True:
            hint = self._hints.get()
            for listener in list(self._listeners):
                try:
                    listener(hint)
                except Exception:
                    log.exception("listener of host hints")


def parts_of(uri: str) -> Parts:
    """Take our options out of a URI; raises StepFailed for values that make no sense."""
    split = urlsplit(uri)
    pairs = parse_qsl(split.query, keep_blank_values=True)
    options = {name: value for name, value in pairs if name in OWN_OPTIONS}
    rest = urlencode([(name, value) for name, value in pairs if name not in OWN_OPTIONS], quote_via=quote)
    for name in ("cpus", "memory_gib", "disk_gib"):
        if name in options and not options[name].isdecimal():
            raise StepFailed(f"{uri}: {name} must be a whole number")
    if options.get("acceleration", "auto") not in ACCELERATIONS:
        raise StepFailed(f"{uri}: acceleration must be one of {', '.join(sorted(ACCELERATIONS))}")
    # urlunsplit would drop the empty authority of qemu:///system for schemes it does not know.
    query = f"?{rest}" if rest else ""
    return Parts(uri=f"{split.scheme}://{split.netloc}{split.path}{query}", options=options)


def kind_of(parts: Parts) -> Kind:
    """The kind of host a URI means."""
    split = urlsplit(parts.uri)
    scheme, _, transport = split.scheme.partition("+")
    local = not transport and not split.netloc
    found = KINDS.get((scheme, split.path if local else "remote")) or KINDS.get(
        (scheme, "local" if local else "")
    )
    if found is None:
        raise StepFailed(f"{parts.uri}: no driver for this kind of host")
    return found


def _as_it_is(parts: Parts) -> str:
    return parts.uri


def _embedded_root(parts: Parts) -> Path:
    root = dict(parse_qsl(urlsplit(parts.uri).query)).get("root", "")
    if not root.startswith("/"):
        raise StepFailed(f"{parts.uri}: root must be an absolute directory")
    return Path(root)


def _prepare_embedded(parts: Parts) -> str:
    """The embedded driver's URI; its root is made, private to us, with QEMU's settings for it."""
    root = _embedded_root(parts)
    settings = root / "etc" / "qemu.conf"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.parent.mkdir(exist_ok=True)
        if not settings.exists():
            settings.write_text(QEMU_CONF + (QEMU_CONF_ROOT if os.geteuid() == 0 else ""))
        name = _short_name(root)
    except OSError as error:
        raise HostSilent(f"{root}: {error.strerror}") from error
    split = urlsplit(parts.uri)
    options = dict(parse_qsl(split.query)) | {"root": str(name)}
    return f"qemu://{split.path}?{urlencode(options, quote_via=quote, safe='/')}"


def _short_name(root: Path) -> Path:
    """A name for the root that leaves room for the sockets below it: a link in /tmp when it is long.

    The name depends on the root alone, so that guests are found again. /tmp is sticky: nobody but us can
    change a link of ours, and one of somebody else's is refused.
    """
    if len(os.fsencode(root)) <= ROOT_LIMIT:
        return root
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
    link = Path(f"/tmp/ist-{os.geteuid()}-{digest}")  # noqa: S108 - see above
    with contextlib.suppress(FileExistsError):
        link.symlink_to(root)
    if link.lstat().st_uid != os.geteuid() or not link.is_symlink() or link.readlink() != root:
        raise HostSilent(f"{link} is not our link to {root}")
    return link


def _prepare_simulated(parts: Parts) -> str:
    """A node description of the size asked; each simulated host has its own state that way."""
    cpus = parts.options.get("cpus", "64")
    memory_kib = int(parts.options.get("memory_gib", "512")) * 1024**2
    node = E.node(
        E.cpu(
            E.mhz("2000"),
            E.model("x86_64"),
            E.active(cpus),
            E.nodes("1"),
            E.sockets("1"),
            E.cores(cpus),
            E.threads("1"),
        ),
        E.memory(str(memory_kib)),
    )
    with tempfile.NamedTemporaryFile(
        "w", prefix="isthmus-node-", suffix=".xml", delete=False, encoding="utf-8"
    ) as file:
        file.write(text_of(node))
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return f"test://{file.name}"


def _local_storage(parts: Parts, _links: Links) -> Storage:
    root = _embedded_root(parts)
    return LocalStorage(root / "isthmus", logs=root / "log" / "qemu")


def _pool_storage(parts: Parts, links: Links) -> Storage:
    options = parts.options
    return PoolStorage(links, pool=options.get("pool", POOL), path=options.get("pool_path", POOL_PATH))


def _simulated_storage(parts: Parts, _links: Links) -> Storage:
    return SimulatedStorage(int(parts.options.get("disk_gib", "10240")))


_ISOLATED: Final = {"network": "user-isolated", "console": "log"}

EMBEDDED: Final = Kind(
    in_process=True,
    simulated=False,
    capabilities=_ISOLATED | {"storage": "local"},
    prepare=_prepare_embedded,
    storage=_local_storage,
)
DAEMON: Final = Kind(
    in_process=False,
    simulated=False,
    capabilities=_ISOLATED | {"storage": "pool"},
    prepare=_as_it_is,
    storage=_pool_storage,
)
SIMULATED: Final = Kind(
    in_process=True,
    simulated=True,
    capabilities={"network": "none", "console": "none", "storage": "none"},
    prepare=_prepare_simulated,
    storage=_simulated_storage,
)
SIMULATED_FILE: Final = Kind(
    in_process=True,
    simulated=True,
    capabilities=SIMULATED.capabilities,
    prepare=_as_it_is,
    storage=_simulated_storage,
)

KINDS: Final[Mapping[tuple[str, str], Kind]] = {
    ("qemu", "/embed"): EMBEDDED,
    ("qemu", "/system"): DAEMON,
    ("qemu", "/session"): DAEMON,
    ("qemu", "remote"): DAEMON,
    ("test", "/default"): SIMULATED,
    ("test", "local"): SIMULATED_FILE,
}
"""Scheme and path (or ``remote``: by a transport or host name; ``local``: any other path)."""
