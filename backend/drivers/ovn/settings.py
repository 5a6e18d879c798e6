"""What an operator tells the OVN driver; a value handed down, never global."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import cached_property

from backend.model import Value


class OvnSettings(Value, frozen=True, kw_only=True, dict=True):
    """The settings of an installation's OVN.

    ``northbound`` and ``southbound`` are OVSDB remotes (``unix:PATH``, ``tcp:ADDRESS:PORT``, ``ssl:…``;
    several of a cluster with commas); the southbound one is optional, and tells which chassis there are and
    how far each has come. ``private_key``, ``certificate`` and ``ca_certificate`` are PEM files for ``ssl:``.

    ``provider`` is the network that chassis map to a bridge (``ovn-bridge-mappings``); ``next_hop`` its
    router. ``pools`` are the public addresses on it, as CIDRs or ranges. ``infra`` is the range, on that
    network too, by which the metadata service at ``metadata_address`` and ``metadata_port`` knows interfaces.
    ``link`` is a range as large for the outer sides of VPCs' routers; nothing but ARP is ever sent from it.

    ``dns`` and ``domain`` are for VPCs that have no DHCP options of their own; ``lease_seconds`` is how long
    guests may keep what they were told. ``mtu`` is that of guests, and leaves room for the tunnels' header.
    ``offload`` False is for chassis with the userspace datapath. ``chassis`` are the gateways for all, if not
    every host is to be one.

    ``patience`` is how long the northbound database and northd may take, ``hosts_patience`` how long chassis
    are waited for, both in seconds.
    """

    northbound: str
    next_hop: str
    southbound: str = ""
    private_key: str = ""
    certificate: str = ""
    ca_certificate: str = ""
    provider: str = "public"
    pools: tuple[str, ...] = ()
    infra: str = "100.64.0.0/16"
    link: str = "100.65.0.0/16"
    metadata_address: str = "100.64.0.1"
    metadata_port: int = 8775
    dns: tuple[str, ...] = ()
    domain: str = ""
    lease_seconds: int = 3600
    mtu: int = 1442
    offload: bool = True
    chassis: tuple[str, ...] = ()
    patience: float = 15.0
    hosts_patience: float = 5.0

    @cached_property
    def pool_networks(self) -> tuple[ipaddress.IPv4Network, ...]:
        """The public addresses as the fewest networks that hold them and nothing else."""
        return tuple(
            ipaddress.collapse_addresses(network for each in self.pools for network in _networks(each))
        )

    @property
    def infra_length(self) -> int:
        """The prefix length of the infra range, and of the link range."""
        return ipaddress.IPv4Network(self.infra).prefixlen

    def link_address(self, infra: str) -> str:
        """The address in the link range that goes with one in the infra range."""
        offset = int(ipaddress.IPv4Address(infra)) - int(ipaddress.IPv4Network(self.infra).network_address)
        return str(ipaddress.IPv4Network(self.link).network_address + offset)


def _networks(pool: str) -> Sequence[ipaddress.IPv4Network]:
    first, dash, last = pool.partition("-")
    if not dash:
        return [ipaddress.IPv4Network(pool, strict=False)]
    ends = ipaddress.IPv4Address(first.strip()), ipaddress.IPv4Address(last.strip())
    return list(ipaddress.summarize_address_range(*ends))
