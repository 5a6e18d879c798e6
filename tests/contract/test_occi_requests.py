"""OCCI requests at the same time, on both databases: conditions hold, keys make once, names are taken once."""

from __future__ import annotations

import json
import threading
import time

import pytest
from at_once import together
from simulation import ADMIN, Cloud, WorkerKilled

from backend.commands import CreateTags, SetQuota
from tests.support.occi_face import (
    COMPUTE,
    JSON,
    PLAIN,
    STORAGE,
    TAG,
    WEB,
    Client,
    action,
    attribute,
)

MANY = 6
SIZE = attribute("occi.storage.size", 1.0)
TITLE = "occi.core.title"


@pytest.fixture
def cloud(database):
    made = Cloud(url=database)
    made.engine.execute(ADMIN, SetQuota(tenant_id=made.tenant.id, quotas={"instances": 100, "cores": 100}))
    yield made
    made.store.close()


@pytest.fixture
def ann(cloud):
    return Client(cloud, cloud.caller)


def statuses(answers):
    return sorted(each.status_code for each in answers)


def tag_of(client, path, accept="text/plain"):
    return client("GET", path, headers={"Accept": accept}).headers["etag"]


# Conditions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["machine", "disk", "network", "group"])
def test_of_many_that_read_the_same_one_changes_it(cloud, ann, kind):
    path = {
        "machine": lambda: ann.make(),
        "disk": lambda: ann.make(SIZE, kind=STORAGE),
        "network": lambda: ann.locations("/network/")[0],
        "group": lambda: ann.locations("/securitygroup/")[0],
    }[kind]()
    cloud.settle()
    for round_of in range(3):
        tag = tag_of(ann, path)

        def change(number, tag=tag, round_of=round_of):
            said = (
                attribute(TITLE, f"{round_of} by {number}"),
                attribute("occi.core.summary", f"{round_of} by {number}"),
            )
            # Half of them change one row, half another: they must meet all the same.
            return lambda: ann("POST", path, said[number % 2], headers={"If-Match": tag})

        answers = together(*map(change, range(MANY)))
        assert statuses(answers) == [200, *[412] * (MANY - 1)]


def test_a_change_by_the_other_face_is_seen(cloud, ann):
    """What is changed without a condition, and does not pass by us: the title must not be lost."""
    path = ann.make(SIZE, kind=STORAGE)
    cloud.settle()
    [volume] = cloud.engine.volumes(cloud.caller)
    for number in range(8):
        tag = tag_of(ann, path)
        theirs = CreateTags(ids=(volume.id,), tags=(("Name", f"theirs {number}"),))
        answer, _ = together(
            lambda tag=tag, number=number: ann(
                "POST", path, attribute(TITLE, f"ours {number}"), headers={"If-Match": tag}
            ),
            lambda theirs=theirs: cloud.engine.execute(cloud.caller, theirs),
        )
        # Ours came first or not at all.
        assert answer.status_code in {200, 412}
        assert ann.attributes(path)[TITLE] == f"theirs {number}"


def test_a_condition_holds_to_the_commit(cloud, ann, monkeypatch):
    """Somebody comes between the check and the write, and waits until that is done."""
    path = ann.make(SIZE, kind=STORAGE)
    cloud.settle()
    from occi import service

    inside, order = threading.Event(), []
    check = service._check

    def checked(*args):
        check(*args)
        inside.set()
        time.sleep(0.5)
        order.append("mine")

    monkeypatch.setattr(service, "_check", checked)
    tag = tag_of(ann, path)
    mine = threading.Thread(
        target=lambda: ann("POST", path, attribute(TITLE, "mine"), headers={"If-Match": tag})
    )
    mine.start()
    inside.wait(30)
    [volume] = cloud.engine.volumes(cloud.caller)
    cloud.engine.execute(cloud.caller, CreateTags(ids=(volume.id,), tags=(("Name", "theirs"),)))
    order.append("theirs")
    mine.join(30)
    assert order == ["mine", "theirs"]
    assert ann.attributes(path)[TITLE] == "theirs"


def test_actions_under_a_condition_are_begun_once(cloud, ann):
    path = ann.make()
    cloud.settle()
    tag = tag_of(ann, path, "application/occi+json")
    answers = together(
        *[lambda: ann("POST", path, action("stop"), query="action=stop", headers={"If-Match": tag})] * MANY
    )
    assert statuses(answers) == [200, *[412] * (MANY - 1)]


def test_of_many_that_replace_a_collection_one_does(cloud, ann):
    disks = [ann.make(SIZE, kind=STORAGE) for _ in range(MANY)]
    assert ann("POST", "/-/", TAG).status_code == 200
    tag = tag_of(ann, "/tag/web/")
    answers = together(
        *(
            lambda disk=disk: ann(
                "PUT", "/tag/web/", f"X-OCCI-Location: http://h{disk}", headers={"If-Match": tag}
            )
            for disk in disks
        )
    )
    assert statuses(answers) == [200, *[412] * (MANY - 1)]
    assert len(ann.locations("/tag/web/")) == 1


def test_replacing_a_collection_beside_those_who_add_to_it(cloud, ann):
    disks = [ann.make(SIZE, kind=STORAGE) for _ in range(MANY)]
    assert ann("POST", "/-/", TAG).status_code == 200
    tag = tag_of(ann, "/tag/web/")
    first, *others = disks
    replaced, *_ = together(
        lambda: ann("PUT", "/tag/web/", f"X-OCCI-Location: {first}", headers={"If-Match": tag}),
        *(lambda disk=disk: ann("POST", disk, WEB) for disk in others),
    )
    now = set(ann.locations("/tag/web/"))
    assert set(others) <= now  # none of them was there when it was checked, so none was thrown out
    assert (first in now) == (replaced.status_code == 200)


# Keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "lines"),
    [
        ("POST", "/compute/", (COMPUTE,)),
        ("POST", "/storage/", (STORAGE, SIZE)),
        ("PUT", "/storage/disk", (STORAGE, SIZE)),
    ],
)
def test_many_with_one_key_make_one(cloud, ann, method, path, lines):
    answers = together(*[lambda: ann(method, path, *lines, headers={"Idempotency-Key": '"k"'})] * MANY)
    assert statuses(answers) == [201] * MANY
    assert len({each.text for each in answers}) == 1
    assert len({each.headers["location"] for each in answers}) == 1
    kind = f"/{path.split('/')[1]}/"
    assert len(ann.locations(kind)) == 1


def test_many_with_one_key_and_a_condition_make_one(cloud, ann):
    headers = {**PLAIN, "Idempotency-Key": "k", "If-None-Match": "*"}
    body = f"{STORAGE}\n{SIZE}"
    answers = together(*[lambda: ann("PUT", "/storage/disk", body=body, headers=headers)] * MANY)
    assert statuses(answers) == [201] * MANY
    assert ann.locations("/storage/") == ["/storage/disk"]


def test_one_key_for_several_requests_makes_what_the_first_asked(cloud, ann):
    answers = together(
        *(
            lambda number=number: ann(
                "POST",
                "/storage/",
                STORAGE,
                SIZE,
                attribute(TITLE, str(number)),
                headers={"Idempotency-Key": "k"},
            )
            for number in range(MANY)
        )
    )
    assert statuses(answers) == [201, *[409] * (MANY - 1)]
    assert len(ann.locations("/storage/")) == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_server_that_dies_at_the_commit(cloud, ann, after):
    """As by kill -9, before the commit or right after it: the retry is answered, and one is there."""

    def ask():
        return ann("PUT", "/storage/disk", STORAGE, SIZE, headers={"Idempotency-Key": "k"})

    cloud.store.death = (0, after)
    with pytest.raises(WorkerKilled):
        ask()
    assert len(ann.locations("/storage/")) == int(after)
    other = Cloud.__new__(Cloud)  # the next server: nothing is kept but the database
    other.engine = type(cloud.engine)(cloud.store, cloud.queue, cloud.engine.settings, cloud.clock)
    again = Client(other, cloud.caller)
    answer = again("PUT", "/storage/disk", STORAGE, SIZE, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["location"]) == (201, "http://h/storage/disk")
    assert ann.locations("/storage/") == ["/storage/disk"]


def test_several_machines_in_one_request_with_a_key(cloud, ann):
    kind = COMPUTE.partition('scheme="')[2].partition('"')[0] + "compute"
    body = json.dumps({"resources": [{"kind": kind, "id": str(number)} for number in range(3)]})
    headers = {**JSON, "Idempotency-Key": "k"}
    answers = together(*[lambda: ann("POST", "/compute/", body=body, headers=headers)] * 4)
    assert statuses(answers) == [201] * 4
    assert len(ann.locations("/compute/")) == 3


# Names --------------------------------------------------------------------------------------------------


def test_many_at_one_path_make_one(cloud, ann):
    answers = together(
        *(
            lambda number=number: ann("PUT", "/storage/disk", STORAGE, SIZE, attribute(TITLE, str(number)))
            for number in range(MANY)
        )
    )
    assert sorted(set(statuses(answers))) in ([200, 201], [201])
    assert statuses(answers).count(201) == 1
    assert ann.locations("/storage/") == ["/storage/disk"]


def test_many_that_only_make_at_one_path_make_one(cloud, ann):
    said = {"If-None-Match": "*"}
    answers = together(*[lambda: ann("PUT", "/compute/web", COMPUTE, headers=said)] * MANY)
    assert statuses(answers) == [201, *[412] * (MANY - 1)]
    assert ann.locations("/compute/") == ["/compute/web"]


def test_one_name_for_entities_of_several_kinds(cloud, ann):
    answers = together(
        *[lambda: ann("PUT", "/compute/web", COMPUTE)] * 2,
        *[lambda: ann("PUT", "/storage/web", STORAGE, SIZE)] * 2,
    )
    found = [path for path in ann.own("/") if path.endswith("/web")]
    assert len(found) == 1
    assert statuses(answers) == [200, 201, 409, 409]
