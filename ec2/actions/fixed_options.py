"""Options of an instance that cannot be changed: who asks for what it has anyway is told so.

Terraform and Ansible send them with every instance whose configuration mentions them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.errors import BackendError
from backend.model import Instance
from ec2 import mapping
from ec2.actions.common import refuse_unless, well_formed_ids
from ec2.actions.instances import still_there
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.ids import MALFORMED, IdKind, well_formed
from ec2.refusals import from_backend

_MAINTENANCE: Mapping[str, Any] = {"AutoRecovery": "disabled", "RebootMigration": "disabled"}
_DNS_NAMES: Mapping[str, Any] = {
    "PrivateDnsHostnameType": mapping.DNS_NAME_OPTIONS["HostnameType"],
    **{name: value for name, value in mapping.DNS_NAME_OPTIONS.items() if name != "HostnameType"},
}
_CAPACITY: Mapping[str, Any] = {
    "CapacityReservationSpecification": {"CapacityReservationPreference": ("open", "none")}
}
_BANDWIDTH: Mapping[str, Any] = {"BandwidthWeighting": mapping.BANDWIDTH_WEIGHTING}


def modify_instance_maintenance_options(context: Ec2Context, params: Params) -> Document:
    """What happens to an instance when its host fails (ModifyInstanceMaintenanceOptions): it waits for it."""
    instance = _has(context, params, _MAINTENANCE)
    return {"InstanceId": instance.id, **_MAINTENANCE}


def modify_private_dns_name_options(context: Ec2Context, params: Params) -> Document:
    """How private names are made (ModifyPrivateDnsNameOptions): of the address."""
    _has(context, params, _DNS_NAMES)
    return {"Return": True}


def modify_capacity_reservation(context: Ec2Context, params: Params) -> Document:
    """Which reservations count (ModifyInstanceCapacityReservationAttributes): there are none."""
    _has(context, params, _CAPACITY)
    return {"Return": True}


def modify_instance_network_performance_options(context: Ec2Context, params: Params) -> Document:
    """What of the bandwidth is for disks (ModifyInstanceNetworkPerformanceOptions): nothing is divided."""
    instance = _has(context, params, _BANDWIDTH)
    return {"InstanceId": instance.id, **_BANDWIDTH}


def modify_instance_cpu_options(context: Ec2Context, params: Params) -> Document:
    """Cores and threads of an instance (ModifyInstanceCpuOptions): as many as its type has, of one each."""
    instance = _instance(context, params)
    options = {
        "CoreCount": instance.vcpus,
        "ThreadsPerCore": 1,
        "NestedVirtualization": "disabled",
    }
    refuse_unless(params, options)
    return {"InstanceId": instance.id, **options}


def modify_instance_credit_specification(context: Ec2Context, params: Params) -> Document:
    """How burstable instances spend their credits (ModifyInstanceCreditSpecification): none runs out here.

    As in EC2, each instance has its own outcome.
    """
    done: list[Document] = []
    failed: list[Document] = []
    for each in params["InstanceCreditSpecifications"]:
        instance_id, wanted = each.get("InstanceId", ""), each.get("CpuCredits", "")
        if wanted not in {"standard", "unlimited"}:
            raise Ec2Error(
                "InvalidParameterValue", f"Value ({wanted[:120]}) for parameter cpuCredits is invalid."
            )
        trouble = _credit_trouble(context, instance_id, wanted)
        if trouble is None:
            done.append({"InstanceId": instance_id})
        else:
            failed.append({"InstanceId": instance_id, "Error": trouble})
    return {
        "SuccessfulInstanceCreditSpecifications": done,
        "UnsuccessfulInstanceCreditSpecifications": failed,
    }


def _credit_trouble(context: Ec2Context, instance_id: str, wanted: str) -> Document | None:
    if not well_formed(IdKind.INSTANCE, instance_id):
        refused = MALFORMED[IdKind.INSTANCE].error([instance_id])
        return {"Code": refused.code, "Message": refused.message}
    try:
        found = context.engine.instance(context.caller, instance_id)
    except BackendError as error:
        refused = from_backend(error)
        return {"Code": refused.code, "Message": refused.message}
    if mapping.state_name(found) == "terminated":
        return {
            "Code": "IncorrectInstanceState",
            "Message": f"The instance '{instance_id}' is terminated.",
        }
    if wanted != "standard":
        return {
            "Code": "InstanceCreditSpecification.NotSupported",
            "Message": "Instances have the credit option standard in this cloud.",
        }
    return None


def _has(context: Ec2Context, params: Params, options: Mapping[str, Any]) -> Instance:
    """The instance, if all that is asked of it is the case."""
    instance = _instance(context, params)
    refuse_unless(params, options)
    return instance


def _instance(context: Ec2Context, params: Params) -> Instance:
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    instance = context.engine.instance(context.caller, instance_id)
    still_there(instance)
    return instance
