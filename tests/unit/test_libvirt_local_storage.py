"""Files of the embedded driver."""

from __future__ import annotations

from backend.drivers.libvirt.local_storage import CONSOLE_KEPT, CONSOLE_MOST, LocalStorage

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
