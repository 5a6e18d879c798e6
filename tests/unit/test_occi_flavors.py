"""Flavors as resource templates: what an operator may offer, so that OCCI's names for it are unique and true."""

import pytest

from backend.commands import PutFlavor
from backend.errors import BackendError, Code
from backend.model import CRTP_SIZES, Flavor
from gateway.flavors import DEFAULTS
from occi.mixins import CRTP_TITLES, template_of_flavor
from tests.support.simulation import ADMIN, Cloud


@pytest.fixture(scope="module")
def cloud():
    return Cloud()


def put(cloud, **changes):
    known = {"name": "mine.one", "vcpus": 1, "memory_mib": 1024, "root_gib": 1}
    return cloud.engine.execute(ADMIN, PutFlavor(flavor=Flavor(**known | changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": name}
        for name in ("", "1c", ".", "-x", "T2.nano", "a b", "a/b", "a;b", 'a"', "a#", "é", "a\n", "a" * 65)
    ]
    + [
        {"vcpus": 0},
        {"crtp": "tiny"},
        {"crtp": "small"},  # without its scratch space
        {"crtp": "small", "ephemeral_gib": 10, "vcpus": 2},
        {"crtp": "small", "ephemeral_gib": 10, "memory_mib": 512},
    ],
)
def test_impossible_flavors(cloud, changes):
    before = cloud.engine.flavors()
    with pytest.raises(BackendError) as refused:
        put(cloud, **changes)
    assert refused.value.code is Code.PARAMETER_INVALID
    assert cloud.engine.flavors() == before


def test_names_that_are_one_term_to_occi(cloud):
    put(cloud, name="c5.big")
    put(cloud, name="c5.big", vcpus=2)  # the same flavor, changed
    put(cloud, name="tiny", crtp="small", ephemeral_gib=10)
    for clash in (
        {"name": "c5_big"},
        {"name": "small"},
        {"name": "other", "crtp": "small", "ephemeral_gib": 10},
    ):
        with pytest.raises(BackendError) as refused:
            put(cloud, **clash)
        assert refused.value.code is Code.FLAVOR_EXISTS
    locations = [template_of_flavor("d", flavor).location for flavor in cloud.engine.flavors()]
    assert len(set(locations)) == len(locations)


def test_the_sizes_of_a_new_installation_are_possible():
    cloud = Cloud()
    for flavor in DEFAULTS:
        cloud.engine.execute(ADMIN, PutFlavor(flavor=flavor))
    assert {flavor.crtp for flavor in DEFAULTS if flavor.crtp} == set(CRTP_SIZES) == set(CRTP_TITLES)
