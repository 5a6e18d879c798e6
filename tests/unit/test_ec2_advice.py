"""Refusals that say what to use instead."""

from __future__ import annotations

import re

import pytest

from ec2.actions import ACTIONS
from ec2.advice import instead_of
from ec2.errors import Ec2Error
from ec2.service import EC2, LISTS, operation

REFUSED = sorted(EC2.known - ACTIONS.keys() - LISTS.endpoints.keys())


def test_every_refusal_says_what_to_use_or_why_there_is_nothing():
    assert [name for name in REFUSED if not instead_of(name)] == []


def test_what_is_named_instead_is_served():
    words = {word for name in REFUSED for word in re.findall(r"\w+", instead_of(name))}
    named = words & EC2.known
    assert named >= {"RunInstances", "CreateImage", "AllocateAddress"}
    assert named <= ACTIONS.keys()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("RequestSpotInstances", "RunInstances"),
        ("CreateFleet", "RunInstances"),
        ("PurchaseReservedInstancesOffering", "nothing to reserve"),
        ("CreateVpcPeeringConnection", "within one VPC"),
        ("CreateTransitGateway", "route tables"),
        ("CreateVpnGateway", "sourceDestCheck"),
        ("AssignIpv6Addresses", "IPv4"),
        ("AllocateHosts", "placement group"),
        ("ModifyEbsDefaultKmsKeyId", "key of its own"),
        ("ImportVolume", "ImportSnapshot"),
    ],
)
def test_families_are_told_apart(name, part):
    with pytest.raises(Ec2Error) as caught:
        operation(name, "2016-11-15")
    assert caught.value.code == "UnsupportedOperation"
    assert caught.value.message.startswith(f"The operation {name} is not supported by this cloud. ")
    assert part in caught.value.message
    assert caught.value.message.endswith(".")
