"""All checks of EC2: importing this fills the suite."""

from conformance.ec2.checks import (
    errors,
    filters,
    idempotency,
    instances,
    keys,
    networks,
    operations,
    pages,
    signatures,
    tags,
    volumes,
    waiters,
    wire,
)
from conformance.ec2.suite import SUITE

#: What must be refused comes last, and dry runs at the very end: an endpoint that grants them all the same
#: may lose what other checks look at.
_LAST = ("a_volume_in_use_stays", "refuses", "dry_runs", "dry_runs_change_nothing")

SUITE.checks.sort(key=lambda check: _LAST.index(check.name) + 1 if check.name in _LAST else 0)

__all__ = [
    "SUITE",
    "errors",
    "filters",
    "idempotency",
    "instances",
    "keys",
    "networks",
    "operations",
    "pages",
    "signatures",
    "tags",
    "volumes",
    "waiters",
    "wire",
]
