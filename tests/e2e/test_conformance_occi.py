"""The conformance tool and OCCI: a real Isthmus with real guests meets every MUST and SHOULD; another server's
faults are found.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from conformance_runs import Judgement, judge, pyssf
from live_cloud import LiveCloud, wait_for
from lxml import etree
from wire import census

pytestmark = pytest.mark.timeout(1800)  # the first test that needs it waits for the whole run

PEERS = tomllib.loads((Path(__file__).parent / "conformance_peers.toml").read_text())


@pytest.fixture(scope="module")
def judged(real_cloud: LiveCloud, tmp_path_factory: pytest.TempPathFactory) -> tuple[Judgement, Path]:
    folder = tmp_path_factory.mktemp("judged")
    known = real_cloud.cli("tenant", "create", "judged")
    secrets = {"ISTHMUS_CONFORMANCE_PASSWORD": known["occi_password"]}
    run = judge(
        "occi", real_cloud.endpoint, "--user", known["occi_user"], "--strict", secrets=secrets, folder=folder
    )
    assert known["occi_password"] not in run.printed
    assert all(known["occi_password"] not in path.read_text() for path in folder.iterdir())
    return run, folder


@pytest.mark.qemu
def test_every_must_and_should_is_met(judged):
    run, _ = judged
    assert run.failed() == {}, run.said()
    assert run.status == 0
    unknown = [row for row in run.report["matrix"] if row["verdict"] == "unknown"]
    assert unknown == [], run.said()


@pytest.mark.qemu
def test_every_requirement_is_judged_or_says_why_not(judged):
    run, _ = judged
    reasons = {each["id"]: each["unjudged"] for each in run.report["requirements"]}
    assert [
        row["id"] for row in run.report["matrix"] if row["verdict"] is None and not reasons[row["id"]]
    ] == []


@pytest.mark.qemu
def test_nothing_is_left_behind(judged, real_cloud):
    run, _ = judged
    assert run.report["litter"] == []
    assert [each["litter"] for each in run.report["results"] if each["litter"]] == []


@pytest.mark.qemu
def test_the_last_machine_comes_to_its_end(judged, real_cloud):
    """A deleted compute is gone at once for its owner, and a moment later for the operator."""

    def ended() -> bool:
        machines = [each for each in real_cloud.cli("vm", "list") if each["tenant"] == "judged"]
        return all(each["state"] == "done" for each in machines)

    wait_for(ended, "the end of every machine that the tool made")


@pytest.mark.qemu
def test_the_reports_are_whole(judged):
    run, folder = judged
    suites = etree.parse(str(folder / "report.xml")).getroot()
    assert len(suites.findall(".//testcase")) == len(run.report["results"])
    page = (folder / "report.html").read_text()
    assert all(each["id"] in page for each in run.report["requirements"])
    assert "http" not in page.partition("<style>")[2].partition("</style>")[0]
    assert " src=" not in page
    assert " href=" not in page


def test_a_read_only_run_changes_nothing(cloud, tmp_path):
    known = cloud.cli("tenant", "create", "read-by-occi")
    secrets = {"ISTHMUS_CONFORMANCE_PASSWORD": known["occi_password"]}
    before = census(cloud)
    run = judge(
        "occi", cloud.endpoint, "--user", known["occi_user"], "--read-only", secrets=secrets, folder=tmp_path
    )
    assert census(cloud) == before
    assert run.report["read_only"] is True
    assert len(run.report["results"]) > 20
    assert {each["method"] for result in run.report["results"] for each in result["exchanges"]} <= {
        "GET", "HEAD", "OPTIONS"
    }  # fmt: skip


def test_another_server_is_judged_too(tmp_path):
    with pyssf() as url:
        run = judge("occi", url, "--deadline", "5", secrets={}, folder=tmp_path)
    assert run.status == 1
    assert set(run.failed()) == set(PEERS["pyssf"]), run.said()
