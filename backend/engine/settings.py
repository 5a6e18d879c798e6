"""What an operator may tune in the engine; a value handed down, never global."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from backend.model import Host, TaskKind, Value
from backend.ports import NO_NETWORK, NetworkCapabilities


class Deadlines(Value, frozen=True, kw_only=True):
    """How long each kind of stage may take, in seconds (lifecycle §3)."""

    prolog: float = 3600.0
    boot: float = 120.0
    restore: float = 300.0
    save: float = 600.0
    shutdown: float = 120.0
    destroy: float = 60.0
    reboot: float = 240.0
    epilog: float = 3600.0
    hotplug: float = 60.0
    transfer: float = 3600.0

    def of(self, stage: str) -> float:
        """The deadline of a stage."""
        return {
            "boot.susp": self.restore,
            "boot.resume": self.restore,
            "shut.cancel": self.destroy,
            "runn.reboot": self.reboot,
        }.get(stage) or {
            "prol": self.prolog,
            "boot": self.boot,
            "save": self.save,
            "shut": self.shutdown,
            "epil": self.epilog,
            "hotp": self.hotplug,
        }.get(stage[:4], self.destroy)

    def of_task(self, kind: TaskKind) -> float:
        """The deadline of a task's acts; those that copy may take as long as there is progress."""
        quick = {
            TaskKind.VOLUME_ATTACH,
            TaskKind.VOLUME_DETACH,
            TaskKind.VOLUME_MODIFY,
            TaskKind.NIC_ATTACH,
            TaskKind.NIC_DETACH,
        }
        return self.hotplug if kind in quick else self.transfer


class NetworkSettings(Value, frozen=True, kw_only=True):
    """What the engine hands out of, and where the metadata service is.

    ``default_vpc`` is the CIDR of default VPCs. ``pools`` are the public addresses by pool, as CIDRs or
    ranges (``203.0.113.10-203.0.113.99``). ``infra`` is the range between routers and the metadata service
    (empty where the driver needs none); its first address is the service's own side. ``foreign`` are ranges
    that no VPC can have, as routers need them for themselves.
    """

    default_vpc: str = "172.31.0.0/16"
    pools: Mapping[str, tuple[str, ...]] = {}
    infra: str = ""
    foreign: tuple[str, ...] = ()
    capabilities: NetworkCapabilities = NO_NETWORK


class EngineSettings(Value, frozen=True, kw_only=True):
    """The engine's settings.

    ``zones`` maps each region to its zones; the first of all is the default. ``done_visible`` is how long an
    ended instance stays listed (§7.1). ``history`` is how long jobs and events of an ended instance are kept;
    its accounting stays. ``pending_timeout`` ends a wait for capacity as a failure; None waits for ever.
    ``refuse_when_full`` refuses an EC2 launch that no host has room for now, instead of letting it wait.
    ``picture_patience`` is how long somebody waits for a picture of a display, ``picture_memory`` how long
    one is kept at least.
    """

    zones: Mapping[str, tuple[str, ...]] = msgspec.field(
        default_factory=lambda: {"us-east-1": ("us-east-1a",)}
    )
    network: NetworkSettings = NetworkSettings()
    default_flavor: str = "t2.nano"
    max_attempts: int = 3
    max_pending: int = 5000
    max_dispatch: int = 256
    done_visible: float = 3600.0
    token_memory: float = 86400.0
    history: float = 90 * 86400.0
    pending_timeout: float | None = None
    refuse_when_full: bool = False
    host_failures: int = 3
    keep_failed_launches: bool = False
    poll_interval: float = 30.0
    console_interval: float = 1.0
    picture_patience: float = 10.0
    picture_memory: float = 300.0
    sweep_interval: float = 5.0
    deadlines: Deadlines = Deadlines()
    retry_delays: tuple[float, ...] = (1.0, 4.0, 15.0)

    def silent(self, host: Host | None) -> bool:
        """Whether a host has failed to answer so often that what runs there is unknown (§5.4)."""
        return host is not None and host.failures >= self.host_failures

    @property
    def default_region(self) -> str:
        """The first region."""
        return next(iter(self.zones))
