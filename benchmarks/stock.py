"""Many instances at once: the rows of one that was launched, written over and over under new names.

Launching 100 000 by the API would measure launches, and for an hour. The rows are what launches leave behind:
instance, interface, address, root volume, and tags of both; the instances are stopped and on no host, so
that the worker has nothing to do for them. Their addresses lie outside of their subnet, which holds fewer.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from backend.model import Instance, Tag, Volume
from backend.network_model import Lease, Nic
from backend.store import Store, Tx

_BATCH = 2000
_FIRST_ADDRESS = 100 << 24


def stock(store: Store, instance_id: str, count: int, *, begin: int = 1) -> list[str]:
    """Write ``count`` instances like one that exists, numbered from ``begin``; answers their ids in order.

    Each has the tags ``Name`` (its own), ``half`` (yes or no, by hundreds) and ``rare`` (one in a thousand);
    so has its root volume.
    """
    with store.read() as tx:
        pattern, (nic, *_), (volume, *_) = _of(tx, instance_id)
    ids: list[str] = []
    for start in range(begin, begin + count, _BATCH):
        numbers = range(start, min(start + _BATCH, begin + count))
        instances = [_instance(pattern, number) for number in numbers]
        nics = [_nic(nic, number) for number in numbers]
        volumes = [_volume(volume, number) for number in numbers]
        with store.begin() as tx:
            tx.instances.insert_all(instances)
            tx.nics.insert_all(nics)
            tx.leases.insert_all(
                Lease(subnet_id=each.subnet_id, address=each.address, nic_id=each.id) for each in nics
            )
            tx.volumes.insert_all(volumes)
            tx.tags.insert_all(_tags(pattern.tenant_id, numbers))
        ids += [each.id for each in instances]
    return ids


def _of(tx: Tx, instance_id: str) -> tuple[Instance, list[Nic], list[Volume]]:
    found = tx.instances.get(instance_id)
    if found is None:
        raise LookupError(instance_id)
    return found, tx.nics.of_instance(instance_id), tx.volumes.of_instance(instance_id)


def _name(prefix: str, number: int) -> str:
    return f"{prefix}-{0xBE << 60 | number:017x}"


def _address(number: int) -> str:
    value = _FIRST_ADDRESS + number
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def _mac(number: int) -> str:
    return "06:be:" + ":".join(f"{number >> shift & 255:02x}" for shift in (24, 16, 8, 0))


def _instance(pattern: Instance, number: int) -> Instance:
    return msgspec.structs.replace(
        pattern,
        id=_name("i", number),
        launch_id=_name("r", number // 100),
        launch_index=number % 100,
        created_at=pattern.created_at + 1 + number // 100,
        address=_address(number),
        mac=_mac(number),
        detail="stop",
        host_id=None,
        job_id=None,
        version=1,
    )


def _nic(pattern: Nic, number: int) -> Nic:
    return msgspec.structs.replace(
        pattern,
        id=_name("eni", number),
        instance_id=_name("i", number),
        attachment_id=_name("eni-attach", number),
        created_at=pattern.created_at + 1 + number // 100,
        address=_address(number),
        mac=_mac(number),
        version=1,
    )


def _volume(pattern: Volume, number: int) -> Volume:
    return msgspec.structs.replace(
        pattern,
        id=_name("vol", number),
        instance_id=_name("i", number),
        created_at=pattern.created_at + 1 + number // 100,
        host_id=None,
        version=1,
    )


def _tags(tenant_id: str, numbers: range) -> Iterator[Tag]:
    for number in numbers:
        tags = {"Name": f"web-{number}", "half": "yes" if number // 100 % 2 else "no"}
        if number % 1000 == 0:
            tags["rare"] = "yes"
        for kind, prefix in (("instance", "i"), ("volume", "vol")):
            for key, value in tags.items():
                yield Tag(
                    resource_id=_name(prefix, number),
                    resource_type=kind,
                    tenant_id=tenant_id,
                    key=key,
                    value=value,
                )
