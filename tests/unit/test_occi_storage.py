"""Storage, its links, and saving machines over OCCI: real engine and store, hosts in memory."""

import json

import pytest

from backend.commands import (
    AttachVolume,
    CreateVolume,
    DetachVolume,
    Launch,
    Op,
    RegisterImage,
    SetQuota,
)
from backend.engine import EngineSettings
from backend.model import AttachState, ImageState, VolumeState, uuid_of
from occi import entities, kinds, names
from tests.support.occi_face import (
    COMPUTE,
    INFRA,
    JSON,
    OURS,
    STORAGE,
    STORAGE_ACTION,
    STORAGELINK,
    TAG,
    WEB,
    Client,
    action,
    attribute,
)
from tests.support.simulation import ADMIN, Cloud

SIZE, STATE = "occi.storage.size", "occi.storage.state"
HEADERS = {"Content-Type": "text/occi", "Accept": "text/occi"}


def disk(ann, size=2, *lines):
    """The path of a storage that is online."""
    path = ann.make(attribute(SIZE, size), *lines, kind=STORAGE)
    ann.cloud.settle()
    assert ann.attributes(path)[STATE] == "online"
    return path


def machine(ann, *lines):
    """The path of a machine that runs."""
    path = ann.make(*lines)
    ann.cloud.quiesce(3)
    assert ann.attributes(path)["occi.compute.state"] == "active"
    return path


def volume_at(ann, path):
    return ann.cloud.engine.volume(ann.caller, names.id_at(path))


def ends(source, target):
    return attribute("occi.core.source", source), attribute("occi.core.target", target)


def connect(ann, source, target, *lines):
    """The path of a link from a machine to a storage."""
    made = ann("POST", "/storagelink/", STORAGELINK, *ends(source, target), *lines)
    assert made.status_code == 201, made.text
    ann.cloud.settle()
    return made.headers["location"].removeprefix("http://h")


# Storage ------------------------------------------------------------------------------------------------


def test_storage_is_made_as_clients_ask_for_it(ann, cloud):
    # OCCI-REAL-03: the id is the last element of the body; OCCI-REAL-06: it goes online by itself.
    made = ann(
        "POST",
        "/storage/",
        STORAGE,
        attribute("occi.core.id", "im-1"),
        attribute("occi.core.title", "data"),
        attribute("occi.core.summary", "of Ann's"),
        attribute(SIZE, 2.0),
        headers={"Content-Type": "text/plain,text/occi"},
    )
    assert (made.status_code, made.text) == (201, f"X-OCCI-Location: {made.headers['location']}")
    path = made.headers["location"].removeprefix("http://h")
    assert ann.attributes(path)[STATE] == "offline"
    cloud.settle()
    volume = volume_at(ann, path)
    assert made.text.rpartition("/")[2] == uuid_of(volume.id)
    assert (volume.size_gib, volume.state, volume.summary) == (2, VolumeState.AVAILABLE, "of Ann's")
    assert cloud.engine.tags_of([volume.id]) == {volume.id: {"Name": "data"}}
    assert ann("GET", path).text.split("\n") == [
        f'Category: storage; scheme="{INFRA}"; class="kind"; title="Storage Resource"',
        f'Category: us-east-1a; scheme="{OURS}availability_zone#"; class="mixin"; title="us-east-1a"',
        f'Category: us-east-1; scheme="{OURS}region#"; class="mixin"; title="us-east-1"',
        *(
            f'Link: <{path}?action={term}>; rel="{STORAGE_ACTION}{term}"'
            for term in ("offline", "backup", "snapshot", "resize")
        ),
        f'X-OCCI-Attribute: occi.core.id="{uuid_of(volume.id)}"',
        'X-OCCI-Attribute: occi.core.title="data"',
        'X-OCCI-Attribute: occi.core.summary="of Ann\'s"',
        "X-OCCI-Attribute: occi.storage.size=2.0",
        'X-OCCI-Attribute: occi.storage.state="online"',
        'X-OCCI-Attribute: occi.storage.state.message="available"',
    ]
    assert ann("GET", f"/storage/{volume.id}").text == ann("GET", path).text
    shown = ann.json(path)
    assert (shown["id"], shown["title"], shown["attributes"][SIZE]) == (uuid_of(volume.id), "data", 2.0)


def test_a_size_is_rounded_up_to_what_there_is(ann):
    # OCCI-REAL-12: pOCCI asks for a tenth of a GiB.
    for asked, size in ((0.1, 1), (1, 1), (1.5, 2), (3.0, 3)):
        path = ann.make(attribute(SIZE, asked), kind=STORAGE)
        assert ann.attributes(path)[SIZE] == size


def test_storage_of_ec2_is_storage_of_occi(ann, bob, cloud):
    volume = cloud.engine.execute(cloud.caller, CreateVolume(size_gib=1, tags=(("Name", "theirs"),)))
    cloud.settle()
    path = f"/storage/{uuid_of(volume.id)}"
    assert ann.locations("/storage/") == [path]
    assert ann.attributes(path)["occi.core.title"] == "theirs"
    assert bob("GET", path).status_code == 404
    assert bob("DELETE", path).status_code == 404
    assert bob.locations("/storage/") == []
    assert ann("DELETE", path).status_code == 200
    assert ann("GET", path).status_code == 404  # OCCI-AMB-07
    assert ann.locations("/storage/") == []
    cloud.settle()
    assert cloud.engine.volumes(cloud.caller) == []


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 400),
        ([attribute(SIZE, 0)], 400),
        ([attribute(SIZE, -1)], 400),
        ([attribute(SIZE, "much")], 400),
        ([attribute(SIZE, 100_000)], 400),
        ([attribute(SIZE, 60_000)], 400),
        ([attribute(SIZE, 20_000)], 400),
        ([attribute(SIZE, 12_000)], 403),
        ([attribute(SIZE, 1), attribute("occi.compute.cores", 1)], 404),
        ([attribute(SIZE, 1), attribute("occi.core.title", "x" * 256)], 400),
        ([attribute(SIZE, 1), attribute("occi.core.summary", "x" * 1025)], 400),
        ([attribute(SIZE, 1), f'Link: </compute/1>; rel="{INFRA}compute"'], 400),
        ([attribute(SIZE, 1), f'Category: resource_tpl; scheme="{INFRA}"; class="mixin"'], 201),
        ([attribute(SIZE, 1), f'Category: t2_nano; scheme="{OURS}resource_tpl#"; class="mixin"'], 403),
        ([attribute(SIZE, 1), f'Category: us-x; scheme="{OURS}availability_zone#"; class="mixin"'], 404),
        ([attribute(SIZE, 1), COMPUTE], 400),
    ],
)
def test_impossible_storage(ann, cloud, lines, status):
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"gigabytes": 10_000}))
    assert ann("POST", "/storage/", STORAGE, *lines).status_code == status
    assert len(ann.locations("/storage/")) == (status == 201)


def test_storage_and_machines_are_made_together_or_not_at_all(ann):
    both = {
        "resources": [
            {"kind": INFRA + "compute", "attributes": {}},
            {"kind": INFRA + "storage", "attributes": {SIZE: 1}},
        ]
    }
    made = ann("POST", "/", headers=JSON, body=json.dumps(both))
    assert made.status_code == 201
    assert [uri.rpartition("/")[0] for uri in made.json] == ["http://h/compute", "http://h/storage"]
    both["resources"][1]["attributes"][SIZE] = 60_000
    assert ann("POST", "/", headers=JSON, body=json.dumps(both)).status_code == 400
    assert len(ann.locations("/compute/")) == 1
    assert ann("POST", "/compute/", headers=JSON, body=json.dumps(both)).status_code == 400


def test_storage_is_changed(ann, cloud):
    path = disk(ann)
    got = ann("POST", path, attribute("occi.core.title", "new"), attribute("occi.core.summary", "more"))
    assert got.status_code == 200
    assert 'occi.core.title="new"' in got.text
    assert volume_at(ann, path).summary == "more"
    # OCCI-INFRA-031: another size is a resize; less is none.
    assert ann("POST", path, attribute(SIZE, 2.5)).status_code == 200
    growing = ann.attributes(path)
    assert (growing[STATE], growing[SIZE]) == ("online", 3.0)
    assert growing["occi.storage.state.message"] == "available: growing from 2 to 3 GiB"
    assert ann("POST", path, attribute(SIZE, 4)).status_code == 409
    cloud.settle()
    assert ann.attributes(path)["occi.storage.state.message"] == "available"
    assert ann("POST", path, attribute(SIZE, 1)).status_code == 400
    assert ann("POST", path, attribute(STATE, "offline")).status_code == 403
    assert ann("POST", path, attribute(STATE, "online")).status_code == 200
    assert ann("POST", path, COMPUTE).status_code == 400
    assert volume_at(ann, path).size_gib == 3


@pytest.mark.parametrize("media", ["text/plain", "text/occi", "application/occi+json"])
def test_what_was_read_can_be_put_back(ann, media):
    # OCCI-REAL-13: links, actions, immutable attributes and all.
    data = disk(ann, 1, attribute("occi.core.title", "data"))
    source = machine(ann)
    link = connect(ann, source, data)
    for path in (data, link, source):
        read = ann("GET", path, headers={"Accept": media})
        fields = {
            name: value
            for name, value in read.headers.items()
            if name in {"category", "link", "x-occi-attribute"}
        }
        for method in ("PUT", "POST"):
            headers = {"Content-Type": media, "Accept": media, **fields}
            sent = ann(method, path, headers=headers, body="" if fields else read.content)
            assert sent.status_code == 200, (path, method, sent.text)
            assert sent.text == read.text


def test_put_replaces_storage(ann):
    path = disk(ann, 1, attribute("occi.core.title", "old"), attribute("occi.core.summary", "old"))
    assert ann("PUT", path, attribute(SIZE, 1)).status_code == 400
    assert ann("PUT", path, STORAGE, attribute("occi.core.title", "new")).status_code == 200
    shown = ann.attributes(path)
    assert (shown["occi.core.title"], shown[SIZE]) == ("new", 1.0)
    assert "occi.core.summary" not in shown
    assert ann("PUT", f"/storage/{uuid_of('vol-00000000000000001')}", STORAGE).status_code == 400


def test_storage_in_all_listings(ann):
    paths = [ann.make(attribute(SIZE, size), kind=STORAGE) for size in (1, 2, 3)]
    assert ann.locations("/storage/") == ann.locations("/storage") == paths
    uris = ann("GET", "/storage/", headers={"Accept": "text/uri-list"}).text.split("\n")
    assert uris == [f"http://h{path}" for path in paths]
    full = ann.json("/storage/")["resources"]
    assert [item["attributes"][SIZE] for item in full] == [1.0, 2.0, 3.0]
    assert ann.locations("/storage/", query="page=2&number=2") == paths[2:]
    condition = {"X-OCCI-Attribute": f"{SIZE}=2"}
    assert (
        ann.locations("/storage/", headers=condition) == ann.locations("/", headers=condition) == paths[1:2]
    )
    of_kind = {"Category": f'storage; scheme="{INFRA}"; class="kind"'}
    assert ann.locations("/", headers=of_kind) == paths
    assert ann.own("/availability_zone/us-east-1a/") == ann.own("/region/us-east-1/") == paths
    gone = {"Content-Type": "text/occi", **condition}
    ann.cloud.settle()
    assert ann("DELETE", "/storage/", headers=gone).status_code == 200
    assert ann.locations("/storage/") == [paths[0], paths[2]]
    assert ann("DELETE", "/storage/").status_code == 200
    assert ann.locations("/storage/") == []


# Actions on storage -------------------------------------------------------------------------------------


def do(ann, path, term, *lines):
    return ann("POST", path, action(term, STORAGE_ACTION), *lines, query=f"action={term}")


def test_storage_goes_offline_and_online(ann, cloud):
    path = disk(ann)
    source = machine(ann)
    assert do(ann, path, "online").status_code == 409
    assert f'{STATE}="offline"' in do(ann, path, "offline").text
    assert do(ann, path, "offline").status_code == 409
    assert ann("POST", "/storagelink/", STORAGELINK, *ends(source, path)).status_code == 409
    assert do(ann, path, "online").status_code == 200
    connect(ann, source, path)
    assert volume_at(ann, path).attach is AttachState.ATTACHED


def test_storage_is_resized_and_kept_as_1_1_says(ann, cloud):
    path = disk(ann)
    assert do(ann, path, "resize").status_code == 400
    assert do(ann, path, "resize", attribute("size", 1)).status_code == 400
    assert do(ann, path, "resize", attribute("size", 4.0)).status_code == 200
    assert do(ann, path, "resize", attribute("size", 5)).status_code == 409
    cloud.settle()
    assert volume_at(ann, path).size_gib == 4
    for term in ("snapshot", "backup"):
        assert do(ann, path, term).status_code == 200
        cloud.settle()
    snapshots = cloud.engine.snapshots(cloud.caller)
    assert [(each.volume_id, each.state.value) for each in snapshots] == [
        (volume_at(ann, path).id, "completed")
    ] * 2
    assert do(ann, path, "snapshot", attribute("name", "x")).status_code == 404
    assert ann("POST", path, action("start"), query="action=start").status_code == 400
    assert ann("POST", path, query="action=start").status_code == 404
    assert ann("POST", path, query="action=snapshot").status_code == 200


def test_actions_offered_on_storage_are_those_accepted(ann, cloud):
    # Lifecycle, invariant 42.
    def check(path):
        offered = set(ann.json(path).get("actions", ()))
        for term in ("online", "offline", "backup", "snapshot", "resize"):
            lines = (attribute("size", 50),) if term == "resize" else ()
            possible = do(ann, path, term, *lines).status_code == 200
            assert possible == (STORAGE_ACTION + term in offered), (path, term)
            offered = set(ann.json(path).get("actions", ()))

    fresh = ann.make(attribute(SIZE, 1), kind=STORAGE)
    check(fresh)
    cloud.settle()
    check(fresh)
    source = machine(ann)
    attached = disk(ann)
    connect(ann, source, attached)
    check(attached)


def test_an_action_on_all_storage_is_all_or_none(ann, cloud):
    first, second = disk(ann), disk(ann)
    assert do(ann, "/storage/", "offline").status_code == 200
    do(ann, first, "online")
    assert do(ann, "/storage/", "offline").status_code == 409
    assert [ann.attributes(path)[STATE] for path in (first, second)] == ["online", "offline"]


# Links --------------------------------------------------------------------------------------------------


def test_a_link_attaches_and_detaches(ann, cloud):
    data, source = disk(ann, 1), machine(ann)
    made = ann(
        "POST",
        "/storagelink/",
        STORAGELINK,
        attribute("occi.core.id", "Storagelink_1"),
        attribute("occi.core.title", "the data"),
        *ends(f"http://h{source}", f"http://h{data}"),
        attribute("occi.storagelink.deviceid", "/dev/vdf"),
        attribute("occi.storagelink.mountpoint", "/mnt"),
    )
    assert made.status_code == 201, made.text
    link = made.headers["location"].removeprefix("http://h")
    assert ann.attributes(link)["occi.storagelink.state"] == "inactive"
    cloud.settle()
    volume = volume_at(ann, data)
    assert (volume.attach, volume.device, volume.target) == (AttachState.ATTACHED, "/dev/vdf", "vdf")
    assert link == f"/storagelink/{uuid_of('att-' + volume.id[4:])}"
    own = link.rpartition("/")[2]
    assert ann("GET", link).text.split("\n") == [
        f'Category: storagelink; scheme="{INFRA}"; class="kind"; title="Storage Link"',
        f'X-OCCI-Attribute: occi.core.id="{own}"',
        'X-OCCI-Attribute: occi.core.title="the data"',
        'X-OCCI-Attribute: occi.storagelink.mountpoint="/mnt"',
        f'X-OCCI-Attribute: occi.core.source="{source}"',
        f'X-OCCI-Attribute: occi.core.source.kind="{INFRA}compute"',
        f'X-OCCI-Attribute: occi.core.target="{data}"',
        f'X-OCCI-Attribute: occi.core.target.kind="{INFRA}storage"',
        'X-OCCI-Attribute: occi.storagelink.deviceid="/dev/vdf"',
        'X-OCCI-Attribute: occi.storagelink.state="active"',
        f'X-OCCI-Attribute: occi.storagelink.state.message="attached: the serial of the disk is {volume.serial}"',
    ]
    # OCCI-REAL-05, 14: inside its source, with self, category and target.
    [inline] = [line for line in ann("GET", source).text.split("\n") if f"<{data}>" in line]
    assert inline.startswith(
        f'Link: <{data}>; rel="{INFRA}storage"; self="{link}"; category="{INFRA}storagelink"; '
        f'occi.core.id="{own}"; occi.core.title="the data"; occi.storagelink.mountpoint="/mnt"; '
        f'occi.core.source="{source}"'
    )
    assert f'occi.core.target="{data}"' in inline
    assert "Link: </storagelink" not in ann("GET", data).text
    assert ann.json(link) in ann.json(source)["links"]
    assert ann.json(link)["target"] == {"location": data, "kind": INFRA + "storage"}
    assert ann.json(link)["source"] == {"location": source, "kind": INFRA + "compute"}

    assert ann("DELETE", data).status_code == 409
    assert ann("DELETE", link).status_code == 200
    cloud.settle()
    assert ann("GET", link).status_code == 404
    assert data not in ann("GET", source).text
    assert ann("DELETE", data).status_code == 200


def test_links_in_headers_and_in_json(ann, cloud):
    data, source = disk(ann, 1), machine(ann)
    headers = {
        **HEADERS,
        "Category": f'storagelink; scheme="{INFRA}"; class="kind"',
        "X-OCCI-Attribute": f'occi.core.source="{source}", occi.core.target="{data}"',
    }
    made = ann("POST", "/storagelink/", headers=headers)
    assert (made.status_code, made.text) == (201, "OK")
    cloud.settle()
    link = made.headers["location"].removeprefix("http://h")
    shown = ann("GET", link, headers={"Accept": "text/occi"})
    assert f'occi.core.source="{source}", ' in shown.headers["x-occi-attribute"]
    assert data in ann("GET", source, headers={"Accept": "text/occi"}).headers["link"]
    ann("DELETE", link)
    cloud.settle()
    said = {
        "kind": INFRA + "storagelink",
        "id": "mine",
        "source": {"location": source, "kind": INFRA + "compute"},
        "target": {"location": f"http://h/storage/{volume_at(ann, data).id}"},
        "attributes": {"occi.storagelink.deviceid": "/dev/vdx"},
    }
    made = ann("POST", "/storagelink/", headers=JSON, body=json.dumps(said))
    assert (made.status_code, made.json) == (201, [f"http://h{link}"])
    listed = ann.json("/storagelink/")
    devices = sorted(each["attributes"]["occi.storagelink.deviceid"] for each in listed["links"])
    assert devices == ["/dev/vda", "/dev/vdx"]
    assert "resources" not in listed


def test_attachments_of_ec2_are_links_and_go_both_ways(ann, bob, cloud):
    instance = cloud.started()
    volume = cloud.engine.execute(cloud.caller, CreateVolume(size_gib=1))
    cloud.settle()
    attach = AttachVolume(volume_id=volume.id, instance_id=instance.id, device="/dev/sdf")
    cloud.engine.execute(cloud.caller, attach)
    cloud.settle()
    link = f"/storagelink/{uuid_of('att-' + volume.id[4:])}"
    assert link in ann.locations("/storagelink/")
    assert ann.attributes(link)["occi.storagelink.deviceid"] == "/dev/sdf"
    assert ann("GET", f"/storagelink/att-{volume.id[4:]}").status_code == 200
    assert bob("GET", link).status_code == 404
    assert bob("DELETE", link).status_code == 404
    assert ann("DELETE", link).status_code == 200
    cloud.settle()
    assert cloud.engine.volume(cloud.caller, volume.id).state is VolumeState.AVAILABLE
    again = connect(ann, f"/compute/{instance.id}", f"/storage/{volume.id}")
    assert again == link
    cloud.engine.execute(cloud.caller, DetachVolume(volume_id=volume.id))
    cloud.settle()
    assert ann("GET", link).status_code == 404


def test_what_a_machine_boots_from_is_storage_with_a_link(ann, cloud):
    source = machine(ann)
    data = disk(ann)
    [root] = [path for path in ann.locations("/storage/") if path != data]
    assert ann.locations("/storage/") == [data, root]  # pOCCI links the first
    [link] = ann.locations("/storagelink/")
    assert ann.attributes(link)["occi.storagelink.deviceid"] == "/dev/vda"
    assert ann("DELETE", link).status_code == 409
    assert ann("DELETE", "/storagelink/").status_code == 409
    assert ann("DELETE", root).status_code == 409
    assert ann("DELETE", source).status_code == 200
    for path in ("/storagelink/", "/compute/"):
        assert ann.locations(path) == []
    assert ann.locations("/storage/") == [data]  # the root disk ends with its machine, as of now
    for path in (link, root, source):
        assert ann("GET", path).status_code == 404
    cloud.settle()
    assert ann.own() == [data]


def test_a_link_names_the_device_that_there_is(ann, cloud):
    # IM formats and mounts what it is told; the scratch disk may have the letter asked for.
    source = machine(ann, f'Category: t2_large; scheme="{OURS}resource_tpl#"; class="mixin"')
    for asked, shown in (("/dev/vdb", "/dev/vdc"), ("/dev/sdf", "/dev/sdf"), ("vdg", "vdg")):
        link = connect(ann, source, disk(ann), attribute("occi.storagelink.deviceid", asked))
        assert ann.attributes(link)["occi.storagelink.deviceid"] == shown


def test_a_link_is_active_while_its_machine_runs(ann, cloud):
    source = machine(ann)
    [link] = ann.locations("/storagelink/")
    assert ann.attributes(link)["occi.storagelink.state"] == "active"
    cloud.operate(Op.POWEROFF_HARD, names.id_at(source))
    cloud.quiesce(3)
    assert ann.attributes(link)["occi.storagelink.state"] == "inactive"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((), 400),
        (("source",), 400),
        (("target",), 400),
        (("source", attribute("occi.core.target", "/network/1")), 404),
        (("source", attribute("occi.core.target", "/compute/i-00000000000000001")), 404),
        (("source", attribute("occi.core.target", "/storage/vol-00000000000000001")), 404),
        (("source", attribute("occi.core.target", "http://[")), 400),
        (("target", attribute("occi.core.source", "/compute/i-00000000000000001")), 404),
        (("source", "target", attribute("occi.storagelink.deviceid", "the fast one")), 400),
        (("source", "target", attribute("occi.storagelink.deviceid", "/dev/vda")), 409),
        (("source", "target", attribute("occi.storagelink.device", "x")), 404),
        (("source", "target", WEB), 404),
        (("source", "target", f'Link: </storage/1>; rel="{INFRA}storage"'), 400),
    ],
)
def test_impossible_links(ann, lines, status):
    data, source = disk(ann), machine(ann)
    both = dict(zip(("source", "target"), ends(source, data), strict=True))
    got = ann("POST", "/storagelink/", STORAGELINK, *(both.get(line, line) for line in lines))
    assert got.status_code == status, got.text
    assert volume_at(ann, data).instance_id is None


def test_a_link_stays_what_it_is(ann):
    first, second, source = disk(ann), disk(ann), machine(ann)
    link = connect(ann, source, first)
    assert ann("POST", link, attribute("occi.core.target", f"http://h{first}")).status_code == 200
    assert ann("POST", link, attribute("occi.core.target", second)).status_code == 501
    assert ann("POST", link, attribute("occi.storagelink.deviceid", "/dev/vdz")).status_code == 409
    assert ann("POST", link, attribute("occi.storagelink.state", "error")).status_code == 403
    assert ann("PUT", link, attribute("occi.core.target", first)).status_code == 400
    assert ann("POST", link, query="action=start").status_code == 404
    assert ann("POST", link, action("start"), query="action=start").status_code == 400
    assert ann("POST", "/storagelink/", query="action=online").status_code == 400
    assert ann("POST", "/storagelink/", STORAGELINK, *ends(source, first)).status_code == 409


def inline(path, *more):
    return "; ".join((f'Link: <{path}>; rel="{INFRA}storage"; category="{INFRA}storagelink"', *more))


def test_a_machine_is_made_with_links(ann, cloud):
    first, second = disk(ann), disk(ann)
    made_up = 'self="/storagelink/im-1"; occi.core.id="im-1"; occi.core.source="/compute/im-2"'
    source = ann.make(
        inline(f"http://h{first}", made_up, 'occi.storagelink.deviceid="/dev/vdk"'),
        f'Link: <{second}>; rel="{INFRA}storage"',  # OCCI-TEXT grammar: the category may be left out
    )
    shown = ann.json(source)["links"]
    assert {link["target"]["location"] for link in shown} >= {first, second}
    assert ann("POST", "/compute/", COMPUTE, inline(first)).status_code == 409
    cloud.quiesce(3)
    assert ann.attributes(source)["occi.compute.state"] == "active"
    assert volume_at(ann, first).target == "vdk"
    for link in ann.json(source)["links"][:3]:
        assert link["attributes"]["occi.storagelink.state"] == "active"
    # The machine goes, its storage stays.
    assert ann("DELETE", source).status_code == 200
    cloud.quiesce(3)
    assert sorted(ann.locations("/storage/")) == sorted([first, second])
    assert {ann.attributes(path)[STATE] for path in (first, second)} == {"online"}


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (inline("/storage/vol-00000000000000001"), 404),
        (inline("/storage/nothing"), 404),
        (inline("/compute/i-00000000000000001"), 404),
        (inline("DATA", "a.b=1"), 404),
        (inline("DATA") + "\n" + inline("DATA"), 400),
        (f'Link: <DATA>; rel="{INFRA}storage"; category="{INFRA}compute"', 400),
        (
            f'Link: <DATA>; rel="{INFRA}storage"; category="{INFRA}storagelink {OURS}resource_tpl#t2_nano"',
            403,
        ),
    ],
)
def test_impossible_links_make_no_machine(ann, line, status):
    data = disk(ann)
    assert ann("POST", "/compute/", COMPUTE, line.replace("DATA", data)).status_code == status
    assert ann.locations("/compute/") == []
    assert volume_at(ann, data).instance_id is None


def test_links_are_added_to_a_machine_and_kept_by_put(ann, cloud):
    first, second, source = disk(ann), disk(ann), machine(ann)
    connect(ann, source, first)
    # OCCI-HTTP-035: what is linked already is no new link.
    got = ann("POST", source, inline(first), inline(second))
    assert got.status_code == 200
    cloud.settle()
    assert volume_at(ann, second).attach is AttachState.ATTACHED
    # OCCI-AMB-09: links are left alone.
    assert ann("PUT", source, COMPUTE, inline("/storage/vol-00000000000000001")).status_code == 200
    assert ann("PUT", source, COMPUTE).status_code == 200
    assert len([each for each in ann.json(source)["links"] if "storage" in each["kind"]]) == 3


def test_deleting_all_links_is_all_or_none(ann, cloud):
    first, second = disk(ann), disk(ann)
    source = machine(ann)
    links = [connect(ann, source, path) for path in (first, second)]
    assert ann("DELETE", "/storagelink/").status_code == 409  # what it boots from is among them
    assert volume_at(ann, first).attach is AttachState.ATTACHED
    for uri in (first, f"http://h{first}"):
        data = {"Content-Type": "text/occi", "X-OCCI-Attribute": f'occi.core.target="{uri}"'}
        assert ann.locations("/storagelink/", headers=data) == links[:1]
    assert ann("DELETE", "/storagelink/", headers=data).status_code == 200
    cloud.settle()
    assert set(links) & set(ann.locations("/storagelink/")) == {links[1]}
    # Everything at once: links go with their machine, a storage in use that outlives it does not.
    assert ann("DELETE", "/").status_code == 409
    assert ann("GET", source).status_code == 200
    ann("DELETE", links[1])
    cloud.settle()
    assert ann("DELETE", "/").status_code == 200
    assert ann.own() == []
    cloud.quiesce(3)
    assert cloud.engine.volumes(cloud.caller) == []


def test_a_guest_that_does_not_let_go_keeps_its_link(ann, cloud):
    data, source = disk(ann), machine(ann)
    link = connect(ann, source, data)
    with cloud.store.begin() as tx:
        tx.volumes.update(tx.volumes.get(names.id_at(data)), attach=AttachState.BUSY)
    shown = ann.attributes(link)
    assert shown["occi.storagelink.state"] == "inactive"
    assert shown["occi.storagelink.state.message"] == "busy: the machine does not let go"


# Tags and zones -----------------------------------------------------------------------------------------


def test_tags_go_with_storage_and_machines(ann, cloud):
    assert ann("POST", "/-/", TAG).status_code == 200
    data, tagged, source = disk(ann), disk(ann, 1, WEB), machine(ann)
    assert ann.locations("/tag/web/") == [tagged]
    lines = [f"X-OCCI-Location: http://h{path}" for path in (data, source)]
    assert ann("POST", "/tag/web/", *lines).status_code == 200
    assert ann.locations("/tag/web/") == [source, data, tagged]
    assert WEB in ann("GET", data).text
    assert ann("POST", "/tag/web/", action("stop"), query="action=stop").status_code == 400
    listed = {"resources": [{"kind": INFRA + "storage", "id": data.rpartition("/")[2]}]}
    assert ann("DELETE", "/tag/web/", headers=JSON, body=json.dumps(listed)).status_code == 200
    del listed["resources"][0]["kind"]
    assert ann("PUT", "/tag/web/", headers=JSON, body=json.dumps(listed)).status_code == 200
    assert ann.locations("/tag/web/") == [data]
    assert ann("PUT", data, STORAGE).status_code == 200
    assert ann.locations("/tag/web/") == []
    assert ann("POST", data, WEB).status_code == 200
    assert ann.locations("/tag/web/") == [data]


def test_zones_are_mixins(bob):
    cloud = Cloud(settings=EngineSettings(zones={"us-east-1": ("us-east-1a", "us-east-1b")}))
    cloud.add_host(zone="us-east-1b")
    cloud.poll()
    ann = Client(cloud, cloud.caller)
    zone = f'Category: us-east-1b; scheme="{OURS}availability_zone#"; class="mixin"'
    other = zone.replace("1b", "1a")
    data = disk(ann, 1, zone)
    assert volume_at(ann, data).zone == "us-east-1b"
    # Without a zone a machine comes where its storage is.
    source = machine(ann, inline(data))
    assert cloud.engine.instance(ann.caller, names.id_at(source)).zone == "us-east-1b"
    assert ann("POST", "/compute/", COMPUTE, inline(data), other).status_code == 409
    assert ann("POST", "/compute/", COMPUTE, zone, other).status_code == 400
    assert {source, data} <= set(ann.locations("/availability_zone/us-east-1b/"))
    assert ann.own("/availability_zone/us-east-1a/") == []
    for path in (source, data):
        assert ann("POST", path, zone).status_code == 200
        assert ann("POST", path, other).status_code == 501
    assert ann("POST", "/availability_zone/us-east-1a/", f"X-OCCI-Location: {data}").status_code == 400


# Saving machines ----------------------------------------------------------------------------------------


def test_save_makes_a_template_that_ec2_launches(ann, cloud):
    source = machine(ann)
    got = ann("POST", source, action("save"), attribute("name", "golden"), query="action=save")
    assert got.status_code == 200
    [image] = [each for each in cloud.engine.images(cloud.caller) if each.name == "golden"]
    # OCCI-INFRA-012, OCCI-AMB-11: the answer is the new template.
    assert got.text == (
        f'Category: {image.id}; scheme="{OURS}os_tpl#"; class="mixin"; title="golden"; '
        f'rel="{INFRA}os_tpl"; location="/os_tpl/{image.id}/"'
    )
    # It is there at once, after those that are written, and a machine of it waits.
    assert image.state is ImageState.LOCKED
    terms = [
        each["term"] for each in ann.json("/-/")["mixins"] if INFRA + "os_tpl" in each.get("depends", ())
    ]
    assert terms == [cloud.image.id, image.id]
    copy = ann.make(f'Category: {image.id}; scheme="{OURS}os_tpl#"; class="mixin"')
    assert ann.attributes(copy)["occi.compute.state.message"] == "pend: waiting for the image"
    cloud.quiesce(3)
    assert ann.attributes(source)["occi.compute.state"] == "active"
    assert ann.attributes(copy)["occi.compute.state"] == "active"
    launched = cloud.engine.execute(cloud.caller, Launch(image_id=image.id))
    cloud.quiesce(3)
    assert cloud.get(launched.instances[0]).detail == "runn"


def saved_template(ann, cloud, name="golden", method="hot") -> str:
    """A machine saved; the category of the template, as one names it."""
    lines = (action("save"), attribute("name", name), attribute("method", method))
    got = ann("POST", machine(ann), *lines, query="action=save")
    assert got.status_code == 200
    cloud.quiesce(3)
    return got.text.partition("; title=")[0]


def test_own_templates_are_removed_with_the_snapshots_that_saving_made(ann, bob, cloud):
    template = saved_template(ann, cloud)
    [image] = [each for each in cloud.engine.images(cloud.caller) if each.name == "golden"]
    machines = {ann.make(template)}
    cloud.quiesce(3)
    machines.add(ann.make(template))  # and is being made while its template goes
    assert bob("DELETE", "/-/", template).status_code == 404
    assert ann("DELETE", "/-/", template, f'Category: os_tpl; scheme="{INFRA}"').status_code == 403
    assert image.id in ann("GET", "/-/").text
    assert ann("DELETE", "/-/", template, template).status_code == 200
    assert image.id not in ann("GET", "/-/").text
    assert ann("DELETE", "/-/", template).status_code == 404
    assert cloud.engine.snapshots(cloud.caller) == []
    cloud.quiesce(3)
    for path in machines:
        assert ann.attributes(path)["occi.compute.state"] == "active"
        assert image.id in ann("GET", path).text


def test_a_template_that_is_not_written_yet_is_removed(ann, cloud):
    template = saved_template(ann, cloud, method="deferred")
    assert ann("DELETE", "/-/", template).status_code == 200
    assert cloud.engine.snapshots(cloud.caller) == []
    for path in ann.own("/compute/"):
        assert ann("DELETE", path).status_code == 200
    cloud.quiesce(3)
    assert [each.name for each in cloud.engine.images(cloud.caller)] == [cloud.image.name]


def test_snapshots_that_saving_did_not_make_or_that_are_needed_stay(ann, cloud):
    templates = [saved_template(ann, cloud, name) for name in ("first", "second")]
    images = {each.name: each for each in cloud.engine.images(cloud.caller)}
    older = images["first"].snapshot_id
    third = cloud.engine.execute(cloud.caller, RegisterImage(name="third", snapshot_id=older))
    assert ann("DELETE", "/-/", *templates).status_code == 200
    assert [each.id for each in cloud.engine.snapshots(cloud.caller)] == [older]
    # Nobody saved a machine as that one, nor as what the cloud offers, though both are the caller's own.
    for each in (third, cloud.image):
        assert ann("DELETE", "/-/", f'Category: {each.id}; scheme="{OURS}os_tpl#"').status_code == 403


def test_a_deferred_save_is_written_when_the_machine_ends(ann, bob, cloud):
    source = machine(ann)
    said = {"action": "http://schemas.ogf.org/occi/infrastructure/compute/action#save"}
    said["attributes"] = {"method": "deferred", "name": "at the end"}
    got = ann("POST", source, headers=JSON, body=json.dumps(said), query="action=save")
    assert got.status_code == 200
    [template] = got.json["mixins"]
    assert template["title"] == "at the end"
    cloud.quiesce(3)
    assert cloud.engine.image(cloud.caller, template["term"]).state is ImageState.LOCKED
    assert template["term"] not in [each["term"] for each in bob.json("/-/")["mixins"]]
    assert ann("DELETE", source).status_code == 200
    cloud.quiesce(3)
    assert cloud.engine.image(cloud.caller, template["term"]).state is ImageState.READY


def test_save_of_several_and_without_a_name(ann, cloud):
    first, second = machine(ann), machine(ann)
    got = ann("POST", "/compute/", action("save"), attribute("name", "both"), query="action=save")
    assert got.status_code == 200
    assert len(got.text.split("\n")) == 2
    found = {each.name for each in cloud.engine.images(cloud.caller)} - {cloud.image.name}
    assert found == {f"both {names.id_at(path)}" for path in (first, second)}
    cloud.quiesce(3)
    assert ann("POST", first, query="action=save").status_code == 200
    cloud.quiesce(3)
    assert (
        ann("POST", first, action("save"), attribute("method", "cold"), query="action=save").status_code
        == 400
    )
    assert ann("POST", first, action("save"), attribute("name", "x"), query="action=save").status_code == 400
    waiting = ann.make()
    for method in ("hot", "deferred"):
        lines = (action("save"), attribute("method", method))
        assert ann("POST", waiting, *lines, query="action=save").status_code == 409


# The mechanism ------------------------------------------------------------------------------------------


def test_every_kind_with_entities_has_a_module():
    assert set(entities.MODULES) == {kind.id for kind in names.KINDS.values()}
    assert {kind.id for kind in kinds.KINDS} - set(entities.MODULES) == {
        kinds.ENTITY.id,
        kinds.RESOURCE.id,
        kinds.LINK.id,
    }
    defined = [type_id for kind in set(names.KINDS.values()) for type_id in kind.actions]
    assert sorted(defined) == sorted(each.id for each in kinds.ACTIONS)


@pytest.mark.parametrize("prefix", sorted(names.KINDS))
def test_names_of_entities(prefix):
    entity_id = f"{prefix}-0123456789abcdef0"
    path = names.path_of(entity_id)
    assert names.is_path(path)
    assert names.id_at(path) == names.id_in(f"http://h{path}") == entity_id
    assert names.id_at(f"{names.kind_of(entity_id).location}{entity_id}") == entity_id
    assert names.id_of_kind(names.kind_of(entity_id), path.rpartition("/")[2]) == entity_id
    assert names.volume_id(names.link_id("vol-0123456789abcdef0")) == "vol-0123456789abcdef0"
