"""A cloud in memory for tests of networks: of two zones."""

from __future__ import annotations

from simulation import NETWORK, Cloud

from backend.engine import EngineSettings

ZONES = ("us-east-1a", "us-east-1b")


def network_cloud() -> Cloud:
    """A cloud whose region has two zones, with public addresses and a driver that enforces everything."""
    return Cloud(settings=EngineSettings(zones={"us-east-1": ZONES}, network=NETWORK))
