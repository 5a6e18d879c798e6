"""RunInstances: a request becomes one launch of the engine."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backend.commands import Launch, Launched
from backend.engine.launch import USER_DATA_LIMIT
from backend.errors import BackendError, Code
from backend.model import GuestShutdown, MetadataOptions, Volume
from ec2 import instance_mapping, mapping
from ec2.actions import monitoring
from ec2.actions.block_devices import block_devices
from ec2.actions.common import (
    missing,
    refuse_all,
    refuse_unless,
    specified_tags,
    unsupported_value,
    well_formed_ids,
)
from ec2.actions.nic_requests import launch_nics, metadata_options
from ec2.actions.template_reference import resolved
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.ids import IdKind, require_well_formed
from ec2.interface_mapping import Interface
from ec2.interfaces import interfaces_by_instance, interfaces_made

_NOT_OFFERED = (
    "AdditionalInfo",
    "ElasticGpuSpecification",
    "ElasticInferenceAccelerators",
    "EnablePrimaryIpv6",
    "IamInstanceProfile",
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "InstanceRequirements",
    "KernelId",
    "LicenseSpecifications",
    "Operator",
    "RamdiskId",
    "SecondaryInterfaces",
)
"""Parameters whose effect this cloud does not have yet."""

_AS_IT_IS: Mapping[str, Any] = {
    "CapacityReservationSpecification": {"CapacityReservationPreference": ("open", "none")},
    "CreditSpecification": {"CpuCredits": "standard"},
    "CpuOptions": {"ThreadsPerCore": 1, "AmdSevSnp": "disabled", "NestedVirtualization": "disabled"},
    "EbsOptimized": False,
    "EnclaveOptions": {"Enabled": False},
    "InstanceMarketOptions": {"MarketType": "on-demand"},
    "MaintenanceOptions": {"AutoRecovery": "disabled"},
    "NetworkPerformanceOptions": {"BandwidthWeighting": "default"},
    "PrivateDnsNameOptions": mapping.DNS_NAME_OPTIONS,
}
"""Options accepted only when they ask for what every instance has."""

_NO_PLACEMENT = ("Affinity", "HostId", "HostResourceGroupArn", "SpreadDomain")
"""Members of a placement that are about dedicated hosts, of which there are none."""
_TAGGED = frozenset({"instance", "volume", "network-interface"})
_TOKEN_LENGTH = 64


def run_instances(context: Ec2Context, params: Params) -> Document:
    """Launch between MinCount and MaxCount instances as one reservation (RunInstances)."""
    launched, tagged = _launched_before(context, params), True
    if launched is None:
        command = launch_command(context, params)
        launched = context.engine.execute(context.caller, command)
        tagged = bool(command.tags or command.origin_tags) or launched.replayed
    instances = launched.instances
    head = mapping.reservation_head(launched.launch_id, context.caller.account_id)
    ids = [instance.id for instance in instances]
    tags = context.engine.tags_of(ids) if tagged else {}
    volumes, interfaces = _with_them(context, launched, ids)
    groups = context.engine.group_names(instances)
    return head | {
        "Instances": [
            instance_mapping.instance_document(
                each,
                tags.get(each.id, {}),
                volumes.get(each.id, ()),
                interfaces.get(each.id, ()),
                groups.get(each.group_id, ""),
            )
            for each in instances
        ]
    }


def _with_them(
    context: Ec2Context, launched: Launched, ids: Sequence[str]
) -> tuple[Mapping[str, Sequence[Volume]], Mapping[str, Sequence[Interface]]]:
    """Volumes and interfaces of instances that were launched: read only where the launch tells less."""
    made, domain = launched.made, context.settings.public_domain
    if made is None or domain:
        return context.engine.disks_of(ids), interfaces_by_instance(
            context.engine, context.caller, ids, public_domain=domain
        )
    volumes: dict[str, list[Volume]] = {}
    for volume in made.volumes:
        volumes.setdefault(str(volume.instance_id), []).append(volume)
    return volumes, interfaces_made(made)


def _launched_before(context: Ec2Context, params: Params) -> Launched | None:
    """What a request with a client token made before, although its template may have gone since."""
    token = client_token(params)
    if not token or "LaunchTemplate" not in params:
        return None
    return context.engine.launched(context.caller, token, request_digest(params))


def launch_command(context: Ec2Context, params: Params) -> Launch:
    """The launch that a request asks for; refuses what the cloud cannot do rather than leave it out."""
    token = client_token(params)
    digest = request_digest(params) if token else ""  # of what was said, whatever a template makes of it
    template = resolved(context, params)
    params = template.params
    image_id = params.get("ImageId")
    if not image_id:
        raise missing("ImageId")
    require_well_formed(IdKind.IMAGE, [image_id])
    minimum, maximum = _counts(params)
    user_data = decode_user_data(params.get("UserData", ""))
    refuse_all(params, _NOT_OFFERED)
    refuse_all(params.get("Monitoring", {}), monitoring.NOT_OFFERED)
    refuse_unless(params, _as_it_is(context, params))
    return Launch(
        image_id=image_id,
        flavor=params.get("InstanceType") or None,
        minimum=minimum,
        maximum=maximum,
        **_placement(context, params.get("Placement", {})),
        key_name=params.get("KeyName") or None,
        user_data=user_data,
        tags=specified_tags(params, "instance", also=_TAGGED),
        volume_tags=specified_tags(params, "volume", also=_TAGGED),
        nic_tags=specified_tags(params, "network-interface", also=_TAGGED),
        mappings=block_devices(params.get("BlockDeviceMappings", ())),
        client_token=token,
        token_digest=digest,
        origin_tags=template.origin,
        on_guest_shutdown=GuestShutdown(params.get("InstanceInitiatedShutdownBehavior", "stop")),
        locked_terminate=params.get("DisableApiTermination", False),
        locked_stop=params.get("DisableApiStop", False),
        hibernation=params.get("HibernationOptions", {}).get("Configured", False),
        monitoring=params.get("Monitoring", {}).get("Enabled", False),
        metadata=metadata_options(params.get("MetadataOptions", {}), MetadataOptions()),
        **_place(params),
    )


def _place(params: Params) -> dict[str, Any]:
    """Where the instance's interfaces are: in a subnet with addresses and groups, or each for itself."""
    nics = launch_nics(params)
    if nics:
        return {"nics": nics}
    subnet_id = params.get("SubnetId") or ""
    if subnet_id:
        require_well_formed(IdKind.SUBNET, [subnet_id])
    names = params.get("SecurityGroups") or ()
    if subnet_id and names:
        raise Ec2Error(
            "InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet"
        )
    return {
        "subnet_id": subnet_id,
        "address": params.get("PrivateIpAddress") or "",
        "groups": (*well_formed_ids(IdKind.SECURITY_GROUP, params.get("SecurityGroupIds") or ()), *names),
    }


def _as_it_is(context: Ec2Context, params: Params) -> Mapping[str, Any]:
    """What may be asked for because every instance has it, and because the type that is asked for does."""
    wanted = params.get("CpuOptions", {}).get("CoreCount")
    if wanted is None:
        return _AS_IT_IS
    name = params.get("InstanceType") or context.engine.settings.default_flavor
    # A type that is not there is refused as that, and not for its cores.
    cores = next((flavor.vcpus for flavor in context.engine.flavors() if flavor.name == name), wanted)
    return {**_AS_IT_IS, "CpuOptions": {**_AS_IT_IS["CpuOptions"], "CoreCount": cores}}


def _counts(params: Params) -> tuple[int, int]:
    minimum, maximum = params["MinCount"], params["MaxCount"]
    for name, value in (("minCount", minimum), ("maxCount", maximum)):
        if value < 1:
            raise Ec2Error(
                "InvalidParameterValue",
                f"Value ({value}) for parameter {name} is invalid. It must be at least 1.",
            )
    if minimum > maximum:
        raise Ec2Error(
            "InvalidParameterCombination",
            f"MinCount ({minimum}) must not be greater than MaxCount ({maximum}).",
        )
    return minimum, maximum


def decode_user_data(text: str) -> bytes:
    """User data out of base64; line breaks are allowed, as old clients make them."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Ec2Error("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from None


def checked_user_data(text: str) -> bytes:
    """User data out of base64 that a guest can be given; raises USER_DATA_TOO_LARGE beyond 16 KiB."""
    data = decode_user_data(text)
    if len(data) > USER_DATA_LIMIT:
        raise BackendError(Code.USER_DATA_TOO_LARGE, "User data is limited to 16384 bytes.")
    return data


def client_token(params: Params, *, longest: int = _TOKEN_LENGTH) -> str:
    """The token of an idempotent call, empty without one; raises InvalidParameterValue (§11)."""
    token: str = params.get("ClientToken", "")
    if len(token) > longest or not token.isascii():
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({token[:120]}) for parameter clientToken is invalid. "
            f"It must have at most {longest} ASCII characters.",
        )
    return token


def request_digest(params: Params) -> str:
    """A digest of everything a request says but its token: equal requests have equal digests (§11)."""
    kept = {name: value for name, value in params.items() if name not in {"ClientToken", "DryRun"}}
    return hashlib.sha256(msgspec.json.encode(kept, order="deterministic")).hexdigest()


def _placement(context: Ec2Context, placement: Mapping[str, Any]) -> dict[str, Any]:
    """Zone and placement group of a launch."""
    for name in _NO_PLACEMENT:
        if placement.get(name) not in (None, ""):
            raise unsupported_value(placement[name], f"Placement.{name}")
    if placement.get("Tenancy", "default") != "default":
        raise unsupported_value(placement["Tenancy"], "Placement.Tenancy")
    return {"zone": _zone(context, placement), **group_named(placement)}


def group_named(placement: Mapping[str, Any]) -> dict[str, Any]:
    """The placement group and partition that a request names, by name or id, as a command has them."""
    name, identity = placement.get("GroupName") or "", placement.get("GroupId") or ""
    if identity:
        require_well_formed(IdKind.PLACEMENT_GROUP, [identity])
    if name and identity:
        raise Ec2Error(
            "InvalidParameterCombination", "The parameters groupName and groupId cannot be used together."
        )
    partition = placement.get("PartitionNumber")
    if partition is not None and partition < 1:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({partition}) for parameter partitionNumber is invalid. Partitions are counted from 1.",
        )
    return {"group": name or identity, "partition": partition or 0}


def _zone(context: Ec2Context, placement: Mapping[str, Any]) -> str | None:
    zone: str | None = placement.get("AvailabilityZone") or None
    wanted = placement.get("AvailabilityZoneId")
    if not wanted:
        return zone
    named = [name for name in context.zones if mapping.zone_id_of(context.region, name) == wanted]
    if not named or zone not in (None, named[0]):
        raise Ec2Error("InvalidParameterValue", f"Invalid availability zone id: [{wanted[:120]}]")
    return named[0]
