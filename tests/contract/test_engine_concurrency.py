"""Callers at the same time, on both databases: nobody is refused for being one of two."""

from __future__ import annotations

import pytest
from at_once import together
from simulation import ADMIN, Cloud, Op

from backend.commands import CreateTags, Launch, Operate, SetQuota
from backend.errors import BackendError


@pytest.fixture
def cloud(database):
    made = Cloud(url=database)
    made.engine.execute(ADMIN, SetQuota(tenant_id=made.tenant.id, quotas={"instances": 100, "cores": 100}))
    yield made
    made.store.close()


def test_the_same_resources_in_different_orders(cloud):
    ids = [instance.id for instance in cloud.launch(minimum=20, maximum=20)]

    def tag(order, value):
        return lambda: [
            cloud.engine.execute(cloud.caller, CreateTags(ids=tuple(order), tags=(("k", f"{value}{n}"),)))
            for n in range(5)
        ]

    answers = together(tag(ids, "a"), tag(ids[::-1], "b"), tag(ids, "c"), tag(ids[::-1], "d"))
    assert [answer for answer in answers if isinstance(answer, Exception)] == []

    def end(order):
        return lambda: cloud.engine.execute(cloud.caller, Operate(op=Op.TERMINATE, ids=tuple(order)))

    answers = together(end(ids), end(ids[::-1]), end(ids), end(ids[::-1]))
    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert {cloud.get(instance).detail for instance in ids} == {"done"}


def test_a_retry_beside_its_original_gets_the_same_instance(cloud):
    """Also when the quota has room for one only."""
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"instances": 1}))
    command = Launch(image_id=cloud.image.id, client_token="once", token_digest="d")
    first, second = together(*[lambda: cloud.engine.execute(cloud.caller, command)] * 2)
    assert first.launch_id == second.launch_id
    assert {first.replayed, second.replayed} == {True, False}


def test_the_quota_is_not_exceeded_by_many_at_once(cloud):
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"instances": 3}))
    command = Launch(image_id=cloud.image.id)
    answers = together(*[lambda: cloud.engine.execute(cloud.caller, command)] * 8)
    assert sum(isinstance(answer, BackendError) for answer in answers) == 5
    assert cloud.engine.usage(cloud.tenant.id)[0] == 3
