"""Commands about networks of which another one changes what they have just read: one of the two is refused, or
both hold. On both databases; where writers take turns the other one simply comes later.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from network_deeds import do, subnet_in
from simulation import Cloud, Op

from backend.commands import AttachVolume, CreateTags, CreateVolume, NicRequest
from backend.engine import addresses, nics, runner, security_groups, volumes
from backend.errors import BackendError
from backend.model import AttachState
from backend.network_commands import (
    AllocateAddress,
    AssociateAddress,
    AttachNic,
    AuthorizeRules,
    CreateNic,
    CreateSecurityGroup,
    CreateVpc,
    DeleteSecurityGroup,
    DetachNic,
    DisassociateAddress,
    RuleSpec,
)
from backend.network_model import Nic, PublicAddress, SecurityGroup, Vpc

_A_WHILE = 1.0
"""Seconds that the other one is given; it waits longer when it has to wait for this one's end."""


@pytest.fixture
def cloud(database):
    made = Cloud(url=database)
    yield made
    made.store.close()


@contextmanager
def meanwhile(monkeypatch, module, name, deed, *, after=False):
    """Somebody else does something at the first call of a function: before it, or after it."""
    real, others = getattr(module, name), []

    def other():
        try:
            deed()
        except BackendError:
            pass

    def begin():
        if not others:
            others.append(threading.Thread(target=other))
            others[0].start()
            others[0].join(_A_WHILE)

    def called(*args, **more):
        if not after:
            begin()
        answer = real(*args, **more)
        begin()
        return answer

    monkeypatch.setattr(module, name, called)
    yield
    monkeypatch.setattr(module, name, real)
    others[0].join(60)
    assert not others[0].is_alive()


def attempt(cloud, command):
    try:
        do(cloud, command)
    except BackendError:
        pass


def spare(cloud):
    return do(cloud, CreateNic(nic=NicRequest(subnet_id=subnet_in(cloud).id)))


def now(cloud, kind, identity):
    return cloud.engine.networks.one(cloud.caller, kind, identity)


def test_an_association_that_has_moved_is_not_the_one_that_ends(cloud, monkeypatch):
    address, one, two = do(cloud, AllocateAddress()), spare(cloud), spare(cloud)
    first = do(cloud, AssociateAddress(allocation_id=address.id, nic_id=one.id))
    move = AssociateAddress(allocation_id=address.id, nic_id=two.id)
    with meanwhile(monkeypatch, addresses, "own_tenant", lambda: do(cloud, move)):
        attempt(cloud, DisassociateAddress(association_id=first.association_id))
    assert now(cloud, PublicAddress, address.id).nic_id == two.id


def test_an_attachment_that_has_ended_is_not_the_next_one(cloud, monkeypatch):
    one, two, nic = cloud.started(), cloud.started(), spare(cloud)
    do(cloud, AttachNic(nic_id=nic.id, instance_id=one.id))
    cloud.settle()

    def elsewhere():
        do(cloud, DetachNic(nic_id=nic.id))
        cloud.settle()
        do(cloud, AttachNic(nic_id=nic.id, instance_id=two.id))
        cloud.settle()

    attachment = now(cloud, Nic, nic.id).attachment_id
    with meanwhile(monkeypatch, nics, "may_see", elsewhere):
        attempt(cloud, DetachNic(attachment_id=attachment))
    found = now(cloud, Nic, nic.id)
    assert (found.instance_id, found.attach) == (two.id, AttachState.ATTACHED)


def test_nothing_is_attached_to_what_has_ended(cloud, monkeypatch):
    instance, nic = cloud.started(), spare(cloud)
    volume = do(cloud, CreateVolume(size_gib=1, zone="us-east-1a"))
    cloud.settle()
    second = cloud.started()

    def end(which):
        cloud.operate(Op.TERMINATE, which)
        cloud.settle()

    with meanwhile(monkeypatch, nics, "_free_index", lambda: end(instance)):
        attempt(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    with meanwhile(monkeypatch, volumes, "_device_for", lambda: end(second)):
        attempt(cloud, AttachVolume(volume_id=volume.id, instance_id=second.id, device=""))
    cloud.quiesce()
    assert [cloud.get(each).detail for each in (instance, second)] == ["done", "done"]
    assert now(cloud, Nic, nic.id).instance_id is None
    assert cloud.volume(volume).instance_id is None


@pytest.mark.parametrize("after", [False, True])
def test_no_rule_names_a_group_that_is_gone(cloud, monkeypatch, after):
    one, two = (do(cloud, CreateSecurityGroup(name=name, description="")) for name in ("one", "two"))
    rule = RuleSpec(egress=False, protocol="-1", peer_group=two.id)
    delete = DeleteSecurityGroup(group_id=two.id)
    with meanwhile(monkeypatch, security_groups, "own_group", lambda: do(cloud, delete), after=after):
        attempt(cloud, AuthorizeRules(group_id=one.id, rules=(rule,)))
    there = {each.id for each in cloud.engine.networks.all(cloud.caller, SecurityGroup)}
    peers = {each.peer_group_id for each in cloud.engine.networks.rules(cloud.caller)} - {""}
    assert peers <= there


def test_what_is_read_is_one_state(cloud):
    with cloud.store.read() as tx:
        before = [each.id for each in tx.vpcs.all()]
        made = do(cloud, CreateVpc(cidr="10.0.0.0/16"))
        assert [each.id for each in tx.vpcs.all()] == before
    assert now(cloud, Vpc, made.id) == made


def test_a_job_goes_on_at_once_when_its_instance_is_changed_beside_it(cloud, monkeypatch):
    (instance,) = cloud.launch()
    tag = CreateTags(ids=(instance.id,), tags=(("a", "b"),))
    with meanwhile(monkeypatch, runner, "settled", lambda: do(cloud, tag)):
        cloud.settle()
    assert cloud.get(instance).detail == "runn"
    assert cloud.engine.tags_of([instance.id]) == {instance.id: {"a": "b"}}
