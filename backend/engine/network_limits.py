"""How many things of networks may stand beside each other: AWS's largest numbers, to keep routers small."""

from __future__ import annotations

from enum import Enum

from backend.errors import BackendError, Code


class Limit(Enum):
    """What is limited, and where: its name in EC2's codes, the number, the words."""

    SUBNETS = ("Subnet", 200, "subnets of a VPC")
    ROUTE_TABLES = ("RouteTable", 200, "route tables of a VPC")
    ROUTES = ("Route", 1000, "routes of a table")
    NETWORK_ACLS = ("NetworkAcl", 200, "network ACLs of a VPC")
    ACL_ENTRIES = ("NetworkAclEntry", 40, "entries of a network ACL in one direction")
    GATEWAYS = ("InternetGateway", 500, "internet gateways of a region")
    DHCP_OPTIONS = ("DhcpOptions", 1000, "sets of DHCP options of a region")

    def check(self, there: int) -> None:
        """Refuse one more beside so many that are there.

        Raises:
            BackendError: NETWORK_LIMIT.
        """
        noun, most, words = self.value
        if there >= most:
            raise BackendError(
                Code.NETWORK_LIMIT,
                f"The maximum number of {words} has been reached: {most}",
                limit=most,
                noun=noun,
            )
