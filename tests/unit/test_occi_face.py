"""Conversations with the OCCI face: real engine and store, falcon, and hosts in memory."""

import base64
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.commands import (
    CreateTags,
    DeregisterImage,
    ModifyImage,
    Op,
    Operate,
    PutFlavor,
    SetQuota,
)
from backend.model import Flavor, UserMixin, uuid_of
from gateway.app import _OWN, EC2_PATHS
from occi import names
from occi.catalog import Catalog
from occi.tagging import RESERVED
from rendering import occi_text
from tests.support.occi_face import (
    ACTION,
    COMPUTE,
    CRTP,
    INFRA,
    JSON,
    OURS,
    PLAIN,
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

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE me"


@pytest.fixture
def cloud():
    made = Cloud()
    for term, cores in (("small", 1), ("medium", 2), ("large", 4)):
        flavor = Flavor(
            name=f"c1.{term}",
            vcpus=cores,
            memory_mib=cores * 1024,
            root_gib=1,
            ephemeral_gib=cores * 10,
            crtp=term,
        )
        made.engine.execute(ADMIN, PutFlavor(flavor=flavor))
    return made


# Discovery ----------------------------------------------------------------------------------------------


def test_discovery_and_its_mirror(ann, cloud):
    got = ann("GET", "/-/")
    assert got.status_code == 200
    assert got.headers["content-type"].startswith("text/plain")
    assert got.headers["server"] == "isthmus/1 OCCI/1.1 OCCI/1.2 OCCI-CRTP/1.1"
    assert ann("GET", "/.well-known/org/ogf/occi/-/").text == got.text
    lines = got.text.split("\n")
    assert lines[0].startswith("Category: entity;")
    assert any(
        line.startswith(f'Category: {cloud.image.id}; scheme="{OURS}os_tpl#"; class="mixin"')
        for line in lines
    )
    model = ann("GET", "/-/", headers={"Accept": "application/occi+json"}).json
    assert [kind["term"] for kind in model["kinds"]] == [
        "entity",
        "resource",
        "link",
        "compute",
        "storage",
        "storagelink",
        "network",
        "networkinterface",
        "securitygroup",
        "securitygrouplink",
        "ipreservation",
    ]
    assert all(kind["location"] for kind in model["kinds"])
    [small] = [mixin for mixin in model["mixins"] if mixin["term"] == "small"]
    assert small["attributes"]["occi.compute.memory"]["default"] == 1.0
    assert small["depends"] == [INFRA + "resource_tpl"]
    assert ann("HEAD", "/-/").status_code == 200
    assert ann("PUT", "/-/", WEB).status_code == 405


def test_discovery_filter_names_categories(ann):
    wanted = {"Category": f'compute; scheme="{INFRA}"; class="kind", os_tpl; scheme="{INFRA}"; class="mixin"'}
    got = ann("GET", "/-/", headers=wanted).text.split("\n")
    assert [line.split(";")[0] for line in got] == ["Category: compute", "Category: os_tpl"]
    unknown = {"Category": 'x; scheme="http://x#"; class="kind"'}
    assert ann("GET", "/-/", headers=unknown).status_code == 400


# Renderings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "status", "content_type"),
    [
        (None, 200, "text/plain; charset=utf-8"),
        ("*/*", 200, "text/plain; charset=utf-8"),
        ("text/*", 200, "text/plain; charset=utf-8"),
        ("Text/Plain; charset=UTF-8, , x/y", 200, "text/plain; charset=utf-8"),
        ("text/occi+plain", 200, "text/occi+plain; charset=utf-8"),
        ("text/plain,text/occi;q=0.2", 200, "text/plain; charset=utf-8"),
        ("text/occi", 200, "text/occi"),
        ("application/occi+json;q=0.9, text/plain;q=0.1", 200, "application/occi+json"),
        ("text/uri-list", 400, "text/plain; charset=utf-8"),
        ("text/uri-list, text/occi;q=0.5", 200, "text/occi"),
        ("application/xml", 406, "text/plain; charset=utf-8"),
        ("not a type", 400, "text/plain; charset=utf-8"),
    ],
)
def test_negotiation(ann, accept, status, content_type):
    path = ann.make()
    got = ann("GET", path, headers={"Accept": accept} if accept else None)
    assert (got.status_code, got.headers["content-type"]) == (status, content_type)


def test_headers_rendering_has_the_body_ok(ann):
    path = ann.make(attribute("occi.core.title", "Grüße"))
    got = ann("GET", path, headers={"Accept": "text/occi"})
    assert got.text == "OK"
    assert got.headers["category"].startswith(f'compute; scheme="{INFRA}"; class="kind"')
    assert 'occi.core.title="Grüße"' in got.headers["x-occi-attribute"].encode("latin-1").decode()
    missing = ann("GET", "/compute/none", headers={"Accept": "text/occi"})
    assert missing.status_code == 404
    assert missing.headers["x-occi-error"] == missing.text


def test_a_listing_too_long_for_headers_is_not_cut(ann, cloud, monkeypatch):
    monkeypatch.setattr(occi_text, "MAX_HEADER", 1000)
    cloud.launch(ann.caller, minimum=20, maximum=20)
    cut = ann("GET", "/compute/", headers={"Accept": "text/occi"})
    assert (cut.status_code, "x-occi-location" in cut.headers) == (406, False)
    assert len(ann.locations("/compute/")) == 20


def test_errors_in_json(ann):
    got = ann("GET", "/compute/none", headers={"Accept": "application/occi+json"})
    assert got.json == {"status": 404, "error": got.json["error"], "code": "not_found"}


def test_versions(ann):
    assert ann("GET", "/-/", headers={"User-Agent": "x OCCI/2.0"}).status_code == 501
    assert ann("GET", "/-/", headers={"User-Agent": "x OCCI/1.3"}).status_code == 501
    old = ann("GET", "/-/", headers={"User-Agent": "rOCCI/4.3 OCCI/1.1 curl/8"})
    assert (old.status_code, old.headers["accept"]) == (200, "text/plain, text/occi, text/uri-list")
    assert "application/occi+json" in ann("GET", "/-/").headers["accept"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("text/plain,text/occi", 201),
        ("text/occi+plain; charset=utf-8", 201),
        ("", 201),
        ("application/xml", 406),
        ("application/occi+json", 400),
    ],
)
def test_content_types(ann, content_type, status):
    headers = {"Content-Type": content_type} if content_type else {}
    assert ann("POST", "/compute/", body=COMPUTE, headers=headers).status_code == status


def test_chunked_bodies_are_read(ann):
    chunked = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    made = ann.http.simulate_post("/compute/", body=COMPUTE, headers=PLAIN, extras=chunked)
    assert made.status_code == 201


def test_bodies_too_large_are_refused(ann):
    assert ann("POST", "/compute/", body="x" * ((1 << 20) + 1), headers=PLAIN).status_code == 413


# Creation -----------------------------------------------------------------------------------------------


def test_create_as_the_specification_shows(ann, cloud):
    made = ann(
        "POST",
        "/compute/",
        COMPUTE,
        f'Category: {cloud.image.id}; scheme="{OURS}os_tpl#"; class="mixin"',
        f'Category: medium; scheme="{CRTP}"; class="mixin"',
        'Category: ssh_key; scheme="http://schemas.ogf.org/occi/infrastructure/credentials#"; class="mixin"',
        'Category: user_data; scheme="http://schemas.openstack.org/compute/instance#"; class="mixin"',
        attribute("occi.core.id", "im-1234"),
        attribute("occi.core.title", "web, first"),
        attribute("occi.core.summary", "one; of = many"),
        attribute("occi.compute.hostname", "web-1.example.org"),
        attribute("occi.compute.cores", 9),
        attribute("occi.credentials.ssh.publickey", KEY),
        attribute("org.openstack.compute.user_data", base64.b64encode(b"#cloud-config\n").decode()),
    )
    assert made.status_code == 201
    assert made.text == f"X-OCCI-Location: {made.headers['location']}"
    path = made.headers["location"].removeprefix("http://h")
    shown = ann("GET", path, headers={"Accept": "application/occi+json"}).json
    assert shown["mixins"] == [
        f"{OURS}os_tpl#{cloud.image.id}",
        f"{CRTP}medium",
        "http://schemas.ogf.org/occi/infrastructure/credentials#ssh_key",
        "http://schemas.openstack.org/compute/instance#user_data",
        f"{OURS}availability_zone#us-east-1a",
        f"{OURS}region#us-east-1",
    ]
    assert shown["attributes"] == {
        "occi.core.id": path.rpartition("/")[2],
        "occi.core.title": "web, first",
        "occi.core.summary": "one; of = many",
        "occi.compute.architecture": "x64",
        "occi.compute.cores": 2,
        "occi.compute.hostname": "web-1.example.org",
        "occi.compute.memory": 2.0,
        "occi.compute.state": "inactive",
        "occi.compute.state.message": "pend: waiting for capacity",
        "occi.credentials.ssh.publickey": KEY,
        "org.openstack.compute.user_data": base64.b64encode(b"#cloud-config\n").decode(),
        "occi.compute.ephemeral_storage.size": 20.0,
        "occi.compute.ephemeral_storage.deviceid": "vdb",
    }
    [instance] = cloud.engine.instances(cloud.caller)
    assert path == f"/compute/{uuid_of(instance.id)}"
    assert cloud.engine.tags_of([instance.id])[instance.id] == {"Name": "web, first"}
    assert cloud.engine.user_data(cloud.caller, instance.id) == b"#cloud-config\n"
    assert ann("GET", f"/compute/{instance.id}").text == ann("GET", path).text


def test_create_without_anything_takes_defaults(ann):
    # OCCI-REAL-12: pOCCI names no template.
    shown = ann.attributes(ann.make())
    assert (shown["occi.compute.cores"], shown["occi.compute.memory"]) == (1, 0.5)


def test_numbers_for_strings_need_no_quotes_in_text(ann):
    # jOCCI leaves them off whatever looks like a number.
    for number, (title, header) in enumerate(
        [("2026", "2026"), ("007", "007"), ("1.50", "1.50"), ("-3", "-3")]
    ):
        path = ann.make(
            f"X-OCCI-Attribute: occi.core.title={title}", f"X-OCCI-Attribute: occi.core.summary={number}"
        )
        assert ann.attributes(path)["occi.core.title"] == title
        assert ann.locations("/", headers={"X-OCCI-Attribute": f"occi.core.title={header}"}) == [path]
    assert ann("POST", path, "X-OCCI-Attribute: occi.core.title=8").status_code == 200
    assert ann.locations("/", headers={"X-OCCI-Attribute": 'occi.core.title="8"'}) == [path]
    number = msgspec.json.encode({"title": 1})
    assert ann("POST", path, body=number, headers=JSON).status_code == 400
    number = msgspec.json.encode({"attributes": {"occi.core.title": 1}})
    assert ann("POST", path, body=number, headers=JSON).status_code == 400


def test_text_in_latin1_is_read_when_it_is_declared(ann):
    body = f'{COMPUTE}\nX-OCCI-Attribute: occi.core.title="Grüße"'.encode("latin-1")
    for charset in ("ISO-8859-1", '"iso-8859-1"', "latin1"):
        headers = {"Content-Type": f"text/plain; charset={charset}"}
        made = ann("POST", "/compute/", body=body, headers=headers)
        assert made.status_code == 201
        path = made.headers["location"].removeprefix("http://h")
        assert ann.attributes(path)["occi.core.title"] == "Grüße"
    for content_type in ("text/plain", "text/plain; charset=utf-8"):
        assert ann("POST", "/compute/", body=body, headers={"Content-Type": content_type}).status_code == 400


def test_create_with_sizes_and_no_template(ann):
    path = ann.make(attribute("occi.compute.cores", 2), attribute("occi.compute.memory", 1.5))
    shown = ann.attributes(path)
    assert (shown["occi.compute.cores"], shown["occi.compute.memory"]) == (2, 1.5)
    assert "resource_tpl#" not in ann("GET", path).text


def test_categories_are_known_without_their_class(ann, cloud):
    # OCCI-REAL-18: doyouspeakOCCI and its like name a category by scheme and term alone.
    def bare(line):
        return re.sub(r'; class="[a-z]+"', "", line)

    assert "class" not in bare(COMPUTE)
    assert ann("POST", "/-/", bare(TAG)).status_code == 400
    assert ann("POST", "/-/", TAG).status_code == 200
    assert ann("POST", "/-/", bare(TAG)).status_code == 400
    small = f'Category: small; scheme="{CRTP}"'
    made = ann("POST", "/compute/", bare(COMPUTE), small, bare(WEB))
    assert made.status_code == 201
    path = made.headers["location"].removeprefix("http://h")
    assert ann.locations("/resource_tpl/small/") == ann.locations("/tag/web/") == [path]
    kind = {"Category": bare(COMPUTE).removeprefix("Category: ")}
    assert ann("GET", "/-/", headers=kind).text.startswith("Category: compute;")
    assert ann.locations("/", headers=kind) == [path]
    cloud.quiesce(2)
    assert ann("POST", path, bare(action("stop")), query="action=stop").status_code == 200
    assert ann("PUT", path, bare(ann("GET", path).text)).status_code == 200
    assert ann("POST", "/compute/", 'Category: x; scheme="http://x#"').status_code == 404
    assert ann("POST", path, bare(action("stop"))).status_code == 400
    assert ann("DELETE", "/-/", bare(COMPUTE)).status_code == 403
    assert ann("DELETE", "/-/", bare(WEB)).status_code == 200
    assert ann("DELETE", "/", headers=kind).status_code == 200
    assert ann.own() == []


def test_create_in_headers_and_in_json_and_at_the_root(ann):
    kind = {"Content-Type": "text/occi", "Category": COMPUTE.removeprefix("Category: ")}
    made = ann(
        "POST",
        "/compute/",
        headers={**kind, "Accept": "text/occi", "X-OCCI-Attribute": "occi.compute.cores=1"},
    )
    assert (made.status_code, made.text, made.headers["x-occi-location"]) == (
        201,
        "OK",
        made.headers["location"],
    )
    assert ann("POST", "/", headers=kind).status_code == 201
    made = ann(
        "POST", "/compute/", body=msgspec.json.encode({"kind": INFRA + "compute", "title": "t"}), headers=JSON
    )
    assert made.json == [made.headers["location"]]
    several = {"resources": [{"kind": INFRA + "compute"}, {"kind": INFRA + "compute"}]}
    made = ann("POST", "/compute/", body=msgspec.json.encode(several), headers=JSON)
    assert (made.status_code, len(made.json), "location" in made.headers) == (201, 2, False)
    assert len(ann.locations("/compute/")) == 5


def test_several_are_created_all_or_none(ann):
    several = {
        "resources": [{"kind": INFRA + "compute"}, {"kind": INFRA + "compute", "mixins": ["http://no#such"]}]
    }
    assert ann("POST", "/compute/", body=msgspec.json.encode(several), headers=JSON).status_code == 404
    assert ann.locations("/compute/") == []


def test_a_quota_reached_halfway_leaves_nothing(ann, cloud):
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.caller.tenant_id, quotas={"instances": 2}))
    several = {"resources": [{"kind": INFRA + "compute"}] * 3}
    assert ann("POST", "/compute/", body=msgspec.json.encode(several), headers=JSON).status_code == 403
    assert cloud.engine.instances(cloud.caller) == []


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 400),
        (["garbage"], 400),
        ([attribute("occi.core.title", "no kind")], 400),
        ([f'Category: network; scheme="{INFRA}"; class="kind"'], 400),
        ([f'Category: cluster; scheme="{INFRA}"; class="kind"'], 404),
        (['Category: resource; scheme="http://schemas.ogf.org/occi/core#"; class="kind"'], 400),
        ([COMPUTE, 'Category: x; scheme="http://x#"; class="mixin"'], 404),
        ([f'Category: os_tpl; scheme="{INFRA}"; class="kind"'], 404),
        ([COMPUTE, f'Category: os_tpl; scheme="{INFRA}"; class="kind"'], 400),
        ([COMPUTE, action("start")], 400),
        (
            [
                COMPUTE,
                f'Category: small; scheme="{CRTP}"; class="mixin"',
                f'Category: large; scheme="{CRTP}"; class="mixin"',
            ],
            400,
        ),
        ([COMPUTE, attribute("occi.compute.cores", "two")], 400),
        ([COMPUTE, attribute("occi.compute.cores", 0)], 400),
        ([COMPUTE, attribute("occi.compute.cores", 1.5)], 400),
        ([COMPUTE, attribute("occi.compute.memory", 100000)], 400),
        ([COMPUTE, attribute("occi.compute.architecture", "mips")], 400),
        ([COMPUTE, attribute("occi.compute.hostname", "no spaces")], 400),
        ([COMPUTE, attribute("occi.core.title", "x" * 256)], 400),
        ([COMPUTE, attribute("org.example.unknown", 1)], 404),
        (
            [
                COMPUTE,
                'Category: ssh_key; scheme="http://schemas.ogf.org/occi/infrastructure/credentials#"; class="mixin"',
            ],
            400,
        ),
        ([COMPUTE, attribute("occi.credentials.ssh.publickey", KEY)], 404),
        (
            [COMPUTE, f'Link: </network/1>; rel="{INFRA}network"; category="{INFRA}networkinterface"; a.b=1'],
            404,
        ),
        ([COMPUTE, f'Link: </network/1>; rel="{INFRA}network"'], 404),
        ([COMPUTE, f'Link: </compute/1>; rel="{INFRA}compute"'], 400),
        ([COMPUTE, "X-OCCI-Location: http://h/compute/1"], 400),
    ],
)
def test_impossible_creations_change_nothing(ann, lines, status):
    assert ann("POST", "/compute/", *lines, headers=PLAIN).status_code == status
    assert ann.locations("/compute/") == []


def test_user_data_too_large(ann):
    mixin = 'Category: user_data; scheme="http://schemas.ogf.org/occi/infrastructure/compute#"; class="mixin"'
    large = base64.b64encode(b"x" * 20_000).decode()
    assert (
        ann("POST", "/compute/", COMPUTE, mixin, attribute("occi.compute.userdata", large)).status_code == 400
    )


# Entities -----------------------------------------------------------------------------------------------


def test_life_of_a_machine(ann, cloud):
    path = ann.make()
    cloud.quiesce(2)

    def act(term, *lines):
        got = ann("POST", path, action(term), *lines, query=f"action={term}")
        status = got.status_code
        cloud.quiesce(2)
        return status, ann.attributes(path)["occi.compute.state"]

    assert ann.attributes(path)["occi.compute.state"] == "active"
    assert act("start") == (409, "active")
    assert act("suspend", attribute("method", "suspend")) == (200, "suspended")
    assert act("start") == (200, "active")
    assert act("suspend") == (200, "suspended")
    assert act("start") == (200, "active")
    assert act("restart", attribute("method", "cold")) == (200, "active")
    assert act("restart", attribute("method", "warm")) == (200, "active")
    assert act("restart") == (200, "active")
    assert act("stop", attribute("method", "acpioff")) == (200, "inactive")
    assert act("stop") == (409, "inactive")
    assert act("suspend") == (409, "inactive")
    assert act("start") == (200, "active")
    assert act("stop", attribute("method", "poweroff")) == (200, "inactive")
    deleted = ann("DELETE", path)
    assert (deleted.status_code, deleted.text) == (200, "")
    assert ann("GET", path).status_code == 404
    assert ann("DELETE", path).status_code == 404
    cloud.quiesce(2)
    assert ann.locations("/compute/") == []
    assert cloud.engine.instances(cloud.caller)[0].detail == "done"


@pytest.mark.parametrize(
    ("query", "lines", "status"),
    [
        ("action=stop", [action("start")], 400),
        ("action=stop", [COMPUTE], 400),
        ("action=stop", [action("stop"), action("start")], 400),
        ("action=fly", [], 404),
        ("action=fly", ['Category: fly; scheme="http://x#"; class="action"'], 404),
        ("action=stop", [action("stop"), attribute("method", "explode")], 400),
        ("action=stop", [action("stop"), attribute("method", 1)], 400),
        ("action=stop", [action("stop"), attribute("colour", "red")], 404),
        ("action=start", [action("start")], 409),
        ("action=stop", [], 200),
        ("", [action("stop")], 400),
        ("", [], 400),
    ],
)
def test_action_requests(ann, cloud, query, lines, status):
    path = ann.make()
    cloud.quiesce(2)
    assert ann("POST", path, *lines, query=query, headers=PLAIN).status_code == status


def test_actions_in_json_and_headers(ann, cloud):
    path = ann.make()
    cloud.quiesce(2)
    invoked = {"action": ACTION + "stop", "attributes": {"method": "graceful"}}
    got = ann("POST", path, body=msgspec.json.encode(invoked), headers=JSON, query="action=stop")
    assert (got.status_code, got.json["kind"]) == (200, INFRA + "compute")
    cloud.quiesce(2)
    headers = {"Content-Type": "text/occi", "Category": action("start").removeprefix("Category: ")}
    assert ann("POST", path, headers=headers, query="action=start").status_code == 200


def test_partial_update(ann, cloud):
    path = ann.make(attribute("occi.core.title", "old"))
    cloud.quiesce(2)
    assert (
        ann(
            "POST", path, attribute("occi.core.title", "new"), attribute("occi.core.summary", "s")
        ).status_code
        == 200
    )
    shown = ann.attributes(path)
    assert (shown["occi.core.title"], shown["occi.core.summary"]) == ("new", "s")
    assert ann("POST", path, attribute("occi.compute.cores", 2)).status_code == 409  # it runs
    assert ann("POST", path, attribute("occi.compute.cores", 1)).status_code == 200  # as it is
    assert ann("POST", path, attribute("occi.compute.state", "active")).status_code == 200
    assert ann("POST", path, attribute("occi.compute.state", "inactive")).status_code == 403
    assert ann("POST", path, attribute("occi.core.id", "mine")).status_code == 403
    assert ann("POST", path, attribute("occi.compute.architecture", "x86")).status_code == 403
    assert (
        ann(
            "POST", path, 'Category: link; scheme="http://schemas.ogf.org/occi/core#"; class="kind"'
        ).status_code
        == 400
    )
    ssh = 'Category: ssh_key; scheme="http://schemas.ogf.org/occi/infrastructure/credentials#"; class="mixin"'
    assert ann("POST", path, ssh).status_code == 400
    late = 'Category: user_data; scheme="http://schemas.ogf.org/occi/infrastructure/compute#"; class="mixin"'
    assert ann("POST", path, late, attribute("occi.compute.userdata", "IyEK")).status_code == 400
    ann("POST", path, query="action=stop")
    cloud.quiesce(2)
    assert (
        ann(
            "POST", path, attribute("occi.compute.cores", 2), attribute("occi.compute.memory", 1.0)
        ).status_code
        == 200
    )
    assert ann.attributes(path)["occi.compute.cores"] == 2


def test_another_resource_template_resizes(ann, cloud):
    # OCCI-INFRA-078, OCCI-CRTP-002
    path = ann.make(f'Category: large; scheme="{CRTP}"; class="mixin"')
    cloud.quiesce(2)
    ann("POST", path, query="action=stop")
    cloud.quiesce(2)
    assert ann("POST", path, f'Category: small; scheme="{CRTP}"; class="mixin"').status_code == 200
    shown = ann.attributes(path)
    assert (shown["occi.compute.cores"], shown["occi.compute.memory"]) == (1, 1.0)
    assert shown["occi.compute.ephemeral_storage.size"] == 40.0  # OCCI-CRTP-004: at least the template's
    assert ann.locations("/resource_tpl/small/") == [path]
    assert ann("POST", "/resource_tpl/large/", f"X-OCCI-Location: {path}").status_code == 200
    assert ann.locations("/resource_tpl/large/") == [path]
    device = "occi.compute.ephemeral_storage.deviceid"
    assert ann("POST", path, attribute(device, "vdb")).status_code == 200  # OCCI-CRTP-005
    assert ann("POST", path, attribute(device, "sdb")).status_code == 400


def test_scratch_space_grows_with_the_size_and_is_there_when_the_machine_starts(ann, cloud):
    # OCCI-CRTP-002, 004
    path = ann.make(f'Category: small; scheme="{CRTP}"; class="mixin"')
    bare = ann.make()
    cloud.quiesce(2)
    large = f'Category: large; scheme="{CRTP}"; class="mixin"'
    for machine in (path, bare):
        refused = ann("POST", machine, large)
        assert (refused.status_code, "switched off" in refused.text) == (409, True)
    ann("POST", "/compute/", action("stop"), attribute("method", "poweroff"), query="action=stop")
    cloud.quiesce(2)
    with cloud.store.read() as tx:
        before = tx.reservations.used_on(cloud.host_ids[0]).disk_gib
    assert ann("POST", path, large).status_code == 200
    assert ann("POST", "/resource_tpl/large/", f"X-OCCI-Location: {bare}").status_code == 200
    with cloud.store.read() as tx:
        assert tx.reservations.used_on(cloud.host_ids[0]).disk_gib == before + 30 + 40
    assert ann("POST", "/compute/", action("start"), query="action=start").status_code == 200
    cloud.quiesce(2)
    for machine in (path, bare):
        shown = ann.attributes(machine)
        assert shown["occi.compute.ephemeral_storage.size"] == 40.0
        assert shown["occi.compute.state"] == "active"
        instance_id = names.id_at(machine)
        assert cloud.host().volumes[f"{instance_id}.vdb"].virtual_bytes == 40 << 30
        assert "vdb" in cloud.host().plugged[instance_id]


def test_scratch_space_that_has_no_place_is_refused(ann, cloud):
    """Where the host has no room for it, and where a storage has its letter: nothing changes."""
    data = ann.make(attribute("occi.storage.size", 1), kind=STORAGE)
    cloud.settle()
    path = ann.make(
        f'Link: <{data}>; rel="{INFRA}storage"; category="{INFRA}storagelink"; '
        'occi.storagelink.deviceid="/dev/vdb"'
    )
    other = ann.make()
    cloud.quiesce(2)
    ann("POST", "/compute/", action("stop"), attribute("method", "poweroff"), query="action=stop")
    cloud.quiesce(2)
    with cloud.store.begin() as tx:
        tx.hosts.update(tx.hosts.get(cloud.host_ids[0]), disk_ratio=0.1)
    large = f'Category: large; scheme="{CRTP}"; class="mixin"'
    for machine, status in ((path, 409), (other, 503)):
        before = ann("GET", machine).text
        assert ann("POST", machine, large).status_code == status
        assert ann("PUT", machine, COMPUTE, large).status_code == status
        assert ann("GET", machine).text == before


def test_an_update_happens_whole_or_not_at_all(ann, cloud):
    ann("POST", "/-/", TAG)
    path = ann.make(attribute("occi.core.summary", "before"))
    [instance] = cloud.engine.instances(cloud.caller)
    cloud.engine.execute(
        cloud.caller, CreateTags(ids=(instance.id,), tags=tuple((f"k{n}", "v") for n in range(50)))
    )
    version = cloud.get(instance).version
    changed = (attribute("occi.core.summary", "after"), attribute("occi.core.title", "the 51st tag"))
    assert ann("POST", path, WEB, *changed).status_code == 403
    assert ann("PUT", path, COMPUTE, WEB, *changed).status_code == 403
    assert ann.attributes(path)["occi.core.summary"] == "before"
    assert ann.locations("/tag/web/") == []
    assert cloud.get(instance).version == version


def test_put_takes_back_what_was_read(ann, cloud):
    # OCCI-REAL-13: action links, immutable attributes and a state that has changed meanwhile are sent back.
    path = ann.make(
        attribute("occi.core.title", 'a "b" \\\\ c'.replace('"', '\\"')), attribute("occi.core.summary", "s")
    )
    before = ann("GET", path).text
    cloud.quiesce(2)
    assert ann("PUT", path, before).status_code == 200
    full = ann("GET", path, headers={"Accept": "application/occi+json"})
    again = ann("PUT", path, body=full.content, headers=JSON)
    assert (again.status_code, again.json) == (200, full.json)


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_json_that_was_read_is_changed_and_sent_back(ann, method):
    # What is rendered says title, summary and id twice; clients change the one that they know.
    path = ann.make(attribute("occi.core.title", "a"))
    for member, name in (("title", "occi.core.title"), ("summary", "occi.core.summary")):
        for change in (
            {member: "one"},
            {"attributes": {name: "two"}},
            {"attributes": {name: ""}},
            {member: "4"},
        ):
            shown = ann("GET", path, headers=JSON).json
            attributes = shown.pop("attributes") | change.get("attributes", {})
            sent = msgspec.json.encode({**shown, **change, "attributes": attributes})
            assert ann(method, path, body=sent, headers=JSON).status_code == 200
            wanted = change.get(member) or attributes.get(name) or None
            assert ann.attributes(path).get(name) == wanted
    for change in ({"id": "x"}, {"attributes": {**attributes, "occi.core.id": "x"}}):
        sent = msgspec.json.encode({**shown, "attributes": attributes, **change})
        assert ann(method, path, body=sent, headers=JSON).status_code == 403


def test_put_replaces(ann):
    ann("POST", "/-/", TAG)
    path = ann.make(WEB, attribute("occi.core.title", "t"), attribute("occi.core.summary", "s"))
    assert ann.locations("/tag/web/") == [path]
    assert ann("PUT", path, COMPUTE, attribute("occi.core.summary", "new")).status_code == 200
    shown = ann.attributes(path)
    assert (shown.get("occi.core.title"), shown["occi.core.summary"]) == (None, "new")
    assert ann.locations("/tag/web/") == []
    assert ann("PUT", path, attribute("occi.core.summary", "no kind")).status_code == 400


def test_put_creates_nothing_at_the_ids_of_the_server(ann, bob):
    # OCCI-HTTP-031, 1.1: 400. A foreign id, a deleted one and one that nobody has are alike.
    foreign, deleted = bob.make(), ann.make()
    ann("DELETE", deleted)
    unknown = f"/compute/{uuid_of('i-0123456789abcdef0')}"
    said = {
        (answer.status_code, answer.text)
        for path in (foreign, deleted, unknown, "/compute/i-x")
        for answer in (
            ann("PUT", path, COMPUTE),
            ann("PUT", path, COMPUTE, attribute("occi.core.title", "t")),
        )
    }
    assert len(said) == 1
    assert said.pop()[0] == 400
    assert ann.own() == []
    assert "occi.core.title" not in bob.attributes(foreign)


def test_os_template_cannot_be_replaced(ann, cloud):
    other = cloud.register("other")
    path = ann.make(f'Category: {cloud.image.id}; scheme="{OURS}os_tpl#"; class="mixin"')
    wanted = f'Category: {other.id}; scheme="{OURS}os_tpl#"; class="mixin"'
    assert ann("POST", path, wanted).status_code == 501
    assert ann("POST", f"/os_tpl/{other.id}/", f"X-OCCI-Location: {path}").status_code == 501
    assert ann.locations(f"/os_tpl/{cloud.image.id}/") == [path] == ann.locations("/os_tpl/")


def test_methods_that_are_not_possible(ann):
    path = ann.make()
    refused = ann("PATCH", path)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, PUT, POST, DELETE, OPTIONS")
    assert ann("PUT", "/compute/", COMPUTE).status_code == 405
    possible = ann("OPTIONS", "/compute/")
    assert (possible.status_code, possible.headers["allow"]) == (200, "GET, HEAD, POST, DELETE, OPTIONS")


# Collections --------------------------------------------------------------------------------------------


def test_listing_in_all_renderings(ann):
    assert (ann("GET", "/compute/").status_code, ann("GET", "/compute/").text) == (200, "")
    assert ann("GET", "/compute/", headers={"Accept": "application/occi+json"}).json == {"resources": []}
    paths = [ann.make() for _ in range(3)]
    uris = [f"http://h{path}" for path in paths]
    assert ann("GET", "/compute/").text == "\n".join(f"X-OCCI-Location: {uri}" for uri in uris)
    assert ann("GET", "/compute/", headers={"Accept": "text/occi"}).headers["x-occi-location"] == ", ".join(
        uris
    )
    assert ann("GET", "/compute/", headers={"Accept": "text/uri-list"}).text == "\n".join(uris)
    full = ann("GET", "/compute/", headers={"Accept": "application/occi+json"}).json["resources"]
    assert [item["id"] for item in full] == [path.rpartition("/")[2] for path in paths]
    assert ann.locations("/compute") == paths
    assert ann.own("/resource/") == [*paths, *ann.locations("/storage/")]
    assert ann.locations("/") == [*ann.locations("/resource/"), *ann.locations("/link/")]
    assert ann.own("/link/") == ann.locations("/storagelink/")
    assert ann("GET", "/nowhere/").status_code == 404


def test_filters(ann, cloud):
    one = ann.make(attribute("occi.core.title", "one"))
    two = ann.make(attribute("occi.core.title", "two"), attribute("occi.compute.cores", 2))

    def found(path="/compute/", **headers):
        return ann.locations(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    assert found(X_OCCI_Attribute='occi.core.title="two"') == [two]
    assert found(X_OCCI_Attribute='occi.core.title="two", occi.compute.cores=1') == []
    assert found(X_OCCI_Attribute="occi.compute.cores=1") == [one]
    assert found(Category=f'resource_tpl; scheme="{INFRA}"; class="mixin"') == [one]
    three = ann.make(attribute("occi.compute.memory", 3.6))
    assert ann.attributes(three)["occi.compute.memory"] == 3.6
    assert found(X_OCCI_Attribute="occi.compute.memory=3.6") == [three]
    assert found(X_OCCI_Attribute="occi.compute.memory=3.599609375") == [three]
    assert found(X_OCCI_Attribute="occi.compute.memory=3.7") == []
    assert found(X_OCCI_Attribute="occi.compute.memory=" + "9" * 308 + ".0") == []
    ann("DELETE", three)
    assert found("/", Category=f'compute; scheme="{INFRA}"; class="kind"') == [one, two]
    assert found("/resource_tpl/", Category=f'os_tpl; scheme="{INFRA}"; class="mixin"') == [one]
    assert (
        ann("GET", "/compute/", headers={"Category": 'x; scheme="http://x#"; class="mixin"'}).status_code
        == 400
    )
    assert ann("GET", "/compute/", headers={"Category": "x"}).status_code == 400


def test_pages(ann):
    paths = [ann.make() for _ in range(5)]
    assert ann.locations("/compute/", query="page=1&number=2") == paths[:2]
    assert ann.locations("/compute/", query="page=3&number=2") == paths[4:]
    assert ann("GET", "/compute/", query="page=4&number=2").text == ""
    for query in ("page=1", "number=2", "page=0&number=2", "page=x&number=2", "page=1&number=-1"):
        assert ann("GET", "/compute/", query=query).status_code == 400
    assert ann("GET", "/compute/", query="page=1&number=100000").status_code == 413
    assert ann("GET", "/compute/", query=f"page=1&number={10**30}").status_code == 413
    assert ann.locations("/compute/", query=f"page={10**30}&number=1") == []


def test_actions_of_a_kind_that_has_none(ann, cloud):
    path = ann.make()
    cloud.quiesce(2)
    for lines, status in (((), 404), ((action("stop"),), 400)):
        assert ann("POST", "/link/", *lines, query="action=stop").status_code == status
    assert ann.attributes(path)["occi.compute.state"] == "active"
    # OCCI-CORE-022: what the machine boots from is among them, and cannot be stopped.
    assert ann("POST", "/resource/", query="action=stop").status_code == 400
    assert ann.attributes(path)["occi.compute.state"] == "active"


def test_action_on_a_collection_is_all_or_none(ann, cloud):
    paths = [ann.make() for _ in range(2)]
    cloud.quiesce(2)
    assert ann("POST", "/compute/", action("stop"), query="action=stop").status_code == 200
    cloud.quiesce(2)
    ann("POST", paths[0], query="action=start")
    cloud.quiesce(2)
    assert ann("POST", "/compute/", action("start"), query="action=start").status_code == 409
    assert [ann.attributes(path)["occi.compute.state"] for path in paths] == ["active", "inactive"]


def test_delete_collections(ann, bob, cloud):
    kept, gone = (
        ann.make(attribute("occi.core.title", "kept")),
        ann.make(attribute("occi.core.title", "gone")),
    )
    foreign = bob.make()
    assert ann("DELETE", "/compute/", f"X-OCCI-Location: {gone}").status_code == 400
    condition = {"Content-Type": "text/occi", "X-OCCI-Attribute": 'occi.core.title="gone"'}
    assert ann("DELETE", "/compute/", headers=condition).status_code == 200
    assert ann.locations("/compute/") == [kept]
    assert ann("DELETE", "/").status_code == 200
    assert ann.locations("/compute/") == []
    assert bob.locations("/compute/") == [foreign]


@pytest.mark.parametrize(
    "content_type", ["application/occi+json", "text/uri-list", "text/plain", "text/occi", "x/y", ""]
)
def test_a_filter_in_headers_counts_whatever_the_body_would_be(ann, content_type):
    kept, gone = (ann.make(attribute("occi.core.title", title)) for title in ("kept", "gone"))
    condition = {"X-OCCI-Attribute": 'occi.core.title="gone"'}
    if content_type:
        condition["Content-Type"] = content_type
    assert ann("DELETE", "/compute/", headers=condition).status_code == 200
    assert ann("GET", gone).status_code == 404
    assert ann.locations("/compute/") == [kept]


@pytest.mark.parametrize(
    ("content_type", "body", "fields"),
    [
        ("text/plain", COMPUTE, {"X-OCCI-Attribute": 'occi.core.title="other"'}),
        (
            "application/occi+json",
            f'{{"kind":"{INFRA}compute"}}',
            {"X-OCCI-Attribute": 'occi.core.title="x"'},
        ),
        ("application/occi+json", "{}", {}),
        ("application/occi+json", "[]", {}),
        ("text/uri-list", "# nothing", {}),
        ("text/occi", COMPUTE, {}),
    ],
)
def test_a_deletion_that_may_mean_less_is_refused(ann, content_type, body, fields):
    ann("POST", "/-/", TAG)
    path = ann.make(WEB)
    headers = {"Content-Type": content_type, **fields}
    for collection in ("/compute/", "/", "/tag/web/"):
        assert ann("DELETE", collection, body=body, headers=headers).status_code == 400
    assert ann.locations("/compute/") == ann.locations("/tag/web/") == [path]


def test_a_replacement_says_what_with(ann):
    ann("POST", "/-/", TAG)
    path = ann.make(WEB)
    for content_type in ("text/plain", "text/occi", "application/occi+json", "text/uri-list"):
        assert ann("PUT", "/tag/web/", headers={"Content-Type": content_type}).status_code == 400
    both = {"Content-Type": "text/uri-list", "X-OCCI-Location": path}
    assert ann("PUT", "/tag/web/", body=path, headers=both).status_code == 400
    condition = {"X-OCCI-Attribute": 'occi.core.title="gone"'}
    for method in ("PUT", "DELETE"):
        assert ann(method, "/tag/web/", headers=condition).status_code == 400
    assert ann.locations("/tag/web/") == [path]
    assert ann("PUT", "/tag/web/", body="[]", headers=JSON).status_code == 200
    assert ann.locations("/tag/web/") == []


# Tags ---------------------------------------------------------------------------------------------------


def test_tags_of_users(ann, bob):
    one, two = ann.make(), ann.make()
    assert ann("POST", "/-/", TAG).status_code == 200
    shown = [line for line in ann("GET", "/-/").text.split("\n") if line.startswith("Category: web;")]
    assert shown == [f'{WEB}; location="/tag/web/"']
    assert "web" not in bob("GET", "/-/").text
    assert ann("POST", "/-/", TAG).status_code == 200
    assert ann("POST", "/-/", TAG.replace("/tag/web/", "/tag/elsewhere/")).status_code == 409
    associated = ann("POST", "/tag/web/", f"X-OCCI-Location: http://h{one}", f"X-OCCI-Location: {two}")
    assert (associated.status_code, associated.text.count("\n")) == (200, 1)
    assert ann.locations("/tag/web/") == ann.locations("/tag/") == [one, two]
    assert WEB in ann("GET", one).text
    assert ann("DELETE", "/tag/web/", f"X-OCCI-Location: {two}").status_code == 200
    assert ann.locations("/tag/web/") == [one]
    uris = {"Content-Type": "text/uri-list"}
    assert ann("PUT", "/tag/web/", body=f"http://h{two}", headers=uris).status_code == 200
    assert ann.locations("/tag/web/") == [two]
    assert ann("POST", one, WEB).status_code == 200
    assert ann.locations("/tag/web/") == [one, two]
    assert ann("POST", "/tag/web/", body=f'["http://h{one}"]', headers=JSON).status_code == 200
    assert ann("DELETE", "/tag/web/").status_code == 200
    assert ann.locations("/tag/web/") == []
    assert ann.locations("/compute/") == [one, two]
    assert ann("POST", "/tag/web/", f"X-OCCI-Location: {one}").status_code == 200
    assert ann("DELETE", "/-/", WEB).status_code == 200
    assert ann("GET", "/tag/web/").status_code == 404
    assert WEB not in ann("GET", one).text


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (WEB, 400),
        (f'{WEB}; location="/compute/web/"', 409),
        (f'{WEB}; location="/mixin/"', 409),
        *(
            (f'{WEB}; location="/{path}/"', 409)
            for path in (
                *("network", "storage", "network/mine", "networkinterface", "storagelink", "link", "link/x"),
                *("securitygroup", "securitygrouplink", "ipreservation", "mixin/ipnetwork"),
                *("services", "services/Cloud", "livez", "readyz", "metrics", "metrics/x"),
            )
        ),
        (f'Category: later; scheme="{OURS}resource_tpl#"; class="mixin"; location="/t/"', 403),
        (f'{WEB}; location="/"', 400),
        (f'{WEB}; location="/-/x/"', 400),
        (f'{WEB}; location="/a/../b/"', 400),
        (f'{WEB}; location="http://[x/"', 400),
        (f'{WEB}; location="/t/"; attributes="a.b"', 400),
        ('Category: a; scheme="http://x"; class="mixin"; location="/t/"', 400),
        ('Category: a; scheme="http://x#"; class="kind"; location="/t/"', 400),
        (f'Category: a; scheme="{INFRA}"; class="mixin"; location="/t/"', 403),
        (f'Category: t2_nano; scheme="{OURS}resource_tpl#"; class="mixin"; location="/t/"', 409),
        (attribute("a", 1), 400),
        ("", 400),
    ],
)
def test_impossible_tags(ann, line, status):
    before = ann("GET", "/-/").text
    assert ann("POST", "/-/", line, headers=PLAIN).status_code == status
    assert ann("GET", "/-/").text == before


def test_no_tag_hides_what_the_gateway_answers():
    paths = {path.split("/")[1] for path in {*EC2_PATHS, *_OWN}}
    assert paths <= RESERVED


def test_what_the_provider_offers_wins_over_a_tag(cloud):
    now = 0.0
    tags = [
        UserMixin(
            tenant_id="t", scheme="http://a#", term="a", title="", location="/compute/", created_at=now
        ),
        UserMixin(
            tenant_id="t",
            scheme=f"{OURS}resource_tpl#",
            term="t2_nano",
            title="",
            location="/b/",
            created_at=now,
        ),
    ]
    catalog = Catalog("cloud.example.org", flavors=cloud.engine.flavors(), tags=tags)
    assert catalog.at("/compute/").term == "compute"
    nano = catalog.find(f"{OURS}resource_tpl#t2_nano")
    assert nano.location == "/resource_tpl/t2_nano/"
    assert catalog.at(nano.location) is nano
    assert nano.id not in catalog.tags


def test_tags_are_added_all_or_none(ann):
    clash = TAG.replace("web;", "other;")
    assert ann("POST", "/-/", TAG, clash).status_code == 409
    assert ann("GET", "/tag/web/").status_code == 404


def test_the_providers_mixins_stay(ann, cloud):
    path = ann.make()
    assert ann("DELETE", "/-/", f'Category: os_tpl; scheme="{INFRA}"; class="mixin"').status_code == 403
    assert ann("DELETE", "/-/", COMPUTE).status_code == 403
    assert ann("DELETE", "/-/", WEB).status_code == 404
    assert ann("DELETE", "/-/").status_code == 400
    assert ann("DELETE", "/resource_tpl/t2_nano/", f"X-OCCI-Location: {path}").status_code == 403
    assert ann("PUT", "/os_tpl/", f"X-OCCI-Location: {path}").status_code == 403
    assert ann("POST", "/mixin/ssh_key/", f"X-OCCI-Location: {path}").status_code == 400
    cloud.quiesce(2)
    assert ann("POST", "/resource_tpl/large/", f"X-OCCI-Location: {path}").status_code == 409


def test_association_names_entities_that_exist(ann, bob):
    ann("POST", "/-/", TAG)
    foreign = bob.make()
    for location in (foreign, "/compute/nothing", "/tag/web/", "mailto:x", "http://[broken"):
        refused = ann("POST", "/tag/web/", f"X-OCCI-Location: {location}")
        assert refused.status_code in {400, 404}
    assert ann("POST", "/tag/web/", headers=PLAIN).status_code == 400
    assert ann.locations("/tag/web/") == []


# Two faces, two tenants ---------------------------------------------------------------------------------


def test_a_machine_of_ec2_is_a_machine_of_occi(ann, cloud):
    [instance] = cloud.launch(
        tags=(("Name", "from ec2"),), flavor="t2.large", public_keys=(KEY,), user_data=b"#!/bin/sh\n"
    )
    cloud.quiesce(2)
    path = f"/compute/{uuid_of(instance.id)}"
    shown = ann.attributes(path)
    assert shown["occi.credentials.ssh.publickey"] == KEY
    data = base64.b64encode(b"#!/bin/sh\n").decode()
    assert shown["occi.compute.userdata"] == data
    condition = f'occi.compute.userdata="{data}"'
    assert ann.locations("/compute/", headers={"X-OCCI-Attribute": condition}) == [path]
    assert ann.locations("/mixin/ssh_key/") == ann.locations("/mixin/user_data/") == [path]
    assert (shown["occi.core.title"], shown["occi.compute.state"]) == ("from ec2", "active")
    assert ann("POST", path, query="action=stop").status_code == 200
    cloud.quiesce(2)
    assert cloud.get(instance).detail == "poff"
    cloud.engine.execute(cloud.caller, Operate(op=Op.TERMINATE, ids=(instance.id,)))
    assert ann("GET", path).status_code == 404


def test_what_is_foreign_does_not_exist(ann, bob):
    path = ann.make()
    unknown = f"/compute/{uuid_of('i-00000000000000000')}"
    for method, lines, query in (
        ("GET", (), None),
        ("DELETE", (), None),
        ("POST", (attribute("occi.core.title", "x"),), None),
        ("POST", (action("stop"),), "action=stop"),
    ):
        theirs, nobodys = (bob(method, each, *lines, query=query) for each in (path, unknown))
        assert (theirs.status_code, nobodys.status_code) == (404, 404)
    assert bob("PUT", path, COMPUTE).status_code == 400
    assert bob.own() == []
    assert "occi.core.title" not in ann.attributes(path)


def test_machines_of_a_deregistered_image_stay_what_they_are(ann, cloud):
    path = ann.make(attribute("occi.core.title", "t"))
    before = ann("GET", path)
    template = f'Category: {cloud.image.id}; scheme="{OURS}os_tpl#"; class="mixin"'
    assert template in before.text
    cloud.engine.execute(cloud.caller, DeregisterImage(image_id=cloud.image.id))
    shown = ann("GET", path)
    assert (shown.status_code, template in shown.text) == (200, True)
    for text in (before.text, shown.text):
        assert ann("PUT", path, text).status_code == 200
    assert ann("POST", path, template).status_code == 200
    assert ann.locations("/os_tpl/") == [path]
    assert ann("POST", "/compute/", COMPUTE, template).status_code == 404
    assert cloud.image.id not in ann("GET", "/-/").text


def test_machines_of_an_image_no_longer_shared_stay_what_they_are(ann, bob, cloud):
    image = cloud.register("shared", caller=cloud.other, public=False)
    mine = (cloud.caller.account_id,)
    cloud.engine.execute(cloud.other, ModifyImage(image_id=image.id, add_accounts=mine))
    template = f'Category: {image.id}; scheme="{OURS}os_tpl#"; class="mixin"'
    path, other = ann.make(template), ann.make()
    before = ann("GET", path).text
    cloud.engine.execute(cloud.other, ModifyImage(image_id=image.id, remove_accounts=mine))
    assert template in ann("GET", path).text
    assert ann("PUT", path, before).status_code == 200
    assert ann("PUT", other, before).status_code in {403, 404}
    assert ann("POST", other, template).status_code == 404


# Fuzz ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fuzzed():
    made = Client(cloud := Cloud(), cloud.caller)
    made("POST", "/-/", TAG)
    disk = made.make(attribute("occi.storage.size", 1), kind=STORAGE)
    made.fixed = [made.make(WEB), disk, *made.locations("/storagelink/")]
    return made


LINES = [
    COMPUTE,
    STORAGE,
    STORAGELINK,
    WEB,
    TAG,
    action("stop"),
    action("save"),
    action("resize", STORAGE_ACTION),
    attribute("size", 2.5),
    attribute("occi.storage.size", 0.1),
    attribute("occi.core.source", "/compute/i-1"),
    attribute("occi.core.target", "/storage/vol-1"),
    attribute("method", "graceful"),
    attribute("occi.core.title", "x"),
    attribute("occi.compute.cores", 2),
    attribute("occi.compute.state", "error"),
    "X-OCCI-Location: http://h/compute/1",
    'Link: </a>; rel="http://x#y"',
    f'Link: </storage/vol-x>; rel="{INFRA}storage"; category="{INFRA}storagelink"; occi.core.id=1',
    f'Category: os_tpl; scheme="{INFRA}"; class="mixin"',
    "nonsense",
    "\x00",
]
VALUES = [
    b'{"kind":"http://schemas.ogf.org/occi/infrastructure#compute","mixins":[]}',
    b'{"resources":[{"kind":"http://schemas.ogf.org/occi/infrastructure#compute","id":"x"}]}',
    b'{"links":[{"kind":"http://schemas.ogf.org/occi/infrastructure#storagelink"}]}',
    b'{"source":{"location":"i-1"},"target":{"location":"http://["}}',
    b'{"kind":"http://schemas.ogf.org/occi/infrastructure#storage","attributes":{"occi.storage.size":1e300}}',
    b'{"kind":"http://schemas.ogf.org/occi/infrastructure#storage","attributes":{"occi.storage.size":1}}',
    b'{"attributes":{"occi.core.title":[1]}}',
    b'{"attributes":{"occi.core.id":{}}}',
    b'{"action":"http://schemas.ogf.org/occi/infrastructure/compute/action#stop"}',
    b'["/compute/1"]',
    b"[]",
    b"{}",
]


@settings(max_examples=200, deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]),
    path=st.sampled_from(
        ["/", "/-/", "/compute/", "/storage/", "/storagelink/", "0", "1", "2", "/tag/web/", "/tag/"]
        + ["/os_tpl/", "/resource_tpl/t2_nano/", "/availability_zone/", "/link/", "/x", "/storagelink/att-"]
    )
    | st.text("/-.%az09", max_size=12).map(lambda text: "/" + text),
    query=st.sampled_from(
        [
            "",
            "action=stop",
            "action=save",
            "action=resize",
            "action=",
            "page=1&number=1",
            "page=&number=9",
            "action=%ff&action=start",
        ]
    ),
    body=st.lists(st.sampled_from(LINES), max_size=4).map(lambda lines: "\n".join(lines).encode())
    | st.sampled_from(VALUES),
    content_type=st.sampled_from(
        ["text/plain", "text/occi", "application/occi+json", "text/uri-list", "x/y", ""]
    ),
    accept=st.sampled_from(["*/*", "text/occi", "application/occi+json", "text/uri-list", "text/html", ";;"]),
)
def test_no_request_is_an_internal_error(fuzzed, method, path, query, body, content_type, accept):
    headers = {"Accept": accept, "Category": body.split(b"\n")[0].decode("latin-1").replace("\x00", "")}
    if content_type:
        headers["Content-Type"] = content_type
    if path.isdecimal():
        path = fuzzed.fixed[int(path)]
    got = fuzzed(method, path, headers=headers, query=query, body=body)
    assert got.status_code < 500 or got.status_code == 501
