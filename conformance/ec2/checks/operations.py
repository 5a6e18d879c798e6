"""Checks of each operation by itself: what it answers, and what it refuses. The tables are data."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from conformance.checks import expect
from conformance.ec2 import things
from conformance.ec2.checks import instances, volumes
from conformance.ec2.reading import Reply
from conformance.ec2.session import Ec2Session
from conformance.ec2.suite import SUITE
from conformance.ec2.tables import OPERATIONS, REFUSED, Operation, Refused


def _modifications(session: Ec2Session) -> Reply:
    volume = things.new_volume(session)
    session.ok("ModifyVolume", {"VolumeId": volume, "Size": 2})
    return session.ok("DescribeVolumesModifications", {"VolumeId.1": volume})


def _revoke(session: Ec2Session) -> Reply:
    group = things.new_group(session)
    rule = things.rule(group, 80, "192.0.2.0/24")
    session.ok("AuthorizeSecurityGroupIngress", rule)
    return session.ok("RevokeSecurityGroupIngress", rule)


def _disassociate_address(session: Ec2Session) -> Reply:
    params = {
        "AllocationId": things.new_address(session),
        "NetworkInterfaceId": things.NEW["interface"](session),
    }
    made = session.make("AssociateAddress", params)
    return session.ok("DisassociateAddress", {"AssociationId": made.text("associationId")})


def _detach_gateway(session: Ec2Session) -> Reply:
    params = {"InternetGatewayId": things.NEW["gateway"](session), "VpcId": things.new_vpc(session)}
    session.make("AttachInternetGateway", params)
    return session.ok("DetachInternetGateway", params)


def _disassociate_table(session: Ec2Session) -> Reply:
    params = {"RouteTableId": things.NEW["table"](session), "SubnetId": things.lab_subnet(session)}
    made = session.make("AssociateRouteTable", params)
    return session.ok("DisassociateRouteTable", {"AssociationId": made.text("associationId")})


def _delete_route(session: Ec2Session) -> Reply:
    route = {"RouteTableId": things.NEW["table"](session), "DestinationCidrBlock": "0.0.0.0/0"}
    session.ok("CreateRoute", {**route, "GatewayId": things.attached_gateway(session)})
    return session.ok("DeleteRoute", route)


def _plugged(session: Ec2Session, action: str) -> Reply:
    record = instances.stopped(session)
    if action in record.answers:
        session.granted(action, record.answers[action])
    return record.reply(action)


#: Replies that it takes a step to come to, by what the table calls them.
STEPS: Mapping[str, Callable[[Ec2Session], Reply]] = {
    "launch": lambda session: instances.launched(session).reply("RunInstances"),
    "stop": lambda session: instances.stopped(session).reply("StopInstances"),
    "start": lambda session: instances.stopped(session).reply("StartInstances"),
    "terminate": lambda session: instances.fleeting(session).reply("TerminateInstances"),
    "reboot": lambda session: instances.stopped(session).reply("RebootInstances of what runs"),
    "detach volume": lambda session: volumes.life(session).reply("DetachVolume"),
    "modifications": _modifications,
    "revoke": _revoke,
    "disassociate address": _disassociate_address,
    "detach gateway": _detach_gateway,
    "disassociate table": _disassociate_table,
    "delete route": _delete_route,
    "attach interface": lambda session: _plugged(session, "AttachNetworkInterface"),
    "detach interface": lambda session: _plugged(session, "DetachNetworkInterface"),
}


def _reply(session: Ec2Session, action: str, row: Operation) -> Reply:
    if row.from_:
        return STEPS[row.from_](session)
    return session.make(action, things.filled(session, row.with_))


def _answered(action: str, row: Operation) -> Callable[[Ec2Session], None]:
    def answer(session: Ec2Session) -> None:
        found = _reply(session, action, row)
        looked_at = found.all(row.at) if row.at else [found]
        expect(looked_at, f"{action} tells nothing at {row.at}")
        for each in looked_at:
            missing = [path for path in row.members if not each.has(path)]
            expect(not missing, f"{action} leaves out {', '.join(missing)}")

    answer.__name__ = "answers"
    answer.__doc__ = f"{action} answers with what AWS always tells."
    return answer


def _returned(action: str, row: Operation) -> Callable[[Ec2Session], None]:
    def returns(session: Ec2Session) -> None:
        found = _reply(session, action, row)
        expect(found.text("return") == "true", f"{action} returns {found.text('return')!r}, not true")

    returns.__doc__ = f"{action} returns true."
    return returns


def _changes(action: str, params: Mapping[str, object], *, step: bool = False) -> bool:
    reads = action.startswith(("Describe", "Get"))
    return step or not reads or things.makes_something(params)


def _refusing(row: Refused) -> Callable[[Ec2Session], None]:
    def refuse(session: Ec2Session) -> None:
        session.refused(row.op, things.filled(session, row.with_), *row.code)

    refuse.__name__ = "refuses"
    refuse.__doc__ = f"{row.op} refuses: {row.why}."
    return refuse


def _register() -> None:
    for action, row in OPERATIONS.items():
        changes = _changes(action, row.with_, step=bool(row.from_))
        _named(f"EC2-OP-{action}", changes=changes, case=action, run=_answered(action, row))
        if row.void:
            _named("EC2-WIRE-022", changes=changes, case=action, run=_returned(action, row))
    for each in REFUSED:
        changes = _changes(each.op, each.with_)
        cites = (f"EC2-OP-{each.op}", *each.also)
        _named(*cites, changes=changes, case=f"{each.op}: {each.why}", run=_refusing(each))


def _named(*cites: str, changes: bool, case: str, run: Callable[[Ec2Session], None]) -> None:
    def checked(session: Ec2Session, _case: str) -> None:
        run(session)

    checked.__name__, checked.__doc__ = run.__name__, run.__doc__
    SUITE.check(*cites, changes=changes, cases=(case,))(checked)


_register()
