"""``isthmus host prepare``: make a machine a chassis of OVN, over ssh, or tell how."""

from __future__ import annotations

import ipaddress
import re
import shlex
import subprocess
from typing import Annotated

import typer

from gateway.context import HomeOption, JsonOption, Refused, command, installation_of
from gateway.output import Output
from gateway.settings import NetworkTable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:%\[\]-]*")


@command
def prepare(
    tunnel: Annotated[str, typer.Option(help="The host's own address, at which other hosts reach it.")],
    interface: Annotated[
        str, typer.Option(help="Its interface on the outside network; without, the bridge is made without.")
    ] = "",
    name: Annotated[str, typer.Option(help="Its name as a chassis; its host name without.")] = "",
    ssh: Annotated[
        str, typer.Option(metavar="LOGIN", help="Do it there: root@HOST. Else it is printed.")
    ] = "",
    userspace: Annotated[bool, typer.Option("--userspace", help="Where the kernel has no datapath.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Install Open vSwitch and OVN on a host and connect it. May be repeated."""
    settings = installation_of(home).settings.network
    script = script_for(settings, tunnel=tunnel, interface=interface, name=name, userspace=userspace)
    output = Output(as_json=as_json)
    if not ssh:
        if as_json:
            output.document({"script": script})
        else:
            output.say(script)
        return
    if not _LOGIN.fullmatch(ssh):
        raise Refused(f"{ssh} is no login such as root@HOST.")
    with output.copying(f"preparing {ssh}"):
        done = subprocess.run(
            ["ssh", "-o", "BatchMode=yes", "--", ssh, "sh", "-s"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
        raise Refused(f"{ssh} could not be prepared: {said[-1]}")
    output.one({"host": ssh, "chassis": done.stdout.strip().rpartition("\n")[2]}, ("host", "chassis"))


def script_for(
    settings: NetworkTable, *, tunnel: str, interface: str = "", name: str = "", userspace: bool = False
) -> str:
    """What is done on a host: a shell script that may be repeated, and says its chassis name at the end.

    Raises:
        Refused: the installation is not one of OVN, or a name cannot be used.
    """
    if settings.driver != "ovn" or not settings.southbound:
        raise Refused(
            'Set driver = "ovn" and the southbound database in [network] of isthmus.toml first; '
            "hosts are connected to the latter."
        )
    try:
        address = str(ipaddress.ip_address(tunnel))
    except ValueError:
        raise Refused(f"{tunnel} is no address.") from None
    for text in filter(None, (interface, name)):
        if not _NAME.fullmatch(text):
            raise Refused(f"{text!r} cannot be used as a name.")
    quoted = shlex.quote(name) if name else '"$(virsh -c qemu:///system hostname 2>/dev/null || hostname)"'
    bridge = f"br-{settings.provider}"
    ids = {
        "ovn-remote": settings.southbound,
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": address,
        "ovn-bridge-mappings": f"{settings.provider}:{bridge}",
    }
    if userspace:
        ids["ovn-bridge-datapath-type"] = "netdev"
    datapath = " -- set bridge " + bridge + " datapath_type=netdev" if userspace else ""
    lines = [
        "set -eu",
        "export DEBIAN_FRONTEND=noninteractive",
        "if ! command -v ovn-controller >/dev/null; then",
        "    apt-get update -q >&2",
        "    apt-get install -y -q --no-install-recommends openvswitch-switch ovn-host >&2",
        "fi",
        f"chassis={quoted}",
        'ovs-vsctl set open_vswitch . external_ids:system-id="$chassis" external_ids:hostname="$(hostname)"',
        *(
            f"ovs-vsctl set open_vswitch . external_ids:{key}={shlex.quote(value)}"
            for key, value in ids.items()
        ),
        f"ovs-vsctl --may-exist add-br {bridge}{datapath}",
        *([f"ovs-vsctl --may-exist add-port {bridge} {shlex.quote(interface)}"] if interface else []),
        "if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then",
        "    systemctl enable --now openvswitch-switch ovn-host >&2",
        "fi",
        'echo "$chassis"',
    ]
    return "\n".join(lines)
