"""A Debian guest with the real cloud-init: it finds our metadata service by itself, and believes it.

Slow: a whole distribution boots under emulation, in about a minute.
"""

from __future__ import annotations

import subprocess
import time

import pytest
from debian_guest import LOGIN, debian_guest_image, debian_guest_possible
from live_cloud import LiveCloud, wait_for

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not debian_guest_possible(), reason="the guest is built by root, with mmdebstrap"),
]
BOOTED = 600.0
USER_DATA = """#!/bin/sh
echo "user-data: ran as $(id -un) on $(hostname)" > /dev/ttyS0
echo "user-data: sees $(df -k --output=size / | tail -n 1) KiB" > /dev/ttyS0
curl -s -o /dev/null -w 'user-data: without token %{http_code}\\n' \
    http://169.254.169.254/latest/meta-data/instance-id > /dev/ttyS0
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
echo "user-data: is $(curl -s -H "X-aws-ec2-metadata-token: $token" \
    http://169.254.169.254/latest/meta-data/instance-id)" > /dev/ttyS0
echo "user-data: done" > /dev/ttyS0
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    cloud = LiveCloud(tmp_path_factory.mktemp("init")).init("--host")
    words = ("image", "import", str(debian_guest_image()), "--name", "debian", "--public")
    cloud.cli(*words, "--seed", "none")
    cloud.cli("image", "import", words[2], "--name", "debian-nocloud", "--public")
    cloud.start().wait_hosts()
    yield cloud
    cloud.end()


@pytest.fixture(scope="module")
def key(cloud, tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "id"
    made = cloud.client().create_key_pair(KeyName="mine", KeyType="ed25519")
    path.write_text(made["KeyMaterial"])
    path.chmod(0o600)
    return path


def launched(cloud, image, **more):
    ec2 = cloud.client()
    [found] = ec2.describe_images(Filters=[{"Name": "name", "Values": [image]}])["Images"]
    [instance] = ec2.run_instances(
        ImageId=found["ImageId"],
        InstanceType="t2.micro",
        KeyName="mine",
        UserData=USER_DATA,
        MinCount=1,
        MaxCount=1,
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 4}}],
        **more,
    )["Instances"]
    return instance


def console_when(cloud, instance, text):
    ec2 = cloud.client()

    def said():
        told = ec2.get_console_output(InstanceId=instance["InstanceId"], Latest=True).get("Output", "")
        time.sleep(1)
        return told if text in told else None

    return wait_for(said, f"the guest says {text!r}", BOOTED)


def ssh(instance, key, *words):
    for port in (22, 10022):
        done = subprocess.run(
            [
                "ssh", "-i", str(key), "-p", str(port), "-o", "BatchMode=yes", "-o", "ConnectTimeout=20",
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                f"{LOGIN}@{instance['PublicIpAddress']}", *words,
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode != 255:
            return done
    raise AssertionError(done.stderr)


def test_cloud_init_takes_all_from_version_2_of_the_metadata_service(cloud, key):
    """Hostname, ssh key, user data and the grown root; what asks without a token gets nothing."""
    instance = launched(
        cloud, "debian", MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled"}
    )
    cloud.client().authorize_security_group_ingress(
        GroupId=instance["SecurityGroups"][0]["GroupId"],
        IpProtocol="tcp",
        FromPort=22,
        ToPort=22,
        CidrIp="0.0.0.0/0",
    )
    told = console_when(cloud, instance, "user-data: done")
    name = "ip-" + instance["PrivateIpAddress"].replace(".", "-")
    assert f"user-data: ran as root on {name}" in told
    assert "user-data: without token 401" in told
    assert f"user-data: is {instance['InstanceId']}" in told
    [size] = [line.split()[2] for line in told.splitlines() if line.startswith("user-data: sees")]
    assert int(size) > 3 * 1024 * 1024, "the root file system fills the volume"
    assert "Datasource DataSourceEc2Local" in console_when(cloud, instance, "finished at")
    done = ssh(instance, key, "cloud-init query instance_id; hostname")
    assert done.stdout.split() == [instance["InstanceId"], name], done


def test_cloud_init_takes_all_from_a_seed(cloud, key):
    """The second road, for images that look there first: NoCloud."""
    instance = launched(cloud, "debian-nocloud")
    told = console_when(cloud, instance, "user-data: done")
    name = "ip-" + instance["PrivateIpAddress"].replace(".", "-")
    assert f"user-data: ran as root on {name}" in told
    assert "DataSourceNoCloud" in console_when(cloud, instance, "finished at")
