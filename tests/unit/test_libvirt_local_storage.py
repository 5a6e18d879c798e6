"""Files of the embedded driver."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from backend.drivers.libvirt import storage_files as files
from backend.drivers.libvirt.local_storage import CONSOLE_KEPT, CONSOLE_MOST, LocalStorage
from backend.drivers.libvirt.pool_storage_names import Things, attempt_of, new_attempt
from backend.drivers.libvirt.qcow2 import read_qcow2
from backend.drivers.libvirt.storage_locks import in_use, locked
from backend.ports import HostSilent, ImageSource, StepFailed, VolumeSpec

ID = "i-0123456789abcdef0"


def test_a_talkative_guest_does_not_fill_the_disk(tmp_path):
    storage = LocalStorage(tmp_path)
    log = tmp_path / "instances" / ID / "console.log"
    log.parent.mkdir()
    with log.open("ab", buffering=0) as guest:
        for _ in range(4):
            guest.write(b"x" * CONSOLE_MOST + b"the end")
            assert storage.console(ID, 100).endswith(b"the end")
            assert log.stat().st_blocks * 512 <= CONSOLE_MOST
        guest.write(b", really")
    assert storage.console(ID, 15) == b"the end, really"
    assert storage.console(ID, CONSOLE_KEPT // 2).startswith(b"x")


def test_a_lock_is_held_by_one_and_leaves_nothing(tmp_path):
    name, lock = tmp_path / "vol-1", tmp_path / "vol-1.lock"
    with locked(name):
        assert lock.exists()
        failure: list[BaseException] = []

        def second() -> None:
            try:
                with locked(name, patience=0.1):
                    pass
            except HostSilent as error:
                failure.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert failure
    assert not lock.exists()
    lock.touch()  # of a process that was killed
    with locked(name):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_shared_lock_is_held_together_and_keeps_others_out(tmp_path):
    name = tmp_path / "image"
    with locked(name, shared=True):
        with locked(name, shared=True, patience=0):
            pass
        with pytest.raises(HostSilent), locked(name, patience=0):
            pass
    with locked(name, patience=0), pytest.raises(HostSilent), locked(name, shared=True, patience=0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_leaves_what_somebody_has_locked(tmp_path):
    storage = LocalStorage(tmp_path)
    partial = tmp_path / "volumes" / "vol-1.qcow2.partial"
    partial.touch()
    os.utime(partial, (0, 0))
    with locked(tmp_path / "volumes" / "vol-1"):
        assert storage.sweep(60) == frozenset()
    assert storage.sweep(60) == {"volumes/vol-1.qcow2.partial"}
    assert list((tmp_path / "volumes").iterdir()) == []


def test_nobody_else_reads_a_guests_disks(tmp_path):
    image = tmp_path / "image.raw"
    image.write_bytes(bytes(1 << 20))
    image.chmod(0o440)
    source = ImageSource(
        image_id="ami-1", path=str(image), format="raw", checksum="c", size_bytes=1, virtual_bytes=1 << 20
    )
    storage = LocalStorage(tmp_path / "store")
    storage.clone(VolumeSpec(name="vol-1", size_bytes=1 << 20, source=source))
    storage.mkimage(VolumeSpec(name=f"{ID}.vdb", size_bytes=1 << 20))
    storage.context(ID, b"seed")
    storage.begin_copy(VolumeSpec(name="vol-2", size_bytes=1 << 20))
    found = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "store").rglob("*")}
    cached = tmp_path / "store" / "images" / "c.raw"
    assert found.pop(cached) & 0o222 == 0
    assert image.stat().st_mode & 0o777 == 0o440
    assert {found[path] for path in found if path.is_dir()} == {0o700}
    assert {found[path] for path in found if path.is_file()} == {0o600}


def test_many_who_want_a_lock_get_it_one_after_another(tmp_path):
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with locked(tmp_path / "vol-1"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


def test_who_has_a_disk_open_is_seen(tmp_path):
    disk = tmp_path / "disk.qcow2"
    files.create(str(disk), 1 << 20, "qcow2")
    assert not in_use(disk)
    process = subprocess.Popen(
        ["qemu-io", "-f", "qcow2", disk], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdin.write(b"read 0 512\n")
    process.stdin.flush()
    process.stdout.readline()
    assert in_use(disk)
    process.communicate(b"quit\n")
    assert not in_use(disk)


def test_a_header_tells_what_it_is_made_on(tmp_path):
    base, delta = tmp_path / "base.raw", tmp_path / "delta.qcow2"
    base.write_bytes(bytes(1 << 20))
    files.create_linked(str(delta), 2 << 20, base, "raw")
    header = read_qcow2(delta)
    assert header is not None
    assert (header.version, header.virtual_bytes, header.encrypted) == (3, 2 << 20, False)
    assert (header.backing, header.backing_format) == (str(base), "raw")
    assert read_qcow2(base) is None


def test_a_chain_is_exactly_what_it_is_said_to_be(tmp_path):
    for name, below in (("a.qcow2", None), ("b.qcow2", "a.qcow2"), ("c.qcow2", "b.qcow2")):
        if below is None:
            files.create(str(tmp_path / name), 1 << 20, "qcow2")
        else:
            files.create_linked(str(tmp_path / name), 1 << 20, tmp_path / below, "qcow2")

    def image(*parents: str) -> ImageSource:
        return ImageSource(
            image_id="ami-1", path=str(tmp_path / "c.qcow2"), format="qcow2", checksum="c", size_bytes=1,
            virtual_bytes=1 << 20, parents=tuple(str(tmp_path / one) for one in parents),
        )  # fmt: skip

    chain = files.chain_of(image("b.qcow2", "a.qcow2"))
    assert chain["backing"]["backing"]["file"]["filename"] == str(tmp_path / "a.qcow2")
    assert chain["backing"]["backing"]["backing"] is None
    for wrong in ((), ("a.qcow2",), ("b.qcow2",), ("b.qcow2", "a.qcow2", "a.qcow2"), ("a.qcow2", "b.qcow2")):
        with pytest.raises(StepFailed):
            files.chain_of(image(*wrong))


def test_the_oldest_complete_attempt_counts():
    first, second, third = (f"vol-1.mv.0000000000000{number}.qcow2" for number in (1, 2, 3))
    things = Things([first, second, second + ".complete", third, third + ".complete", "console.log"])
    assert [one.file for one in things.whole("vol-1.mv")] == [second, third]
    assert things.current()["vol-1.mv"].mark == second + ".complete"
    assert things.strays() == {first, third, third + ".complete"}
    assert attempt_of("vol-1.qcow2") is None
    made = new_attempt("vol-1", "raw")
    assert attempt_of(made.file) == attempt_of(made.mark) == made
    assert made.age < 60
