"""DescribeAccountAttributes: the tenant's limits in EC2's words."""

from __future__ import annotations

from backend.commands import EncryptByDefault
from backend.engine.nics import MOST_GROUPS
from backend.model import QUOTA_DEFAULTS, UNLIMITED, QuotaName
from backend.network_model import Vpc
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error

_NO_LIMIT = 2**31 - 1


def describe_account_attributes(context: Ec2Context, params: Params) -> Document:
    """Limits, the platform and the default VPC (DescribeAccountAttributes)."""
    addresses = str(_most(context, QuotaName.ADDRESSES))
    known = {
        "supported-platforms": "VPC",
        "default-vpc": _default_vpc(context),
        "max-instances": str(_most(context, QuotaName.INSTANCES)),
        "max-elastic-ips": addresses,
        "vpc-max-elastic-ips": addresses,
        "vpc-max-security-groups-per-interface": str(MOST_GROUPS),
    }
    wanted = params.get("AttributeNames") or list(known)
    for name in wanted:
        if name not in known:
            raise Ec2Error(
                "InvalidParameterValue", f"Value ({name[:120]}) for parameter attributeName is invalid."
            )
    return {
        "AccountAttributes": [
            {"AttributeName": name, "AttributeValues": [{"AttributeValue": known[name]}]}
            for name in dict.fromkeys(wanted)
        ]
    }


def _default_vpc(context: Ec2Context) -> str:
    vpcs = context.engine.networks.all(context.caller, Vpc)
    return next((vpc.id for vpc in vpcs if vpc.default), "none")


def _most(context: Ec2Context, name: QuotaName) -> int:
    tenant = context.engine.tenant(context.caller.tenant_id)
    quotas = tenant.quotas if tenant is not None else {}
    limit = quotas.get(name.value, QUOTA_DEFAULTS[name.value])
    return _NO_LIMIT if limit == UNLIMITED else limit


# Encryption by default ----------------------------------------------------------------------------------


def get_ebs_encryption_by_default(context: Ec2Context, _params: Params) -> Document:
    """Whether new volumes of the region are encrypted unasked (GetEbsEncryptionByDefault)."""
    tenant = context.engine.tenant(context.caller.tenant_id)
    enabled = tenant is not None and context.region in tenant.encrypted_regions
    # Each volume has a key of its own, which the service keeps; there are no keys of the account's.
    return {"EbsEncryptionByDefault": enabled, "SseType": "sse-ebs" if enabled else "none"}


def enable_ebs_encryption_by_default(context: Ec2Context, _params: Params) -> Document:
    """From now on encrypt what volumes come to be (EnableEbsEncryptionByDefault)."""
    context.engine.execute(context.caller, EncryptByDefault(enabled=True))
    return {"EbsEncryptionByDefault": True}


def disable_ebs_encryption_by_default(context: Ec2Context, _params: Params) -> Document:
    """Encrypt only what is asked to be (DisableEbsEncryptionByDefault)."""
    context.engine.execute(context.caller, EncryptByDefault(enabled=False))
    return {"EbsEncryptionByDefault": False}
