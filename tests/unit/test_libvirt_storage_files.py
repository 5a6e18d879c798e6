"""Copies of disk files when the file system misbehaves, and programs that hang."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from backend.drivers.libvirt import storage_files as files
from backend.images import sources
from backend.ports import HostSilent, StepFailed

DATA = b"guest" * 100_000


@pytest.fixture
def seek(monkeypatch):
    """Have every SEEK_DATA fail with that error."""

    def fail(number: int) -> None:
        true = os.lseek

        def lseek(descriptor: int, offset: int, how: int) -> int:
            if how == os.SEEK_DATA:
                raise OSError(number, os.strerror(number))
            return true(descriptor, offset, how)

        def no_sharing(*_arguments: object) -> None:
            raise OSError(errno.EOPNOTSUPP, "")

        monkeypatch.setattr(os, "lseek", lseek)
        monkeypatch.setattr(fcntl, "ioctl", no_sharing)

    return fail


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_disk_that_cannot_be_read_is_no_hole(tmp_path, seek, number):
    source = tmp_path / "source"
    source.write_bytes(DATA)
    seek(number)
    with pytest.raises(StepFailed, match=os.strerror(number)):
        files.copy_file(str(source), str(tmp_path / "copy"))
    with source.open("rb") as file, pytest.raises(OSError, match=os.strerror(number)):
        sources.copy(file.fileno(), tmp_path / "copy", 1 << 30)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_that_knows_no_holes_is_copied_in_full(tmp_path, seek, number):
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(DATA)
    seek(number)
    files.copy_file(str(source), str(copy))
    assert copy.read_bytes() == DATA
    copy.unlink()
    with source.open("rb") as file:
        sources.copy(file.fileno(), copy, 1 << 30)
    assert copy.read_bytes() == DATA


def test_a_program_ends_for_standing_still_and_not_for_taking_long(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "STANDSTILL_SECONDS", 0.6)
    script = tmp_path / "qemu-img"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script.write_text("#!/bin/sh\nfor n in 1 2 3 4 5 6; do echo >/dev/null; sleep 0.3; done\n")
    script.chmod(0o755)
    files.qemu_img("check")
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(HostSilent):
        files.qemu_img("check")
