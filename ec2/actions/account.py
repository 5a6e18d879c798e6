"""DescribeAccountAttributes: the tenant's limits in EC2's words."""

from __future__ import annotations

from backend.model import QUOTA_DEFAULTS, UNLIMITED, QuotaName
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error

_NO_LIMIT = 2**31 - 1


def describe_account_attributes(context: Ec2Context, params: Params) -> Document:
    """Limits and the platform (DescribeAccountAttributes); addresses and VPCs are not offered yet."""
    known = {
        "supported-platforms": "VPC",
        "default-vpc": "none",
        "max-instances": str(_most_instances(context)),
        "max-elastic-ips": "0",
        "vpc-max-elastic-ips": "0",
        "vpc-max-security-groups-per-interface": "0",
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


def _most_instances(context: Ec2Context) -> int:
    tenant = context.engine.tenant(context.caller.tenant_id)
    quotas = tenant.quotas if tenant is not None else {}
    name = QuotaName.INSTANCES.value
    limit = quotas.get(name, QUOTA_DEFAULTS[name])
    return _NO_LIMIT if limit == UNLIMITED else limit


def get_ebs_encryption_by_default(_context: Ec2Context, _params: Params) -> Document:
    """Whether volumes are encrypted unasked (GetEbsEncryptionByDefault): not here."""
    return {"EbsEncryptionByDefault": False}
