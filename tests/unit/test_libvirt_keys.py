"""Keys that a killed process left on a host."""

from __future__ import annotations

from backend.drivers.libvirt.hosts import kind_of
from backend.drivers.libvirt.uri import parts_of


def test_keys_left_behind_are_gone_before_a_host_is_opened(tmp_path):
    folder = tmp_path / "etc" / "secrets"
    folder.mkdir(parents=True)
    for name in ("a.base64", "a.xml"):
        (folder / name).write_text("key")
    parts = parts_of(f"qemu:///embed?root={tmp_path}")
    kind_of(parts).prepare(parts)
    assert list(folder.iterdir()) == []
