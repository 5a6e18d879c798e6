"""What a caller has of networks, each sort read at most once, and what follows from several of them."""

from __future__ import annotations

from functools import cached_property

from backend.network_model import (
    ANYWHERE,
    InternetGateway,
    NatGateway,
    NatState,
    RouteTable,
    Subnet,
    Topology,
    Vpc,
)
from occi.mixins import NAT_NET, PRIVATE_NET, PUBLIC_NET
from occi.scope import Scope
from rendering.occi_document import Category


class Drawn:
    """The VPCs of a caller with what is in them. Made for one look; what changes later is not seen."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    @cached_property
    def vpcs(self) -> dict[str, Vpc]:
        """VPCs by id."""
        return {each.id: each for each in self._scope.engine.networks.all(self._scope.caller, Vpc)}

    @cached_property
    def subnets(self) -> dict[str, Subnet]:
        """Subnets by id, oldest first."""
        return {each.id: each for each in self._scope.engine.networks.all(self._scope.caller, Subnet)}

    @cached_property
    def tables(self) -> dict[str, RouteTable]:
        """Route tables by id."""
        return {each.id: each for each in self._scope.engine.networks.all(self._scope.caller, RouteTable)}

    @cached_property
    def gateways(self) -> dict[str, InternetGateway]:
        """Internet gateways by id."""
        found = self._scope.engine.networks.all(self._scope.caller, InternetGateway)
        return {each.id: each for each in found}

    @cached_property
    def nat_gateways(self) -> dict[str, NatGateway]:
        """NAT gateways that forward, by id."""
        found = self._scope.engine.networks.all(self._scope.caller, NatGateway)
        return {each.id: each for each in found if each.state is NatState.AVAILABLE}

    @property
    def default_vpc(self) -> Vpc | None:
        """The VPC in which OCCI's networks are."""
        return next((each for each in self.vpcs.values() if each.default), None)

    def reach(self, subnet: Subnet) -> Category:
        """What a subnet's routes let it reach, as the mixin that says so."""
        table = Topology(route_tables=self.tables).table_of(subnet)
        return self.reach_of(table) if table is not None else PRIVATE_NET

    def reach_of(self, table: RouteTable) -> Category:
        """What a route table leads to: outside, outside by translation, or nowhere."""
        target = next((route.target for route in table.routes if route.destination == ANYWHERE), "")
        gateway = self.gateways.get(target)
        if gateway is not None and gateway.vpc_id == table.vpc_id:
            return PUBLIC_NET
        # An interface that routes lead to belongs to a machine that translates.
        return NAT_NET if target in self.nat_gateways or target.startswith("eni-") else PRIVATE_NET
