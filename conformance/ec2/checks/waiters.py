"""Checks of the states that waiters of SDKs look at: none of them ends a waiter early."""

from __future__ import annotations

from conformance.checks import expect
from conformance.ec2 import things
from conformance.ec2.checks.instances import fleeting, launched, stopped
from conformance.ec2.session import Ec2Session
from conformance.ec2.suite import SUITE


@SUITE.check("EC2-WAIT-001", changes=True, cases=("launch", "start"))
def the_way_to_running(session: Ec2Session, case: str) -> None:
    """The waiter InstanceRunning succeeds."""
    record = launched(session) if case == "launch" else stopped(session)
    _way(record.states["to running"], "running", {"pending"})


@SUITE.check("EC2-WAIT-002", changes=True)
def the_way_to_stopped(session: Ec2Session) -> None:
    """The waiter InstanceStopped succeeds."""
    _way(stopped(session).states["to stopped"], "stopped", {"running", "stopping", "shutting-down"})


@SUITE.check("EC2-WAIT-003", changes=True)
def the_way_to_terminated(session: Ec2Session) -> None:
    """The waiter InstanceTerminated succeeds."""
    _way(fleeting(session).states["to terminated"], "terminated", {"running", "shutting-down"})


def _way(seen: list[str], wanted: str, through: set[str]) -> None:
    expect(seen[-1:] == [wanted], f"the states were {', '.join(seen)}, and never {wanted}")
    wrong = [each for each in seen[:-1] if each not in through]
    expect(
        not wrong,
        f"the states were {', '.join(seen)}: {', '.join(wrong)} ends the waiter, or is no way there",
    )


@SUITE.check("EC2-WAIT-004", changes=True)
def the_way_to_ok(session: Ec2Session) -> None:
    """The waiters InstanceStatusOk and SystemStatusOk succeed."""
    machine = things.machine(session)

    def fine() -> bool | None:
        found = session.ok("DescribeInstanceStatus", {"InstanceId.1": machine}).node("instanceStatusSet/item")
        told = {found.text("instanceStatus/status"), found.text("systemStatus/status")}
        expect(
            told <= {"ok", "initializing"},
            f"the status of a running instance is {' and '.join(sorted(told))}",
        )
        return True if told == {"ok"} else None

    session.until("the status ok", fine)


@SUITE.check("EC2-WAIT-009", changes=True)
def instances_exist(session: Ec2Session) -> None:
    """The waiter InstanceExists succeeds, and what is not there is InvalidInstanceID.NotFound."""
    for each in things.pair(session):
        things.instance(session, each)
    params = {"InstanceId.1": session.unknown("i")}
    session.refused("DescribeInstances", params, "InvalidInstanceID.NotFound")
