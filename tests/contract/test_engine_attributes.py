"""What only faces mean, and what changes while an instance is off: notes, shares, devices, addresses. On both
databases.
"""

from __future__ import annotations

import ipaddress
import threading

import pytest
from simulation import Cloud, Op

from backend.commands import (
    AttachVolume,
    CreateVolume,
    DetachVolume,
    Launch,
    ModifyInstance,
    NicRequest,
    SetNotes,
    SetVolume,
)
from backend.engine import nics
from backend.engine.nics import mac_of
from backend.errors import BackendError, Code
from backend.network_commands import ModifyNic


@pytest.fixture
def cloud(database):
    made = Cloud(url=database)
    yield made
    made.store.close()


def do(cloud, command, caller=None):
    return cloud.engine.execute(caller or cloud.caller, command)


def refused(cloud, command, caller=None):
    with pytest.raises(BackendError) as refusal:
        do(cloud, command, caller)
    return refusal.value.code


def off(cloud, **parameters):
    """An instance that was started and switched off."""
    instance = cloud.started(**parameters)
    cloud.operate(Op.POWEROFF_HARD, instance)
    cloud.quiesce()
    assert cloud.get(instance).detail == "poff"
    return cloud.get(instance)


def disk(cloud, instance, device):
    volume = do(cloud, CreateVolume(size_gib=1))
    cloud.settle()
    do(cloud, AttachVolume(volume_id=volume.id, instance_id=instance.id, device=device))
    cloud.settle()
    return cloud.engine.volume(cloud.caller, volume.id)


def nic_of(cloud, instance):
    return cloud.engine.networks.nics_of([instance.id])[instance.id][0]


def test_notes_are_written_over_taken_away_and_end_with_their_link(cloud):
    instance = cloud.started()
    volume = disk(cloud, instance, "/dev/vdf")
    link = f"att-{volume.id.partition('-')[2]}"
    versions = cloud.get(instance).version, volume.version
    do(cloud, SetNotes(resource_id=link, notes=(("title", "a'b\"c\u2603"), ("mount", "/mnt"))))
    assert cloud.engine.notes_of([link, volume.id]) == {link: {"mount": "/mnt", "title": "a'b\"c\u2603"}}
    after = cloud.get(instance).version, cloud.engine.volume(cloud.caller, volume.id).version
    assert all(new > old for new, old in zip(after, versions, strict=True))
    do(cloud, SetNotes(resource_id=link, notes=(("title", ""), ("mount", "/srv"))))
    assert cloud.engine.notes_of([link]) == {link: {"mount": "/srv"}}
    assert (
        refused(cloud, SetNotes(resource_id=link, notes=(("mount", "/"),)), cloud.other)
        is Code.VOLUME_NOT_FOUND
    )
    assert (
        refused(cloud, SetNotes(resource_id=link, notes=(("mount", "x" * 1025),))) is Code.PARAMETER_INVALID
    )
    do(cloud, SetNotes(resource_id=instance.id, notes=(("speed", "2.4"),)))
    do(cloud, DetachVolume(volume_id=volume.id))
    cloud.settle()
    assert cloud.engine.notes_of([link, instance.id]) == {instance.id: {"speed": "2.4"}}
    cloud.operate(Op.TERMINATE, instance)
    cloud.quiesce()
    assert cloud.engine.notes_of([link, instance.id]) == {}


def test_a_share_is_kept(cloud):
    [instance] = do(cloud, Launch(image_id=cloud.image.id, cpu_share=200)).instances
    assert cloud.get(instance).cpu_share == 200
    do(cloud, ModifyInstance(instance_id=instance.id, cpu_share=0))
    assert cloud.get(instance).cpu_share == 0
    assert refused(cloud, ModifyInstance(instance_id=instance.id, cpu_share=10_001)) is Code.PARAMETER_INVALID


def test_devices_and_addresses_change_while_an_instance_is_off(cloud):
    instance = off(cloud)
    volume = disk(cloud, instance, "/dev/vdf")
    do(cloud, SetVolume(volume_id=volume.id, device="/dev/vdg"))
    nic = nic_of(cloud, instance)
    wanted = str(ipaddress.IPv4Address(nic.address) + 5)
    do(cloud, ModifyNic(nic_id=nic.id, address=wanted))
    do(cloud, ModifyNic(nic_id=nic.id, mac="52:55:00:00:00:09"))
    cloud.operate(Op.START, instance)
    cloud.quiesce()
    host, changed = cloud.host_of(cloud.get(instance)), cloud.get(instance)
    assert (changed.address, changed.mac) == (wanted, "52:55:00:00:00:09")
    assert host.plugged[instance.id]["vdg"].name == volume.id
    assert [plugged.address for plugged in host.interfaces[instance.id].values()] == [wanted]
    assert refused(cloud, SetVolume(volume_id=volume.id, device="/dev/vdh")) is Code.INSTANCE_WRONG_STATE
    assert refused(cloud, ModifyNic(nic_id=nic.id, mac="52:55:00:00:00:0a")) is Code.INSTANCE_WRONG_STATE


def test_the_address_that_was_left_is_somebody_elses(cloud):
    instance = off(cloud)
    nic = nic_of(cloud, instance)
    do(cloud, ModifyNic(nic_id=nic.id, address=str(ipaddress.IPv4Address(nic.address) + 5)))
    request = NicRequest(subnet_id=nic.subnet_id, address=nic.address)
    [other] = do(cloud, Launch(image_id=cloud.image.id, nics=(request,))).instances
    assert (other.address, other.mac) == (nic.address, mac_of(nic.address))
    assert refused(cloud, ModifyNic(nic_id=nic.id, address=nic.address)) is Code.ADDRESS_IN_USE
    assert refused(cloud, ModifyNic(nic_id=nic.id, mac=mac_of(nic.address))) is Code.ADDRESS_IN_USE


def test_of_two_that_want_an_address_at_once_one_gets_it(cloud, monkeypatch):
    first, second = (nic_of(cloud, off(cloud)) for _ in range(2))
    wanted = str(ipaddress.IPv4Address(max(first.address, second.address, key=ipaddress.IPv4Address)) + 9)
    real, others, refusals = nics._move_lease, [], []

    def other():
        try:
            do(cloud, ModifyNic(nic_id=second.id, address=wanted))
        except BackendError as refusal:
            refusals.append(refusal.code)

    def meanwhile(*args):
        if not others:  # both have seen that it is free
            others.append(threading.Thread(target=other))
            others[0].start()
            others[0].join(1)
        real(*args)

    monkeypatch.setattr(nics, "_move_lease", meanwhile)
    try:
        do(cloud, ModifyNic(nic_id=first.id, address=wanted))
    except BackendError as refusal:
        refusals.append(refusal.code)
    others[0].join(60)
    assert not others[0].is_alive()
    assert refusals == [Code.ADDRESS_IN_USE]
    with cloud.store.read() as tx:
        found = tx.nics.some([first.id, second.id])
        holder = tx.leases.get(first.subnet_id, wanted).nic_id
    assert [nic.id for nic in found.values() if nic.address == wanted] == [holder]
