"""GetConsoleScreenshot: asked for by a request, taken by the worker."""

from __future__ import annotations

import base64
from io import BytesIO

import msgspec
import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud
from PIL import Image

from backend.commands import Op, Operate
from backend.drivers.memory import Fault
from ec2.actions import console


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    """The worker does what there is to do while the request waits."""
    made = Ec2Cloud(monkeypatch)
    monkeypatch.setattr(console, "_pause", lambda _seconds: made.cloud.settle())
    return made


@pytest.fixture
def instance(face) -> str:
    return face.cloud.started().id


def code_of(call, **parameters) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def shade(answer) -> int:
    with Image.open(BytesIO(base64.b64decode(answer["ImageData"]))) as picture:
        assert picture.format == "JPEG"
        return picture.getpixel((0, 0))[0]


def test_a_picture_is_taken_when_asked_for_and_anew_each_time(face, instance):
    answer = face.ann.get_console_screenshot(InstanceId=instance)
    assert answer["InstanceId"] == instance
    assert shade(answer) < 60
    assert shade(face.ann.get_console_screenshot(InstanceId=instance, WakeUp=True)) > 200
    assert shade(face.ann.get_console_screenshot(InstanceId=instance)) < 60


def test_only_who_owns_it_and_only_what_runs(face, instance):
    ask = face.ann.get_console_screenshot
    assert code_of(ask, InstanceId=instance, DryRun=True) == "DryRunOperation"
    assert code_of(ask, InstanceId="i-1") == "InvalidInstanceID.Malformed"
    assert code_of(ask, InstanceId="i-0123456789abcdef0") == "InvalidInstanceID.NotFound"
    assert code_of(face.bob.get_console_screenshot, InstanceId=instance) == "InvalidInstanceID.NotFound"
    face.cloud.engine.execute(face.cloud.caller, Operate(op=Op.POWEROFF, ids=(instance,)))
    face.cloud.quiesce()
    assert code_of(ask, InstanceId=instance) == "IncorrectInstanceState"
    face.ann.terminate_instances(InstanceIds=[instance])
    face.cloud.quiesce()
    assert code_of(ask, InstanceId=instance) == "IncorrectInstanceState"


def test_who_asks_while_one_is_being_taken_shares_it(face, instance, monkeypatch):
    asked: list[bool] = []

    def meanwhile(_seconds: float) -> None:
        if not asked:
            asked.append(True)
            face.ann.get_console_screenshot(InstanceId=instance)
        face.cloud.settle()

    monkeypatch.setattr(console, "_pause", meanwhile)
    face.ann.get_console_screenshot(InstanceId=instance)
    assert asked
    assert len([key for key in face.cloud.queue.keys if key.startswith("display-")]) == 1


def test_only_some_wait_at_one_time(monkeypatch):
    made = Ec2Cloud(monkeypatch, waits=1)
    instance = made.cloud.started().id
    codes = []

    def meanwhile(_seconds: float) -> None:
        codes.append(code_of(made.ann.get_console_screenshot, InstanceId=instance))
        codes.append(code_of(made.bob.get_console_screenshot, InstanceId=instance))
        made.cloud.settle()

    monkeypatch.setattr(console, "_pause", meanwhile)
    for _ in range(2):  # the place is free again
        assert shade(made.ann.get_console_screenshot(InstanceId=instance)) < 60
    assert codes == ["RequestLimitExceeded", "InvalidInstanceID.NotFound"] * 2


def test_a_host_that_cannot_or_does_not_answer(face, instance):
    ask = face.ann.get_console_screenshot
    host = face.cloud.host()
    host.broken.add("display")
    assert code_of(ask, InstanceId=instance) == "IncorrectInstanceState"
    host.broken.clear()
    host.plan = [(0, Fault.SILENT_BEFORE)]
    assert code_of(ask, InstanceId=instance) == "IncorrectInstanceState"
    host.plan = []
    assert shade(ask(InstanceId=instance)) < 60


def test_a_worker_that_is_not_there_is_not_waited_for_long(monkeypatch):
    made = Ec2Cloud(monkeypatch)
    instance = made.cloud.started()
    made.cloud.engine.settings = _impatient(made.cloud.engine.settings)
    assert code_of(made.ann.get_console_screenshot, InstanceId=instance.id) == "Unavailable"


def _impatient(settings):
    return msgspec.structs.replace(settings, picture_patience=0.2)
