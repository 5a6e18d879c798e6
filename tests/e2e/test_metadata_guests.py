"""Real guests that know nothing but what the metadata service tells them."""

from __future__ import annotations

import re

import pytest
from live_cloud import LiveCloud, key_of, wait_for

from backend.commands import ModifyImage, RegisterImage
from backend.model import SeedKind
from gateway.installation import Installation, acting_for

pytestmark = pytest.mark.qemu
BOOTED = 300.0  # seconds in which guests boot under emulation on a busy machine
ADDRESS = "172.31.0.77"
NAMES = ("instance-id", "local-ipv4", "mac", "ami-id", "hostname", "reservation-id")

SCRIPT = f"""#!/bin/sh
# Says what the service answers: to version 1, to a token, to a proxy, to many at the same time, and from now on.
md=http://169.254.169.254
token() {{
    printf 'PUT /latest/api/token HTTP/1.0\\r\\nX-aws-ec2-metadata-token-ttl-seconds: 300\\r\\n%b\\r\\n' "$1" |
        nc 169.254.169.254 80 >/token
    read -r _ status _ </token
    token=$(tail -n 1 /token)
}}
get() {{ wget -qO- --header "X-aws-ec2-metadata-token: $token" "$md/latest/$1" 2>&1; }}
token 'X-Forwarded-For: 10.0.0.1\\r\\n'
echo "proxy $status"
token
echo "token $status"
echo "v1 $(wget -qO- $md/latest/meta-data/instance-id 2>&1)"
for name in {" ".join(NAMES)}; do get "meta-data/$name" >/$name & done
wait
for name in {" ".join(NAMES)}; do echo "$name $(cat /$name)"; done
echo "tag $(get meta-data/tags/instance/Name)"
echo "sum $(get user-data | md5sum)"
echo "own $(md5sum </run/data/user-data)"
while :; do echo "now $(get meta-data/instance-id)"; sleep 1; done &
"""


@pytest.fixture
def image(real_cloud: LiveCloud) -> str:
    """The guest's image again, for guests that get no seed."""
    installation = Installation.at(real_cloud.home)
    try:
        engine = installation.engine
        owner = acting_for(engine.tenant("default"))
        with installation.store.read() as tx:
            known = tx.images.get(real_cloud.image)
            content = tx.contents.get(known.checksum)
        found = engine.execute(owner, RegisterImage(name="no-seed", content=content, public=True))
        return engine.execute(owner, ModifyImage(image_id=found.id, seed=SeedKind.NONE)).id
    finally:
        installation.close()


class Told:
    """What a guest has said on its console so far."""

    def __init__(self, cloud: LiveCloud, vm: str) -> None:
        self.text = cloud.cli("vm", "console", vm)["output"]

    def __getitem__(self, word: str) -> list[str]:
        """What its script said after a word."""
        lines = re.findall(rf"^user-data: {re.escape(word)} (.*)$", self.text, re.MULTILINE)
        return [line.strip() for line in lines]

    @property
    def ready(self) -> str:
        """What it said of itself when it was ready."""
        return self.text.partition("isthmus-guest: ready ")[2].partition("\n")[0]


def test_guests_read_their_own_metadata_and_nothing_else(real_cloud: LiveCloud, image: str) -> None:
    """Two tenants' guests with the same address; one has to use tokens; and through a gateway's restart."""
    cloud = real_cloud
    mine, theirs = cloud.client(), cloud.client(key=key_of(cloud.tenant("metadata-neighbour")))

    def run(client, **options):
        made = client.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, InstanceType="t2.nano", PrivateIpAddress=ADDRESS,
            UserData=SCRIPT, MetadataOptions=options, KeyName=client.create_key_pair(KeyName="k")["KeyName"],
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
        )  # fmt: skip
        return {**made["Instances"][0], "ReservationId": made["ReservationId"]}

    strict = run(mine, HttpTokens="required", InstanceMetadataTags="enabled")
    lax = run(theirs)
    vms = [strict["InstanceId"], lax["InstanceId"]]
    for instance in (strict, lax):
        vm = instance["InstanceId"]
        wait_for(lambda vm=vm: Told(cloud, vm).ready, "ready", BOOTED)
        told = Told(cloud, vm)
        assert f'"instance_id":"{vm}"' in told.ready
        assert '"source":"metadata"' in told.ready
        assert '"keys":1' in told.ready
        assert (told["proxy"], told["token"]) == (["403"], ["200"])
        assert {name: told[name] for name in NAMES} == {
            "instance-id": [vm],
            "local-ipv4": [ADDRESS],
            "mac": [instance["NetworkInterfaces"][0]["MacAddress"]],
            "ami-id": [image],
            "hostname": [f"ip-{ADDRESS.replace('.', '-')}.ec2.internal"],
            "reservation-id": [instance["ReservationId"]],
        }
        assert told["sum"] == told["own"]
        if instance is strict:
            assert "401" in told["v1"][0]
            assert told["tag"] == ["web"]
        else:
            assert told["v1"] == [vm]
            assert "404" in told["tag"][0]

    cloud.stop()
    known = {vm: len(Told(cloud, vm)["now"]) for vm in vms}
    cloud.start().wait_hosts()
    for vm in vms:
        wait_for(lambda vm=vm: vm in Told(cloud, vm)["now"][known[vm] :], "asks again", BOOTED)

    mine.modify_instance_metadata_options(InstanceId=vms[0], HttpEndpoint="disabled")
    wait_for(lambda: "403" in Told(cloud, vms[0])["now"][-1], "the service is off", BOOTED)
    assert Told(cloud, vms[1])["now"][-1] == vms[1]
    mine.modify_instance_metadata_options(InstanceId=vms[0], HttpEndpoint="enabled")
    wait_for(lambda: Told(cloud, vms[0])["now"][-1] == vms[0], "the service is on", BOOTED)

    mine.terminate_instances(InstanceIds=vms[:1])
    theirs.terminate_instances(InstanceIds=vms[1:])
    for vm in vms:
        wait_for(lambda vm=vm: cloud.cli("vm", "show", vm)["state"] == "done", "terminated", BOOTED)
    folder = cloud.home / "run" / "metadata"
    wait_for(lambda: not list(folder.iterdir()), "the sockets are gone", BOOTED)
