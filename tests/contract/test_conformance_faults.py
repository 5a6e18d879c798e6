"""The conformance tool finds what is wrong: a server of ours is broken in many ways, one at a time.

The first tests show that it finds nothing where nothing is wrong; only then the others mean something.
"""

from __future__ import annotations

import pytest
from broken_servers import EC2_FAULTS, OCCI_FAULTS, Believing, Breakable
from served_cloud import REGION, ServedCloud, served

from conformance.checks import Check, Suite, Verdict
from conformance.ec2.checks import SUITE as EC2
from conformance.ec2.session import Ec2Session
from conformance.occi.checks import SUITE as OCCI
from conformance.occi.session import OcciSession
from conformance.runner import Report, Run
from conformance.wire import Wire


@pytest.fixture(scope="module")
def cloud():
    with served(Breakable) as found:
        found.gateway._ec2_door = Believing(found.gateway._ec2_door)
        yield found


#: Seconds that a broken server is waited for; one that is whole gets more.
BROKEN, WHOLE = 4.0, 60.0


def judged_occi(cloud: ServedCloud, checks: list[Check], deadline: float) -> Report:
    known = cloud.credentials
    authorization = OcciSession.basic(known.occi_user, known.occi_password)
    session = OcciSession(Wire(cloud.url, timeout=30), authorization, deadline=deadline, poll=0.05)
    return Run(OCCI, session)(checks)


def judged_ec2(cloud: ServedCloud, checks: list[Check], deadline: float) -> Report:
    known = cloud.credentials
    session = Ec2Session(
        Wire(cloud.url, timeout=30),
        known.access_key,
        known.secret_key,
        region=REGION,
        image=cloud.image.id,
        instance_type="t2.micro",
        deadline=deadline,
        poll=0.05,
    )
    return Run(EC2, session)(checks)


def citing(suite: Suite, ids: tuple[str, ...]) -> list[Check]:
    """The checks that cite one of some requirements."""
    unknown = set(ids) - suite.requirements.keys()
    assert not unknown, f"no requirement is called {unknown}"
    return [check for check in suite.checks if set(ids) & set(check.cites)]


def told(report: Report) -> list[str]:
    good = {Verdict.PASSED, Verdict.ABSENT}
    return [
        f"{each.verdict} {each.cites} {each.id}: {each.message}"
        for each in report.results
        if each.verdict not in good
    ]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("suite", "judged"), [(OCCI, judged_occi), (EC2, judged_ec2)], ids=["occi", "ec2"])
def test_nothing_is_found_where_nothing_is_wrong(cloud, suite, judged):
    cloud.app.fault = None
    report = judged(cloud, suite.checks, WHOLE)
    assert not told(report), "\n".join(told(report))
    assert not report.litter
    assert not [each.litter for each in report.results if each.litter]


@pytest.mark.parametrize(
    ("suite", "judged", "fault"),
    [
        *(pytest.param(OCCI, judged_occi, fault, id=f"occi: {fault.name}") for fault in OCCI_FAULTS),
        *(pytest.param(EC2, judged_ec2, fault, id=f"ec2: {fault.name}") for fault in EC2_FAULTS),
    ],
)
def test_a_fault_is_named(cloud, suite, judged, fault):
    """Of the checks that cite what is broken, one at least fails; the first that does is enough here."""
    said = []
    try:
        cloud.app.fault = fault
        for check in citing(suite, fault.breaks):
            [result] = judged(cloud, [check], BROKEN).results
            if result.verdict is Verdict.FAILED:
                return
            said.append(f"{result.verdict} {result.id}: {result.message}")
    finally:
        cloud.app.fault = None
    pytest.fail("\n".join(said) or "no check cites it")


def test_there_are_sixty_of_them():
    names = [fault.name for fault in (*OCCI_FAULTS, *EC2_FAULTS)]
    assert len(set(names)) == len(names) >= 60
