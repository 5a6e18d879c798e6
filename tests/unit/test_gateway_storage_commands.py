"""The command line of images, volumes, snapshots, stores and tasks: what it asks for, shows and refuses.

A home is made as an operator makes one. There is no worker: where one is needed, its rows are written.
"""

from __future__ import annotations

import json
import shutil
import threading
import time

import pytest
from typer.testing import CliRunner

from backend.commands import AddHost
from backend.model import (
    AttachState,
    Capacity,
    Content,
    Host,
    HostState,
    Image,
    ImageState,
    JobState,
    Publication,
    Snapshot,
    SnapshotState,
    Task,
    TaskKind,
    Volume,
    VolumeState,
)
from gateway import follow
from gateway.cli import app
from gateway.commands import volume as volumes
from gateway.installation import Installation, create_tenant, make, operator

ZONE = "us-east-1a"


class Cloud:
    """An installation, and the command line in front of it."""

    def __init__(self, home):
        self.home = home
        self.installation = Installation.at(home)
        self.engine = self.installation.engine
        self.tenant = self.engine.tenant("default")

    def run(self, *words, stdin=None):
        return CliRunner().invoke(app, [*words, "--home", str(self.home)], input=stdin)

    def cli(self, *words, stdin=None):
        done = self.run(*words, "--json", stdin=stdin)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *words, stdin=None):
        done = self.run(*words, stdin=stdin)
        assert done.exit_code == 1, done.output
        assert done.stderr.startswith("error: ")
        return done.stderr

    def put(self, *rows):
        tables = {
            Content: "contents", Image: "images", Snapshot: "snapshots", Task: "tasks", Volume: "volumes",
        }  # fmt: skip
        with self.installation.store.begin() as tx:
            for row in rows:
                getattr(tx, tables[type(row)]).insert(row)

    def beat(self):
        """A worker's sign of life."""
        with self.installation.store.begin() as tx:
            tx.workers.beat("somebody", time.time())

    def soon(self, table, key, **changes):
        """Change a row a little later, as a worker would."""

        def change():
            time.sleep(0.2)
            with self.installation.store.begin() as tx:
                rows = getattr(tx, table)
                rows.update(rows.get(key), **changes)

        thread = threading.Thread(target=change)
        thread.start()
        return thread

    def volume(self, identity="vol-0123456789abcdef0", **more):
        fields = {
            "id": identity, "tenant_id": self.tenant.id, "account_id": self.tenant.account_id,
            "region": "us-east-1", "zone": ZONE, "size_gib": 2, "state": VolumeState.AVAILABLE,
            "created_at": 1.0, "host_id": self.host.id, "made": True,
        }  # fmt: skip
        self.put(row := Volume(**(fields | more)))
        return row

    def snapshot(self, identity="snap-0123456789abcdef0", **more):
        fields = {
            "id": identity, "tenant_id": self.tenant.id, "account_id": self.tenant.account_id,
            "region": "us-east-1", "volume_id": "vol-0123456789abcdef0", "size_gib": 2,
            "state": SnapshotState.COMPLETED, "started_at": 1.0, "progress": 100, "content": "c" * 64,
        }  # fmt: skip
        self.put(row := Snapshot(**(fields | more)))
        return row

    def image(self, identity="ami-0123456789abcdef0", **more):
        fields = {
            "id": identity, "tenant_id": self.tenant.id, "account_id": self.tenant.account_id,
            "name": identity, "state": ImageState.READY, "format": "qcow2", "checksum": "c" * 64,
            "size_bytes": 1 << 20, "virtual_bytes": 1 << 30, "created_at": 1.0,
        }  # fmt: skip
        self.put(row := Image(**(fields | more)))
        return row

    def content(self, checksum="c" * 64, **more):
        fields = {
            "checksum": checksum, "path": f"{checksum}.qcow2", "format": "qcow2", "size_bytes": 3 << 20,
            "virtual_bytes": 1 << 30,
        }  # fmt: skip
        self.put(row := Content(**(fields | more)))
        return row

    def task(self, **more):
        fields = {
            "id": "task-1", "kind": TaskKind.VOLUME_MODIFY, "resource_id": "vol-0123456789abcdef0",
            "tenant_id": self.tenant.id, "actor": "cli:operator", "created_at": 1.0,
        }  # fmt: skip
        self.put(row := Task(**(fields | more)))
        return row

    def add_host(self) -> Host:
        host = self.engine.execute(operator(), AddHost(uri="test:///default", region="us-east-1", zone=ZONE))
        total = Capacity(cpu=800, memory_mib=16384, disk_gib=100)
        with self.installation.store.begin() as tx:
            self.host = tx.hosts.update(
                host, state=HostState.ON, total=total, architecture="x86_64", last_seen=time.time()
            )
        return self.host


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A fresh home; tests get copies of it."""
    home = tmp_path_factory.mktemp("template") / "home"
    installation, _ = make(home, listen="127.0.0.1:0", regions={"us-east-1": (ZONE,)})
    installation.close()
    return home


@pytest.fixture
def cloud(template, tmp_path, monkeypatch):
    for name in ("ISTHMUS_HOME", "ISTHMUS_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    shutil.copytree(template, home)
    (home / "location").write_text(str(home))  # it is no copy, for all that it knows
    made = Cloud(home)
    made.add_host()
    yield made
    made.installation.close()


# Volumes ------------------------------------------------------------------------------------------------


def test_a_volume_is_made_listed_and_shown(cloud):
    made = cloud.cli("volume", "create", "--size", "3", "--name", "data", "--type", "gp3", "--no-wait")
    assert (made["size_gib"], made["type"], made["state"], made["tenant"]) == (
        3,
        "gp3",
        "creating",
        "default",
    )
    assert "secret" not in made
    [listed] = cloud.cli("volume", "list", "--tenant", "default")
    assert (listed["id"], listed["host"]) == (made["id"], "test:///default")
    shown = cloud.cli("volume", "show", made["uuid"])  # by OCCI's name, too
    assert (shown["id"], shown["tags"]) == (made["id"], {"Name": "data"})
    [task] = cloud.cli("task", "list", "--of", made["id"], "--open")
    assert (task["kind"], task["state"]) == ("volume.create", "queued")


def test_an_encrypted_volume_shows_no_passphrase(cloud):
    made = cloud.cli("volume", "create", "--size", "1", "--encrypted", "--no-wait")
    assert made["encrypted"]
    with cloud.installation.store.read() as tx:
        kept = tx.volumes.get(made["id"])
    passphrase = cloud.engine.vault.open(made["id"], kept.secret)
    assert len(passphrase) >= 32
    assert passphrase.encode() not in kept.secret
    assert "secret" not in cloud.cli("volume", "show", made["id"])


def test_without_a_worker_nothing_is_waited_for(cloud):
    done = cloud.run("volume", "create", "--size", "1")
    assert done.exit_code == 0
    assert "No worker is running" in done.stderr
    assert "isthmus volume show vol-" in done.stderr


def test_a_volume_that_is_being_made_is_followed(cloud):
    cloud.beat()
    before = cloud.volume(state=VolumeState.CREATING, made=False)
    change = cloud.soon("volumes", before.id, state=VolumeState.AVAILABLE)
    look = []
    volumes._followed(
        cloud.installation, _silent(), before, "Making it", lambda row: look.append(row) or volumes._made(row)
    )
    change.join()
    assert look[0].state is VolumeState.CREATING
    assert look[-1].state is VolumeState.AVAILABLE


def _silent():
    from gateway.output import Output

    return Output(as_json=True)


def test_what_goes_wrong_is_told_with_the_next_step(cloud):
    cloud.beat()
    row = cloud.volume(state=VolumeState.CREATING, made=False)
    change = cloud.soon("volumes", row.id, state=VolumeState.ERROR, message="The disk is full.")
    with pytest.raises(follow.Refused, match=rf"The disk is full\. See: isthmus volume show {row.id}"):
        volumes._followed(cloud.installation, _silent(), row, "Making it", volumes._made)
    change.join()


def test_to_stop_looking_stops_nothing(cloud, monkeypatch):
    cloud.beat()
    task = cloud.task()

    def interrupted(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.follow.time.sleep", interrupted)
    done = cloud.run("task", "wait", task.id)
    assert done.exit_code == 130
    assert "It goes on. Look again: isthmus task show task-1" in done.stderr
    assert cloud.engine.task(operator(), task.id).finished_at is None


@pytest.mark.parametrize(
    ("attach", "ended", "wrong"),
    [
        (AttachState.DETACHING, False, ""),
        (AttachState.NONE, True, ""),
        (AttachState.BUSY, True, "--force"),
        (AttachState.ATTACHED, True, "still attached"),
    ],
)
def test_how_a_detachment_ends(cloud, attach, ended, wrong):
    seen = volumes._unplugged(cloud.volume(attach=attach))
    assert seen.ended is ended
    assert wrong in seen.wrong
    assert bool(seen.wrong) is bool(wrong)


def test_what_is_only_recorded_needs_no_worker(cloud):
    row = cloud.volume()
    changed = cloud.cli("volume", "modify", row.id, "--offline")
    assert changed["online"] is False
    assert "never changed" in cloud.refused("volume", "modification", row.id)
    cloud.cli("volume", "modify", row.id, "--size", "5", "--no-wait")
    told = cloud.cli("volume", "modification", row.id)
    assert (told["state"], told["old_size_gib"], told["size_gib"]) == ("modifying", 2, 5)


def test_a_table_in_a_pipe_has_no_blanks_at_the_end(cloud):
    cloud.volume()
    lines = cloud.run("volume", "list").stdout.splitlines()
    assert len(lines) == 2
    assert all(line == line.rstrip() for line in lines)


def test_an_error_is_reset(cloud):
    row = cloud.volume(state=VolumeState.ERROR, message="broken")
    assert cloud.cli("volume", "reset", row.id)["state"] == "available"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("volume", "create"), "--size"),
        (("volume", "create", "--size", "1", "--zone", "nowhere"), "us-east-1a"),
        (("volume", "create", "--size", "1", "--type", "fast"), "fast"),
        (("volume", "show", "vol-ffffffffffffffff0"), "isthmus volume list"),
        (("volume", "modify", "vol-0123456789abcdef0"), "What is to change"),
        (("volume", "modify", "vol-0123456789abcdef0", "--size", "1"), "smaller than existing"),
        (("volume", "revert", "vol-0123456789abcdef0", "snap-1"), "isthmus snapshot list"),
        (("volume", "attach", "vol-0123456789abcdef0", "i-ffffffffffffffff0"), "isthmus vm list"),
        (("volume", "detach", "vol-0123456789abcdef0"), "vol-0123456789abcdef0"),
        (("snapshot", "show", "snap-ffffffffffffffff0"), "isthmus snapshot list"),
        (("snapshot", "share", "snap-0123456789abcdef0"), "--add TENANT"),
        (("task", "show", "task-none"), "isthmus task list"),
        (("check",), "isthmus serve"),
        (("image", "import"), "--name NAME"),
        (("image", "import", "/nowhere", "--name", "abc"), "There is no file /nowhere"),
        (("image", "test", "ami-0123456789abcdef0"), "isthmus serve"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_way_out(cloud, words, told):
    cloud.volume()
    cloud.snapshot()
    assert told in cloud.refused(*words)


def test_a_volume_is_deleted(cloud):
    row = cloud.volume()
    assert cloud.cli("volume", "delete", row.id, "--no-wait") == {"id": row.id, "deleted": False}
    cloud.beat()
    with cloud.installation.store.begin() as tx:
        tx.volumes.delete(row.id)
    volumes._followed(cloud.installation, _silent(), row, "Deleting it", volumes._gone)  # ends at once


# Snapshots ----------------------------------------------------------------------------------------------


def test_snapshots_are_made_listed_shared_copied_and_deleted(cloud):
    other = create_tenant(cloud.installation, "physics")
    volume = cloud.volume()
    cloud.content()
    made = cloud.cli("snapshot", "create", volume.id, "--description", "before", "--no-wait")
    assert (made["state"], made["volume_id"], made["progress"]) == ("pending", volume.id, 0)
    done = cloud.snapshot()
    listed = cloud.cli("snapshot", "list", "--volume", volume.id)
    assert {each["id"] for each in listed} == {made["id"], done.id}
    shared = cloud.cli("snapshot", "share", done.id, "--add", "physics")
    assert shared["accounts"] == [other.account_id]
    assert cloud.cli("snapshot", "share", done.id, "--remove", "physics")["accounts"] == []
    copy = cloud.cli("snapshot", "copy", done.id, "--tenant", "physics")
    assert (copy["tenant"], copy["content"], copy["state"]) == ("physics", done.content, "completed")
    assert cloud.cli("snapshot", "delete", done.id)["deleted"]
    assert [each["id"] for each in cloud.cli("snapshot", "list", "--tenant", "physics")] == [copy["id"]]


def test_a_snapshot_that_fails_is_told(cloud):
    cloud.beat()
    volume = cloud.volume()
    row = cloud.snapshot(state=SnapshotState.PENDING, progress=10, content="")
    change = cloud.soon("snapshots", row.id, state=SnapshotState.ERROR, message="The host is gone.")
    from gateway.commands.snapshot import follow_snapshots

    with pytest.raises(follow.Refused, match=rf"{row.id}: The host is gone\. See: isthmus snapshot list"):
        follow_snapshots(cloud.installation, _silent(), (row,))
    change.join()
    assert volume.id


# Images -------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "guest.raw"
    path.write_bytes(b"\0" * 510 + b"\x55\xaa" + b"x" * 3584)
    return path


def test_an_image_comes_from_a_file_or_the_input_once(cloud, disk):
    first = cloud.cli("image", "import", str(disk), "--name", "one", "--format", "raw")
    second = cloud.cli("image", "import", "-", "--name", "two", "--format", "raw", stdin=disk.read_bytes())
    assert first["checksum"] == second["checksum"]
    assert first["location"] == "guest.raw"
    assert "secret" not in first
    [content] = cloud.cli("store", "list")["contents"]
    assert set(content["used_by"]) == {first["id"], second["id"]}
    assert "one" in cloud.refused("image", "import", str(disk), "--name", "one")
    kept = [path.name for path in cloud.installation.home.images.rglob("*") if path.is_file()]
    assert kept == [f"{first['checksum']}.raw"]


def test_an_image_whose_bytes_are_others_is_refused(cloud, disk):
    said = cloud.refused("image", "import", str(disk), "--name", "one", "--checksum", "sha256:" + "0" * 64)
    assert "checksum" in said
    assert cloud.cli("image", "list") == []
    assert [path for path in cloud.installation.home.images.rglob("*") if path.is_file()] == []


def test_versions_of_a_line(cloud, disk):
    first = cloud.cli(
        "image", "import", str(disk), "--name", "version 1", "--line", "debian", "--changelog", "new"
    )
    second = cloud.cli("image", "import", str(disk), "--name", "version 2", "--line", "debian")
    assert [(each["line_version"], each["publication"]) for each in (first, second)] == [
        (1, "built"),
        (2, "built"),
    ]
    assert second["parent_id"] == first["id"]
    assert [each["id"] for each in cloud.cli("image", "list", "--line", "debian")] == [
        first["id"],
        second["id"],
    ]
    assert "built" in cloud.refused("image", "publish", first["id"])


def test_publishing_and_revoking(cloud):
    old = cloud.image("ami-00000000000000001", line="x/x86_64", publication=Publication.PUBLISHED)
    new = cloud.image(
        "ami-00000000000000002", line="x/x86_64", line_version=2, publication=Publication.TESTING, report="[]"
    )
    assert cloud.cli("image", "publish", new.id)["publication"] == "published"
    assert cloud.cli("image", "show", old.id)["publication"] == "deprecated"
    assert cloud.cli("image", "revoke", new.id, "--reason", "a hole")["publication"] == "revoked"
    assert "reason" in cloud.refused("image", "publish", new.id)


def test_deprecating_what_is_in_no_line(cloud):
    image = cloud.image()
    at = cloud.cli("image", "deprecate", image.id, "--at", "2030-01-02")["deprecated_at"]
    assert at == 1893542400.0
    assert cloud.cli("image", "deprecate", image.id, "--off")["deprecated_at"] is None


def test_an_opennebula_template(cloud, disk, tmp_path):
    template = tmp_path / "image.one"
    template.write_text(
        f'NAME = "Old one"\nPATH = "{disk}"\nPERSISTENT = YES\nDEV_PREFIX = vd\n'
        'DESCRIPTION = "from the old cloud"\nDRIVER = raw\n'
    )
    done = cloud.run("image", "import", "--template", str(template))
    assert done.exit_code == 0, done.stderr
    assert "Without a meaning here: DEV_PREFIX" in done.stderr
    [image] = cloud.cli("image", "list")
    assert (image["name"], image["description"]) == ("Old one", "from the old cloud")
    [volume] = cloud.cli("volume", "list")
    assert volume["image_id"] == image["id"]
    template.write_text("NAME = data\nTYPE = DATABLOCK\nSIZE = 1500\n")
    assert cloud.cli("image", "import", "--template", str(template))["size_gib"] == 2
    template.write_text("NAME = data\nTYPE = DATABLOCK\nSIZE = 15\nFSTYPE = ext4\n")
    assert "FSTYPE" in cloud.refused("image", "import", "--template", str(template))
    assert "neither" in cloud.refused("image", "import", str(disk), "--template", str(template))


def test_a_persistent_image_without_room_leaves_nothing(cloud, disk, tmp_path):
    with cloud.installation.store.begin() as tx:
        tx.hosts.update(cloud.host, state=HostState.DISABLED)
    template = tmp_path / "image.one"
    template.write_text(f"NAME = disk\nPATH = {disk}\nPERSISTENT = YES\nFORMAT = raw\n")
    cloud.refused("image", "import", "--template", str(template))
    assert cloud.cli("image", "list") == []
    assert [path for path in cloud.installation.home.images.rglob("*") if path.is_file()] == []


def test_delete_takes_the_snapshots_that_nothing_else_needs(cloud):
    cloud.content()
    mine, shared = cloud.snapshot("snap-00000000000000001"), cloud.snapshot("snap-00000000000000002")
    image = cloud.image(
        snapshot_id=mine.id, mappings=(_mapped("/dev/sdb", shared.id), _mapped("/dev/sdc", "snap-gone"))
    )
    other = cloud.image("ami-00000000000000009", snapshot_id=shared.id)
    done = cloud.cli("image", "delete", image.id)
    assert done["snapshots"] == [mine.id]
    assert [each["id"] for each in cloud.cli("snapshot", "list")] == [shared.id]
    assert cloud.cli("image", "deregister", other.id)["state"] == "gone"
    assert [each["id"] for each in cloud.cli("snapshot", "list")] == [shared.id]


def _mapped(device, snapshot_id):
    from backend.model import BlockDevice

    return BlockDevice(device=device, snapshot_id=snapshot_id)


def test_copying_sharing_and_switching(cloud):
    other = create_tenant(cloud.installation, "physics")
    cloud.content()
    image = cloud.image()
    copy = cloud.cli("image", "copy", image.id, "--name", "theirs", "--tenant", "physics")
    assert (copy["account_id"], copy["source_image_id"]) == (other.account_id, image.id)
    assert cloud.cli("image", "modify", image.id, "--share", "physics")["launch_accounts"] == [
        other.account_id
    ]
    assert cloud.cli("image", "modify", image.id, "--unshare", "physics")["launch_accounts"] == []
    assert cloud.cli("image", "disable", image.id)["state"] == "disa"
    assert cloud.cli("image", "enable", image.id)["state"] == "rdy"


def test_export_overwrites_nothing(cloud, tmp_path):
    cloud.content()
    image = cloud.image()
    there = tmp_path / "there.qcow2"
    there.write_text("mine")
    assert "nothing was changed" in cloud.refused("image", "export", image.id, str(there))
    assert "no directory" in cloud.refused("image", "export", image.id, str(tmp_path / "a" / "b"))
    new = tmp_path / "new.vmdk"
    done = cloud.cli("image", "export", image.id, str(new), "--format", "vmdk", "--no-wait")
    task = cloud.cli("task", "show", done["task"])
    assert task["arguments"]["path"] == str(new)
    assert task["arguments"]["form"] == "vmdk"
    assert "vmdk" in cloud.refused("image", "export", image.id, str(tmp_path / "x"), "--format", "zip")


# Stores, tasks, checks ----------------------------------------------------------------------------------


def test_stores_tell_what_is_promised_and_who_needs_what(cloud):
    cloud.volume()
    cloud.content()
    cloud.content("d" * 64, parent="c" * 64)
    cloud.snapshot()
    gone = cloud.image(state=ImageState.GONE)
    found = cloud.cli("store", "list")
    [host] = found["hosts"]
    assert (host["total_gib"], host["promised_gib"], host["free_gib"], host["volumes"]) == (100, 2, 98, 1)
    used = {each["checksum"][0]: each["used_by"] for each in found["contents"]}
    assert used == {"c": ["snap-0123456789abcdef0", "content dddddddddddd"], "d": []}
    assert gone.id not in str(used)
    assert found["images"]["contents"] == 2
    assert "promised gib" in cloud.run("store", "list").stdout


def test_a_task_is_waited_for(cloud):
    cloud.beat()
    task = cloud.task()
    change = cloud.soon("tasks", task.id, state=JobState.DONE, progress=100, finished_at=2.0)
    assert cloud.cli("task", "wait", task.id)["state"] == "done"
    change.join()


def test_a_task_that_failed_is_told(cloud):
    task = cloud.task(state=JobState.FAILED, finished_at=2.0, message="The host has no room.")
    assert "The host has no room. See: isthmus task show task-1" in cloud.refused("task", "wait", task.id)


def test_tasks_are_filtered(cloud):
    cloud.task()
    cloud.task(id="task-2", kind=TaskKind.IMAGE_EXPORT, resource_id="ami-1", finished_at=2.0)
    assert [each["id"] for each in cloud.cli("task", "list", "--open")] == ["task-1"]
    assert [each["id"] for each in cloud.cli("task", "list", "--kind", "image.export")] == ["task-2"]
    assert [each["id"] for each in cloud.cli("task", "list", "--of", "ami-1")] == ["task-2"]
    assert len(cloud.cli("task", "list", "--limit", "1")) == 1


@pytest.mark.parametrize(
    ("findings", "status"),
    [("[]", 0), ('[{"kind":"orphan","place":"h","name":"vol-1","words":"A file of nobody."}]', 1)],
)
def test_a_check_ends_with_what_it_found(cloud, findings, status):
    cloud.beat()

    def work():
        while not (open_tasks := cloud.engine.tasks(operator(), (TaskKind.CHECK,))):
            time.sleep(0.05)
        with cloud.installation.store.begin() as tx:
            tx.tasks.update(
                open_tasks[0], state=JobState.DONE, finished_at=2.0, result={"findings": findings}
            )

    worker = threading.Thread(target=work)
    worker.start()
    done = cloud.run("check", "--json")
    worker.join()
    assert done.exit_code == status
    assert json.loads(done.stdout) == json.loads(findings)


# Instances ----------------------------------------------------------------------------------------------


def test_the_disks_of_an_instance(cloud):
    cloud.content()
    image = cloud.image()
    [vm] = cloud.cli("vm", "launch", "--image", image.id, "--type", "t2.nano")
    [root] = cloud.cli("vm", "disks", vm["uuid"])
    assert (root["boot"], root["device"], root["delete_on_termination"]) == (True, "/dev/vda", True)
    said = cloud.refused("vm", "snapshot", vm["id"])
    assert root["id"] in said  # it is not there yet
    with cloud.installation.store.begin() as tx:
        tx.volumes.update(tx.volumes.get(root["id"]), made=True, host_id=cloud.host.id)
    [made] = cloud.cli("vm", "snapshot", vm["id"], "--description", "before", "--no-wait")
    assert (made["volume_id"], made["state"], made["description"]) == (root["id"], "pending", "before")


# Around it ----------------------------------------------------------------------------------------------


def test_what_a_purged_tenant_uploaded_goes_with_it(cloud):
    theirs = cloud.engine.tenant(create_tenant(cloud.installation, "passing").tenant)
    uploads = cloud.installation.uploads
    for tenant in (theirs, cloud.tenant):
        data = [b"x"]
        uploads.receive(tenant.id, "disk", lambda _size, data=data: data.pop() if data else b"")
    assert cloud.cli("tenant", "purge", "passing", "--remove")["removed"]
    assert uploads.of(theirs.id) == []
    assert [upload.name for upload in uploads.of(cloud.tenant.id)] == ["disk"]


def test_the_doctor_misses_the_places_of_images(cloud, tmp_path):
    there = tmp_path / "images"
    there.mkdir()
    (cloud.home / "isthmus.toml").write_text(
        f'[images]\ndirectories = ["{there}", "/nowhere/images"]\nexport_directory = "/nowhere/exports"\n'
    )
    said = cloud.run("doctor", "--no-hosts").stdout
    assert "/nowhere/images cannot be read" in said
    assert "/nowhere/exports cannot be written to" in said
    assert f"{there} cannot" not in said


def test_metrics_count_volumes_snapshots_and_tasks(cloud):
    from gateway.metrics import exposition

    cloud.volume()
    cloud.snapshot()
    cloud.task()
    told = exposition(cloud.installation.store).decode()
    assert 'isthmus_volumes{state="available"} 1.0' in told
    assert 'isthmus_snapshots{state="completed"} 1.0' in told
    assert 'isthmus_tasks{kind="volume.modify"} 1.0' in told
