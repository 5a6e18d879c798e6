"""What the EC2 face does: one function for each operation, from its parameters to its reply document.

``ACTIONS`` is the whole surface; an operation of the service model without an entry here is not served, and
a test asserts that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ec2 import sts
from ec2.actions import (
    account,
    console,
    images,
    instance_attributes,
    instance_types,
    instances,
    key_pairs,
    regions,
    run,
    status,
    tags,
)
from ec2.context import Document, Ec2Context, Params

Action = Callable[[Ec2Context, Params], Document]

ACTIONS: Mapping[str, Action] = {
    "CreateKeyPair": key_pairs.create_key_pair,
    "CreateTags": tags.create_tags,
    "DeleteKeyPair": key_pairs.delete_key_pair,
    "DeleteTags": tags.delete_tags,
    "DeregisterImage": images.deregister_image,
    "DescribeAccountAttributes": account.describe_account_attributes,
    "DescribeAvailabilityZones": regions.describe_availability_zones,
    "DescribeImageAttribute": images.describe_image_attribute,
    "DescribeImages": images.describe_images,
    "DescribeInstanceAttribute": instance_attributes.describe_instance_attribute,
    "DescribeInstanceStatus": status.describe_instance_status,
    "DescribeInstanceTypeOfferings": instance_types.describe_instance_type_offerings,
    "DescribeInstanceTypes": instance_types.describe_instance_types,
    "DescribeInstances": instances.describe_instances,
    "DescribeKeyPairs": key_pairs.describe_key_pairs,
    "DescribeRegions": regions.describe_regions,
    "DescribeTags": tags.describe_tags,
    "GetCallerIdentity": sts.get_caller_identity,
    "GetConsoleOutput": console.get_console_output,
    "ImportKeyPair": key_pairs.import_key_pair,
    "ModifyImageAttribute": images.modify_image_attribute,
    "ModifyInstanceAttribute": instance_attributes.modify_instance_attribute,
    "RebootInstances": instances.reboot_instances,
    "RegisterImage": images.register_image,
    "ResetInstanceAttribute": instance_attributes.reset_instance_attribute,
    "RunInstances": run.run_instances,
    "StartInstances": instances.start_instances,
    "StopInstances": instances.stop_instances,
    "TerminateInstances": instances.terminate_instances,
}
