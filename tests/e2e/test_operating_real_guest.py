"""A real guest, seen and moved from the command line."""

from __future__ import annotations

import pytest
from live_cloud import LiveCloud, wait_for

pytestmark = pytest.mark.qemu
BOOTED = 240.0  # seconds in which a guest boots under emulation on a busy machine


def test_a_real_guest_boots_outlives_the_gateway_and_is_gone_after_terminate(real_cloud: LiveCloud):
    cloud = real_cloud
    made = cloud.client().run_instances(
        ImageId=cloud.image, MinCount=1, MaxCount=1, InstanceType="t2.nano",
        UserData="#!/bin/sh\necho the operator says hello\n",
    )  # fmt: skip
    vm = made["Instances"][0]["InstanceId"]

    def console() -> str:
        return cloud.cli("vm", "console", vm)["output"]

    wait_for(lambda: "isthmus-guest: ready" in console(), "guest ready", BOOTED)
    assert "user-data: the operator says hello" in console()
    guests = cloud.guests()
    assert len(guests) == 1

    cloud.stop()
    cloud.start().wait_hosts()
    assert cloud.guests() == guests
    assert cloud.cli("vm", "show", vm)["state"] == "runn"

    cloud.cli("vm", "stop", vm)
    wait_for(lambda: cloud.cli("vm", "show", vm)["state"] == "poff", "powered off", BOOTED)
    assert "isthmus-guest: power button" in console()
    cloud.cli("vm", "terminate", vm)
    wait_for(lambda: cloud.cli("vm", "show", vm)["state"] == "done", "terminated", BOOTED)
    assert cloud.guests() == []
    left = [path for path in (cloud.home / "hosts").rglob(f"*{vm}*") if path.is_file()]
    assert [path for path in left if "log" not in path.parts] == []  # QEMU's own log is libvirt's to keep
