"""How an instance may use the metadata service (ModifyInstanceMetadataOptions)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from backend import network_commands as commands
from backend.engine.access import own_instances
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import Instance, MetadataOptions

_MOST_HOPS = 64


def checked_options(options: MetadataOptions) -> MetadataOptions:
    """Options as they are; refuses what EC2 does not allow."""
    if options.tokens not in {"optional", "required"}:
        raise BackendError(
            Code.PARAMETER_INVALID,
            "It is optional or required.",
            parameter="httpTokens",
            value=options.tokens[:40],
        )
    if not 1 <= options.hop_limit <= _MOST_HOPS:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"It is between 1 and {_MOST_HOPS}.",
            parameter="httpPutResponseHopLimit",
            value=options.hop_limit,
        )
    return options


def modify_metadata_options(work: Work, command: commands.ModifyMetadataOptions) -> Instance:
    """Change the options of an instance; they hold for the next request of its guest."""
    [instance] = own_instances(work, [command.instance_id])
    return work.tx.instances.update(instance, metadata=checked_options(command.options))


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    commands.ModifyMetadataOptions: modify_metadata_options,
}
