"""The AWS SDK for JavaScript, version 3, unchanged; its scenarios are in ``javascript``.

Every reply that they get is read a second time, by a parser that forgives nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from live_cloud import LiveCloud, wait_for
from lxml import etree

pytestmark = pytest.mark.timeout(900)
SCENARIOS = Path(__file__).parent / "javascript"
SDK = Path(os.environ.get("ISTHMUS_CACHE", SCENARIOS.parents[2] / ".cache")) / "javascript" / "node_modules"
PATIENCE = 840.0
STRICT = etree.XMLParser(resolve_entities=False, no_network=True)


def run(cloud: LiveCloud, folder: Path, scenario: str) -> list[dict[str, Any]]:
    """Run the tests of a scenario as a tenant of its own, all of which must pass; the replies that it got."""
    (folder / "node_modules").symlink_to(SDK)
    for name in ("clients.mjs", scenario):
        shutil.copy(SCENARIOS / name, folder)
    tenant = cloud.tenant(f"javascript-{scenario.partition('.')[0]}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", scenario],
        cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE,
        env={
            **environment,
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_ACCESS_KEY_ID": tenant["access_key"],
            "AWS_SECRET_ACCESS_KEY": tenant["secret_key"],
            "AWS_REGION": cloud.facts["region"],
            "IMAGE": cloud.image,
            "REPLIES": str(folder / "replies"),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail 0" in done.stdout, done.stdout
    return [json.loads(line) for line in (folder / "replies").read_text().splitlines()]


def read(reply: dict[str, Any]) -> None:
    """Hold a reply to what every reply of the protocol is."""
    assert reply["headers"]["content-type"] == "text/xml;charset=UTF-8", reply
    root = etree.fromstring(reply["body"].encode(), STRICT)
    name = etree.QName(root)
    if reply["statusCode"] == 200:
        sts = reply["action"] == "GetCallerIdentity"
        assert name.localname == f"{reply['action']}Response", reply
        assert name.namespace == (
            "https://sts.amazonaws.com/doc/2011-06-15/" if sts else "http://ec2.amazonaws.com/doc/2016-11-15/"
        )
        [request_id] = root.xpath("//*[local-name() = 'requestId' or local-name() = 'RequestId']")
    else:
        assert root.tag == "Response", reply
        [error] = root.findall("Errors/Error")
        assert error.findtext("Code"), reply
        assert error.findtext("Message"), reply
        [request_id] = root.findall("RequestID")
    assert request_id.text == reply["headers"]["x-amzn-requestid"], reply
    assert not [each for each in root.iter() if each.text and each.text.strip() and len(each)], reply


def test_requests_of_every_kind_and_refusals(cloud: LiveCloud, tmp_path: Path):
    replies = run(cloud, tmp_path, "requests.mjs")
    assert {reply["statusCode"] for reply in replies} == {200, 400, 401, 412}
    for reply in replies:
        read(reply)


@pytest.mark.qemu
def test_guests_and_their_disks(client_cloud: LiveCloud, tmp_path: Path):
    replies = run(client_cloud, tmp_path, "instances.mjs")
    refused = {(reply["action"], reply["statusCode"]) for reply in replies} - {
        (reply["action"], 200) for reply in replies
    }
    assert refused <= {("DescribeVolumes", 400)}, refused  # the waiter for a volume to be gone
    for reply in replies:
        read(reply)
    wait_for(lambda: client_cloud.cli("task", "list", "--open") == [], "all work done", PATIENCE)
    assert client_cloud.cli("check") == []


def test_who_is_throttled_tries_again(own_cloud: LiveCloud, tmp_path: Path):
    settings = own_cloud.home / "isthmus.toml"
    settings.write_text(f"{settings.read_text()}\n[limits]\nreading = 1.0\nreading_burst = 1\n")
    own_cloud.start()
    folder = tmp_path / "scenario"
    folder.mkdir()
    replies = run(own_cloud, folder, "throttled.mjs")
    assert {reply["statusCode"] for reply in replies} == {200, 503}
    for reply in replies:
        read(reply)
