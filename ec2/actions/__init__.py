"""What the EC2 face does: one function for each operation, from its parameters to its reply document.

``ACTIONS`` is the whole surface, but for operations that list what there is none of (``nothing``). Every
operation of the service model has an entry here; a test asserts it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ec2 import sts
from ec2.actions import (
    account,
    console,
    images,
    imports,
    instance_attributes,
    instance_types,
    instances,
    key_pairs,
    regions,
    run,
    snapshots,
    status,
    tags,
    volume_status,
    volumes,
)
from ec2.context import Document, Ec2Context, Params

Action = Callable[[Ec2Context, Params], Document]

ACTIONS: Mapping[str, Action] = {
    "AttachVolume": volumes.attach_volume,
    "CancelImportTask": imports.cancel_import_task,
    "CopyImage": images.copy_image,
    "CopySnapshot": snapshots.copy_snapshot,
    "CreateImage": images.create_image,
    "CreateKeyPair": key_pairs.create_key_pair,
    "CreateSnapshot": snapshots.create_snapshot,
    "CreateSnapshots": snapshots.create_snapshots,
    "CreateTags": tags.create_tags,
    "CreateVolume": volumes.create_volume,
    "DeleteKeyPair": key_pairs.delete_key_pair,
    "DeleteSnapshot": snapshots.delete_snapshot,
    "DeleteTags": tags.delete_tags,
    "DeleteVolume": volumes.delete_volume,
    "DeregisterImage": images.deregister_image,
    "DescribeAccountAttributes": account.describe_account_attributes,
    "DescribeAvailabilityZones": regions.describe_availability_zones,
    "DescribeExportImageTasks": imports.describe_export_image_tasks,
    "DescribeImageAttribute": images.describe_image_attribute,
    "DescribeImages": images.describe_images,
    "DescribeImportImageTasks": imports.describe_import_image_tasks,
    "DescribeImportSnapshotTasks": imports.describe_import_snapshot_tasks,
    "DescribeInstanceAttribute": instance_attributes.describe_instance_attribute,
    "DescribeInstanceStatus": status.describe_instance_status,
    "DescribeInstanceTypeOfferings": instance_types.describe_instance_type_offerings,
    "DescribeInstanceTypes": instance_types.describe_instance_types,
    "DescribeInstances": instances.describe_instances,
    "DescribeKeyPairs": key_pairs.describe_key_pairs,
    "DescribeRegions": regions.describe_regions,
    "DescribeSnapshotAttribute": snapshots.describe_snapshot_attribute,
    "DescribeSnapshots": snapshots.describe_snapshots,
    "DescribeTags": tags.describe_tags,
    "DescribeVolumeAttribute": volume_status.describe_volume_attribute,
    "DescribeVolumeStatus": volume_status.describe_volume_status,
    "DescribeVolumes": volumes.describe_volumes,
    "DescribeVolumesModifications": volumes.describe_volumes_modifications,
    "DetachVolume": volumes.detach_volume,
    "DisableImage": images.disable_image,
    "DisableImageDeprecation": images.disable_image_deprecation,
    "EnableImage": images.enable_image,
    "EnableImageDeprecation": images.enable_image_deprecation,
    "EnableVolumeIO": volume_status.enable_volume_io,
    "ExportImage": imports.export_image,
    "GetCallerIdentity": sts.get_caller_identity,
    "GetConsoleOutput": console.get_console_output,
    "GetEbsEncryptionByDefault": account.get_ebs_encryption_by_default,
    "ImportImage": imports.import_image,
    "ImportKeyPair": key_pairs.import_key_pair,
    "ImportSnapshot": imports.import_snapshot,
    "ModifyImageAttribute": images.modify_image_attribute,
    "ModifyInstanceAttribute": instance_attributes.modify_instance_attribute,
    "ModifySnapshotAttribute": snapshots.modify_snapshot_attribute,
    "ModifyVolume": volumes.modify_volume,
    "ModifyVolumeAttribute": volume_status.modify_volume_attribute,
    "RebootInstances": instances.reboot_instances,
    "RegisterImage": images.register_image,
    "ResetImageAttribute": images.reset_image_attribute,
    "ResetInstanceAttribute": instance_attributes.reset_instance_attribute,
    "ResetSnapshotAttribute": snapshots.reset_snapshot_attribute,
    "RunInstances": run.run_instances,
    "StartInstances": instances.start_instances,
    "StopInstances": instances.stop_instances,
    "TerminateInstances": instances.terminate_instances,
}
