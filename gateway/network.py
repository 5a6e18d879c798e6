"""The network driver of an installation, put together in the worker process."""

from __future__ import annotations

from backend.drivers.ovn.settings import OvnSettings
from backend.model import HostState
from backend.ports import HostDriver, Hosts, NetworkDriver
from gateway.installation import Installation
from gateway.metadata.server import Doors
from gateway.settings import NetworkTable, listen_address


def network_of(installation: Installation, hosts: Hosts, doors: Doors) -> NetworkDriver:
    """What makes packets obey: by the setting ``network.driver``."""
    settings = installation.settings.network
    if settings.driver == "ovn":
        from backend.drivers.ovn.driver import OvnNetwork

        return OvnNetwork(ovn_settings(settings))
    from backend.drivers.user_network import UserNetwork

    def driver(host_id: str) -> HostDriver | None:
        with installation.store.read() as tx:
            host = tx.hosts.get(host_id)
        if host is None or host.state is HostState.OFFLINE:
            return None
        return hosts.driver(host.id, host.uri)

    return UserNetwork(driver, doors, outbound=settings.outbound)


def ovn_settings(settings: NetworkTable) -> OvnSettings:
    """The OVN driver's part of the settings."""
    address, port = listen_address(settings.metadata)
    return OvnSettings(
        northbound=settings.northbound,
        southbound=settings.southbound,
        private_key=settings.private_key,
        certificate=settings.certificate,
        ca_certificate=settings.ca_certificate,
        provider=settings.provider,
        next_hop=settings.next_hop,
        pools=tuple(text for texts in settings.public.values() for text in texts),
        infra=settings.infra,
        link=settings.link,
        metadata_address=address,
        metadata_port=port,
        dns=settings.dns,
        domain=settings.domain,
        mtu=settings.mtu,
        offload=settings.offload,
        chassis=settings.gateways,
    )
