"""The image store keeps every content once, whole, and through a kill at any moment."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend.errors import BackendError, Code
from backend.images import FORMATS, ImageStore, Limits, Sources
from backend.images.formats import inspect_own
from backend.images.reading import opened
from backend.images.sources import CHUNK
from backend.model import Content
from backend.ports import ContentStore, StepFailed
from tests.support.disk_images import CLUSTER, MIB, converted, qcow2, qemu_img, raw_disk

ANY = Sources(directories=None, urls=None)


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images", ANY, limits=Limits(spare_bytes=0))


@pytest.fixture
def raw(tmp_path):
    return raw_disk(tmp_path / "disk.raw")


def bytes_of(store, content, parents=(), form="raw"):
    path = store.folder.parent / "bytes"
    store.export(content, parents, form, str(path))
    return path.read_bytes()


def test_it_is_a_content_store(store):
    port: ContentStore = store
    assert port.files() == frozenset()


def test_the_store_keeps_content_once_and_leaves_no_pieces(store, tmp_path):
    data = b"boot" + bytes(5 << 20) + b"end".ljust(508)
    source = tmp_path / "disk.img"
    source.write_bytes(data)
    told = []
    first = store.bring("one", str(source), progress=lambda done, size: told.append((done, size)))
    second = store.bring("two", source.as_uri())
    assert first.checksum == second.checksum == hashlib.sha256(data).hexdigest()
    assert first.path == second.path == str(store.folder / f"{first.checksum}.raw")
    assert (first.format, first.size_bytes, first.virtual_bytes) == ("raw", len(data), len(data))
    assert not first.parent
    assert not first.encrypted
    assert told[-1] == (10_000, 10_000)
    assert told == sorted(told)
    store.drop("one")
    store.drop("two")
    kept = store.folder / f"{first.checksum}.raw"
    assert store.files() == {kept.name}
    assert kept.read_bytes() == data
    assert kept.stat().st_mode & 0o777 == 0o400
    assert kept.stat().st_blocks * 512 < 2 * MIB  # its hole is none


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "raw"])
def test_every_format_becomes_the_same_disk(store, raw, tmp_path, form):
    options = {"vpc": {"force_size": "on"}, "vmdk": {"subformat": "streamOptimized"}}.get(form, {})
    source = converted(raw, tmp_path / "source", form, **options)
    content = store.bring("one", str(source), form)
    store.drop("one")
    assert content.format == "qcow2"
    assert store.files() == {f"{content.checksum}.qcow2"}
    assert bytes_of(store, content) == raw.read_bytes()
    with opened(store.folder / f"{content.checksum}.qcow2") as image:
        assert inspect_own(image, "qcow2", Limits()).virtual_bytes == raw.stat().st_size


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_exported_comes_back_the_same(store, raw, tmp_path, form):
    content = store.bring("one", str(raw))
    target = tmp_path / "out,put :%s"
    told = []
    store.export(content, [], form, str(target), lambda done, size: told.append((done, size)))
    assert told[-1] == (content.virtual_bytes, content.virtual_bytes)
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.raw", "images", target.name]
    again = store.bring("two", str(target), form)
    assert bytes_of(store, again) == raw.read_bytes()


def test_a_raw_disk_that_looks_like_a_qcow2_is_put_into_one(store, tmp_path):
    disguised = tmp_path / "disguised"
    disguised.write_bytes(qcow2(backing=b"/etc/passwd"))
    with pytest.raises(BackendError, match="backing file"):
        store.bring("one", str(disguised))
    content = store.bring("one", str(disguised), "raw")
    assert (content.format, content.virtual_bytes) == ("qcow2", disguised.stat().st_size)
    assert bytes_of(store, content) == disguised.read_bytes()


def test_a_refused_image_leaves_nothing(store, tmp_path):
    source = tmp_path / "disk.qcow2"
    source.write_bytes(qcow2(backing=b"/etc/passwd"))
    for location in (str(source), str(tmp_path / "absent"), str(tmp_path), "/dev/zero", "relative", "-"):
        with pytest.raises(BackendError) as refused:
            store.bring("one", location)
        assert refused.value.code is Code.IMAGE_UNREADABLE
        assert store.files() == frozenset()


def test_bytes_that_are_in_the_scratch_file_already(store, raw):
    with open(store.scratch("stream"), "wb") as file:
        file.write(raw.read_bytes())
    assert store.files() == {"work/stream"}
    content = store.bring("stream", "-")
    assert content.checksum == hashlib.sha256(raw.read_bytes()).hexdigest()


def test_an_image_must_hash_to_what_was_said(store, raw):
    for kind in ("md5", "sha1", "sha256", "sha512"):
        digest = hashlib.new(kind, raw.read_bytes()).hexdigest()
        assert store.bring(kind, str(raw), digest=f"{kind}:{digest.upper()}").format == "raw"
        with pytest.raises(BackendError, match="checksum is another"):
            store.bring(f"{kind}-wrong", str(raw), digest=f"{kind}:{digest[::-1]}")
    with pytest.raises(BackendError, match="no checksum"):
        store.bring("one", str(raw), digest="sha256:12")


def test_the_simulated_hosts_disk(store):
    content = store.empty()
    assert content == store.empty() or content.checksum == store.empty().checksum
    assert (content.format, content.virtual_bytes) == ("raw", 1 << 20)
    assert store.files() == {f"{content.checksum}.raw"}


# What our own hosts wrote


def write_scratch(store, name, source, form="qcow2"):
    converted(source, store.scratch(name), form)


def test_a_fetched_copy_is_kept(store, raw):
    for form in ("qcow2", "raw"):
        write_scratch(store, form, raw, form)
        content = store.take(form, form=form)
        assert store.take(form, form=form) == content  # a repetition after a crash
        store.drop(form)
        store.drop(form)
        assert (content.format, content.virtual_bytes) == (form, raw.stat().st_size)
        assert bytes_of(store, content) == raw.read_bytes()
    assert all(not name.startswith("work/") for name in store.files())


def test_what_is_no_whole_image_is_not_taken(store, tmp_path):
    for name, data, form in (
        ("a", b"", "raw"),
        ("b", b"", "qcow2"),
        ("c", bytes(1000), "raw"),
        ("d", bytes(1024), "qcow2"),
        ("e", qcow2(backing=b"/etc/passwd"), "qcow2"),
        ("f", qcow2(encryption=2), "qcow2"),
        ("g", qcow2(), "vmdk"),
    ):
        with open(store.scratch(name), "wb") as file:
            file.write(data)
        with pytest.raises(StepFailed):
            store.take(name, form=form)
    write_scratch(store, "h", raw_disk(tmp_path / "h"))
    with pytest.raises(StepFailed, match="not encrypted"):
        store.take("h", form="qcow2", encrypted=True)
    with pytest.raises(FileNotFoundError):
        store.take("nothing", form="raw")
    assert {name.partition("/")[0] for name in store.files()} == {"work"}


def test_a_difference_tells_the_name_of_its_parent_and_nothing_else(store, raw, tmp_path):
    write_scratch(store, "base", raw)
    base = store.take("base", form="qcow2")
    changed = raw.read_bytes()[:CLUSTER] + b"changed".ljust(CLUSTER, b"!") + raw.read_bytes()[2 * CLUSTER :]
    (tmp_path / "changed").write_bytes(changed)
    # The difference as a backup job writes it: with some other backing file, or none.
    full = converted(raw, tmp_path / "full.qcow2", "qcow2")
    qemu_img(
        *("convert", "-f", "raw", "-O", "qcow2", "-B", full, "-F", "qcow2"),
        *(tmp_path / "changed", store.scratch("delta")),
    )
    with pytest.raises(StepFailed, match="only the difference"):
        store.take("delta", form="qcow2")
    delta = store.take("delta", form="qcow2", parent=base)
    assert delta.parent == base.checksum
    assert store.take("delta", form="qcow2", parent=base) == delta
    with opened(store.folder / f"{delta.checksum}.qcow2") as image:
        assert inspect_own(image, "qcow2", Limits()).backing == f"{base.checksum}.qcow2"
    full.unlink()
    assert bytes_of(store, delta, [base]) == changed
    assert bytes_of(store, base) == raw.read_bytes()
    moved = store.folder.rename(tmp_path / "elsewhere")  # the chain is of names, not of paths
    qemu_img("check", "-f", "qcow2", moved / f"{delta.checksum}.qcow2")
    assert bytes_of(ImageStore(moved, ANY), delta, [base]) == changed


def test_a_difference_to_a_raw_disk_and_one_that_grew(store, raw, tmp_path):
    write_scratch(store, "base", raw, "raw")
    base = store.take("base", form="raw")
    qemu_img("create", "-f", "qcow2", store.scratch("delta"), 2 * raw.stat().st_size)
    delta = store.take("delta", form="qcow2", parent=base)
    assert delta.virtual_bytes == 2 * base.virtual_bytes
    assert bytes_of(store, delta, [base]) == raw.read_bytes() + bytes(raw.stat().st_size)


def test_a_difference_to_what_is_lost_is_not_taken(store, raw):
    write_scratch(store, "base", raw)
    base = store.take("base", form="qcow2")
    store.remove(base)
    store.remove(base)
    write_scratch(store, "delta", raw)
    with pytest.raises(StepFailed, match="lost"):
        store.take("delta", form="qcow2", parent=base)


def test_an_encrypted_disk_is_kept_as_it_is_and_never_exported(store, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("passphrase")
    command = (
        *("create", "--object", f"secret,id=s,file={secret}", "-f", "qcow2"),
        *("-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"),
        *(store.scratch("sealed"), "1M"),
    )
    for attempt in range(20):  # it measures how fast it computes keys, and fails when it is too fast to say
        try:
            qemu_img(*command)
            break
        except subprocess.CalledProcessError as error:
            if attempt == 19 or b"accurate CPU usage" not in error.stderr:
                raise
    with pytest.raises(StepFailed, match="it is encrypted"):
        store.take("sealed", form="qcow2")
    content = store.take("sealed", form="qcow2", encrypted=True)
    assert content.encrypted
    with pytest.raises(BackendError) as refused:
        store.export(content, [], "raw", str(tmp_path / "out"))
    assert refused.value.code is Code.UNSUPPORTED
    assert not (tmp_path / "out").exists()


def test_an_export_that_fails_leaves_the_old_file(store, raw, tmp_path):
    content = store.bring("one", str(raw))
    target = tmp_path / "out"
    target.write_bytes(b"old")
    store.remove(content)
    with pytest.raises(BackendError):
        store.export(content, [], "vmdk", str(target))
    with pytest.raises(BackendError, match="not served"):
        store.export(content, [], "dmg", str(target))
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.raw", "images", "out"]


# Names


@pytest.mark.parametrize("name", ["", "../etc", "a/b", ".hidden", "a+made", "a b", "x" * 200])
def test_scratch_names_lead_nowhere_else(store, name):
    for act in (store.scratch, store.drop):
        with pytest.raises(ValueError, match="scratch name"):
            act(name)


@pytest.mark.parametrize("change", [{"checksum": "../../etc/passwd"}, {"format": "vmdk"}, {"checksum": ""}])
def test_contents_lead_nowhere_else(store, raw, change):
    content = store.bring("one", str(raw))
    fields = {name: getattr(content, name) for name in content.__struct_fields__} | change
    for act in (store.remove, lambda other: store.export(other, [], "raw", "/nonexistent/x")):
        with pytest.raises(ValueError, match="no content"):
            act(Content(**fields))


def test_strays_are_listed(store, raw):
    store.bring("one", str(raw))
    (store.folder / "stray").write_bytes(b"")
    (store.folder / "work" / "odd").write_bytes(b"")
    with open(store.scratch("i-0123.vdb"), "wb"):
        pass
    checksum = hashlib.sha256(raw.read_bytes()).hexdigest()
    assert store.files() == {f"{checksum}.raw", "stray", "work/odd", "work/one", "work/i-0123.vdb"}


# Crashes

CRASHING = """
import os, sys
from pathlib import Path
from backend.images import ImageStore, Limits, Sources, store as module
folder, location, form, moment = sys.argv[1:]
calls = 0
def counted(act):
    def wrapper(*args, **kwargs):
        global calls
        calls += 1
        if calls == int(moment):
            os.kill(os.getpid(), 9)
        return act(*args, **kwargs)
    return wrapper
for name in ("replace", "unlink", "chmod", "write_bytes"):
    setattr(Path, name, counted(getattr(Path, name)))
for name in ("copy", "hashed", "_flush", "inspect", "opened"):
    setattr(module, name, counted(getattr(module, name)))
store = ImageStore(Path(folder), Sources(directories=None), limits=Limits(spare_bytes=0))
print(store.bring("one", location, form).checksum)
store.drop("one")
print("done", calls)
"""


@pytest.mark.parametrize("form", ["raw", "vmdk"])
def test_killed_at_any_moment_nothing_half_has_a_checksum(tmp_path, raw, form):
    source = converted(raw, tmp_path / "source", form)
    ended, moment, expected = False, 0, None
    while not ended:
        moment += 1
        store = ImageStore(tmp_path / f"images{moment}", ANY, limits=Limits(spare_bytes=0))
        command = [sys.executable, "-c", CRASHING, str(store.folder), str(source), form, str(moment)]
        done = subprocess.run(command, capture_output=True, check=False, text=True, cwd=os.getcwd())
        ended = done.returncode == 0
        assert ended or done.returncode == -signal.SIGKILL, done.stderr
        for name in store.files():
            if not name.startswith("work/"):
                kept = store.folder / name
                assert hashlib.sha256(kept.read_bytes()).hexdigest() == kept.stem
        assert {name for name in store.files() if name.startswith("work/")} <= {"work/one"}
        content = store.bring("one", str(source), form)
        expected = expected or content.virtual_bytes
        assert content.virtual_bytes == expected
        assert bytes_of(store, content) == raw.read_bytes()
        store.drop("one")
        assert store.files() == {f"{content.checksum}.{content.format}"}
    assert moment > 10


def test_a_dead_process_leaves_no_tool_running(tmp_path):
    program = (
        "import sys; from pathlib import Path; from backend.images import qemu_img, Limits\n"
        "qemu_img.convert(Path(sys.argv[1]), qemu_img.node('big', 'raw'), 'out', 'qcow2', Limits(), output_bytes=1 << 40)"
    )
    with (tmp_path / "big").open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(MIB) * 4)
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    child = None
    for _ in range(500):
        found = subprocess.run(
            ["ps", "-o", "pid=,comm=", "--ppid", str(process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()
        if "qemu-img" in found:
            child = int(found[0])
            break
        time.sleep(0.005)
    process.kill()
    process.wait()
    if child is None:
        pytest.skip("the conversion was too fast to be seen")
    for _ in range(500):
        if not os.path.exists(f"/proc/{child}") or open(f"/proc/{child}/stat").read().split()[2] == "Z":
            break
        time.sleep(0.01)
    else:
        pytest.fail("qemu-img goes on")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_store_that_fails_says_nothing_of_the_image(store, raw, monkeypatch, number):
    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StepFailed, match=os.strerror(number)) as caught:
        store.bring("img-1", str(raw))
    assert caught.value.transient
    Path(store.scratch("img-2")).write_bytes(raw.read_bytes())
    with pytest.raises(StepFailed, match=os.strerror(number)) as caught:
        store.take("img-2", form="raw")
    assert caught.value.transient


def test_a_source_that_changes_while_it_is_copied_is_refused(store, tmp_path):
    source = tmp_path / "growing"
    source.write_bytes(b"x" * (CHUNK * 3))

    def grow(done, size):
        with source.open("ab") as file:
            file.write(b"more")

    with pytest.raises(BackendError, match="changed while"):
        store.bring("one", str(source), progress=grow)

    def shrink(done, size):
        os.truncate(source, 512)

    source.write_bytes(b"x" * (CHUNK * 3))
    with pytest.raises(BackendError, match="shorter"):
        store.bring("one", str(source), progress=shrink)
    assert store.files() == frozenset()


def test_a_compressed_qcow2_is_kept_as_it_came(store, raw, tmp_path):
    source = tmp_path / "small.qcow2"
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", raw, source)
    content = store.bring("one", str(source))
    assert content.checksum == hashlib.sha256(source.read_bytes()).hexdigest()
    assert bytes_of(store, content) == raw.read_bytes()


def test_a_snapshot_table_is_walked(store, raw, tmp_path):
    source = converted(raw, tmp_path / "disk.qcow2", "qcow2")
    qemu_img("snapshot", "-c", "before", source)
    assert store.bring("one", str(source)).format == "qcow2"
    data = bytearray(source.read_bytes())
    at = struct.unpack_from(">Q", data, 64)[0]
    data[at + 8 : at + 12] = struct.pack(">I", 1 << 30)
    (tmp_path / "bomb.qcow2").write_bytes(data)
    with pytest.raises(BackendError, match="snapshots are out of proportion"):
        store.bring("two", str(tmp_path / "bomb.qcow2"))
