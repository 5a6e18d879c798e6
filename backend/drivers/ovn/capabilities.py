"""What OVN enforces: everything that is drawn.

Two things are not quite as in EC2: a rule that is taken back also ends the connections that it had let begin,
and the network ACL of a NAT gateway's own subnet is not asked about what the gateway translates.
"""

from backend.ports import NetworkCapabilities

CAPABILITIES = NetworkCapabilities(
    name="ovn",
    groups=True,
    egress=True,
    routing=True,
    guest_to_guest=True,
    network_acls=True,
    source_dest_check=True,
    nat_gateways=True,
    hotplug=True,
    secondary_addresses=True,
    needs_infra=True,
    metadata_hops=1,
)
