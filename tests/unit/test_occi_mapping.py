"""OCCI's tables: complete, and in agreement with what the engine really accepts."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import lifecycle
from backend.commands import CreateImage, Op, Operate
from backend.errors import BackendError, Code, DryRunPassed
from backend.model import AttachState, Desired, Flavor, Modification, UserMixin, VolumeState
from occi import kinds, mapping, mixins, storing
from occi.catalog import Catalog
from occi.context import encoded, public_keys, user_data
from occi.creation import checked_hostname
from occi.errors import STATUS, OcciError
from occi.values import checked, memory_gib, memory_mib
from rendering.occi_document import SOURCE, TARGET, AttributeSpec, AttributeType, CategoryClass
from tests.support.simulation import Cloud


@pytest.fixture(scope="module")
def cloud():
    return Cloud()


@pytest.fixture(scope="module")
def running(cloud):
    [instance] = cloud.launch(public_keys=("ssh-ed25519 AAAA me",))
    cloud.quiesce(2)
    return cloud.get(instance)


@pytest.fixture(scope="module")
def volume(cloud, running):
    return cloud.disks(running)[0]


def in_detail(cloud, instance, detail, **more):
    """The instance as if it were in a detail of the life-cycle."""
    with cloud.store.begin() as tx:
        return tx.instances.update(tx.instances.get(instance.id), detail=detail, **more)


def accepted(cloud, command):
    try:
        cloud.engine.execute(cloud.caller, command, dry_run=True)
    except DryRunPassed:
        return True
    except BackendError:
        return False
    raise AssertionError


DETAILS = sorted(detail for detail in lifecycle.DETAILS if detail != "done")


@pytest.mark.parametrize("detail", [d for d in DETAILS if lifecycle.is_quiet(d)])
def test_actions_offered_are_those_the_engine_accepts(cloud, running, detail):
    # Lifecycle §8.1, with unkn as the exception: a user cannot stop what the host does not answer for.
    saved = "full" if detail == "stop" else "none"
    now = in_detail(cloud, running, detail, job_id=None, saved=saved)
    possible = {
        action
        for action, methods in mapping.OPERATIONS.items()
        if any(accepted(cloud, Operate(op=op, ids=(now.id,), strict=True)) for op in methods.values())
    }
    if accepted(cloud, CreateImage(instance_id=now.id, name="saved", no_reboot=True)):
        possible.add(kinds.SAVE.id)
    if detail != "unkn":
        assert {action.id for action in mapping.offered(now)} == possible


@pytest.mark.parametrize("detail", DETAILS)
def test_every_detail_has_a_state_and_a_message(cloud, running, detail):
    now = in_detail(cloud, running, detail, reason_text="")
    shown = mapping.entity(now, Catalog("d")).attributes
    assert shown[kinds.STATE] in {"active", "inactive", "suspended", "error"}
    words = shown[kinds.STATE_MESSAGE]
    assert words.startswith(detail[:4])
    assert ": " in words or detail == "runn"


@given(st.integers(1, 2048 * 1024))
def test_memory_is_shown_as_briefly_as_it_can_be_meant(mib):
    shown = memory_gib(mib)
    assert memory_mib(shown) == mib
    assert len(f"{shown:.10f}".rstrip("0").partition(".")[2]) <= 4


@given(st.integers(1, 20480).map(lambda tenths: tenths / 10))
def test_memory_in_tenths_is_shown_as_given(gib):
    assert memory_gib(memory_mib(gib)) == gib


def test_states_follow_the_life_cycle(cloud, running):
    expected = {
        "pend": "inactive",
        "runn": "active",
        "susp.disk": "suspended",
        "fail.boot": "error",
        "unkn": "active",
    }
    for detail, state in expected.items():
        now = in_detail(cloud, running, detail)
        assert mapping.entity(now, Catalog("d")).attributes[kinds.STATE] == state
    now = in_detail(cloud, running, "stop", saved="disks")
    assert mapping.entity(now, Catalog("d")).attributes[kinds.STATE] == "inactive"


def test_deleted_machines_are_gone_unless_that_failed(running):
    def leaving(detail):
        return msgspec.structs.replace(running, detail=detail, desired=Desired.GONE)

    assert not mapping.is_shown(leaving("epil.delete"))
    assert not mapping.is_shown(leaving("runn"))
    assert mapping.is_shown(leaving("fail.epilog"))
    assert not mapping.is_shown(msgspec.structs.replace(running, detail="done"))
    assert mapping.is_shown(msgspec.structs.replace(running, detail="epil.stop"))


def test_while_a_job_runs_only_a_hard_stop_is_offered(running):
    busy = msgspec.structs.replace(running, detail="runn", desired=Desired.RUN, job_id="j-1")
    assert mapping.offered(busy) == (kinds.STOP,)
    assert mapping.state_message(busy) == "runn: restarting"
    assert mapping.offered(msgspec.structs.replace(busy, detail="prol.new")) == ()


def test_size_is_shown_while_it_fits(running):
    flavor = Flavor(name="t2.nano", vcpus=1, memory_mib=512, root_gib=1)
    catalog = Catalog("d", flavors=[flavor])
    assert mapping.size_template(running, catalog).term == "t2_nano"
    assert mapping.size_template(msgspec.structs.replace(running, vcpus=2), catalog) is None


def test_every_refusal_has_a_status():
    assert set(STATUS) == set(Code)
    assert all(400 <= status < 600 for status in STATUS.values())


def test_every_action_has_an_operation_for_each_method():
    for type_id in kinds.COMPUTE.actions:
        action = next(each for each in kinds.ACTIONS if each.id == type_id)
        if action is kinds.SAVE:
            continue
        methods = [choice for spec in action.attributes if spec.name == "method" for choice in spec.choices]
        assert list(mapping.OPERATIONS[action.id]) == (methods or [""])


def test_categories_are_consistent():
    flavors = [
        Flavor(name=f"x.{t}", vcpus=1, memory_mib=1024, root_gib=1, crtp=t) for t in mixins.CRTP_TITLES
    ]
    catalog = Catalog("cloud.example.org", flavors=flavors)
    ids = [category.id for category in catalog.categories]
    locations = [category.location for category in catalog.categories if category.location]
    assert len(set(ids)) == len(ids)
    assert len(set(locations)) == len(locations)
    assert all(location.startswith("/") and location.endswith("/") for location in locations)
    for category in catalog.categories:
        # OCCI-REAL-14: nothing refers to what is not listed itself.
        assert {*category.depends, *category.applies, *category.actions} <= set(ids)
        assert not category.parent or category.parent in ids
        assert (category.class_ is CategoryClass.ACTION or category is kinds.ENTITY) == (
            not category.location
        )
    assert catalog.profile == "OCCI-CRTP-EP/1.1"
    assert Catalog("d", flavors=flavors[:3]).profile == "OCCI-CRTP/1.1"
    assert Catalog("d", flavors=flavors[1:]).profile == ""
    # OCCI-REAL-12: kinds require of a client only what the 1.1 suites fill in.
    required = {kind.term: [spec.name for spec in kind.attributes if spec.required] for kind in kinds.KINDS}
    assert required["compute"] == []
    assert required["storage"] == [kinds.STORAGE_SIZE]
    assert required["storagelink"] == [SOURCE, TARGET]


def test_profile_templates_answer_to_the_older_scheme_and_the_flavors_name():
    catalog = Catalog(
        "d", flavors=[Flavor(name="t2.small", vcpus=1, memory_mib=1024, root_gib=1, crtp="small")]
    )
    small = catalog.find(mixins.CRTP + "small")
    assert small.title == "A small Compute instance"
    assert {spec.name for spec in small.attributes} >= {mixins.EPHEMERAL_SIZE, mixins.EPHEMERAL_DEVICE}
    assert catalog.find(mixins.CRTP_1_0 + "small") is small
    assert catalog.find("http://d/occi/infrastructure/resource_tpl#t2.small") is small


def test_ancestry_is_transitive():
    tag = UserMixin(tenant_id="t", scheme="http://u#", term="x", title="", location="/x/", created_at=0.0)
    catalog = Catalog("d", flavors=[Flavor(name="a", vcpus=1, memory_mib=1, root_gib=1)], tags=[tag])
    assert catalog.ancestry(kinds.COMPUTE) == {kinds.COMPUTE.id, kinds.RESOURCE.id, kinds.ENTITY.id}
    assert mixins.RESOURCE_TPL.id in catalog.ancestry(catalog.template("a"))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (AttributeType.INTEGER, 2.0, 2),
        (AttributeType.NUMBER, 2, 2.0),
        (AttributeType.ARRAY, '[{"a":1}]', [{"a": 1}]),
        (AttributeType.OBJECT, {"a": 1}, {"a": 1}),
        (AttributeType.BOOLEAN, True, True),
        (AttributeType.STRING, "x", "x"),
    ],
)
def test_values_take_their_declared_type(kind, value, expected):
    got = checked(AttributeSpec(name="a", type=kind), value)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (AttributeSpec(name="a", type=AttributeType.INTEGER), 1.5),
        (AttributeSpec(name="a", type=AttributeType.INTEGER), True),
        (AttributeSpec(name="a", type=AttributeType.NUMBER), "1"),
        (AttributeSpec(name="a", type=AttributeType.ARRAY), "{}"),
        (AttributeSpec(name="a", type=AttributeType.ARRAY), "[" * 100_000),
        (AttributeSpec(name="a"), 1),
        (AttributeSpec(name="a", choices=("x", "y")), "z"),
        (AttributeSpec(name="a", type=AttributeType.INTEGER, minimum=1), 0),
        (AttributeSpec(name="a", type=AttributeType.INTEGER, maximum=3), 4),
    ],
)
def test_values_of_another_type_or_range_are_refused(spec, value):
    with pytest.raises(OcciError) as refused:
        checked(spec, value)
    assert refused.value.status == 400


def test_user_data_comes_in_base64_or_as_it_is():
    script = b"#!/bin/sh\necho hello\n"
    sent = base64.b64encode(script).decode()
    wrapped = "\n".join(sent[i : i + 8] for i in range(0, len(sent), 8))
    for text in (sent, wrapped, script.decode()):
        assert user_data({mixins.USER_DATA: text}) == script
        assert user_data({mixins.OPENSTACK_USER_DATA: text}) == script
    assert user_data({}) == b""
    assert user_data({mixins.USER_DATA: encoded(script)}) == script
    with pytest.raises(OcciError):
        user_data({mixins.USER_DATA: "a b!", mixins.OPENSTACK_USER_DATA: "other!"})


def test_public_keys_in_both_spellings():
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE me@here"
    encoded_key = base64.b64encode(key.encode()).decode()
    assert public_keys({mixins.PUBLIC_KEY: key, mixins.OPENSTACK_KEY_DATA: key + "\n"}) == (key,)
    assert public_keys({mixins.PUBLIC_KEY: encoded_key}) == (key,)
    for bad in ("", "hello", "ssh-rsa", f"{key}\nssh-rsa AAAA two", "-----BEGIN RSA PRIVATE KEY-----"):
        with pytest.raises(OcciError):
            public_keys({mixins.PUBLIC_KEY: bad})


def test_host_names():
    assert checked_hostname("web-1.example.org") == "web-1.example.org"
    for bad in ("a b", "-a", "a..b", "x" * 64, "a\n", ".".join(["abcdefgh"] * 40)):
        with pytest.raises(OcciError):
            checked_hostname(bad)


def test_all_operations_of_users_are_reachable():
    asked = {op for methods in mapping.OPERATIONS.values() for op in methods.values()}
    assert asked >= {
        Op.START,
        Op.POWEROFF,
        Op.POWEROFF_HARD,
        Op.REBOOT,
        Op.RESET,
        Op.RESTART_COLD,
        Op.SUSPEND,
        Op.PAUSE,
    }


@pytest.mark.parametrize("state", list(VolumeState))
def test_every_volume_has_a_state_of_1_2_and_a_message(volume, state):
    now = msgspec.structs.replace(volume, state=state)
    shown = storing.entity(now, Catalog("d")).attributes
    assert shown[kinds.STORAGE_STATE] in {"online", "offline", "error"}
    assert shown[kinds.STORAGE_MESSAGE].startswith(state.value)
    switched = msgspec.structs.replace(now, online=False)
    expected = "offline" if shown[kinds.STORAGE_STATE] == "online" else shown[kinds.STORAGE_STATE]
    assert storing.state(switched) == expected


@pytest.mark.parametrize("attach", list(AttachState))
def test_every_attachment_has_a_state_and_a_message(volume, running, attach):
    now = msgspec.structs.replace(volume, attach=attach)
    detail = msgspec.structs.replace(running, detail="runn")
    shown = storing.link(now, detail, {}).attributes
    assert shown[kinds.LINK_STATE] == ("active" if attach is AttachState.ATTACHED else "inactive")
    assert shown[kinds.LINK_MESSAGE]
    broken = msgspec.structs.replace(now, state=VolumeState.ERROR)
    assert storing.link_state(broken, detail) == "error"


@given(st.floats(0.001, 65536))
def test_a_size_holds_what_was_asked_for(gib):
    size = storing.whole_gib(gib)
    assert size >= gib
    assert size - gib < 1


def test_what_goes_on_with_a_volume_is_told(volume):
    def told(**fields):
        change = Modification(state="modifying", started_at=0.0, **fields)
        now = msgspec.structs.replace(volume, state=VolumeState.IN_USE, modification=change)
        assert kinds.RESIZE not in storing.offered(now)
        return storing.state_message(now)

    sizes = {"old_size_gib": 1, "size_gib": 4, "old_type": "gp2", "type": "gp2"}
    assert told(**sizes) == "in-use: growing from 1 to 4 GiB"
    assert told(**(sizes | {"size_gib": 1, "type": "io1"})) == "in-use: becoming io1"
    offline = msgspec.structs.replace(volume, state=VolumeState.AVAILABLE, online=False)
    assert storing.state_message(offline) == "available: taken offline by its owner"
    # Causes name hosts and files: they are for operators.
    failed = msgspec.structs.replace(volume, state=VolumeState.ERROR, message="/srv/pool: no space")
    assert storing.state_message(failed) == "error: what was asked for could not be done"
