"""Paths that clients choose (OCCI-HTTP-031), and paths below a prefix."""

import json

import pytest

from backend.commands import CreateVolume, Op, Operate
from backend.model import uuid_of
from tests.support.occi_face import (
    COMPUTE,
    INFRA,
    JSON,
    STORAGE,
    STORAGELINK,
    TAG,
    Client,
    action,
    attribute,
)

NETWORK = f'Category: network; scheme="{INFRA}"; class="kind"'
GROUP = f'Category: securitygroup; scheme="{INFRA}"; class="kind"'
INTERFACE = f'Category: networkinterface; scheme="{INFRA}"; class="kind"'
SIZE = attribute("occi.storage.size", 1.0)
UUID = "0d7a6bd2-5a5b-4c3f-9d1e-2f8a3b4c5d6e"


def put(client, path, *lines, **more):
    made = client("PUT", path, *lines, **more)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"http://h{path}"
    return path


def id_behind(client, path):
    """The EC2 id of what is at a path."""
    with client.cloud.store.read() as tx:
        return tx.chosen_paths.get(client.caller.tenant_id, path).resource_id


@pytest.mark.parametrize("name", ["my-web", "7", UUID, "a.b_c~d", "x" * 64, "i"])
def test_put_makes_an_entity_at_a_path(ann, name):
    path = f"/compute/{name}"
    made = ann("PUT", path, COMPUTE, attribute("occi.core.title", "web"))
    assert (made.status_code, made.text) == (201, f"X-OCCI-Location: http://h{path}")
    assert made.headers["location"] == f"http://h{path}"
    shown = ann.json(path)
    assert shown["id"] == shown["attributes"]["occi.core.id"] == name
    assert shown["title"] == "web"
    assert ann.locations("/compute/") == [path]
    assert ann("GET", "/compute/", headers={"Accept": "text/uri-list"}).text == f"http://h{path}"
    again = ann("PUT", path, COMPUTE, attribute("occi.core.title", "other"))
    assert again.status_code == 200
    assert ann.attributes(path)["occi.core.title"] == "other"
    assert len(ann.locations("/compute/")) == 1


def test_the_computed_path_and_the_ec2_id_go_on_working(ann):
    path = put(ann, "/compute/web", COMPUTE)
    ec2 = id_behind(ann, path)
    assert [ann.json(f"/compute/{each}") for each in (ec2, uuid_of(ec2))] == [ann.json(path)] * 2
    assert ann("DELETE", f"/compute/{ec2}").status_code == 200
    assert ann("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("/compute/i-web", (COMPUTE,)),
        ("/compute/i-0123456789abcdef0", (COMPUTE,)),
        (f"/compute/{uuid_of('i-0123456789abcdef0')}", (COMPUTE,)),
        (f"/compute/{uuid_of('i-0123456789abcdef0').upper()}", (COMPUTE,)),
        ("/storage/vol-x", (STORAGE, SIZE)),
        ("/compute/" + "x" * 65, (COMPUTE,)),
        ("/compute/..", (COMPUTE,)),
        ("/compute/a b", (COMPUTE,)),
        ("/compute/a%2Fb", (COMPUTE,)),
        ("/compute/é", (COMPUTE,)),
        ("/compute/web", (STORAGE, SIZE)),  # another kind
        ("/compute/web", (attribute("occi.core.title", "t"),)),  # no kind
        ("/storage/disk", (STORAGE,)),  # no size
        ("/123", (COMPUTE,)),
        ("/nothing/web", (COMPUTE,)),
    ],
)
def test_what_cannot_be_made_at_a_path(ann, path, lines):
    assert ann("PUT", path, *lines).status_code == 400
    assert ann.own() == []
    assert ann.cloud.engine.chosen_paths(ann.caller) == []


def test_names_are_a_tenants_own(ann, bob):
    put(ann, "/compute/web", COMPUTE)
    assert bob("GET", "/compute/web").status_code == 404
    put(bob, "/compute/web", COMPUTE, attribute("occi.core.title", "bob's"))
    assert "occi.core.title" not in ann.attributes("/compute/web")
    assert bob.locations("/compute/") == ["/compute/web"]


def test_a_name_is_the_id_of_one_entity_only(ann):
    put(ann, "/compute/web", COMPUTE)
    taken = ann("PUT", "/storage/web", STORAGE, SIZE)
    assert (taken.status_code, "/compute/web" in taken.text) == (409, True)
    assert [each for each in ann.locations("/storage/") if "web" in each] == []
    put(ann, "/storage/Web", STORAGE, SIZE)


def test_actions_are_invoked_by_the_name(ann, cloud):
    path = put(ann, "/compute/web", COMPUTE)
    cloud.settle()
    assert f"<{path}?action=stop>" in ann("GET", path).text
    assert ann("POST", path, action("stop"), query="action=stop").status_code == 200
    cloud.settle()
    assert ann.attributes(path)["occi.compute.state"] == "inactive"


def test_every_request_may_use_the_name(ann, cloud):
    machine = put(ann, "/compute/web", COMPUTE)
    disk = put(ann, "/storage/disk", STORAGE, SIZE)
    net = put(ann, "/network/net", NETWORK, attribute("occi.network.address", "192.168.9.0/24"))
    cloud.settle()
    ends = (attribute("occi.core.source", machine), attribute("occi.core.target", f"http://h{disk}"))
    link = put(ann, "/storagelink/first", STORAGELINK, *ends)
    assert ann.attributes(link)["occi.storagelink.deviceid"]
    shown = ann.json(link)
    assert (shown["id"], shown["source"]["location"], shown["target"]["location"]) == ("first", machine, disk)
    plug = ann(
        "PUT",
        "/networkinterface/eth1",
        INTERFACE,
        attribute("occi.core.source", "web"),
        attribute("occi.core.target", "net"),
    )
    assert plug.status_code == 201, plug.text
    inside = {each["id"]: each for each in ann.json(machine)["links"]}
    assert inside["first"]["target"]["location"] == disk
    assert inside["eth1"]["target"]["location"] == net
    assert all(each["source"]["location"] == machine for each in inside.values())
    assert link in ann.locations("/storagelink/")
    filtered = {"X-OCCI-Attribute": f'occi.core.target="http://h{disk}"'}
    assert ann.locations("/storagelink/", headers=filtered) == [link]
    assert ann.locations("/compute/", headers={"X-OCCI-Attribute": 'occi.core.id="web"'}) == [machine]
    text = ann("GET", machine).text
    assert f'<{disk}>; rel="{INFRA}storage"; self="{link}"' in text
    assert f'occi.core.source="{machine}"' in text


def test_links_in_the_description_of_a_machine(ann, cloud):
    disk = put(ann, "/storage/disk", STORAGE, SIZE)
    cloud.settle()
    machine = put(ann, "/compute/web", COMPUTE, f'Link: <{disk}>; rel="{INFRA}storage"')
    targets = [each["target"]["location"] for each in ann.json(machine)["links"]]
    assert disk in targets
    body = json.dumps(
        {
            "kind": f"{INFRA}compute",
            "id": "two",
            "links": [
                {
                    "kind": f"{INFRA}networkinterface",
                    "id": "x",
                    "source": {"location": "/compute/two"},
                    "target": {"location": ann.locations("/network/")[0]},
                }
            ],
        }
    )
    assert ann("PUT", "/compute/two", body=body, headers=JSON).json == ["http://h/compute/two"]
    assert ann.json("/compute/two")["id"] == "two"


def test_what_was_read_can_be_sent_back(ann):
    path = put(ann, "/compute/web", COMPUTE, attribute("occi.core.title", "t"))
    for accept in ("text/plain", "application/occi+json"):
        read = ann("GET", path, headers={"Accept": accept})
        kept = ann("PUT", path, body=read.text, headers={"Content-Type": accept, "Accept": accept})
        assert (kept.status_code, kept.text) == (200, read.text)
    wrong = ann("POST", path, attribute("occi.core.id", "other"))
    assert wrong.status_code == 403


def test_tags_of_chosen_paths(ann):
    assert ann("POST", "/-/", TAG).status_code == 200
    path = put(ann, "/compute/web", COMPUTE)
    put(ann, "/compute/other", COMPUTE)
    assert ann("POST", "/tag/web/", f"X-OCCI-Location: http://h{path}").status_code == 200
    assert ann.locations("/tag/web/") == [path]
    body = json.dumps({"resources": [{"kind": f"{INFRA}compute", "id": "other"}]})
    assert ann("PUT", "/tag/web/", body=body, headers=JSON).status_code == 200
    assert ann.locations("/tag/web/") == ["/compute/other"]


def test_rules_that_mean_a_chosen_group(ann):
    put(ann, "/securitygroup/front", GROUP, attribute("occi.core.title", "front"))
    rules = json.dumps(
        [{"type": "inbound", "protocol": "tcp", "port": "80", "group": "/securitygroup/front"}]
    )
    quoted = rules.replace('"', '\\"')
    line = f'X-OCCI-Attribute: occi.securitygroup.rules="{quoted}"'
    put(ann, "/securitygroup/back", GROUP, attribute("occi.core.title", "back"), line)
    shown = ann.attributes("/securitygroup/back")["occi.securitygroup.rules"]
    assert shown[0]["group"] == "/securitygroup/front"
    kept = ann("PUT", "/securitygroup/back", body=ann("GET", "/securitygroup/back").text)
    assert kept.status_code == 200, kept.text


def test_a_name_is_free_when_its_entity_is_gone(ann, cloud):
    path = put(ann, "/storage/disk", STORAGE, SIZE)
    cloud.settle()
    first = id_behind(ann, path)
    assert ann("DELETE", path).status_code == 200
    cloud.settle()
    assert cloud.engine.chosen_paths(ann.caller) == []
    put(ann, path, STORAGE, SIZE)
    assert id_behind(ann, path) != first


def test_a_name_is_free_while_its_machine_is_being_ended(ann, cloud):
    path = put(ann, "/compute/web", COMPUTE)
    cloud.settle()
    first = id_behind(ann, path)
    cloud.engine.execute(ann.caller, Operate(op=Op.TERMINATE, ids=(first,)))
    assert cloud.get(first).detail != "done"
    assert ann("GET", path).status_code == 404
    put(ann, path, COMPUTE, attribute("occi.core.title", "second"))
    second = id_behind(ann, path)
    cloud.settle()
    assert cloud.get(first).detail == "done"
    assert id_behind(ann, path) == second
    assert ann.attributes(path)["occi.core.title"] == "second"


def test_the_name_of_a_link_goes_with_the_link(ann, cloud):
    machine, disk = put(ann, "/compute/web", COMPUTE), put(ann, "/storage/disk", STORAGE, SIZE)
    cloud.settle()
    ends = (attribute("occi.core.source", machine), attribute("occi.core.target", disk))
    link = put(ann, "/storagelink/first", STORAGELINK, *ends)
    cloud.settle()
    assert ann("DELETE", link).status_code == 200
    cloud.settle()
    assert ann("GET", link).status_code == 404
    assert ann("POST", "/storagelink/", STORAGELINK, *ends).status_code == 201
    assert link not in ann.locations("/storagelink/")


def test_nothing_is_read_of_names_where_there_are_none_to_tell(ann, monkeypatch):
    counted = []
    read = type(ann.cloud.engine).chosen_paths
    monkeypatch.setattr(
        type(ann.cloud.engine), "chosen_paths", lambda *args: counted.append(1) or read(*args)
    )
    ann("GET", "/-/")
    assert counted == []
    ann("GET", "/compute/")
    assert len(counted) <= 1
    put(ann, "/compute/web", COMPUTE)
    counted.clear()
    ann("GET", "/compute/web")
    ann("GET", "/compute/")
    assert len(counted) == 2


# A prefix -----------------------------------------------------------------------------------------------


@pytest.fixture
def project(cloud):
    client = Client(cloud, cloud.caller)
    client.prefix = "/projects/ann"
    return client


def test_everything_is_below_the_prefix(project, ann):
    made = project("POST", "/compute/", COMPUTE)
    assert made.headers["location"].startswith("http://h/projects/ann/compute/")
    assert made.text == f"X-OCCI-Location: {made.headers['location']}"
    path = made.headers["location"].removeprefix("http://h")
    inner = path.removeprefix("/projects/ann")
    for each in (path, inner):
        assert project.json(each)["id"] == inner.rpartition("/")[2]
    text = project("GET", path).text
    assert '; self="/projects/ann/networkinterface/' in text
    assert "</projects/ann/network/" in text
    assert f'occi.core.source="{path}"' in text
    assert 'rel="http://schemas.ogf.org/occi/infrastructure#network"' in text
    links = project.json(path)["links"]
    assert all(each["source"]["location"] == path for each in links)
    assert all(each["target"]["location"].startswith("/projects/ann/") for each in links)
    assert project("GET", "/compute/").text == f"X-OCCI-Location: http://h{path}"
    assert ann("GET", "/compute/").text == f"X-OCCI-Location: http://h{inner}"


def test_categories_below_the_prefix(project, ann):
    assert 'location="/projects/ann/compute/"' in project("GET", "/-/").text
    assert project("GET", "/projects/ann/-/").text == project("GET", "/-/").text
    model = project.json("/-/")
    [compute] = [kind for kind in model["kinds"] if kind["term"] == "compute"]
    assert compute["location"] == "/projects/ann/compute/"
    tag = TAG.replace("/tag/web/", "/projects/ann/tag/web/")
    assert project("POST", "/-/", tag).status_code == 200
    assert project("GET", "/projects/ann/tag/web/").status_code == 200
    assert ann("GET", "/tag/web/").status_code == 200
    assert ann("POST", "/-/", TAG.replace("/tag/web/", "/projects/tag/")).status_code == 409


def test_ends_of_links_with_and_without_the_prefix(project, cloud):
    put_at = "/compute/web"
    assert project("PUT", put_at, COMPUTE).headers["location"] == "http://h/projects/ann/compute/web"
    assert project("PUT", "/projects/ann/storage/disk", STORAGE, SIZE).status_code == 201
    cloud.settle()
    linked = project(
        "POST",
        "/storagelink/",
        STORAGELINK,
        attribute("occi.core.source", "http://h/projects/ann/compute/web"),
        attribute("occi.core.target", "/storage/disk"),
    )
    assert linked.status_code == 201, linked.text
    assert linked.headers["location"].startswith("http://h/projects/ann/storagelink/")
    shown = project.json(linked.headers["location"].removeprefix("http://h"))
    assert shown["source"]["location"] == "/projects/ann/compute/web"
    assert shown["target"]["location"] == "/projects/ann/storage/disk"


def test_what_ec2_makes_has_a_computed_path_only(ann, cloud):
    made = cloud.engine.execute(cloud.caller, CreateVolume(size_gib=1))
    assert f"/storage/{uuid_of(made.id)}" in ann.locations("/storage/")
