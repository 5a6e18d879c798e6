"""The same way on PostgreSQL, where web processes and workers run on any number of machines."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import psycopg
import pytest
from live_cloud import LiveCloud, wait_for

POSTGRES = os.environ.get("ISTHMUS_TEST_POSTGRES", "")
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not POSTGRES, reason="ISTHMUS_TEST_POSTGRES is not set"),
]


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of a database of its own, gone afterwards."""
    name = f"isthmus_{secrets.token_hex(6)}"
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield POSTGRES.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_from_nothing_to_a_running_instance_and_over_a_killed_worker(tmp_path, database, blank_image):
    cloud = LiveCloud(tmp_path).init("--database", database)
    second = LiveCloud(tmp_path / "second").run("init", "--database", database)
    assert (second.returncode, "belongs to an installation" in second.stderr) == (1, True)
    cloud.cli("host", "add", "test:///default")
    cloud.image = cloud.cli("image", "import", str(blank_image), "--name", "blank", "--public")["id"]
    try:
        cloud.start().wait_hosts()
        client = cloud.client()
        client.run_instances(ImageId=cloud.image, MinCount=4, MaxCount=4, InstanceType="t2.nano")
        client.get_waiter("instance_running").wait(WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        (worker,) = cloud.children("worker")
        cloud.kill(worker)
        ids = [vm["id"] for vm in cloud.cli("vm", "list")]
        client.terminate_instances(InstanceIds=ids)
        client.get_waiter("instance_terminated").wait(
            InstanceIds=ids, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        wait_for(lambda: not cloud.cli("job", "list", "--open"), "no job left")
        assert not list(cloud.home.glob("*.db*"))
    finally:
        cloud.end()
