"""What OCCI's clients change of a machine that is off is in the real guest when it is on again."""

from __future__ import annotations

import base64
import ipaddress
import json
from typing import Any

from live_cloud import Answer, LiveCloud, wait_for
from occi_client import ACTION, INFRASTRUCTURE, JSON, invocation, request

USER_DATA = "http://schemas.ogf.org/occi/infrastructure/compute#user_data"
SMALL = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#small"
PLUG = "occi.networkinterface"
MAC = "52:55:00:00:0a:0b"
SCRIPT = b"#!/bin/sh\necho the MAC is $(cat /sys/class/net/eth0/address)\n"
GIB = 1 << 30
BOOTED = 240


def _send(cloud: LiveCloud, method: str, path: str, kind: str = "", mixins: Any = (), **more: Any) -> Answer:
    body = request(JSON, kind, mixins, more.pop("attributes", {}))["body"]
    answer = cloud.occi(method, path, body, {"Content-Type": JSON, "Accept": JSON})
    assert answer.status in {200, 201}, answer
    return answer


def _read(cloud: LiveCloud, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cloud.occi("GET", path, headers={"Accept": JSON}).body)
    return found


def _act(cloud: LiveCloud, path: str, term: str, state: str, **given: str) -> None:
    said = invocation(JSON, f"{ACTION}{term}", given)
    answer = cloud.occi("POST", f"{path}?action={term}", said["body"], {"Content-Type": JSON})
    assert answer.status == 200, answer
    wait_for(lambda: _read(cloud, path)["attributes"]["occi.compute.state"] == state, f"it is {state}", 120)


def _reports(cloud: LiveCloud, vm: str) -> list[dict[str, Any]]:
    """What the guest said when it was ready, boot by boot."""
    mark = "isthmus-guest: ready "
    lines = cloud.cli("vm", "console", vm)["output"].splitlines()
    return [json.loads(line.partition(mark)[2]) for line in lines if mark in line]


def test_what_changes_while_a_machine_is_off_is_in_the_guest_afterwards(real_cloud: LiveCloud) -> None:
    cloud = real_cloud
    data = {"occi.compute.userdata": base64.b64encode(SCRIPT).decode(), "occi.compute.share": 200}
    made = _send(cloud, "POST", "/compute/", f"{INFRASTRUCTURE}compute", [USER_DATA], attributes=data)
    machine = made.headers["Location"].removeprefix(cloud.endpoint)
    [vm] = [each["id"] for each in cloud.cli("vm", "list") if each["state"] != "done"]
    try:
        wait_for(lambda: len(_reports(cloud, vm)) == 1, "the guest is ready", BOOTED)
        [link] = [
            each
            for each in _read(cloud, machine)["links"]
            if each["attributes"].get(f"{PLUG}.interface") == "eth0"
            and each["attributes"].get(f"{PLUG}.gateway")
        ]
        before = link["attributes"][f"{PLUG}.address"]
        assert _reports(cloud, vm)[0]["ip"] == before
        _act(cloud, machine, "stop", "inactive", method="poweroff")
        wanted = str(ipaddress.IPv4Address(before) + 3)
        addresses = {f"{PLUG}.address": wanted, f"{PLUG}.mac": MAC}
        _send(cloud, "POST", f"/networkinterface/{link['id']}", attributes=addresses)
        _send(cloud, "POST", machine, mixins=[SMALL])
        _act(cloud, machine, "start", "active")
        wait_for(lambda: len(_reports(cloud, vm)) == 2, "the guest is ready again", BOOTED)
        report = _reports(cloud, vm)[1]
        assert report["ip"] == wanted
        assert f"the MAC is {MAC}" in cloud.cli("vm", "console", vm)["output"]
        assert report["disks"]["vdb"]["size"] == 10 * GIB  # OCCI-CRTP-002: the scratch space of the new size
        shown = _read(cloud, machine)["attributes"]
        assert (shown["occi.compute.memory"], shown["occi.compute.share"]) == (1.0, 200)
    finally:
        hard = invocation(JSON, f"{ACTION}stop", {"method": "poweroff"})
        cloud.occi("POST", f"{machine}?action=stop", hard["body"], {"Content-Type": JSON})
        assert cloud.occi("DELETE", machine).status == 200
