"""One handler for each command about networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from backend.engine import acls, addresses, metadata_options, nics, routing, security_groups, vpcs
from backend.engine.work import Work

NETWORK_HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    **vpcs.HANDLERS,
    **routing.HANDLERS,
    **acls.HANDLERS,
    **security_groups.HANDLERS,
    **nics.HANDLERS,
    **addresses.HANDLERS,
    **metadata_options.HANDLERS,
}
