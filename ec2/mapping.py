"""From the backend's nouns to EC2's: instances and key pairs as reply documents.

Everything said here is true of the machine. Where EC2's vocabulary has no word for it, the nearest one is
used and explained beside it. Pure functions; nothing depends on the time of the call except
:func:`status_document`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from backend.lifecycle import ec2_state
from backend.model import AttachState, Desired, Instance, KeyPair, MetadataOptions, Reason, Volume

Document = dict[str, Any]

STATE_CODES: Mapping[str, int] = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}

# The only words that EC2's enumeration has are ovm and xen; the real service says xen of its KVM guests too.
HYPERVISOR = "xen"
# The root disk outlives a stop, which is what clients want to know from this word before they stop a machine.
ROOT_DEVICE_TYPE = "ebs"
ROOT_DEVICE_NAME = "/dev/vda"
METADATA_STATE = "applied"  # an option changes at once or not at all
BANDWIDTH_WEIGHTING = "default"
DNS_NAME_OPTIONS: Mapping[str, Any] = {
    "HostnameType": "ip-name",
    "EnableResourceNameDnsARecord": False,
    "EnableResourceNameDnsAAAARecord": False,
}
PLATFORM = "Linux/UNIX"
USAGE_OPERATION = "RunInstances"
BOOT_MODE = "legacy-bios"
BOOT_MODES = (BOOT_MODE, "uefi-preferred")
_SETTLING_SECONDS = 60.0


def moment(seconds: float) -> datetime:
    """Unix seconds as an aware time."""
    return datetime.fromtimestamp(seconds, UTC)


def launch_time(instance: Instance) -> datetime:
    """When an instance was last launched: created, or started after a stop (EC2 Instance.LaunchTime)."""
    return moment(instance.started_at or instance.created_at)


def iso(seconds: float) -> str:
    """Unix seconds as text, for what the service model has as a text."""
    return moment(seconds).isoformat(timespec="milliseconds")[:-6] + "Z"


# What XML 1.0 cannot carry. EC2's requests cannot bring it, but the other face, operators and libvirt can.
_unwritable = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def writable(text: str) -> str:
    """Free text as a reply can hold it: characters that XML forbids become U+FFFD."""
    return _unwritable.sub("\ufffd", text)


LIMITS_TAG = "aws:isthmus:limits"


def with_limits(tags: Mapping[str, str], limits: Sequence[str]) -> Mapping[str, str]:
    """Tags of a noun of networks, with one that says what the network driver does not enforce of it."""
    return {**tags, LIMITS_TAG: " ".join(limits)} if limits else tags


def tag_list(tags: Mapping[str, str]) -> list[Document] | None:
    """Tags in a reply. None (no element at all) without tags, as the real service does for these nouns."""
    return [{"Key": writable(key), "Value": writable(value)} for key, value in sorted(tags.items())] or None


# States -------------------------------------------------------------------------------------------------


def state_name(instance: Instance) -> str:
    """EC2's word for an instance's state (lifecycle §7.1)."""
    return ec2_state(instance.detail, gone=instance.desired is Desired.GONE)


def state_document(name: str) -> Document:
    """A state with its code."""
    return {"Code": STATE_CODES[name], "Name": name}


class StateReason(msgspec.Struct, frozen=True, kw_only=True):
    """Why an instance is in its state; of one that only waits, the code is the state."""

    code: str
    message: str

    @property
    def document(self) -> Document:
        """The reason in a reply."""
        return {"Code": self.code, "Message": self.message}


_USER = StateReason(
    code="Client.UserInitiatedShutdown", message="Client.UserInitiatedShutdown: User initiated shutdown"
)
_HIBERNATE = StateReason(
    code="Client.UserInitiatedHibernate", message="Client.UserInitiatedHibernate: User initiated hibernate"
)
_GUEST = StateReason(
    code="Client.InstanceInitiatedShutdown",
    message="Client.InstanceInitiatedShutdown: Instance initiated shutdown",
)
_NO_CAPACITY = StateReason(
    code="Server.InsufficientInstanceCapacity",
    message="Server.InsufficientInstanceCapacity: Insufficient capacity to satisfy instance request",
)
_INTERNAL = StateReason(code="Server.InternalError", message="Server.InternalError: Internal error on launch")
_STOPPED_BY_FAULT = StateReason(
    code="Server.InternalError", message="Server.InternalError: The instance was stopped by an internal error"
)

_REASONS: Mapping[Reason, StateReason | None] = {
    Reason.NONE: None,
    Reason.USER_SHUTDOWN: _USER,
    Reason.USER_HIBERNATE: _HIBERNATE,
    Reason.PAUSED_OUTSIDE: _HIBERNATE,
    Reason.GUEST_SHUTDOWN: _GUEST,
    Reason.CRASHED: _STOPPED_BY_FAULT,
    Reason.DESTROYED_OUTSIDE: _STOPPED_BY_FAULT,
    Reason.VANISHED: _STOPPED_BY_FAULT,
    Reason.HOST_REBOOT: _STOPPED_BY_FAULT,
    Reason.HOST_SILENT: _STOPPED_BY_FAULT,
    Reason.JOB_FAILED: _STOPPED_BY_FAULT,
    Reason.LAUNCH_FAILED: _INTERNAL,
    Reason.NO_CAPACITY: _NO_CAPACITY,
}


def state_reason(instance: Instance) -> StateReason | None:
    """Why an instance is in its state, as long as it applies (lifecycle §7.1); never while running."""
    name = state_name(instance)
    if name == "running":
        return None
    if name == "pending" and instance.state.value != "fail":
        words = instance.reason.words
        return StateReason(code=name, message=f"{words[:1].upper()}{words[1:]}." if words else name)
    return _REASONS[instance.reason] or _unexplained(name)


def _unexplained(name: str) -> StateReason | None:
    """An ending is always somebody's wish; a stop without a recorded reason stays unexplained."""
    return _USER if name in {"shutting-down", "terminated"} else None


def transition_reason(instance: Instance) -> str:
    """``StateTransitionReason``: who did it and when, or the server's own reason; empty while running."""
    if state_name(instance) in {"running", "pending"}:
        return ""
    if instance.by_user:
        return f"User initiated ({moment(instance.state_since):%Y-%m-%d %H:%M:%S} GMT)"
    reason = state_reason(instance)
    return reason.message if reason is not None and reason.code.startswith("Server.") else ""


# Instances ----------------------------------------------------------------------------------------------


def dns_domain(region: str) -> str:
    """The private domain of a region, without a leading dot."""
    return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"


def private_address(instance: Instance) -> str | None:
    """The private address; an instance that ended has given it back."""
    return instance.address or None if state_name(instance) != "terminated" else None


def private_dns_name(instance: Instance) -> str:
    """The private name; empty without an address."""
    return private_name(private_address(instance) or "", instance.region)


def private_name(address: str, region: str) -> str:
    """The name of a private address; empty without an address."""
    return f"ip-{address.replace('.', '-')}.{dns_domain(region)}" if address else ""


def public_name(address: str, domain: str) -> str:
    """The name of a public address; empty where the operator has no domain for them."""
    return f"ec2-{address.replace('.', '-')}.{domain}" if address and domain else ""


def attached(instance: Instance, volumes: Sequence[Volume]) -> list[Volume]:
    """The volumes that an instance is shown to have; an ended one has let go of all."""
    if state_name(instance) == "terminated":
        return []
    return [volume for volume in volumes if volume.attach is not AttachState.NONE]


def block_devices(volumes: Sequence[Volume]) -> list[Document]:
    """``InstanceBlockDeviceMapping`` of each volume, in the same words as the volume's own attachment."""
    return [
        {
            "DeviceName": writable(volume.device),
            "Ebs": {
                "AttachTime": attach_time(volume),
                "DeleteOnTermination": volume.delete_on_termination,
                "Status": volume.attach.value,
                "VolumeId": volume.id,
            },
        }
        for volume in volumes
    ]


def attach_time(volume: Volume) -> datetime | None:
    """When a volume's attachment was asked for (EC2 AttachTime)."""
    asked = volume.asked_at or volume.attached_at
    return None if asked is None else moment(asked)


def metadata_options(options: MetadataOptions) -> Document:
    """``InstanceMetadataOptionsResponse``: how an instance may use the metadata service."""
    return {
        "State": METADATA_STATE,
        "HttpTokens": options.tokens,
        "HttpPutResponseHopLimit": options.hop_limit,
        "HttpEndpoint": enabled(options.endpoint),
        "HttpProtocolIpv6": enabled(False),
        "InstanceMetadataTags": enabled(options.tags),
    }


def enabled(on: bool) -> str:
    """EC2's word for a switch of the metadata service."""
    return "enabled" if on else "disabled"


def reservation_head(launch_id: str, account_id: str) -> Document:
    """``Reservation`` without its instances."""
    return {"ReservationId": launch_id, "OwnerId": account_id, "Groups": []}


def state_change(before: Instance, after: Instance) -> Document:
    """``InstanceStateChange``: both states as one transaction read and left them."""
    return {
        "InstanceId": after.id,
        "CurrentState": state_document(state_name(after)),
        "PreviousState": state_document(state_name(before)),
    }


# Status checks ------------------------------------------------------------------------------------------

_REACHABILITY = {
    "ok": "passed",
    "impaired": "failed",
    "initializing": "initializing",
    "insufficient-data": "insufficient-data",
}
_ARRIVING = frozenset({"boot.unkn", "boot.migrate", "migr.live", "migr.cold", "migr.unkn", "save.migrate"})


def checks(instance: Instance, now: float) -> tuple[str, str]:
    """The words of the instance's and the system's status checks (lifecycle §7.1)."""
    if state_name(instance) != "running":
        return "not-applicable", "not-applicable"
    if instance.detail == "unkn":
        return "insufficient-data", "impaired"
    if instance.detail in _ARRIVING:
        return "initializing", "ok"
    if instance.health != "ok":
        return "impaired", "ok"
    if now - instance.state_since < _SETTLING_SECONDS:
        return "initializing", "initializing"
    return "ok", "ok"


def reachability(word: str) -> str | None:
    """The detail ``reachability`` that goes with a check's word."""
    return _REACHABILITY.get(word)


def _summary(word: str, since: float | None) -> Document:
    detail = reachability(word)
    if detail is None:
        return {"Status": word}
    impaired = moment(since) if word == "impaired" and since is not None else None
    return {
        "Status": word,
        "Details": [{"Name": "reachability", "Status": detail, "ImpairedSince": impaired}],
    }


def status_document(instance: Instance, now: float) -> Document:
    """``InstanceStatus`` of DescribeInstanceStatus at a time."""
    of_instance, of_system = checks(instance, now)
    return {
        "InstanceId": instance.id,
        "AvailabilityZone": instance.zone,
        "AvailabilityZoneId": zone_id_of(instance.region, instance.zone),
        "InstanceState": state_document(state_name(instance)),
        "InstanceStatus": _summary(of_instance, instance.state_since),
        "SystemStatus": _summary(of_system, instance.last_seen),
        "Operator": {"Managed": False},
    }


# Key pairs ----------------------------------------------------------------------------------------------


def key_pair_document(pair: KeyPair, tags: Mapping[str, str], *, with_key: bool) -> Document:
    """``KeyPairInfo`` of DescribeKeyPairs."""
    return {
        "KeyPairId": pair.id,
        "KeyName": writable(pair.name),
        "KeyType": pair.key_type,
        "KeyFingerprint": pair.fingerprint,
        "CreateTime": moment(pair.created_at),
        "PublicKey": writable(pair.public_key) if with_key else None,
        "Tags": tag_list(tags),
    }


# Zones --------------------------------------------------------------------------------------------------

_COMPASS: Mapping[str, str] = {
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
    "central": "c",
    "northeast": "ne",
    "northwest": "nw",
    "southeast": "se",
    "southwest": "sw",
}


def zone_id(region: str, position: int) -> str:
    """The id of a region's n-th zone (from 0): ``use1-az1``."""
    first, *rest = region.split("-")
    short = "".join(_COMPASS.get(part, part if part.isdigit() else part[:1]) for part in rest)
    return f"{first}{short}-az{position + 1}"


def zone_id_of(region: str, zone: str) -> str | None:
    """The id of a zone by its letter; None for a name that is not its region's with a letter."""
    letter = zone.removeprefix(region)
    if len(letter) != 1 or not "a" <= letter <= "z":
        return None
    return zone_id(region, ord(letter) - ord("a"))
