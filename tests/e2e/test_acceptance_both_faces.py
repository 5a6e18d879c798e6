"""One real machine through EC2 and OCCI: whichever face made it, the other manages it completely."""

from __future__ import annotations

import base64

import pytest
from live_cloud import LiveCloud, wait_for
from occi_client import SSH_KEY, USER_DATA, OcciClient
from views import Machine, aws, nothing_left

from backend.model import id_of

pytestmark = pytest.mark.qemu
SCRIPT = "#!/bin/sh\necho the script says $((6 * 7))\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvBnYkZ0m6cWQYq3V0mU0iH5cD1x4xGQ1ybIY9l8iVn me"


def test_made_by_ec2_and_managed_by_both(real_cloud: LiveCloud, tmp_path):
    cloud, ec2 = real_cloud, real_cloud.client()
    key = ec2.create_key_pair(KeyName="walk", KeyType="ed25519")
    assert "PRIVATE KEY" in key["KeyMaterial"]
    launch = {
        "ImageId": cloud.image, "InstanceType": "t2.nano", "KeyName": "walk", "UserData": SCRIPT,
        "MinCount": 1, "MaxCount": 1, "ClientToken": "walk-1",
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web, first"}]}],
    }  # fmt: skip
    made = ec2.run_instances(**launch)["Instances"]
    again = ec2.run_instances(**launch)["Instances"]
    assert [each["InstanceId"] for each in made] == [each["InstanceId"] for each in again]
    machine = Machine(cloud, made[0]["InstanceId"])

    ec2.get_waiter("instance_running").wait(InstanceIds=[machine.id], WaiterConfig={"Delay": 1})
    machine.both("running", "active")
    assert machine.entity()["title"] == "web, first"
    assert machine.offered() == {"stop", "restart", "suspend", "save"}
    [ready] = machine.ready(1)
    described = machine.described()
    assert ready["instance_id"] == machine.id
    assert ready["ip"] == described["PrivateIpAddress"]
    assert (ready["keys"], ready["user_data"]) == (1, "ran")
    assert "user-data: the script says 42" in machine.console()
    machine.act("start", status=409)
    machine.both("running", "active")

    machine.act("stop")  # by OCCI; the guest is asked
    machine.both("stopped", "inactive")
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine.id], WaiterConfig={"Delay": 1})
    wait_for(lambda: "isthmus-guest: power button" in machine.console(), "the guest's word")
    assert machine.described()["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert machine.offered() == {"start", "save"}

    [change] = aws(cloud, "start-instances", "--instance-ids", machine.id)["StartingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("stopped", "pending")
    machine.both("running", "active")
    assert machine.ready(2)[1]["boots"] == 2  # the same disk

    machine.act("suspend", "suspend")
    machine.both("stopped", "suspended")
    machine.act("start")
    machine.both("running", "active")
    machine.act("suspend", "hibernate")
    machine.both("stopped", "suspended")
    ec2.start_instances(InstanceIds=[machine.id])
    machine.both("running", "active")
    assert len(machine.ready(2)) == 2  # it went on, it did not boot

    aws(cloud, "reboot-instances", "--instance-ids", machine.id)
    assert machine.ready(3)[2]["boots"] == 3
    machine.both("running", "active")
    wait_for(lambda: "restart" in machine.offered(), "the reboot's end")
    machine.act("restart", "cold")
    assert machine.ready(4)[3]["boots"] == 4

    aws(cloud, "stop-instances", "--instance-ids", machine.id, "--force")
    aws(cloud, "wait", "instance-stopped", "--instance-ids", machine.id)
    machine.both("stopped", "inactive")
    aws(cloud, "terminate-instances", "--instance-ids", machine.id)
    aws(cloud, "wait", "instance-terminated", "--instance-ids", machine.id)
    assert cloud.occi("GET", machine.path).status == 404
    assert "the script says 42" in machine.console()  # what it said remains
    nothing_left(cloud, machine.id)


def test_made_by_occi_and_managed_by_ec2(real_cloud: LiveCloud):
    cloud, ec2 = real_cloud, real_cloud.client()
    occi = OcciClient(cloud)
    given = {
        "occi.core.title": 'by "OCCI"; one',
        "occi.compute.hostname": "node7",
        "occi.compute.userdata": base64.b64encode(SCRIPT.encode()).decode(),
        "occi.credentials.ssh.publickey": KEY,
    }
    location = occi.create((occi.mixin(cloud.image), occi.mixin("small"), USER_DATA, SSH_KEY), given)
    machine = Machine(cloud, id_of("i", location.rpartition("/")[2]))
    machine.both("running", "active")
    [ready] = machine.ready(1)
    assert (ready["keys"], ready["user_data"], ready["hostname"]) == (1, "ran", "node7")
    assert "user-data: the script says 42" in machine.console()
    described = machine.described()
    assert described["Tags"] == [{"Key": "Name", "Value": 'by "OCCI"; one'}]
    assert described["InstanceType"] == "small"
    assert described["ImageId"] == cloud.image

    ec2.create_tags(Resources=[machine.id], Tags=[{"Key": "Name", "Value": "renamed"}])
    assert machine.entity()["title"] == "renamed"
    ec2.stop_instances(InstanceIds=[machine.id])
    machine.both("stopped", "inactive")
    assert "isthmus-guest: power button" in machine.console()
    ec2.start_instances(InstanceIds=[machine.id])
    machine.ready(2)
    assert cloud.occi("DELETE", location).status in {200, 204}
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[machine.id], WaiterConfig={"Delay": 1})
    nothing_left(cloud, machine.id)
