"""A cloud in memory for tests of networks: of two zones; commands, refusals, and what the network is told."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import pytest
from simulation import NETWORK, Cloud

from backend.commands import Command
from backend.engine import EngineSettings
from backend.errors import BackendError
from backend.model import Caller, Owned

R = TypeVar("R")
T = TypeVar("T", bound=Owned)

ZONES = ("us-east-1a", "us-east-1b")


def network_cloud() -> Cloud:
    """A cloud whose region has two zones, with public addresses and a driver that enforces everything."""
    capabilities = msgspec.structs.replace(NETWORK.capabilities, needs_infra=True, limits=())
    network = msgspec.structs.replace(NETWORK, capabilities=capabilities)
    return Cloud(settings=EngineSettings(zones={"us-east-1": ZONES}, network=network))


def do(cloud: Cloud, command: Command[R], caller: Caller | None = None) -> R:
    """Execute a command."""
    answer: R = cloud.engine.execute(caller or cloud.caller, command)
    return answer


def refusal(cloud: Cloud, command: Command[Any], caller: Caller | None = None) -> BackendError:
    """The refusal of a command."""
    with pytest.raises(BackendError) as refused:
        do(cloud, command, caller)
    return refused.value


def told(cloud: Cloud, command: Command[R]) -> tuple[R, set[str]]:
    """What a command answers, and the scopes that it tells the network of."""
    with cloud.store.begin() as tx:
        tx.network_changes.forget([change.id for change in tx.network_changes.all()])
    answer = do(cloud, command)
    with cloud.store.read() as tx:
        return answer, {change.scope for change in tx.network_changes.all()}


def everything(cloud: Cloud, kind: type[T], caller: Caller | None = None) -> list[T]:
    """All that a caller has of a kind."""
    found: list[T] = cloud.engine.networks.all(caller or cloud.caller, kind)
    return found


def infra_of(cloud: Cloud, owner: str) -> str | None:
    """The infra address of something."""
    with cloud.store.read() as tx:
        found: str | None = tx.infra.of_owners([owner]).get(owner)
    return found
