"""Two clients at once, for every operation that changes something: one consistent outcome, and it is stated.

Each race is run twice: one request after the other, and both at once. The answers are those that
:mod:`ec2_races` states, and what is left in the database is as much in both cases. A client token makes one
thing, however many ask with it at once.
"""

from __future__ import annotations

from collections import Counter

import pytest
from at_once import together
from botocore import xform_name
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud
from ec2_population import Importer
from ec2_races import OK, RACES, Race, World
from simulation import Cloud
from sqlalchemy import func, select

from backend.model import Capacity
from backend.store.tables import metadata
from ec2.actions import ACTIONS
from ec2.service import EC2

MUTATING = sorted(
    name for name in ACTIONS if name in EC2.endpoints and not name.startswith(("Describe", "Get"))
)
TOKENS = ("CopyImage", "ExportImage", "ImportImage", "ImportSnapshot")
"""Operations whose token makes one thing of what would be two, besides those that are found by trying."""
NOT_COUNTED = {"network_change", "worker"}  # notes to others, which add up or are taken away at any time


@pytest.fixture(scope="module")
def world(shared_database, tmp_path_factory):
    cloud = Cloud(url=shared_database, hosts=0)
    folder = tmp_path_factory.mktemp("exports")
    (folder / "bucket").mkdir()
    cloud.add_host(Capacity(cpu=25_600, memory_mib=1 << 22, disk_gib=100_000))
    cloud.poll()
    with pytest.MonkeyPatch.context() as patch:
        made = World(Ec2Cloud(patch, cloud=cloud, importer=Importer(cloud), export_directory=folder))
        made.unlimited()
        yield made
    cloud.store.close()


def at_once(deeds):
    return together(*deeds)


def in_turn(deeds):
    return [answer for deed in deeds for answer in together(deed)]


def code(answer):
    if isinstance(answer, ClientError):
        return answer.response["Error"]["Code"]
    if isinstance(answer, Exception):
        raise answer
    return OK


def rows(world):
    """How many rows each table has."""
    tables = [table for name, table in metadata.tables.items() if name not in NOT_COUNTED]
    with world.cloud.store.read() as tx:
        return Counter(
            {t.name: tx.connection.execute(select(func.count()).select_from(t)).scalar_one() for t in tables}
        )


def run(world, race: Race, way, **more):
    """What two (or ``more``) answers were, and by how much each table grew or shrank."""
    parameters = race.arrange(world)
    before = rows(world)
    call = getattr(world.client, xform_name(race.operation))
    answers = way([lambda: call(**parameters, **more)] * 2)
    grown = rows(world)
    grown.subtract(before)
    world.settle()
    world.unlimited()
    return answers, {name: count for name, count in grown.items() if count}


def test_every_operation_that_changes_something_is_raced():
    assert sorted({race.operation for race in RACES}) == MUTATING


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_two_at_once_are_as_one_after_the_other(world, race):
    answers, grown = run(world, race, in_turn)
    assert tuple(sorted(map(code, answers))) == race.outcome
    answers, grown_at_once = run(world, race, at_once)
    assert tuple(sorted(map(code, answers))) == race.outcome
    assert grown_at_once == grown


def with_token():
    """Operations that take a client token, each with the first race that arranges for it."""
    first = {
        race.operation: race
        for race in reversed(RACES)
        if not race.about or race.operation == "CreateNatGateway"
    }
    takes = [
        name
        for name in MUTATING
        if any(member.name == "ClientToken" for member in EC2.endpoints[name].shape.input.members)
    ]
    return [first[name] for name in takes if name in first]


@pytest.mark.parametrize("race", with_token(), ids=lambda race: race.operation)
def test_a_client_token_makes_one_thing(world, race):
    [alone], grown_alone = run(world, race, lambda deeds: at_once(deeds[:1]), ClientToken="alone")
    assert code(alone) == OK
    answers, grown = run(world, race, at_once, ClientToken="both")
    assert [code(answer) for answer in answers] == [OK, OK]
    assert grown == grown_alone
    one, other = ({k: v for k, v in answer.items() if k != "ResponseMetadata"} for answer in answers)
    assert one == other
