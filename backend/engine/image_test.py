"""The test agent: boots a machine of an image and goes through a check list (lifecycle §9.2).

The machine is an ordinary instance of the image's owner. Its client token is the task's id with a number, so
that a repetition after a crash finds the one before, ends it, and begins with a fresh one. What a check needs
but this installation does not have (a way into the guest's network) is said to be skipped, never passed.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from backend.commands import Launch, Launched, Op, Operate
from backend.engine import Engine
from backend.engine.task_steps import TaskAct
from backend.errors import BackendError, Code
from backend.model import Api, Caller, Content, Image, Instance, Role, Value
from backend.ports import StepFailed

MANDATORY = frozenset({"checksum", "start", "console", "errors", "context", "shutdown"})
"""Checks that a version must pass before it can be published."""
_PATIENCE = 300.0
_REBOOT_PATIENCE = 300.0
_SHUTDOWN_PATIENCE = 150.0
_CLOCK_MAY_DIFFER = 120.0
_POLL = 0.5
_CHUNK = 4 << 20
_HOSTNAME = "image-test"
_ERRORS = re.compile(rb"Kernel panic|Call Trace:|emergency mode|Give root password|No bootable device")


class CheckResult(Value, frozen=True, kw_only=True):
    """One check: ``pass``, ``fail`` or ``skip``, and what was seen."""

    name: str
    result: str
    words: str = ""


class ImageTester:
    """Carries out the tests of one worker process."""

    def __init__(self, engine: Engine, wait: Callable[[float], None] = time.sleep) -> None:
        self.engine = engine
        self.wait = wait

    def step(self, act: TaskAct) -> None:
        """The whole list as a task's only step; it ends with the machine's end, whatever was found."""
        image = act.image
        if image is None:
            raise StepFailed("The image is not there any more.")
        results = {"checksum": _checksum(act.chain)}
        caller = _owner(image, self.engine)
        if results["checksum"].result == "pass":
            results |= self._run(caller, image, act)
        found = [results.get(name) or CheckResult(name=name, result="skip") for name in _ORDER]
        passed = all(each.result == "pass" for each in found if each.name in MANDATORY)
        act.result = {
            "passed": "true" if passed else "false",
            "checks": msgspec.json.encode(found).decode(),
        }

    def _run(self, caller: Caller, image: Image, act: TaskAct) -> dict[str, CheckResult]:
        mark = hashlib.sha256(act.task.id.encode()).hexdigest()[:16]
        try:
            instance = self._fresh(caller, image, act.task.id, mark)
        except BackendError as error:
            return {"start": CheckResult(name="start", result="fail", words=error.message)}
        try:
            return self._checks(caller, instance, mark)
        finally:
            self.engine.execute(caller, Operate(op=Op.TERMINATE, ids=(instance.id,)))

    def _fresh(self, caller: Caller, image: Image, task_id: str, mark: str) -> Instance:
        """A machine that no earlier attempt has touched; those of earlier ones are ended."""
        for number in itertools.count(1):
            try:
                launched = self._launch(caller, image, f"{task_id}/{number}", mark)
            except BackendError as error:
                if error.code is not Code.TOKEN_TERMINATED:
                    raise
                continue
            if not launched.replayed:
                return launched.instances[0]
            ids = tuple(each.id for each in launched.instances if each.detail != "done")
            self.engine.execute(caller, Operate(op=Op.TERMINATE, ids=ids))
        raise AssertionError(task_id)

    def _launch(self, caller: Caller, image: Image, token: str, mark: str) -> Launched:
        script = f'#!/bin/sh\necho "{mark} host=$(hostname) time=$(date +%s)" > /dev/console\n'
        wanted = Launch(
            image_id=image.id,
            user_data=script.encode(),
            hostname=_HOSTNAME,
            client_token=token,
            token_digest=token,
            tags=(("Name", f"test of {image.id}"),),
        )
        return self.engine.execute(caller, wanted)

    def _checks(self, caller: Caller, instance: Instance, mark: str) -> dict[str, CheckResult]:
        started = self._until(lambda: self._detail(caller, instance) == "runn", _PATIENCE)
        if not started:
            words = self.engine.instance(caller, instance.id).reason_text
            return {"start": CheckResult(name="start", result="fail", words=words)}
        found = {"start": CheckResult(name="start", result="pass")}
        self._until(lambda: _is_up(self._console(caller, instance), mark), _PATIENCE)
        text = self._console(caller, instance)
        found |= _console_checks(text, mark, self.engine.clock())
        if found["console"].result == "pass":
            found |= self._reboot(caller, instance, mark)
        found |= self._shutdown(caller, instance)
        return found

    def _reboot(self, caller: Caller, instance: Instance, mark: str) -> dict[str, CheckResult]:
        before = _boots(self._console(caller, instance), mark)
        self.engine.execute(caller, Operate(op=Op.REBOOT, ids=(instance.id,)))
        again = self._until(lambda: _boots(self._console(caller, instance), mark) > before, _REBOOT_PATIENCE)
        self._until(lambda: self.engine.instance(caller, instance.id).job_id is None, _PATIENCE)
        result = CheckResult(
            name="reboot",
            result="pass" if again else "fail",
            words="" if again else "It did not come up again.",
        )
        return {"reboot": result}

    def _shutdown(self, caller: Caller, instance: Instance) -> dict[str, CheckResult]:
        try:
            self.engine.execute(caller, Operate(op=Op.POWEROFF, ids=(instance.id,)))
        except BackendError as error:
            return {"shutdown": CheckResult(name="shutdown", result="fail", words=error.message)}
        off = self._until(lambda: self._detail(caller, instance) == "poff", _SHUTDOWN_PATIENCE)
        words = "" if off else "It ignored the power button."
        return {"shutdown": CheckResult(name="shutdown", result="pass" if off else "fail", words=words)}

    def _detail(self, caller: Caller, instance: Instance) -> str:
        return self.engine.instance(caller, instance.id).detail

    def _console(self, caller: Caller, instance: Instance) -> bytes:
        found = self.engine.console(caller, instance.id)
        return found[0] if found is not None else b""

    def _until(self, condition: Callable[[], bool], patience: float) -> bool:
        deadline = self.engine.clock() + patience
        while not condition():
            if self.engine.clock() >= deadline:
                return False
            self.wait(_POLL)
        return True


_ORDER = (
    "checksum",
    "start",
    "console",
    "errors",
    "context",
    "hostname",
    "time",
    "ssh",
    "reboot",
    "no-network",
    "shutdown",
)
_SKIPPED: Mapping[str, str] = {
    "ssh": "The gateway has no way into the guest's network.",
    "no-network": "Every machine gets an interface.",
}


def _owner(image: Image, engine: Engine) -> Caller:
    return Caller(
        tenant_id=image.tenant_id,
        account_id=image.account_id,
        user_id="",
        user_name="image-test",
        role=Role.ADMIN,
        api=Api.CLI,
        region=engine.settings.default_region,
    )


def _checksum(contents: Sequence[Content]) -> CheckResult:
    """Whether the bytes in the store are what was recorded of them."""
    if not contents:
        return CheckResult(name="checksum", result="fail", words="The bytes are not in the store.")
    for content in contents:
        digest = hashlib.sha256()
        try:
            with Path(content.path).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            return CheckResult(name="checksum", result="fail", words=error.strerror or str(error))
        if digest.hexdigest() != content.checksum:
            return CheckResult(name="checksum", result="fail", words="The bytes in the store have changed.")
    return CheckResult(name="checksum", result="pass")


def _is_up(text: bytes, mark: str) -> bool:
    return mark.encode() in text or _ERRORS.search(text) is not None


def _boots(text: bytes, mark: str) -> int:
    return max(text.count(b"login:"), text.count(mark.encode()), text.count(b"Linux version"))


def _console_checks(text: bytes, mark: str, now: float) -> dict[str, CheckResult]:
    """What the console says of the first boot."""
    up = mark.encode() in text or b"login:" in text
    broken = _ERRORS.search(text)
    said = re.search(rb"%b host=(\S*) time=(\d+)" % mark.encode(), text)
    results = {
        "console": (up, "" if up else "It did not reach its login or say that it was ready."),
        "errors": (broken is None, broken[0].decode() if broken else ""),
        "context": (said is not None, "" if said else "The script that it was given did not run."),
        "hostname": (
            said is not None and said[1].split(b".")[0] == _HOSTNAME.encode(),
            said[1].decode(errors="replace") if said else "",
        ),
        "time": (
            said is not None and abs(int(said[2]) - now) < _CLOCK_MAY_DIFFER + _PATIENCE,
            "" if said else "It was not told.",
        ),
    }
    found = {
        name: CheckResult(name=name, result="pass" if well else "fail", words=words)
        for name, (well, words) in results.items()
    }
    return found | {name: CheckResult(name=name, result="skip", words=why) for name, why in _SKIPPED.items()}
