"""Hosts' URIs are understood or refused before anybody is asked whether there is such a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.drivers.libvirt.hosts import capabilities_of
from backend.drivers.libvirt.uri import HostKind, check, embedded_root, kind_of, parts_of, store_directory
from backend.ports import StepFailed
from gateway.home import Home


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("qemu:///embed?root=/srv/x&acceleration=tcg", HostKind.EMBEDDED),
        ("qemu:///system", HostKind.DAEMON),
        ("qemu:///session?pool=p&pool_path=/p", HostKind.DAEMON),
        ("qemu+tcp://node2/system", HostKind.DAEMON),
        ("qemu+ssh://root@[::1]:22/system?keyfile=/k", HostKind.DAEMON),
        ("qemu+unix:///system?socket=/run/x", HostKind.DAEMON),
        ("test:///default?cpus=64&memory_gib=512&disk_gib=1", HostKind.SIMULATED),
        ("qemu:///system?format=raw&shared=nfs-1", HostKind.DAEMON),
        ("qemu:///embed?root=/srv/x&store=/srv/store&shared=nfs&format=qcow2", HostKind.EMBEDDED),
        ("test:///srv/node.xml", HostKind.SIMULATED_FILE),
    ],
)
def test_what_a_host_can_be(uri, kind):
    check(uri)
    assert kind_of(parts_of(uri)) is kind


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("foo://bar", "no driver"),
        ("qemu:///elsewhere", "no driver"),
        ("xen:///system", "no driver"),
        ("nonsense", "no driver"),
        ("", "no driver"),
        ("qemu://[x/system", "IPv6"),
        ("qemu:///embed", "root"),
        ("qemu:///embed?root=here", "root"),
        ("test:///default?cpus=zero", "cpus"),
        ("test:///default?cpus=0", "cpus"),
        ("test:///default?cpus=\u0663", "cpus"),
        ("test:///default?memory_gib=-1", "memory_gib"),
        ("test:///default?disk_gib=1e3", "disk_gib"),
        ("test:///default?cpus=99999999999", "cpus"),
        ("qemu:///system?acceleration=fast", "acceleration"),
        ("qemu:///system?pool_path=here", "pool_path"),
        ("qemu:///system?format=vmdk", "format"),
        ("qemu:///system?shared=", "shared"),
        ("qemu:///system?shared=a%20b", "shared"),
        ("qemu:///embed?root=/srv/x&store=here", "store"),
        ("qemu:///embed?root=/srv/x&shared=nfs", "needs a store"),
    ],
)
def test_what_no_host_can_be(uri, told):
    with pytest.raises(StepFailed, match=told):
        check(uri)


@pytest.mark.parametrize("name", ["/x/a+b", "/x/a b&c=d", "/x/a%20b#c:d?e"])
def test_a_homes_own_host_lies_in_it_whatever_its_name(name):
    assert embedded_root(parts_of(Home(path=Path(name)).embedded_host)) == Path(name) / "hosts" / "embed"


def test_what_hosts_declare_of_their_store():
    for uri, declared in (
        ("qemu:///system", ("qcow2", None)),
        ("qemu+tcp://node2/system?format=raw&shared=nfs", ("raw", "nfs")),
        ("qemu:///embed?root=/x&store=/y&shared=nfs", ("qcow2", "nfs")),
        ("test:///default?format=raw&shared=nfs", (None, None)),
    ):
        capabilities = capabilities_of(parts_of(uri))
        assert (capabilities.get("format"), capabilities.get("store")) == declared


def test_where_an_embedded_host_keeps_its_volumes():
    assert store_directory(parts_of("qemu:///embed?root=/x")) == Path("/x/isthmus")
    assert store_directory(parts_of("qemu:///embed?root=/x&store=/y")) == Path("/y")
