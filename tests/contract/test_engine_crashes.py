"""Storage work that is cut off anywhere: whoever takes it up, nothing is lost and nothing lies about."""

from __future__ import annotations

import pytest
from simulation import Cloud, Op

from backend.commands import (
    AttachVolume,
    CreateImage,
    CreateSnapshot,
    CreateVolume,
    DeleteVolume,
    DetachVolume,
    ImportImage,
    ImportSnapshot,
    ModifyVolume,
    RevertVolume,
)
from backend.drivers.memory import Fault
from backend.model import AttachState, HostState, ImageState, JobState, SnapshotState, VolumeState

GIB = 1 << 30


class Scene:
    """Two hosts: a free volume on the first, an instance on the second with one volume attached."""

    def __init__(self, *, hosts=2, running=True):
        self.cloud = cloud = Cloud(hosts=hosts)
        if hosts > 1:
            cloud.set_host(1, HostState.DISABLED)
        self.free = self.volume()
        if hosts > 1:
            cloud.set_host(1, HostState.INIT)
            cloud.poll()
            cloud.set_host(0, HostState.DISABLED)
        self.instance = cloud.started()
        if hosts > 1:
            cloud.set_host(0, HostState.INIT)
            cloud.poll()
        self.used = self.volume()
        self.ask(AttachVolume(volume_id=self.used.id, instance_id=self.instance.id))
        self.snapshot = self.ask(CreateSnapshot(volume_id=self.free.id))
        self.write(self.free, b"free's")
        self.write(self.used, b"used's")
        if not running:
            cloud.do(Op.POWEROFF, self.instance)
        cloud.contents.sources["upload:x"] = b"brought in"

    def volume(self, **parameters):
        return self.ask(CreateVolume(size_gib=2, **parameters))

    def ask(self, command, caller=None):
        answer = self.cloud.engine.execute(caller or self.cloud.caller, command)
        self.cloud.settle()
        return answer

    def home(self, volume):
        return self.cloud.hosts.driver(str(self.cloud.volume(volume).host_id), "")

    def write(self, volume, data):
        self.home(volume).write(volume.id, data)

    def data(self, volume):
        return self.home(volume).volumes[volume.id].content

    def copies(self, volume, data):
        """How many hosts have a volume whole."""
        hosts = [self.cloud.host(index) for index in range(len(self.cloud.host_ids))]
        return sum(volume.id in host.volumes and host.volumes[volume.id].content == data for host in hosts)

    def stored(self, snapshot):
        """The bytes of a snapshot in the image store."""
        found = self.cloud.engine.snapshot(self.cloud.caller, snapshot.id)
        assert found.state is SnapshotState.COMPLETED
        with self.cloud.store.read() as tx:
            content = tx.contents.get(found.content)
        return (self.cloud.contents.folder / content.path).read_bytes()

    def rest(self):
        """All is done, and hosts and store have what the database says, no more and no less."""
        self.cloud.quiesce()
        assert self.cloud.wrong_files() == set()
        with self.cloud.store.read() as tx:
            assert not tx.debris.all()
            assert not tx.tasks.open()
            assert not tx.jobs.open()
            assert {task.state for task in tx.tasks.all()} <= {JobState.DONE}
        assert self.cloud.get(self.instance).detail in {"runn", "poff"}


def created(scene, answer):
    made = scene.cloud.volume(answer)
    assert (made.state, made.made) == (VolumeState.AVAILABLE, True)
    assert scene.data(made) == b""


def cloned(scene, answer):
    made = scene.cloud.volume(answer)
    assert made.state is VolumeState.AVAILABLE
    assert scene.data(made) == b""  # the snapshot was taken before anything was written


def deleted(scene, answer):
    assert scene.cloud.volume(answer) is None


def attached(scene, answer):
    there = scene.cloud.volume(answer)
    assert (there.attach, there.host_id) == (AttachState.ATTACHED, scene.instance.host_id)
    if scene.cloud.get(scene.instance).detail == "runn":
        assert scene.home(there).disks(scene.instance.id)[there.target] == there.id


def detached(scene, answer):
    there = scene.cloud.volume(answer)
    assert (there.state, there.instance_id) == (VolumeState.AVAILABLE, None)
    assert there.id not in scene.home(there).disks(scene.instance.id).values()


def grown(scene, answer):
    there = scene.cloud.volume(answer)
    assert (there.size_gib, there.modification.state) == (5, "completed")
    assert scene.home(there).volumes[there.id].virtual_bytes == 5 * GIB


def kept(scene, answer):
    data = scene.stored(answer)
    assert data == {scene.free.id: b"free's", scene.used.id: b"used's"}[answer.volume_id]


def imported(scene, task):
    snapshot = scene.cloud.engine.snapshot(scene.cloud.caller, task.arguments["snapshot"])
    assert scene.stored(snapshot) == b"brought in"


def imaged(scene, image):
    found = scene.cloud.engine.image(scene.cloud.caller, image.id)
    assert found.state is ImageState.READY
    (root, _) = scene.cloud.disks(scene.instance)
    assert root.boot
    (copy,) = found.mappings[1:]
    assert copy.snapshot_id
    assert scene.cloud.get(scene.instance).detail == "runn"


def reverted(scene, answer):
    assert scene.data(answer) == b""


WORK = {
    "create": (lambda s: CreateVolume(size_gib=3), created),
    "clone": (lambda s: CreateVolume(snapshot_id=s.snapshot.id), cloned),
    "delete": (lambda s: DeleteVolume(volume_id=s.free.id), deleted),
    "grow": (lambda s: ModifyVolume(volume_id=s.free.id, size_gib=5), grown),
    "revert": (lambda s: RevertVolume(volume_id=s.free.id, snapshot_id=s.snapshot.id), reverted),
    "attach": (lambda s: AttachVolume(volume_id=s.free.id, instance_id=s.instance.id), attached),
    "detach": (lambda s: DetachVolume(volume_id=s.used.id), detached),
    "grow attached": (lambda s: ModifyVolume(volume_id=s.used.id, size_gib=5), grown),
    "snapshot": (lambda s: CreateSnapshot(volume_id=s.free.id), kept),
    "snapshot attached": (lambda s: CreateSnapshot(volume_id=s.used.id), kept),
    "import": (lambda s: ImportSnapshot(location="upload:x"), imported),
    "import image": (lambda s: ImportImage(location="upload:x"), imported),
    "image": (lambda s: CreateImage(instance_id=s.instance.id, name="saved"), imaged),
}
DATA = {"revert": b"", "delete": None}


def unharmed(scene, name):
    """At every moment there is a whole copy of each volume that is kept (invariant 17)."""
    assert scene.copies(scene.used, b"used's") >= 1
    if name not in DATA:
        assert scene.copies(scene.free, b"free's") >= 1


def carried_out(scene, name, answer):
    scene.rest()
    unharmed(scene, name)
    WORK[name][1](scene, answer)
    assert scene.copies(scene.used, b"used's") == 1
    assert scene.copies(scene.free, b"free's") == (0 if name in DATA else 1)


def every_moment(name, prepare):
    """Do the work again and again, with trouble that ``prepare`` brings one moment later each time, until the
    work ends before it. ``prepare`` answers whether the trouble is still to come.
    """
    for moment in range(60):
        scene = Scene()
        answer = scene.cloud.engine.execute(scene.cloud.caller, WORK[name][0](scene))
        ahead = prepare(scene.cloud, moment)
        while scene.cloud.step():
            unharmed(scene, name)
        late = ahead()
        if late:
            scene.cloud.restart_worker()  # which forgets the trouble
        carried_out(scene, name, answer)
        if late:
            return
    raise AssertionError("the work never ended")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", WORK)
def test_a_worker_that_dies_at_any_commit(name, after):
    def prepare(cloud, moment):
        cloud.store.death = (moment, after)
        return lambda: cloud.store.death is not None

    every_moment(name, prepare)


@pytest.mark.parametrize("what", ["die after", Fault.SILENT_BEFORE, Fault.SILENT_AFTER])
@pytest.mark.parametrize("host", [0, 1], ids=["there", "here"])
@pytest.mark.parametrize("name", sorted(WORK.keys() - {"import", "import image"}))
def test_trouble_at_any_call_of_a_host(name, host, what):
    """A silence is short: the host answers when it is asked again."""

    def prepare(cloud, moment):
        cloud.host(host).plan = [(moment, what)]
        return lambda: bool(cloud.host(host).plan)

    every_moment(name, prepare)
