"""Every action in every state (OCCI-INFRA-011, the figures): done, or 409 with the state that it needs."""

import pytest

from backend.lifecycle import DETAILS
from backend.model import AttachState, Desired, VolumeState
from occi import kinds, mapping, names, storing
from tests.support.occi_face import STORAGE, STORAGE_ACTION, Client, action, attribute
from tests.support.simulation import Cloud

INFRA = "http://schemas.ogf.org/occi/infrastructure/"
MACHINE_ACTIONS = ("start", "stop", "restart", "suspend", "save")
#: The states of the figure that have an action, by what each asks for.
FIGURE = {
    "start": {"inactive", "suspended"},
    "stop": {"active"},
    "restart": {"active"},
    "suspend": {"active"},
    "save": {"active", "inactive", "suspended"},
}


@pytest.fixture(scope="module")
def cloud():
    return Cloud()


@pytest.fixture(scope="module")
def ann(cloud):
    return Client(cloud, cloud.caller)


@pytest.fixture(scope="module")
def machine(ann):
    path = ann.make()
    ann.cloud.quiesce(3)
    return path


def force(cloud, path, detail):
    """A machine in a state, whatever it was in, with nothing under way."""
    with cloud.store.begin() as tx:
        instance = tx.instances.get(names.id_at(path))
        for job in tx.jobs.of_instance(instance.id):
            if job.finished_at is None:
                tx.jobs.update(job, finished_at=cloud.clock())
        return tx.instances.update(instance, detail=detail, job_id=None, desired=Desired.RUN, saved="none")


@pytest.mark.parametrize("detail", sorted(set(DETAILS) - {"done"}))
def test_an_action_on_a_machine_is_done_or_told_what_it_needs(ann, cloud, machine, detail):
    for term in MACHINE_ACTIONS:
        instance = force(cloud, machine, detail)
        shown = ann.json(machine)
        state = shown["attributes"]["occi.compute.state"]
        offered = {each.rpartition("#")[2] for each in shown.get("actions", ())}
        answer = ann("POST", machine, action(term), query=f"action={term}")
        assert answer.status_code in {200, 409}, (detail, term, answer.text)
        if term in offered:
            assert answer.status_code == 200, (detail, term, answer.text)
            assert state in FIGURE[term]
        elif answer.status_code == 409 and detail != "unkn":
            assert "needs it to be" in answer.text or "try again" in answer.text, (detail, term, answer.text)
            assert mapping.state_message(instance) in answer.text or "try again" in answer.text


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("state", [each for each in VolumeState if each is not VolumeState.DELETING])
def test_an_action_on_storage_is_done_or_told_what_it_needs(ann, cloud, state, online):
    path = ann.make(attribute("occi.storage.size", 1), kind=STORAGE)
    cloud.settle()
    for kind in (kinds.ONLINE, kinds.OFFLINE, kinds.BACKUP, kinds.SNAPSHOT, kinds.RESIZE):
        with cloud.store.begin() as tx:
            volume = tx.volumes.get(names.id_at(path))
            made = state is not VolumeState.CREATING
            volume = tx.volumes.update(
                volume, state=state, online=online, made=made, modification=None, attach=AttachState.NONE
            )
        size = [attribute("size", float(volume.size_gib + 1))] if kind is kinds.RESIZE else []
        answer = ann("POST", path, action(kind.term, STORAGE_ACTION), *size, query=f"action={kind.term}")
        if kind in storing.offered(volume):
            assert answer.status_code == 200, answer.text
        else:
            assert answer.status_code == 409
            assert "needs it to be" in answer.text
        cloud.queue.work.clear()


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [("network", "network/action#"), ("ipreservation", "ipreservation/action#")],
)
def test_up_and_down_alternate(ann, kind, scheme):
    path = ann.make(kind=f'Category: {kind}; scheme="{INFRA[:-1]}#"; class="kind"')
    for term, status, state in (
        ("up", 409, "active"),
        ("down", 200, "inactive"),
        ("down", 409, "inactive"),
        ("up", 200, "active"),
    ):
        answer = ann("POST", path, action(term, INFRA + scheme), query=f"action={term}")
        assert answer.status_code == status
        assert ann.attributes(path)[f"occi.{kind}.state"] == state
        needed = "inactive" if term == "up" else "active"
        assert status == 200 or f"to be {needed}" in answer.text
