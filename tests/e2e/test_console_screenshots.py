"""The display of a real guest, through the AWS API."""

from __future__ import annotations

import base64
from io import BytesIO

import pytest
from botocore.exceptions import ClientError
from live_cloud import LiveCloud, wait_for
from PIL import Image

pytestmark = pytest.mark.qemu


def test_a_real_guests_display_is_pictured_while_it_runs(real_cloud: LiveCloud):
    client = real_cloud.client()
    made = client.run_instances(ImageId=real_cloud.image, MinCount=1, MaxCount=1, InstanceType="t2.nano")
    vm = made["Instances"][0]["InstanceId"]
    client.get_waiter("instance_running").wait(InstanceIds=[vm], WaiterConfig={"Delay": 1})

    def bright() -> bool:
        answer = client.get_console_screenshot(InstanceId=vm, WakeUp=True)
        assert answer["InstanceId"] == vm
        data = base64.b64decode(answer["ImageData"])
        with Image.open(BytesIO(data)) as picture:
            assert (picture.format, picture.size >= (640, 350)) == ("JPEG", True)
            return picture.convert("L").getextrema()[1] > 100

    wait_for(bright, "something to be seen")
    client.stop_instances(InstanceIds=[vm], Force=True)
    client.get_waiter("instance_stopped").wait(InstanceIds=[vm], WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError) as caught:
        client.get_console_screenshot(InstanceId=vm)
    assert caught.value.response["Error"]["Code"] == "IncorrectInstanceState"
    client.terminate_instances(InstanceIds=[vm])
