"""What is drawn over OCCI is what packets do: a real guest behind its user network, over real HTTP."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from live_cloud import Answer, LiveCloud, wait_for
from occi_client import ACTION, INFRASTRUCTURE, JSON, PLAIN, invocation, request

RULES = "occi.securitygroup.rules"
PORT = 8080


def _made(cloud: LiveCloud, kind: str, attributes: dict[str, Any], **more: Any) -> str:
    said = request(JSON, INFRASTRUCTURE + kind, (), attributes)
    body = json.dumps({**json.loads(said["body"]), **more})
    answer = cloud.occi("POST", f"/{kind}/", body, {"Content-Type": JSON, "Accept": PLAIN})
    assert answer.status == 201, answer
    return answer.headers["Location"].removeprefix(cloud.endpoint)


def _read(cloud: LiveCloud, path: str) -> dict[str, Any]:
    answer = cloud.occi("GET", path, headers={"Accept": JSON})
    assert answer.status == 200, answer
    found: dict[str, Any] = json.loads(answer.body)
    return found


def _change(cloud: LiveCloud, path: str, attributes: dict[str, Any]) -> Answer:
    said = request(JSON, "", (), attributes)
    answer = cloud.occi("POST", path, said["body"], {"Content-Type": JSON, "Accept": JSON})
    assert answer.status == 200, answer
    return answer


def _addresses(cloud: LiveCloud, machine: str, pool: str) -> list[str]:
    """The addresses of a machine in the network outside."""
    links = _read(cloud, machine)["links"]
    return [
        link["attributes"]["occi.networkinterface.address"]
        for link in links
        if link["target"]["location"] == pool
    ]


def _answers(address: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, PORT)) == 0


def test_rules_and_addresses_of_occi_open_and_close_a_real_guest(real_cloud: LiveCloud) -> None:
    cloud = real_cloud
    networks = json.loads(cloud.occi("GET", "/network/", headers={"Accept": JSON}).body)["resources"]
    [outside] = [each for each in networks if each["attributes"]["occi.network.address"].startswith("127.")]
    # What the network cannot enforce is said, never pretended.
    assert "traffic between guests" in outside["attributes"]["occi.network.state.message"]
    pool = f"/network/{outside['id']}"
    group = _made(cloud, "securitygroup", {"occi.core.title": "web"})
    target = {"location": group, "kind": f"{INFRASTRUCTURE}securitygroup"}
    link = {"kind": f"{INFRASTRUCTURE}securitygrouplink", "target": target}
    machine = _made(cloud, "compute", {"occi.core.title": "web"}, links=[link])
    try:
        wait_for(lambda: _read(cloud, machine)["attributes"]["occi.compute.state"] == "active", "active", 120)
        [lent] = _addresses(cloud, machine, pool)
        assert not _answers(lent)
        _change(cloud, group, {RULES: [{"type": "inbound", "protocol": "tcp", "port": str(PORT)}]})
        begin = time.monotonic()
        wait_for(lambda: _answers(lent), "the port is open", 10)
        assert time.monotonic() - begin < 5  # a second, and what a busy machine adds
        # A floating address takes the place of the lent one, and is gone with its link.
        values = {"occi.core.source": machine, "occi.core.target": "/network/PUBLIC"}
        floating = _made(cloud, "networkinterface", values)
        [address] = _addresses(cloud, machine, pool)
        assert address != lent
        wait_for(lambda: _answers(address) and not _answers(lent), "the other address answers", 10)
        assert cloud.occi("DELETE", floating).status == 200
        wait_for(lambda: not _answers(address), "the address leads nowhere", 10)
        assert cloud.occi("GET", "/ipreservation/", headers={"Accept": "text/uri-list"}).body == ""
    finally:
        hard = invocation(JSON, f"{ACTION}stop", {"method": "poweroff"})
        cloud.occi("POST", f"{machine}?action=stop", hard["body"], {"Content-Type": JSON})
        assert cloud.occi("DELETE", machine).status == 200
    wait_for(lambda: cloud.occi("DELETE", group).status == 200, "nothing uses the group", 60)
