"""`isthmus serve` outlives the death of each of its processes, and nothing accepted is lost with them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from live_cloud import BIN, LiveCloud, free_port, wait_for

from gateway.server import Child


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as file:
        return file.read().split()[2] == "Z"


def _states(cloud: LiveCloud) -> list[str]:
    return [vm["state"] for vm in cloud.cli("vm", "list")]


def test_a_killed_worker_is_replaced_and_finishes_what_was_accepted(own_cloud):
    cloud = own_cloud.start()
    cloud.wait_hosts()
    (worker,) = cloud.children("worker")
    cloud.kill(worker)
    cloud.client().run_instances(ImageId=cloud.image, MinCount=5, MaxCount=5, InstanceType="t2.nano")
    cloud.client().get_waiter("instance_running").wait(WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert cloud.children("worker") != [worker]
    assert _states(cloud) == ["runn"] * 5


def test_killed_web_processes_are_replaced_and_no_connection_is_refused(own_cloud):
    cloud = own_cloud.start()
    before = cloud.children("web")
    for pid in before:  # the master and all its workers, at once
        cloud.kill(pid)
    # The supervisor keeps the listening socket: the request waits for the successor.
    assert cloud.http("GET", "/livez").status == 200
    assert cloud.client("sts").get_caller_identity()["Account"] == cloud.facts["account_id"]
    assert not set(cloud.children("web")) & set(before)


def test_requests_killed_in_their_middle_are_done_once_or_not_at_all(own_cloud):
    """The answer may be lost, never the work: the same client token finds it again, or does it now."""
    cloud = own_cloud.start()
    cloud.wait_hosts()
    tokens = [f"token-{number}" for number in range(24)]
    answered: set[str] = set()

    def launch(token: str) -> None:
        with contextlib.suppress(ClientError, BotoCoreError, OSError):
            cloud.client().run_instances(
                ImageId=cloud.image, MinCount=1, MaxCount=1, InstanceType="t2.nano", ClientToken=token
            )
            answered.add(token)

    threads = [threading.Thread(target=launch, args=(token,)) for token in tokens]
    for number, thread in enumerate(threads):
        thread.start()
        if number == len(threads) // 2:
            for pid in cloud.children("web")[1:]:
                cloud.kill(pid)
    for thread in threads:
        thread.join()
    cloud.wait_ready()
    for token in tokens:
        launch(token)
    assert answered == set(tokens)
    cloud.client().get_waiter("instance_running").wait(WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert _states(cloud) == ["runn"] * len(tokens)


def test_children_leave_when_the_supervisor_is_killed_and_a_new_one_takes_over(own_cloud):
    cloud = own_cloud.start()
    children = [*cloud.children("web"), *cloud.children("worker")]
    assert cloud.process is not None
    cloud.process.kill()
    cloud.process.wait()
    cloud.start()  # at once: it waits for the address and the database's worker lock
    wait_for(lambda: all(map(_gone, children)), "the first one's children gone")
    cloud.wait_hosts()
    cloud.client().run_instances(ImageId=cloud.image, MinCount=1, MaxCount=1, InstanceType="t2.nano")
    wait_for(lambda: _states(cloud) == ["runn"], "running")


def test_sigterm_stops_everything_in_good_order(own_cloud):
    cloud = own_cloud.start()
    children = [*cloud.children("web"), *cloud.children("worker")]
    assert cloud.process is not None
    cloud.process.send_signal(signal.SIGTERM)
    assert cloud.process.wait(60) == 0
    assert all(map(_gone, children))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", cloud.port)) != 0


def test_a_second_worker_on_sqlite_is_refused_and_says_why(own_cloud):
    cloud = own_cloud.start()
    done = cloud.run("worker")
    assert done.returncode == 75
    assert "SQLite allows one" in done.stderr
    assert cloud.http("GET", "/readyz").status == 200


def test_a_second_server_on_the_same_home_ends_at_once_and_touches_nothing(own_cloud):
    cloud = own_cloud.start()
    running = [*cloud.children("web"), *cloud.children("worker")]
    begun = time.monotonic()
    done = cloud.run("serve", "--listen", f"127.0.0.1:{free_port()}", "--json")
    assert done.returncode == 75
    assert time.monotonic() - begun < 10  # it did not wait for the first one's worker to leave
    assert "serve" in json.loads(done.stderr.splitlines()[-1])["error"]["message"]
    assert [*cloud.children("web"), *cloud.children("worker")] == running
    assert cloud.http("GET", "/metrics").status == 200


def test_web_servers_on_one_home_count_apart_and_nothing_on_its_disk(own_cloud):
    cloud = own_cloud.start()
    other = LiveCloud(cloud.home.parent)
    with cloud.log.open("ab") as log:
        second = subprocess.Popen(
            [str(BIN / "isthmus"), "web", "--home", str(cloud.home), "--listen", f"127.0.0.1:{other.port}"],
            env=cloud.environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_for(lambda: _status(other, "/livez") == 200, "the second alive")
        for each in (cloud, other):
            wait_for(lambda: "isthmus_requests_total{" in each.http("GET", "/metrics").body, "counted")
        assert {path.name for path in cloud.home.rglob("*.db")} == {"isthmus.db"}
    finally:
        second.terminate()
        second.wait(60)
    assert "isthmus_requests_total{" in cloud.http("GET", "/metrics").body


def test_an_address_that_is_taken_is_told(own_cloud):
    with socket.socket() as other:
        other.bind(("127.0.0.1", own_cloud.port))
        other.listen()
        done = own_cloud.run("serve", "--listen", f"127.0.0.1:{own_cloud.port}")
    assert done.returncode == 1
    assert "--listen" in done.stderr


def test_web_and_worker_run_apart(own_cloud):
    cloud = own_cloud
    command = [str(BIN / "isthmus"), "--home", str(cloud.home)]
    with cloud.log.open("ab") as log:
        options = {"env": cloud.environment, "stdout": log, "stderr": log}
        web = subprocess.Popen(
            [command[0], "web", *command[1:], "--listen", f"127.0.0.1:{cloud.port}"], **options
        )
        try:
            wait_for(lambda: _status(cloud, "/livez") == 200, "web alive")
            assert _status(cloud, "/readyz") == 503  # without a worker nothing would be done
            worker = subprocess.Popen([command[0], "worker", *command[1:]], **options)
            try:
                wait_for(lambda: _status(cloud, "/readyz") == 200, "ready")
            finally:
                worker.terminate()
                worker.wait(60)
            assert _status(cloud, "/readyz") == 503
        finally:
            web.terminate()
            web.wait(60)


def _status(cloud: LiveCloud, path: str) -> int:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return cloud.http("GET", path).status
    return 0


def test_a_child_that_keeps_ending_is_started_more_and_more_slowly():
    child = Child("short", [sys.executable, "-c", ""])
    child.start()
    waits = []
    for _ in range(3):
        wait_for(lambda: (found := child.look()) is not None and (waits.append(found) or True), "ended")
        wait_for(lambda: child.look() is None, "started again")
    child.wait(0)
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]


def test_a_child_that_cannot_run_ends_the_whole():
    child = Child("hopeless", [sys.executable, "-c", "raise SystemExit(78)"])
    child.start()
    with pytest.raises(SystemExit) as end:
        wait_for(lambda: child.look() and False, "given up")
    assert end.value.code == 78
