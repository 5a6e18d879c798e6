"""Listing what this cloud has none of: inventories, consoles and Terraform ask for all there might be."""

from __future__ import annotations

from ec2.context import Document
from ec2.service import Endpoint


def list_nothing(endpoint: Endpoint) -> Document:
    """Empty lists for everything the operation tells, whatever is asked for."""
    assert endpoint.shape.output is not None
    return {member.name: [] for member in endpoint.shape.output.members}
