"""What OCCI's HTTP protocol asks of every path: methods, renderings, tags on all kinds, keys, batches."""

import json

import pytest

from backend.commands import DeregisterImage
from backend.model import uuid_of
from occi import once
from occi.errors import OcciError
from rendering import occi_text
from tests.support.occi_face import (
    COMPUTE,
    INFRA,
    JSON,
    PLAIN,
    STORAGE,
    STORAGELINK,
    TAG,
    WEB,
    action,
    attribute,
)

NETWORK = f'Category: network; scheme="{INFRA}"; class="kind"'
INTERFACE = f'Category: networkinterface; scheme="{INFRA}"; class="kind"'
RESERVATION = f'Category: ipreservation; scheme="{INFRA}"; class="kind"'
SIZE = attribute("occi.storage.size", 1.0)
WEB_ID = "http://cloud.example.org/ann#web"


# Tags on links that have no rows ------------------------------------------------------------------------


@pytest.fixture
def linked(ann, cloud):
    """A machine with a link of each kind, and those that were made for it: to a disk, a group, an address."""
    disk, address = ann.make(SIZE, kind=STORAGE), ann.make(kind=RESERVATION)
    machine = ann.make()
    cloud.settle()
    ends = attribute("occi.core.source", machine), attribute("occi.core.target", disk)
    made = [ann.make(*ends, kind=STORAGELINK)]
    made += ann.locations("/securitygrouplink/")
    made.append(ann.make(ends[0], attribute("occi.core.target", address), kind=INTERFACE))
    cloud.settle()
    assert ann("POST", "/-/", TAG).status_code == 200
    return machine, made


def inline(client, machine):
    """The mixins of a machine's links, by path."""
    found = {}
    for link in client.json(machine)["links"]:
        kind = link["kind"].partition("#")[2]
        found[f"/{kind}/{link['id']}"] = set(link.get("mixins", ()))
    return found


def test_tags_go_with_links_of_all_kinds(ann, linked):
    machine, links = linked
    assert len(links) == 3
    listed = [f"X-OCCI-Location: http://h{path}" for path in links]
    assert ann("POST", "/tag/web/", *listed).status_code == 200
    assert set(ann.locations("/tag/web/")) == set(links)
    for path in links:
        assert WEB_ID in ann.json(path)["mixins"]
        assert ann.locations(f"/{path.split('/')[1]}/", headers={"Category": WEB[10:]}) == [path]
    assert {path for path, mixins in inline(ann, machine).items() if WEB_ID in mixins} == set(links)
    assert ann("DELETE", "/tag/web/", listed[0]).status_code == 200
    assert WEB_ID not in ann.json(links[0]).get("mixins", ())
    assert ann("PUT", "/tag/web/", listed[0]).status_code == 200
    assert ann.locations("/tag/web/") == [links[0]]
    assert ann("POST", links[1], WEB).status_code == 200
    assert set(ann.locations("/tag/web/")) == set(links[:2])
    sent = "\n".join(line for line in ann("GET", links[1]).text.splitlines() if WEB_ID[:-3] not in line)
    assert ann("PUT", links[1], body=sent, headers=PLAIN).status_code == 200
    assert ann.locations("/tag/web/") == [links[0]]
    assert ann("POST", "/-/", TAG).status_code == 200
    assert ann("DELETE", "/-/", TAG).status_code == 200
    assert WEB_ID not in ann.json(links[0]).get("mixins", ())


def test_tags_given_with_new_links(ann, cloud, linked):
    machine, links = linked
    address = ann.make(kind=RESERVATION)
    other = ann.make(SIZE, kind=STORAGE)
    cloud.settle()
    source = attribute("occi.core.source", machine)
    made = ann.make(WEB, source, attribute("occi.core.target", other), kind=STORAGELINK)
    assert ann.locations("/tag/web/") == [made]
    assert ann("DELETE", links[2]).status_code == 200
    plug = ann.make(WEB, source, attribute("occi.core.target", address), kind=INTERFACE)
    assert set(ann.locations("/tag/web/")) == {made, plug}
    cloud.settle()
    assert ann("DELETE", made).status_code == 200
    cloud.settle()
    assert ann.locations("/tag/web/") == [plug]


def test_tags_of_links_in_a_description(ann, cloud):
    assert ann("POST", "/-/", TAG).status_code == 200
    first, second = (ann.make(SIZE, kind=STORAGE) for _ in range(2))
    cloud.settle()
    link = f'Link: <{{}}>; rel="{INFRA}storage"; category="{INFRA}storagelink {WEB_ID}"'
    machine = ann.make(link.format(first))
    assert [WEB_ID in mixins for mixins in inline(ann, machine).values()].count(True) == 1
    assert len(ann.locations("/tag/web/")) == 1
    cloud.settle()
    assert ann("POST", machine, link.format(second)).status_code == 200
    assert len(ann.locations("/tag/web/")) == 2


def test_a_tag_ends_with_its_link(ann, cloud, linked):
    machine, links = linked
    assert ann("POST", "/tag/web/", *(f"X-OCCI-Location: {path}" for path in links)).status_code == 200
    assert ann("DELETE", links[0]).status_code == ann("DELETE", links[2]).status_code == 200
    cloud.settle()
    assert ann.locations("/tag/web/") == [links[1]]
    assert ann("DELETE", machine).status_code == 200
    cloud.settle()
    assert ann.locations("/tag/web/") == []
    with cloud.store.read() as tx:
        assert tx.mixins.members(ann.caller.tenant_id, *WEB_ID.partition("#")[::2]) == []


def test_links_of_others_are_not_to_be_tagged(ann, bob, linked):
    _, links = linked
    assert bob("POST", "/-/", TAG).status_code == 200
    for path in links:
        assert bob("POST", "/tag/web/", f"X-OCCI-Location: {path}").status_code == 404
        assert bob("POST", path, WEB).status_code == 404
    assert bob.locations("/tag/web/") == []


# Keys of creations --------------------------------------------------------------------------------------


def keyed(client, method, path, *lines, key="k", **more):
    return client(method, path, *lines, headers={"Idempotency-Key": key}, **more)


@pytest.mark.parametrize(
    ("method", "path", "lines"),
    [
        ("POST", "/compute/", (COMPUTE,)),
        ("POST", "/", (COMPUTE,)),
        ("POST", "/storage/", (STORAGE, SIZE)),
        ("PUT", "/compute/web", (COMPUTE,)),
        ("PUT", "/storage/disk", (STORAGE, SIZE)),
    ],
)
def test_a_creation_with_a_key_is_carried_out_once(ann, cloud, method, path, lines):
    first = keyed(ann, method, path, *lines)
    assert first.status_code == 201, first.text
    cloud.settle()
    again = keyed(ann, method, path, *lines)
    assert (again.status_code, again.text) == (201, first.text)
    assert again.headers["location"] == first.headers["location"]
    kind = path if path != "/" else "/compute/"
    assert len(ann.own(f"/{kind.split('/')[1]}/")) == 1
    assert ann("DELETE", first.headers["location"].removeprefix("http://h")).status_code == 200
    cloud.settle()
    gone = keyed(ann, method, path, *lines)
    assert (gone.status_code, gone.text) == (201, first.text)
    assert ann.own(f"/{kind.split('/')[1]}/") == []
    assert keyed(ann, method, path, *lines, key="other").text != first.text or method == "PUT"


def test_a_key_is_for_one_request(ann, bob):
    first = keyed(ann, "POST", "/storage/", STORAGE, SIZE)
    title = attribute("occi.core.title", "other")
    for other in (
        lambda: keyed(ann, "POST", "/storage/", STORAGE, SIZE, title),
        lambda: keyed(ann, "POST", "/", STORAGE, SIZE),
        lambda: keyed(ann, "PUT", "/storage/disk", STORAGE, SIZE),
        lambda: keyed(ann, "POST", "/compute/", COMPUTE),
    ):
        assert other().status_code == 409
    assert len(ann.locations("/storage/")) == 1
    assert ann.locations("/compute/") == []
    assert keyed(bob, "POST", "/storage/", STORAGE, SIZE).text != first.text
    in_headers = {"Idempotency-Key": "h", "Content-Type": "text/occi", "Category": STORAGE[10:]}
    sizes = [{**in_headers, "X-OCCI-Attribute": f"occi.storage.size={size}.0"} for size in (1, 2)]
    made = [ann("POST", "/storage/", headers=each).status_code for each in (*sizes, sizes[0])]
    assert made == [201, 409, 201]
    assert len(ann.locations("/storage/")) == 2


def test_a_refused_creation_leaves_its_key_free(ann):
    assert keyed(ann, "POST", "/storage/", STORAGE).status_code == 400
    assert keyed(ann, "POST", "/storage/", STORAGE, SIZE).status_code == 201
    assert keyed(ann, "PUT", "/storage/a/b", STORAGE, SIZE, key="x").status_code in {400, 404}


def test_a_key_and_a_condition(ann):
    headers = {**PLAIN, "Idempotency-Key": "k", "If-None-Match": "*"}
    said = f"{STORAGE}\n{SIZE}"
    first = ann("PUT", "/storage/disk", body=said, headers=headers)
    again = ann("PUT", "/storage/disk", body=said, headers=headers)
    assert [each.status_code for each in (first, again)] == [201, 201]
    assert (
        ann("PUT", "/storage/disk", body=said, headers={**headers, "Idempotency-Key": "l"}).status_code == 412
    )


def test_several_entities_with_one_key(ann):
    body = json.dumps({"resources": [{"kind": f"{INFRA}compute", "id": str(n)} for n in range(3)]})
    made = [ann("POST", "/", body=body, headers={**JSON, "Idempotency-Key": "k"}).json for _ in range(2)]
    assert made[0] == made[1]
    assert len(made[0]) == len(ann.locations("/compute/")) == 3


def test_save_with_a_key(ann, cloud):
    machine = ann.make()
    cloud.settle()
    save = (action("save"), attribute("name", "copy"))
    first = keyed(ann, "POST", machine, *save, query="action=save")
    assert first.status_code == 200, first.text
    images = len(cloud.engine.images(ann.caller))
    again = keyed(ann, "POST", machine, *save, query="action=save")
    assert (again.status_code, again.text.split(";")[0]) == (200, first.text.split(";")[0])
    assert len(cloud.engine.images(ann.caller)) == images
    cloud.settle()
    [made] = [each for each in cloud.engine.images(ann.caller) if each.name == "copy"]
    cloud.engine.execute(ann.caller, DeregisterImage(image_id=made.id))
    assert keyed(ann, "POST", machine, *save, query="action=save").status_code == 200
    assert keyed(ann, "POST", machine, action("save"), query="action=save").status_code == 409


def test_keys_are_ignored_with_other_requests(ann, cloud):
    path = ann.make(SIZE, kind=STORAGE)
    cloud.settle()
    for text in ("a", "b"):
        assert keyed(ann, "POST", path, attribute("occi.core.title", text)).status_code == 200
    assert ann.attributes(path)["occi.core.title"] == "b"
    assert keyed(ann, "GET", path).status_code == 200
    assert keyed(ann, "DELETE", path).status_code == 200


def test_keys_are_forgotten_after_a_day(ann, cloud):
    first = keyed(ann, "POST", "/storage/", STORAGE, SIZE)
    cloud.clock.advance(cloud.engine.settings.token_memory - 60)
    assert keyed(ann, "POST", "/storage/", STORAGE, SIZE).text == first.text
    cloud.clock.advance(120)
    assert keyed(ann, "POST", "/storage/", STORAGE, SIZE).text != first.text
    cloud.clock.advance(cloud.engine.settings.token_memory + 60)
    cloud.quiesce(3)
    with cloud.store.read() as tx:
        assert tx.creation_keys.all() == []


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ('"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("8e03978e", "8e03978e"),
        (' "a b" ', "a b"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ("x" * 255, "x" * 255),
        (None, ""),
    ],
)
def test_keys_that_can_be_read(given, key):
    assert once.key(given) == key


@pytest.mark.parametrize(
    "given", ["", '""', "a b", '"a', 'a"b', "a,b", '"a", "b"', '"a";x=1', "é", "x" * 256]
)
def test_keys_that_cannot(given):
    with pytest.raises(OcciError) as refused:
        once.key(given)
    assert refused.value.status == 400


def test_a_malformed_key_makes_nothing(ann):
    assert keyed(ann, "POST", "/storage/", STORAGE, SIZE, key='"').status_code == 400
    assert ann.locations("/storage/") == []
    assert ann("GET", f"/compute/{uuid_of('i-1')}").status_code == 404


# Several entities at once -------------------------------------------------------------------------------


def model(client, path="/", **members):
    return client("POST", path, body=json.dumps(members), headers=JSON)


def described(term, name, attributes=None, **more):
    return {"kind": f"{INFRA}{term}", "id": name, "attributes": attributes or {}, **more}


def joined(term, name, source, target):
    ends = {"source": {"location": source}, "target": {"location": target}}
    return {"kind": f"{INFRA}{term}", "id": name, **ends}


def test_entities_that_are_linked_with_one_another(ann, cloud):
    network = described("network", "net", {"occi.network.address": "192.168.9.0/24"})
    plug = joined("networkinterface", "x", "/compute/web", "http://h/network/net")
    machine = described("compute", "web", links=[plug])
    made = model(
        ann,
        resources=[machine, network, described("storage", "disk", {"occi.storage.size": 1.0})],
    )
    assert made.status_code == 201, made.text
    paths = [each.removeprefix("http://h") for each in made.json]
    assert [path.split("/")[1] for path in paths] == ["compute", "network", "storage"]
    targets = [link["target"]["location"] for link in ann.json(paths[0])["links"]]
    assert paths[1] in targets
    assert ann("GET", "/compute/web").status_code == 404  # its client's name is not the path


def test_links_beside_what_they_lead_to(ann):
    group = described("securitygroup", "front", {"occi.core.title": "front"})
    made = model(
        ann,
        links=[joined("securitygrouplink", "member", "/compute/web", "front")],
        resources=[described("compute", "web"), group],
    )
    assert made.status_code == 201, made.text
    machine, front, link = (each.removeprefix("http://h") for each in made.json)
    shown = ann.json(link)
    assert (shown["source"]["location"], shown["target"]["location"]) == (machine, front)


@pytest.mark.parametrize(
    "members",
    [
        {"resources": [described("compute", "a"), described("storage", "b")]},  # no size
        {"resources": [described("compute", "a"), {"id": "b"}]},
        {
            "resources": [
                described("securitygroup", "g", {"occi.core.title": "g"}),
                described("securitygroup", "g", {"occi.core.title": "h"}),
                described("compute", "a", links=[joined("securitygrouplink", "l", "a", "/securitygroup/g")]),
            ]
        },
        {
            "resources": [described("compute", "a")],
            "links": [joined("storagelink", "l", "a", "/storage/none")],
        },
    ],
)
def test_all_or_none_of_several_are_made(ann, members):
    before = ann.locations("/")
    assert model(ann, **members).status_code in {400, 404}
    assert ann.locations("/") == before


def test_names_that_nobody_refers_to_may_be_the_same(ann):
    made = model(ann, resources=[described("compute", "x"), described("compute", "x")])
    assert (made.status_code, len(made.json)) == (201, 2)


def test_an_answer_too_long_for_headers_is_text_when_something_was_done(ann, monkeypatch):
    monkeypatch.setattr(occi_text, "MAX_HEADER", 150)
    body = json.dumps({"resources": [described("compute", "x")] * 5})
    made = ann("POST", "/compute/", body=body, headers={**JSON, "Accept": "text/occi"})
    assert (made.status_code, made.headers["content-type"]) == (201, "text/plain; charset=utf-8")
    assert len(made.text.splitlines()) == len(ann.locations("/compute/")) == 5
    assert ann("GET", "/compute/", headers={"Accept": "text/occi"}).status_code == 406


# Methods, renderings and parameters ---------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["text/plain", "text/occi", "application/occi+json", "text/uri-list"])
def test_head_is_get_without_a_body(ann, cloud, accept):
    machine = ann.make()
    cloud.settle()
    assert ann("POST", "/-/", TAG).status_code == 200
    for path in (machine, "/compute/", "/compute", "/", "/-/", "/tag/web/", "/tag/", "/compute/none", "/no"):
        got, head = (ann(method, path, headers={"Accept": accept}) for method in ("GET", "HEAD"))
        assert (head.status_code, head.headers, head.content) == (got.status_code, got.headers, b"")
        assert head.headers["content-length"] == str(len(got.content))


def test_every_path_tells_its_methods(ann):
    machine = ann.make()
    assert ann("POST", "/-/", TAG).status_code == 200
    for path in (machine, "/compute/", "/compute", "/", "/-/", "/-", "/tag/web/", "/tag/", "/compute/none"):
        told = ann("OPTIONS", path)
        allowed = told.headers["allow"].split(", ")
        assert told.status_code == 200
        assert {"GET", "HEAD", "OPTIONS"} <= set(allowed)
        for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE"} - set(allowed):
            refused = ann(method, path)
            assert (refused.status_code, refused.headers["allow"]) == (405, told.headers["allow"])


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/plain;q=0, */*", "text/occi+plain; charset=utf-8"),
        ("text/*;q=0.1, text/occi;q=0, application/*;q=0", "text/plain; charset=utf-8"),
        ("text/occi+plain;q=0.3, text/plain;q=0.2", "text/occi+plain; charset=utf-8"),
        ("text/html, */*;q=0.1", "text/plain; charset=utf-8"),
        ("text/plain;q=0.5, application/occi+json", "application/occi+json"),
        ("application/occi+json; charset=utf-8", "application/occi+json"),
        ("text/plain; charset=utf-8; q=0.9, text/occi; q=0.91", "text/occi"),
    ],
)
def test_what_is_accepted_most(ann, accept, content_type):
    got = ann("GET", "/compute/", headers={"Accept": accept})
    assert (got.status_code, got.headers["content-type"]) == (200, content_type)


@pytest.mark.parametrize(
    "accept", ["text/plain;q=0", "*/*;q=0", "text/*;q=0, application/*;q=0", "application/json"]
)
def test_what_is_not_accepted(ann, accept):
    assert ann("GET", "/compute/", headers={"Accept": accept}).status_code == 406


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("text/plain; charset=utf-8", 201),
        ('text/plain; charset="UTF-8"', 201),
        ("text/plain;charset=US-ASCII", 201),
        ("text/plain; charset=ISO-8859-1", 201),
        ("text/plain; charset", 201),
        ("text/plain; charset=utf-16", 406),
        ("text/occi+plain; charset=koi8-r", 406),
        ("application/json", 406),
    ],
)
def test_charsets_of_bodies(ann, content_type, status):
    made = ann("POST", "/compute/", body=COMPUTE, headers={"Content-Type": content_type})
    assert made.status_code == status
    assert len(ann.locations("/compute/")) == int(status == 201)


@pytest.mark.parametrize("query", ["page=1&page=2&number=1", "action=stop&action=start", "a=1&a=1"])
def test_parameters_are_given_once(ann, query):
    path = ann.make()
    assert ann("GET", path, query=query).status_code == 400
    assert ann("POST", path, action("stop"), query=query).status_code == 400


def test_filters_by_attributes_of_links(ann, linked):
    machine, (attached, _, plug) = linked
    shown = ann.attributes(attached)
    for name in ("occi.storagelink.deviceid", "occi.storagelink.state"):
        found = ann.locations("/storagelink/", headers={"X-OCCI-Attribute": f'{name}="{shown[name]}"'})
        assert attached in found
    address = ann.attributes(plug)["occi.networkinterface.address"]
    wanted = {"X-OCCI-Attribute": f'occi.networkinterface.address="{address}"'}
    assert ann.locations("/networkinterface/", headers=wanted) == [plug]
    assert ann.locations("/link/", headers=wanted) == [plug]
    both = {"X-OCCI-Attribute": f'occi.networkinterface.address="{address}", occi.core.source="{machine}"'}
    assert ann.locations("/networkinterface/", headers=both) == [plug]
    none = {"X-OCCI-Attribute": 'occi.networkinterface.address="203.0.113.99"'}
    assert ann.locations("/networkinterface/", headers=none) == []


def test_filters_by_what_is_related(ann, cloud):
    # OCCI-AMB-13: the query interface shows what is named only; a collection, what depends on it as well.
    machine = ann.make()
    parent = {"Category": f'os_tpl; scheme="{INFRA}"; class="mixin"'}
    assert [line.split(";")[0] for line in ann("GET", "/-/", headers=parent).text.splitlines()] == [
        "Category: os_tpl"
    ]
    assert ann.locations("/compute/", headers=parent) == [machine]
    assert ann.locations("/os_tpl/") == [machine]
