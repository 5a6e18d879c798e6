"""The operator's way from nothing to a running cloud, and what each command promises."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.exceptions import ClientError
from live_cloud import Key, LiveCloud, free_port, key_of, wait_for


@pytest.fixture
def fresh(tmp_path: Path) -> LiveCloud:
    """Nothing yet but a place for a home."""
    return LiveCloud(tmp_path)


def test_init_tells_everything_a_client_needs(fresh):
    said = fresh.cli(
        "init", "--account-id", "123456789012", "--region", "eu-test-1", "--region", "us-test-2",
        "--zone", "eu-test-1a", "--zone", "eu-test-1b",
    )  # fmt: skip
    assert said["account_id"] == "123456789012"
    assert (said["region"], said["zone"]) == ("eu-test-1", "eu-test-1a")
    assert said["regions"] == {"eu-test-1": ["eu-test-1a", "eu-test-1b"], "us-test-2": ["us-test-2a"]}
    assert all(said[name] for name in ("endpoint", "access_key", "secret_key", "occi_user", "occi_password"))


def test_nothing_in_a_home_is_open_to_others(fresh):
    fresh.init()
    assert [
        str(path)
        for path in [fresh.home, *fresh.home.rglob("*")]
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ] == []


def test_no_secret_lies_in_clear(fresh):
    said = fresh.init().facts
    stored = b"".join(path.read_bytes() for path in fresh.home.rglob("*") if path.is_file())
    for name in ("secret_key", "occi_password"):
        assert said[name].encode() not in stored


def test_a_second_init_destroys_nothing_and_tells_no_secret(fresh):
    first = fresh.init().facts
    before = {path: path.read_bytes() for path in fresh.home.rglob("*") if path.is_file()}
    refused = fresh.run("init")
    assert refused.returncode == 1
    assert "nothing was changed" in refused.stderr
    again = fresh.cli("init")
    assert again["existing"]
    assert {name: again[name] for name in ("account_id", "access_key", "region", "occi_user")} == {
        name: first[name] for name in ("account_id", "access_key", "region", "occi_user")
    }
    assert "secret_key" not in again
    assert "occi_password" not in again
    for path, content in before.items():
        if "isthmus.db" not in path.name:
            assert path.read_bytes() == content


def test_a_failed_init_can_be_repeated(fresh):
    assert fresh.run("init", "--account-id", "12").returncode == 1
    assert fresh.init("--account-id", "123456789012").facts["account_id"] == "123456789012"


def test_init_leaves_a_directory_with_other_things_alone(tmp_path):
    cloud = LiveCloud(tmp_path)
    cloud.home.mkdir(mode=0o755)
    cloud.home.chmod(0o755)
    (cloud.home / "somebody's").write_text("")
    refused = cloud.run("init")
    assert refused.returncode == 1
    assert "empty directory" in refused.stderr
    assert [path.name for path in cloud.home.iterdir()] == ["somebody's"]
    assert stat.S_IMODE(cloud.home.stat().st_mode) == 0o755


def test_init_in_an_empty_directory_keeps_its_mode_and_closes_what_it_makes(fresh):
    fresh.home.mkdir()
    fresh.home.chmod(0o755)
    fresh.init()
    assert stat.S_IMODE(fresh.home.stat().st_mode) == 0o755
    assert all(not stat.S_IMODE(path.stat().st_mode) & 0o077 for path in fresh.home.iterdir())
    (found,) = [
        each for each in json.loads(fresh.run("doctor", "--json").stdout) if each["subject"] == "home"
    ]
    assert found["verdict"] == "good"


def test_a_homes_name_may_have_any_sign(tmp_path):
    cloud = LiveCloud(tmp_path / "a+b &c%20d#e:f?g").init("--host")
    (host,) = cloud.cli("host", "list")
    assert dict(parse_qsl(urlsplit(host["uri"]).query)) == {"root": f"{cloud.home}/hosts/embed"}
    try:
        cloud.start()
        assert cloud.home.is_dir()
        assert list(tmp_path.iterdir()) == [cloud.home.parent]
        assert (cloud.home / "isthmus.db").exists()
        cloud.wait_hosts()
        assert (cloud.home / "hosts" / "embed").is_dir()
    finally:
        cloud.end()


def test_a_home_that_was_moved_says_so_and_works_again_under_its_old_path(fresh):
    fresh.init("--host")
    old, new = fresh.home, fresh.home.with_name("new")
    old.rename(new)
    fresh.home = new
    for words in (["serve"], ["worker"], ["web"], ["host", "list"]):
        done = fresh.run(*words)
        assert done.returncode == 1
        assert f"ln -s {new} {old}" in done.stderr
    (found,) = [
        each for each in json.loads(fresh.run("doctor", "--json").stdout) if each["subject"] == "home"
    ]
    assert found["verdict"] == "bad"
    assert str(old) in found["found"]
    old.symlink_to(new)
    assert len(fresh.cli("host", "list")) == 1
    fresh.home = old
    assert len(fresh.cli("host", "list")) == 1


def test_a_copy_of_a_home_does_not_run(fresh):
    fresh.init()
    original, fresh.home = fresh.home, fresh.home.with_name("copy")
    shutil.copytree(original, fresh.home)
    done = fresh.run("serve")
    assert done.returncode == 1
    assert f"use {original}" in done.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["host", "list"], "isthmus init"),
        (["serve"], "isthmus init"),
        (["vm", "list"], "isthmus init"),
    ],
)
def test_without_a_home_the_way_out_is_told(fresh, words, hint):
    done = fresh.run(*words)
    assert done.returncode == 1
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_refusals_are_json_for_programs(fresh):
    fresh.init()
    done = fresh.run("host", "delete", "h-unknown", "--json")
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"]["message"].startswith("There is no host")


def _told(cloud: LiveCloud, *words: str) -> str:
    """The one message of a command that fails, the same for people and programs."""
    people, programs = cloud.run(*words), cloud.run(*words, "--json")
    assert (people.returncode, programs.returncode) == (1, 1)
    assert "Traceback" not in people.stderr + programs.stderr
    message = json.loads(programs.stderr)["error"]["message"]
    assert people.stderr.strip() == f"error: {message}"
    return message


@pytest.mark.parametrize("words", [["host", "list"], ["migrate"], ["serve"], ["vm", "list"]])
def test_a_database_that_does_not_answer_is_told(fresh, words):
    fresh.init()
    fresh.environment["ISTHMUS_DATABASE"] = f"postgresql://u:s3cret@127.0.0.1:{free_port()}/x"
    message = _told(fresh, *words)
    assert "refused" in message
    assert "isthmus settings" in message
    assert "s3cret" not in message
    assert "s3cret" not in fresh.run("settings").stdout


def test_a_damaged_database_and_a_damaged_home_are_told(fresh):
    fresh.init()
    (fresh.home / "keys" / "at-rest").unlink()
    (fresh.home / "keys" / "at-rest").mkdir(mode=0o700)
    assert "at-rest: Is a directory" in _told(fresh, "key", "create")
    for path in fresh.home.glob("isthmus.db*"):
        path.write_bytes(b"no database" * 1000)
    assert "not a database" in _told(fresh, "host", "list")


def test_the_database_can_be_given_where_others_do_not_see_it(tmp_path):
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    cloud = LiveCloud(tmp_path, ISTHMUS_DATABASE=url).init()
    assert (tmp_path / "elsewhere.db").exists()
    del cloud.environment["ISTHMUS_DATABASE"]  # it was written down
    assert cloud.cli("settings")["database"] == url
    assert len(cloud.cli("tenant", "list")) == 1


def test_a_setting_that_does_not_exist_is_refused(fresh):
    fresh.init()
    with (fresh.home / "isthmus.toml").open("a") as file:
        file.write("\n[web]\nworkrs = 3\n")
    done = fresh.run("host", "list")
    assert done.returncode == 1
    assert "workrs" in done.stderr


# Images -------------------------------------------------------------------------------------------------


def test_an_image_keeps_the_id_of_the_old_cloud(cloud, blank_image):
    made = cloud.cli("image", "import", str(blank_image), "--name", "moved", "--id", "ami-0123456789abcdef0")
    assert made["id"] == "ami-0123456789abcdef0"
    again = cloud.run("image", "import", str(blank_image), "--name", "moved2", "--id", made["id"])
    assert again.returncode == 1
    found = cloud.client().describe_images(ImageIds=[made["id"]])["Images"]
    assert [image["Name"] for image in found] == ["moved"]
    cloud.cli("image", "deregister", made["id"])


def test_a_refused_import_leaves_nothing(cloud, tmp_path):
    made = cloud.cli("image", "import", _disk(tmp_path / "kept", b"k"), "--name", "kept")
    before = _stored(cloud)
    for words in (["--name", "kept"], ["--name", "x"], ["--name", "other", "--id", made["id"]]):
        done = cloud.run("image", "import", _disk(tmp_path / "refused", b"r"), *words)
        assert done.returncode == 1
        assert _stored(cloud) == before
        done = cloud.run("image", "import", str(tmp_path / "kept"), *words)  # bytes that another image has
        assert done.returncode == 1
        assert _stored(cloud) == before


def _disk(path: Path, letter: bytes) -> str:
    path.write_bytes(letter * 512)
    return str(path)


def test_a_program_is_no_image(cloud):
    done = cloud.run("image", "import", "/proc/self/exe", "--name", "program")
    assert done.returncode == 1
    assert "cannot be used" in done.stderr


# People -------------------------------------------------------------------------------------------------


def test_a_new_tenant_can_use_both_faces_and_sees_nothing_of_the_first(cloud):
    theirs = cloud.tenant("newcomers")
    assert cloud.client("sts", key_of(theirs)).get_caller_identity()["Account"] == theirs["account_id"]
    assert cloud.client(key=key_of(theirs)).describe_instances()["Reservations"] == []
    auth = (theirs["occi_user"], theirs["occi_password"])
    assert cloud.occi("GET", "/compute/", auth=auth).status in {200, 204}


def test_a_tenant_whose_name_is_a_users_is_not_made_by_halves(cloud):
    cloud.cli("user", "create", "somebody")
    done = cloud.run("tenant", "create", "somebody")
    assert done.returncode == 1
    assert "somebody" not in {tenant["name"] for tenant in cloud.cli("tenant", "list")}


def test_a_disabled_key_is_refused_at_once_and_works_again_when_enabled(cloud):
    made = cloud.cli("key", "create")
    client = cloud.client("sts", Key(made["access_key"], made["secret_key"]))
    assert client.get_caller_identity()["Account"] == cloud.facts["account_id"]
    cloud.cli("key", "disable", made["access_key"])
    with pytest.raises(ClientError) as refused:
        client.get_caller_identity()
    assert refused.value.response["Error"]["Code"] == "InvalidClientTokenId"  # as STS says it
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    cloud.cli("key", "enable", made["access_key"])
    assert client.get_caller_identity()["Account"] == cloud.facts["account_id"]


def test_a_changed_password_counts_from_the_next_request(cloud):
    made = cloud.cli("user", "create", "paula")
    old = ("paula", made["password"])
    assert cloud.occi("GET", "/-/", auth=old).status == 200
    assert cloud.occi("GET", "/-/", auth=old).status == 200  # remembered by now
    cloud.cli("user", "passwd", "paula", "--password", stdin="another one\n")
    assert cloud.occi("GET", "/-/", auth=old).status == 401
    assert cloud.occi("GET", "/-/", auth=("paula", "another one")).status == 200


def test_a_bearer_token_opens_the_occi_face(cloud):
    token = cloud.cli("token", "create", "--days", "1")["token"]
    assert cloud.http("GET", "/-/", headers={"Authorization": f"Bearer {token}"}).status == 200
    over = cloud.cli("token", "create", "--days", "0")["token"]
    for wrong in (over, token + "x", ""):
        assert cloud.http("GET", "/-/", headers={"Authorization": f"Bearer {wrong}"}).status == 401


def test_credentials_are_revoked_from_the_next_request_on(cloud):
    made = cloud.cli("user", "create", "gone")
    auth = ("gone", made["password"])
    keys = [cloud.cli("key", "create", "gone"), cloud.cli("key", "create", "--user", "gone")]
    clients = [cloud.client("sts", Key(key["access_key"], key["secret_key"])) for key in keys]
    tokens = [cloud.cli("token", "create", "gone") for _ in range(3)]

    def status(token):
        return cloud.http("GET", "/-/", headers={"Authorization": f"Bearer {token['token']}"}).status

    assert [status(token) for token in tokens] == [200] * 3
    listed = cloud.run("token", "list", "gone", "--json").stdout
    assert [token["id"] for token in json.loads(listed)] == [token["id"] for token in tokens]
    assert not any(token["token"] in listed for token in tokens)
    for client in clients:
        assert client.get_caller_identity()["Account"] == cloud.facts["account_id"]
    assert cloud.occi("GET", "/-/", auth=auth).status == 200

    cloud.cli("token", "delete", tokens[0]["id"])
    assert [status(token) for token in tokens] == [401, 200, 200]
    cloud.cli("key", "delete", keys[0]["access_key"])
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        clients[0].get_caller_identity()
    cloud.cli("user", "delete", "gone")
    assert [status(token) for token in tokens] == [401] * 3
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        clients[1].get_caller_identity()
    assert cloud.occi("GET", "/-/", auth=auth).status == 401
    for words in (["user", "delete", "gone"], ["token", "delete", ""], ["key", "delete", "AKIANONE"]):
        assert cloud.run(*words).returncode == 1


def test_purge_ends_and_removes_all_that_a_tenant_has(cloud):
    theirs = cloud.tenant("passing")
    client = cloud.client(key=key_of(theirs))
    client.run_instances(
        ImageId=cloud.image, MinCount=3, MaxCount=3, InstanceType="t2.nano", DisableApiTermination=True
    )
    client.create_key_pair(KeyName="theirs")
    assert cloud.cli("tenant", "purge", "passing") == {"tenant": "passing", "left": 0, "removed": False}
    assert client.describe_key_pairs()["KeyPairs"] == []
    states = {
        instance["State"]["Name"]
        for reservation in client.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    }
    assert states <= {"terminated"}
    assert cloud.cli("tenant", "purge", "passing", "--remove")["removed"]
    with pytest.raises(ClientError):
        client.describe_instances()


# Instances from the command line ------------------------------------------------------------------------


def test_the_operator_launches_as_a_tenants_user(cloud, tmp_path):
    theirs = cloud.tenant("launching")
    client = cloud.client(key=key_of(theirs))
    client.create_key_pair(KeyName="theirs")
    script = tmp_path / "script"
    script.write_bytes(b"#!/bin/sh\n")
    made = cloud.cli(
        "vm", "launch", "--tenant", "launching", "--image", cloud.image, "--type", "t2.micro", "--count", "2",
        "--zone", "us-east-1a", "--name", "pair", "--user-data", str(script), "--key", "theirs", "--hold",
    )  # fmt: skip
    assert [(vm["tenant"], vm["state"], vm["flavor"]) for vm in made] == [
        ("launching", "hold", "t2.micro")
    ] * 2
    ids = [vm["id"] for vm in made]
    found = [each for r in client.describe_instances()["Reservations"] for each in r["Instances"]]
    assert sorted(vm["InstanceId"] for vm in found) == sorted(ids)
    assert {vm["Tags"][0]["Value"] for vm in found} == {"pair"}
    assert {vm["KeyName"] for vm in found} == {"theirs"}
    data = client.describe_instance_attribute(InstanceId=ids[0], Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(data) == script.read_bytes()
    cloud.cli("vm", "release", *ids)
    wait_for(lambda: {cloud.cli("vm", "show", each)["state"] for each in ids} == {"runn"}, "running")
    assert cloud.cli("vm", "show", ids[0])["events"][0]["actor"] == "cli:launching"
    cloud.cli("vm", "terminate", *ids)
    wait_for(lambda: {cloud.cli("vm", "show", each)["state"] for each in ids} == {"done"}, "ended")
    told = cloud.run("vm", "show", ids[0]).stdout
    for words in ("ended at", "terminate", "t2.micro"):
        assert words in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--image", "ami-none"], "image list"),
        (["--type", "t9.none"], "flavor list"),
        (["--zone", "nowhere"], "zones are"),
        (["--tenant", "nobody"], "tenant list"),
        (["--key", "none"], "key pair"),
        (["--count", "0"], "--count"),
    ],
)
def test_a_launch_that_cannot_be_is_refused(cloud, words, told):
    given = words if "--image" in words else ["--image", cloud.image, *words]
    done = cloud.run("vm", "launch", *given)
    assert done.returncode != 0
    assert told in done.stderr


def test_the_operator_launches_nothing_that_its_tenant_cannot_see(cloud, tmp_path):
    cloud.tenant("secretive")
    private = cloud.cli(
        "image", "import", _disk(tmp_path / "p", b"p"), "--name", "private", "--tenant", "secretive"
    )
    done = cloud.run("vm", "launch", "--image", private["id"])
    assert done.returncode == 1
    assert "No such image" in done.stderr


def test_the_operator_sees_and_moves_what_tenants_have(cloud):
    theirs = cloud.tenant("observed")
    client = cloud.client(key=key_of(theirs))
    made = client.run_instances(ImageId=cloud.image, MinCount=1, MaxCount=1, InstanceType="t2.nano")
    vm = made["Instances"][0]["InstanceId"]

    def state() -> str:
        return next(
            each["state"] for each in cloud.cli("vm", "list", "--tenant", "observed") if each["id"] == vm
        )

    wait_for(lambda: state() == "runn", "running")
    cloud.cli("vm", "stop", vm)
    wait_for(lambda: state() == "poff", "stopped")
    cloud.cli("vm", "start", vm)
    wait_for(lambda: state() == "runn", "running again")
    cloud.cli("vm", "terminate", vm)
    wait_for(lambda: state() == "done", "terminated")
    shown = cloud.cli("vm", "show", vm)
    assert {event["actor"].split(":")[0] for event in shown["events"]} >= {"ec2", "cli"}
    assert all(job["finished_at"] for job in shown["jobs"])


def test_the_doctor_says_what_is_wrong_and_how_to_mend_it(fresh):
    fresh.init()
    (fresh.home / "keys" / "at-rest").chmod(0o644)
    done = fresh.run("doctor", "--json")
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 1
    assert findings["keys"]["verdict"] == "bad"
    assert "chmod 600" in findings["keys"]["found"]
    assert findings["database"]["verdict"] == "good"
    assert all(finding["cure"] for finding in findings.values() if finding["verdict"] != "good")


def test_hosts_go_through_their_states_and_away(own_cloud):
    cloud = own_cloud
    (host,) = cloud.cli("host", "list")
    again = cloud.run("host", "add", "test:///default")
    assert (again.returncode, "already" in again.stderr) == (1, True)
    assert cloud.run("host", "add", "test:///other", "--zone", "nowhere").returncode == 1
    assert cloud.cli("host", "disable", host["uri"])["state"] == "dsbl"
    refused = cloud.run("host", "offline", host["id"])
    assert (refused.returncode, "--confirm" in refused.stderr) == (1, True)
    assert cloud.cli("host", "offline", host["id"], "--confirm")["state"] == "off"
    assert cloud.cli("host", "enable", host["id"])["state"] == "init"
    cloud.cli("host", "delete", host["id"])
    assert cloud.cli("host", "list") == []


@pytest.mark.parametrize(
    "words",
    [
        ["host", "add", "foo://bar"],
        ["host", "add", "qemu:///embed"],
        ["host", "add", "test:///x?cpus=zero"],
        ["host", "add", "test:///x", "--cpu-ratio", "-1"],
        ["host", "add", "test:///x", "--memory-ratio", "nan"],
        ["host", "add", "test:///x", "--disk-ratio", "inf"],
        ["host", "add", "test:///x", "--cpu-ratio", "1001"],
        ["tenant", "create", "a:b"],
        ["tenant", "create", ""],
        ["tenant", "create", "x" * 256],
        ["user", "create", "a:b"],
        ["user", "create", "a\nb"],
        ["image", "import", sys.executable, "--name", "sparc", "--architecture", "sparc"],
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(cloud, words):
    def known():
        nouns = ("host", "tenant", "user")
        return [[row["id"] for row in cloud.cli(noun, "list")] for noun in nouns], _stored(cloud)

    before = known()
    done = cloud.run(*words, "--json")
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"]["message"]
    assert known() == before


def _stored(cloud: LiveCloud) -> list[str]:
    return sorted(path.name for path in (cloud.home / "images").iterdir())


def test_sizes_and_limits(own_cloud):
    cloud = own_cloud
    names = {flavor["name"] for flavor in cloud.cli("flavor", "list")}
    assert {
        "t2.nano",
        "t2.micro",
        "t2.small",
        "t2.medium",
        "t2.large",
        "m1.small",
        "small",
        "mem_large",
    } <= names
    cloud.cli("flavor", "add", "c9.huge", "--vcpus", "64", "--memory-mib", "1024")
    cloud.cli("flavor", "delete", "t2.large")
    assert {flavor["name"] for flavor in cloud.cli("flavor", "list")} == names - {"t2.large"} | {"c9.huge"}
    assert cloud.run("flavor", "delete", "t2.large").returncode == 1
    assert cloud.cli("tenant", "quota", "default", "instances=1", "cores=-2")["instances"] == 1
    for wrong in ("instances", "instances=-1", "nothing=1", "cores=many"):
        assert cloud.run("tenant", "quota", "default", wrong).returncode == 1
    assert cloud.cli("tenant", "quota", "default")["cores"] == -2


def test_a_simulated_cloud_needs_no_disk_image(fresh):
    fresh.init()
    added = fresh.cli("host", "add", "test:///default")
    try:
        client = fresh.start().client()
        client.run_instances(ImageId=added["image"], MinCount=2, MaxCount=2, InstanceType="t2.nano")
        client.get_waiter("instance_running").wait(WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    finally:
        fresh.end()
