"""What people do with `aws ec2`, the same for both versions of it. The tests run in the order of their lines."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aws_cli import AwsCli
from client_guest import BOOTED, SCRIPT, Guest, serial
from live_cloud import LiveCloud, key_of, wait_for

DRY = "Request would have succeeded, but DryRun flag is set."


class AwsCliScenario:
    """Derive from it with the version in ``VERSION``."""

    VERSION = ""

    @pytest.fixture(scope="class")
    @classmethod
    def aws(cls, client_cloud: LiveCloud) -> AwsCli:
        return AwsCli(cls.VERSION, client_cloud, key_of(client_cloud.tenant(f"cli-{cls.VERSION}")))

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: Any) -> Path:
        return tmp_path_factory.mktemp("typed")

    @pytest.fixture(scope="class")
    @classmethod
    def subnet(cls, aws: AwsCli) -> dict[str, Any]:
        """A subnet of the default VPC."""
        return aws("describe-subnets", "--filters", "Name=default-for-az,Values=true")["Subnets"][0]

    @pytest.fixture(scope="class")
    @classmethod
    def web(cls, aws: AwsCli, client_cloud: LiveCloud, folder: Path, subnet: dict[str, Any]) -> Guest:
        """A guest launched with everything that run-instances can say of it, and running."""
        (folder / "script").write_text(SCRIPT)
        group = aws.text(
            "create-security-group", "--group-name", "web", "--description", "of the web",
            "--vpc-id", subnet["VpcId"], "--query", "GroupId", "--output", "text",
        )  # fmt: skip
        aws("create-key-pair", "--key-name", "web", "--key-type", "ed25519")
        reservation = aws(
            "run-instances", "--image-id", client_cloud.image, "--instance-type", "t2.nano", "--count", "1",
            "--key-name", "web", "--security-group-ids", group, "--subnet-id", subnet["SubnetId"],
            "--private-ip-address", "172.31.0.77", "--user-data", f"file://{folder}/script",
            "--block-device-mappings",
            '[{"DeviceName": "/dev/vda", "Ebs": {"VolumeSize": 2}},'
            ' {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "DeleteOnTermination": false}}]',
            "--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value='web, first'},{Key=stage,Value=test}]",
            "ResourceType=volume,Tags=[{Key=of,Value=web}]",
            "--metadata-options", "HttpTokens=optional,HttpPutResponseHopLimit=2,InstanceMetadataTags=enabled",
            "--instance-initiated-shutdown-behavior", "stop", "--placement",
            f"AvailabilityZone={subnet['AvailabilityZone']}", "--client-token", "typed-once",
        )  # fmt: skip
        [instance] = reservation["Instances"]
        assert instance["State"] == {"Code": 0, "Name": "pending"}
        assert reservation["OwnerId"] == subnet["OwnerId"]
        aws("wait", "instance-exists", "--instance-ids", instance["InstanceId"])
        aws("wait", "instance-running", "--instance-ids", instance["InstanceId"])
        return Guest(client_cloud, instance["InstanceId"])

    # Before there is a guest ----------------------------------------------------------------------------

    def test_keys(self, aws: AwsCli, folder: Path):
        pem = aws.text("create-key-pair", "--key-name", "made", "--query", "KeyMaterial", "--output", "text")
        (folder / "made.pem").write_text(f"{pem}\n")
        (folder / "made.pem").chmod(0o600)
        public = subprocess.run(
            ["ssh-keygen", "-y", "-f", str(folder / "made.pem")], check=True, capture_output=True, text=True
        ).stdout
        (folder / "mine.pub").write_text(public)
        imported = aws(
            "import-key-pair", "--key-name", "mine", "--public-key-material", f"fileb://{folder}/mine.pub",
            "--tag-specifications", "ResourceType=key-pair,Tags=[{Key=from,Value=file}]",
        )  # fmt: skip
        assert re.fullmatch(r"([0-9a-f]{2}:){15}[0-9a-f]{2}", imported["KeyFingerprint"])
        [shown] = aws("describe-key-pairs", "--include-public-key", "--filters", "Name=tag:from,Values=file")[
            "KeyPairs"
        ]
        assert (shown["KeyName"], shown["KeyType"]) == ("mine", "rsa")
        assert shown["PublicKey"].split()[:2] == public.split()[:2]
        assert aws.refusal("create-key-pair", "--key-name", "made") == (
            "InvalidKeyPair.Duplicate",
            "The keypair 'made' already exists.",
        )
        aws("delete-key-pair", "--key-name", "made")
        aws("delete-key-pair", "--key-pair-id", imported["KeyPairId"])
        assert aws.refusal("describe-key-pairs", "--key-names", "made")[0] == "InvalidKeyPair.NotFound"

    def test_security_groups(self, aws: AwsCli):
        made = aws(
            "create-security-group", "--group-name", "db", "--description", "databases",
            "--tag-specifications", "ResourceType=security-group,Tags=[{Key=tier,Value=data}]",
        )  # fmt: skip
        group = made["GroupId"]
        aws(
            "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "5432-5433",
            "--cidr", "10.0.0.0/8",
        )  # fmt: skip
        permissions = [
            {
                "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
                "IpRanges": [{"CidrIp": "192.0.2.0/24", "Description": "the office"}],
                "UserIdGroupPairs": [{"GroupId": group}],
            },
            {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
        ]  # fmt: skip
        words = (
            "authorize-security-group-ingress",
            "--group-id",
            group,
            "--ip-permissions",
            json.dumps(permissions),
        )
        added = aws(*words)
        assert added["Return"] is True
        assert len(added["SecurityGroupRules"]) == 3
        assert aws.refusal(*words)[0] == "InvalidPermission.Duplicate"
        rules = aws("describe-security-group-rules", "--filters", f"Name=group-id,Values={group}")[
            "SecurityGroupRules"
        ]
        assert len(rules) == 5  # and the one for everything that leaves
        office = next(each for each in rules if each.get("Description") == "the office")
        aws(
            "update-security-group-rule-descriptions-ingress", "--group-id", group,
            "--security-group-rule-descriptions",
            f"SecurityGroupRuleId={office['SecurityGroupRuleId']},Description=home",
        )  # fmt: skip
        aws(
            "modify-security-group-rules", "--group-id", group, "--security-group-rules",
            f"SecurityGroupRuleId={office['SecurityGroupRuleId']},SecurityGroupRule="
            "{IpProtocol=tcp,FromPort=2222,ToPort=2222,CidrIpv4=198.51.100.0/24}",
        )  # fmt: skip
        aws(
            "revoke-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "5432-5433",
            "--cidr", "10.0.0.0/8",
        )  # fmt: skip
        query = "SecurityGroups[].IpPermissions[?IpProtocol=='tcp'].[FromPort,IpRanges[0].CidrIp]"
        shown = aws("describe-security-groups", "--filters", "Name=tag:tier,Values=data", "--query", query)
        assert sorted(shown[0], key=str) == [[22, None], [2222, "198.51.100.0/24"]]
        aws("delete-security-group", "--group-id", group)
        assert aws.refusal("describe-security-groups", "--group-ids", group) == (
            "InvalidGroup.NotFound",
            f"The security group '{group}' does not exist",
        )

    def test_a_network_of_ones_own(self, aws: AwsCli):
        def text(*words: str) -> str:
            return aws.text(*words, "--output", "text")

        vpc = text(
            "create-vpc", "--cidr-block", "10.20.0.0/16", "--query", "Vpc.VpcId",
            "--tag-specifications", "ResourceType=vpc,Tags=[{Key=Name,Value=lab}]",
        )  # fmt: skip
        aws("wait", "vpc-available", "--vpc-ids", vpc)
        aws("modify-vpc-attribute", "--vpc-id", vpc, "--enable-dns-hostnames")
        names = aws("describe-vpc-attribute", "--vpc-id", vpc, "--attribute", "enableDnsHostnames")
        assert names == {"VpcId": vpc, "EnableDnsHostnames": {"Value": True}}
        subnet = text(
            "create-subnet", "--vpc-id", vpc, "--cidr-block", "10.20.1.0/24", "--query", "Subnet.SubnetId"
        )
        aws("wait", "subnet-available", "--subnet-ids", subnet)
        aws("modify-subnet-attribute", "--subnet-id", subnet, "--map-public-ip-on-launch")
        gateway = text("create-internet-gateway", "--query", "InternetGateway.InternetGatewayId")
        aws("attach-internet-gateway", "--internet-gateway-id", gateway, "--vpc-id", vpc)
        table = text("create-route-table", "--vpc-id", vpc, "--query", "RouteTable.RouteTableId")
        routed = aws(
            "create-route", "--route-table-id", table, "--destination-cidr-block", "0.0.0.0/0",
            "--gateway-id", gateway,
        )  # fmt: skip
        assert routed == {"Return": True}
        association = text(
            "associate-route-table",
            "--route-table-id",
            table,
            "--subnet-id",
            subnet,
            "--query",
            "AssociationId",
        )
        query = "RouteTables[0].Routes[].[DestinationCidrBlock,GatewayId,State]"
        listed = text("describe-route-tables", "--route-table-ids", table, "--query", query)
        assert {tuple(line.split("\t")) for line in listed.splitlines()} == {
            ("10.20.0.0/16", "local", "active"),
            ("0.0.0.0/0", gateway, "active"),
        }
        allocation = text("allocate-address", "--domain", "vpc", "--query", "AllocationId")
        nat = text(
            "create-nat-gateway", "--subnet-id", subnet, "--allocation-id", allocation, "--query",
            "NatGateway.NatGatewayId",
        )  # fmt: skip
        aws("wait", "nat-gateway-available", "--nat-gateway-ids", nat)
        interface = aws(
            "create-network-interface", "--subnet-id", subnet, "--description", "spare",
            "--private-ip-addresses", "Primary=true,PrivateIpAddress=10.20.1.9",
        )["NetworkInterface"]  # fmt: skip
        aws("wait", "network-interface-available", "--network-interface-ids", interface["NetworkInterfaceId"])

        assert aws.refusal("delete-vpc", "--vpc-id", vpc)[0] == "DependencyViolation"
        aws("delete-network-interface", "--network-interface-id", interface["NetworkInterfaceId"])
        aws("delete-nat-gateway", "--nat-gateway-id", nat)
        aws("wait", "nat-gateway-deleted", "--nat-gateway-ids", nat)
        aws("release-address", "--allocation-id", allocation)
        aws("disassociate-route-table", "--association-id", association)
        aws("delete-route", "--route-table-id", table, "--destination-cidr-block", "0.0.0.0/0")
        aws("delete-route-table", "--route-table-id", table)
        aws("detach-internet-gateway", "--internet-gateway-id", gateway, "--vpc-id", vpc)
        aws("delete-internet-gateway", "--internet-gateway-id", gateway)
        aws("delete-subnet", "--subnet-id", subnet)
        aws("delete-vpc", "--vpc-id", vpc)
        assert aws("describe-vpcs", "--filters", "Name=tag:Name,Values=lab") == {"Vpcs": []}

    # A guest --------------------------------------------------------------------------------------------

    def test_what_was_launched_is_what_runs(self, aws: AwsCli, web: Guest, subnet: dict[str, Any]):
        told = web.ready()
        [instance] = aws("describe-instances", "--instance-ids", web.id)["Reservations"][0]["Instances"]
        assert told["instance_id"] == web.id
        assert (told["keys"], told["user_data"], told["ip"]) == (1, "ran", "172.31.0.77")
        volumes = {each["DeviceName"]: each["Ebs"]["VolumeId"] for each in instance["BlockDeviceMappings"]}
        assert told["disks"]["vda"]["size"] == 2 << 30
        assert {"size": 1 << 30, "serial": serial(volumes["/dev/sdf"])} in told["disks"].values()
        assert instance["PrivateIpAddress"] == "172.31.0.77"
        assert instance["SubnetId"] == subnet["SubnetId"]
        assert instance["Placement"]["AvailabilityZone"] == subnet["AvailabilityZone"]
        assert instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
        assert sorted(each["Value"] for each in instance["Tags"]) == ["test", "web, first"]
        assert web.shown()["state"] == "runn"
        assert web.runs()
        console = aws.text(
            "get-console-output", "--instance-id", web.id, "--output", "text", "--query", "Output"
        )
        assert f"user-data: hello from {web.id}" in console
        assert "isthmus-guest: ready" in console
        assert f'"instance_id":"{web.id}"' in console
        attribute = aws("describe-instance-attribute", "--instance-id", web.id, "--attribute", "userData")
        assert base64.b64decode(attribute["UserData"]["Value"]).decode() == SCRIPT
        owned = aws("describe-volumes", "--filters", "Name=tag:of,Values=web")["Volumes"]
        assert {each["VolumeId"] for each in owned} == set(volumes.values())

    def test_the_same_token_is_the_same_instance(self, aws: AwsCli, web: Guest):
        done = aws.run("run-instances", "--image-id", web.cloud.image, "--client-token", "typed-once")
        assert "(IdempotentParameterMismatch)" in done.err

    def test_queries_filters_and_outputs(self, aws: AwsCli, web: Guest):
        named = ("--filters", "Name=tag:Name,Values=web*", "Name=instance-state-name,Values=running")
        query = "Reservations[].Instances[].[InstanceId,State.Name,Tags[?Key=='stage']|[0].Value]"
        assert aws.text("describe-instances", *named, "--query", query, "--output", "text") == (
            f"{web.id}\trunning\ttest"
        )
        table = aws.text("describe-instances", *named, "--query", query, "--output", "table")
        assert "DescribeInstances" in table
        assert [web.id, "running", "test"] in [
            [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
        ]
        assert aws("describe-instances", "--filters", "Name=instance-type,Values=t2.large") == {
            "Reservations": []
        }
        assert aws.refusal("describe-instances", "--filters", "Name=colour,Values=red") == (
            "InvalidParameterValue",
            "The filter 'colour' is invalid",
        )
        if self.VERSION == "v2":
            shown = aws.text("describe-instances", *named, "--query", query, "--output", "yaml")
            assert shown == f"- - {web.id}\n  - running\n  - test"
            streamed = aws.text("describe-instances", *named, "--output", "yaml-stream")
            assert f"InstanceId: {web.id}" in streamed

    def test_pages(self, aws: AwsCli):
        names = [f"page-{number}" for number in range(7)]
        for name in names:
            aws("create-security-group", "--group-name", name, "--description", name)
        listing = ("describe-security-groups", "--filters", "Name=group-name,Values=page-*")
        whole = [each["GroupName"] for each in aws(*listing, "--page-size", "5")["SecurityGroups"]]
        assert sorted(whole) == names
        seen, more = [], ()
        while True:
            page = aws(*listing, "--max-items", "3", *more)
            seen.append([each["GroupName"] for each in page["SecurityGroups"]])
            if "NextToken" not in page:
                break
            more = ("--starting-token", page["NextToken"])
        assert [len(each) for each in seen] == [3, 3, 1]
        assert [name for page in seen for name in page] == whole
        first = aws(*listing, "--no-paginate", "--max-results", "5")
        second = aws(*listing, "--no-paginate", "--max-results", "5", "--next-token", first["NextToken"])
        assert [each["GroupName"] for each in first["SecurityGroups"] + second["SecurityGroups"]] == whole
        assert not second.get("NextToken")
        for name in names:
            aws("delete-security-group", "--group-name", name)

    def test_input_from_files(self, aws: AwsCli, folder: Path):
        skeleton = json.loads(aws.text("create-volume", "--generate-cli-skeleton"))
        assert skeleton["AvailabilityZone"] == ""
        wanted = {"AvailabilityZone": "us-east-1a", "Size": 1, "VolumeType": "gp3", "DryRun": True}
        (folder / "volume.json").write_text(json.dumps(wanted))
        assert aws.refusal("create-volume", "--cli-input-json", f"file://{folder}/volume.json") == (
            "DryRunOperation",
            DRY,
        )
        made = aws("create-volume", "--cli-input-json", f"file://{folder}/volume.json", "--no-dry-run")
        assert (made["Size"], made["VolumeType"], made["Iops"]) == (1, "gp3", 3000)
        aws("wait", "volume-available", "--volume-ids", made["VolumeId"])
        aws("delete-volume", "--volume-id", made["VolumeId"])
        aws("wait", "volume-deleted", "--volume-ids", made["VolumeId"])
        if self.VERSION == "v2":
            (folder / "tags.yaml").write_text(
                "Resources: [vol-0123456789abcdef0]\nTags: [{Key: a, Value: b}]\n"
            )
            refused = aws.refusal("create-tags", "--cli-input-yaml", f"file://{folder}/tags.yaml")
            assert refused[0] == "InvalidVolume.NotFound"

    def test_errors_as_they_are_typed(self, aws: AwsCli, web: Guest):
        absent = "i-0123456789abcdef0"
        assert aws.refusal("describe-instances", "--instance-ids", absent) == (
            "InvalidInstanceID.NotFound",
            f"The instance ID '{absent}' does not exist",
        )
        assert (
            aws.refusal("stop-instances", "--instance-ids", web.id, absent)[0] == "InvalidInstanceID.NotFound"
        )
        assert aws.refusal("start-instances", "--instance-ids", "i-xyz")[0] == "InvalidInstanceID.Malformed"
        assert aws.refusal("terminate-instances", "--instance-ids", web.id, "--dry-run") == (
            "DryRunOperation",
            DRY,
        )
        assert aws.refusal("run-instances", "--image-id", "ami-0123456789abcdef0") == (
            "InvalidAMIID.NotFound",
            "The image id '[ami-0123456789abcdef0]' does not exist",
        )
        assert aws.refusal("create-vpc-peering-connection", "--vpc-id", "vpc-0123456789abcdef0")[0] == (
            "UnsupportedOperation"
        )
        done = aws.run("describe-instances", AWS_SECRET_ACCESS_KEY="wrong", AWS_ACCESS_KEY_ID="AKIAWRONG")
        assert done.status in {254, 255}
        assert "(AuthFailure)" in done.err
        assert web.shown()["state"] == "runn"

    def test_volumes_come_and_go_in_the_guest(self, aws: AwsCli, web: Guest, subnet: dict[str, Any]):
        made = aws(
            "create-volume", "--availability-zone", subnet["AvailabilityZone"], "--size", "1",
            "--volume-type", "gp3", "--tag-specifications", "ResourceType=volume,Tags=[{Key=Name,Value=data}]",
        )  # fmt: skip
        volume = made["VolumeId"]
        aws("wait", "volume-available", "--volume-ids", volume)
        web.ready()
        attached = aws(
            "attach-volume", "--volume-id", volume, "--instance-id", web.id, "--device", "/dev/sdg"
        )
        assert (attached["State"], attached["Device"]) == ("attaching", "/dev/sdg")
        web.says(f"added size={1 << 30} serial={serial(volume)}")
        aws("wait", "volume-in-use", "--volume-ids", volume)
        refused = aws.refusal("delete-volume", "--volume-id", volume)
        assert refused == ("VolumeInUse", f"Volume {volume} is currently attached to {web.id}")

        grown = aws("modify-volume", "--volume-id", volume, "--size", "2")["VolumeModification"]
        assert (grown["OriginalSize"], grown["TargetSize"], grown["ModificationState"]) == (1, 2, "modifying")
        web.says(f"resized size={2 << 30}")

        snapshot = aws("create-snapshot", "--volume-id", volume, "--description", "kept")["SnapshotId"]
        aws("wait", "snapshot-completed", "--snapshot-ids", snapshot)
        [shown] = aws(
            "describe-snapshots", "--owner-ids", "self", "--filters", f"Name=volume-id,Values={volume}"
        )["Snapshots"]
        assert (shown["VolumeSize"], shown["Progress"], shown["Description"]) == (2, "100%", "kept")
        restored = aws(
            "create-volume", "--availability-zone", subnet["AvailabilityZone"], "--snapshot-id", snapshot
        )["VolumeId"]
        aws("wait", "volume-available", "--volume-ids", restored)
        aws("attach-volume", "--volume-id", restored, "--instance-id", web.id, "--device", "/dev/sdh")
        web.says(f"added size={2 << 30} serial={serial(restored)}")

        changes = aws("describe-volumes-modifications", "--volume-ids", volume)["VolumesModifications"]
        assert [each["ModificationState"] for each in changes] == ["completed"]
        removed = web.console().count(" removed")
        for each in (volume, restored):
            aws("detach-volume", "--volume-id", each)
        aws("wait", "volume-available", "--volume-ids", volume, restored)
        web.says(" removed", removed + 2)
        for each in (volume, restored):
            aws("delete-volume", "--volume-id", each)
        aws("delete-snapshot", "--snapshot-id", snapshot)
        assert aws("describe-snapshots", "--owner-ids", "self") == {"Snapshots": []}

    def test_an_address_leads_to_the_guest(self, aws: AwsCli, web: Guest):
        [group] = aws("describe-security-groups", "--group-names", "web")["SecurityGroups"]
        held = aws("allocate-address", "--domain", "vpc")
        associated = aws(
            "associate-address", "--allocation-id", held["AllocationId"], "--instance-id", web.id
        )
        shown = aws("describe-addresses", "--public-ips", held["PublicIp"])["Addresses"][0]
        assert (shown["InstanceId"], shown["AssociationId"]) == (web.id, associated["AssociationId"])
        query = "Reservations[].Instances[].PublicIpAddress"
        assert aws("describe-instances", "--instance-ids", web.id, "--query", query) == [held["PublicIp"]]
        port = ("--group-id", group["GroupId"], "--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0")
        assert not greets(held["PublicIp"])
        aws("authorize-security-group-ingress", *port)
        wait_for(lambda: greets(held["PublicIp"]), "the guest's ssh server", BOOTED)
        aws("revoke-security-group-ingress", *port)
        wait_for(lambda: not greets(held["PublicIp"]), "the closed port")
        assert (
            aws.refusal("release-address", "--allocation-id", held["AllocationId"])[0]
            == "InvalidIPAddress.InUse"
        )
        aws("disassociate-address", "--association-id", associated["AssociationId"])
        aws("release-address", "--allocation-id", held["AllocationId"])
        assert aws("describe-addresses") == {"Addresses": []}

    def test_tags(self, aws: AwsCli, web: Guest):
        aws("create-tags", "--resources", web.id, "--tags", "Key=team,Value=a=b", "Key=empty,Value=")
        query = "Tags[].[Key,Value]"
        filters = ("--filters", f"Name=resource-id,Values={web.id}", "Name=key,Values=team,empty")
        assert sorted(aws("describe-tags", *filters, "--query", query)) == [["empty", ""], ["team", "a=b"]]
        aws("delete-tags", "--resources", web.id, "--tags", "Key=team", "Key=empty,Value=other")
        assert aws("describe-tags", *filters, "--query", query) == [["empty", ""]]
        refused = aws.refusal("create-tags", "--resources", web.id, "--tags", "Key=aws:x,Value=y")
        assert refused[0] == "InvalidParameterValue"

    def test_metadata_options_are_in_force(self, aws: AwsCli, web: Guest):
        web.says("metadata: t2.nano.")
        words = ("modify-instance-metadata-options", "--instance-id", web.id, "--http-tokens")
        changed = aws(*words, "required", "--http-endpoint", "enabled")["InstanceMetadataOptions"]
        assert changed["HttpTokens"] == "required"
        web.says("metadata: nothing.")
        aws(*words, "optional")
        web.says("metadata: t2.nano.", 2)

    def test_status_checks(self, aws: AwsCli, web: Guest):
        """They begin to say ok a minute after the start."""
        aws("wait", "instance-status-ok", "--instance-ids", web.id)
        aws("wait", "system-status-ok", "--instance-ids", web.id)
        [status] = aws("describe-instance-status", "--instance-ids", web.id)["InstanceStatuses"]
        assert (status["InstanceState"]["Name"], status["SystemStatus"]["Status"]) == ("running", "ok")

    def test_reboot(self, aws: AwsCli, web: Guest):
        before = web.ready()
        aws("reboot-instances", "--instance-ids", web.id)
        after = web.ready(2)
        assert after["boot_id"] != before["boot_id"]
        assert web.shown()["state"] == "runn"

    def test_stopped_changed_and_started(self, aws: AwsCli, web: Guest, folder: Path):
        refused = aws.refusal(
            "modify-instance-attribute", "--instance-id", web.id, "--instance-type", "Value=t2.micro"
        )
        assert refused[0] == "IncorrectInstanceState"
        [change] = aws("stop-instances", "--instance-ids", web.id)["StoppingInstances"]
        assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "stopping")
        aws("wait", "instance-stopped", "--instance-ids", web.id)
        web.says("isthmus-guest: power button")
        assert not web.runs()
        assert web.shown()["state"] == "poff"
        aws("modify-instance-attribute", "--instance-id", web.id, "--instance-type", "Value=t2.micro")
        (folder / "changed.b64").write_bytes(
            base64.b64encode(SCRIPT.replace("hello", "hello again").encode())
        )
        aws(
            "modify-instance-attribute", "--instance-id", web.id, "--attribute", "userData",
            "--value", f"file://{folder}/changed.b64",
        )  # fmt: skip

    def test_an_image_of_it(self, aws: AwsCli, web: Guest):
        """Of the stopped guest: nothing needs to be shut down for it."""
        made = aws(
            "create-image", "--instance-id", web.id, "--name", "golden", "--description", "as it was",
            "--tag-specifications", "ResourceType=image,Tags=[{Key=kind,Value=golden}]",
        )["ImageId"]  # fmt: skip
        aws("wait", "image-exists", "--image-ids", made)
        aws("wait", "image-available", "--image-ids", made)
        [image] = aws("describe-images", "--owners", "self", "--filters", "Name=tag:kind,Values=golden")[
            "Images"
        ]
        assert (image["Name"], image["Description"], image["Public"]) == ("golden", "as it was", False)
        mapped = {each["DeviceName"]: each["Ebs"]["VolumeSize"] for each in image["BlockDeviceMappings"]}
        assert mapped == {"/dev/vda": 2, "/dev/sdf": 1}
        without = '[{"DeviceName": "/dev/sdf", "NoDevice": ""}]'
        launched = aws(
            "run-instances",
            "--image-id",
            made,
            "--instance-type",
            "t2.nano",
            "--block-device-mappings",
            without,
        )["Instances"][0]
        copy = Guest(web.cloud, launched["InstanceId"])
        try:
            told = copy.ready(3)  # its disk was booted twice before
            assert (told["instance_id"], told["user_data"]) == (copy.id, "none")
            assert [each["size"] for each in told["disks"].values() if each["serial"].startswith("vol")] == [
                2 << 30
            ]
        finally:
            aws("terminate-instances", "--instance-ids", copy.id)
        aws("wait", "instance-terminated", "--instance-ids", copy.id)
        aws("deregister-image", "--image-id", made)
        assert aws.refusal("run-instances", "--image-id", made) == (
            "InvalidAMIID.Unavailable",
            f"The image id '[{made}]' is no longer available",
        )
        for snapshot in (each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"]):
            aws("delete-snapshot", "--snapshot-id", snapshot)

    def test_started_again(self, aws: AwsCli, web: Guest):
        [change] = aws("start-instances", "--instance-ids", web.id)["StartingInstances"]
        assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("stopped", "pending")
        told = web.ready(3)
        web.says(f"hello again from {web.id}")
        web.says("metadata: t2.micro.")
        assert told["ip"] == "172.31.0.77"
        assert web.shown()["flavor"] == "t2.micro"

    def test_terminated(self, aws: AwsCli, web: Guest):
        aws("modify-instance-attribute", "--instance-id", web.id, "--disable-api-termination")
        code, message = aws.refusal("terminate-instances", "--instance-ids", web.id)
        assert code == "OperationNotPermitted"
        assert f"The instance '{web.id}' may not be terminated." in message
        aws("modify-instance-attribute", "--instance-id", web.id, "--no-disable-api-termination")
        [change] = aws("terminate-instances", "--instance-ids", web.id)["TerminatingInstances"]
        assert change["CurrentState"]["Name"] == "shutting-down"
        aws("wait", "instance-terminated", "--instance-ids", web.id)
        assert not web.runs()
        [left] = aws("describe-volumes")["Volumes"]  # the one that was to stay
        assert left["State"] == "available"
        aws("delete-volume", "--volume-id", left["VolumeId"])
        aws("delete-security-group", "--group-name", "web")
        assert web.cloud.cli("check") == []

    def test_regions_types_and_who_asks(self, aws: AwsCli, client_cloud: LiveCloud):
        identity = aws("get-caller-identity", service="sts")
        assert re.fullmatch(r"\d{12}", identity["Account"])
        assert client_cloud.facts["region"] in aws("describe-regions", "--query", "Regions[].RegionName")
        filters = ("--filters", "Name=instance-type,Values=t2.*")
        query = "InstanceTypes[?MemoryInfo.SizeInMiB<=`1024`].InstanceType"
        assert sorted(aws("describe-instance-types", *filters, "--query", query)) == ["t2.micro", "t2.nano"]


def greets(address: str) -> bool:
    """Whether an ssh server answers there."""
    try:
        with socket.create_connection((address, 22), 2) as there:
            return there.recv(64).startswith(b"SSH-2.0-")
    except OSError:
        return False
