"""Conditional requests (RFC 9110, 13): entity tags, If-Match, If-None-Match."""

import pytest

from backend.commands import CreateTags, SetVolume
from occi import conditions
from occi.errors import OcciError
from tests.support.occi_face import COMPUTE, JSON, PLAIN, STORAGE, TAG, WEB, Client, action, attribute

SIZE = attribute("occi.storage.size", 1.0)
ACCEPTED = ("text/plain", "text/occi+plain", "text/occi", "application/occi+json")


@pytest.fixture
def disk(ann, cloud):
    path = ann.make(SIZE, attribute("occi.core.title", "first"), kind=STORAGE)
    cloud.settle()
    return path


def tag_of(client, path, accept="text/plain", **more):
    return client("GET", path, headers={"Accept": accept}, **more).headers["etag"]


def title(client, path):
    return client.attributes(path)["occi.core.title"]


def changed(client, path, text, **headers):
    """The status of giving an entity another title, under conditions."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client("POST", path, attribute("occi.core.title", text), headers=named).status_code


# Tags ---------------------------------------------------------------------------------------------------


def test_each_rendering_has_a_strong_tag_of_its_own(ann, disk):
    for path in (disk, "/storage/", "/", "/-/", "/resource/"):
        tags = {tag_of(ann, path, accept) for accept in ACCEPTED}
        assert len(tags) == len(ACCEPTED)
        assert all(tag.startswith('"') for tag in tags)
        assert tags == {tag_of(ann, path, accept) for accept in ACCEPTED}
        assert ann("HEAD", path).headers["etag"] == tag_of(ann, path)
    assert "etag" not in ann("GET", "/storage/none").headers


def test_a_tag_changes_with_whatever_is_shown(ann, cloud, disk):
    [volume] = cloud.engine.volumes(ann.caller)
    other = ann.make(SIZE, kind=STORAGE)
    cloud.settle()
    seen = [tag_of(ann, disk)]
    untouched = tag_of(ann, other)
    for change in (
        lambda: cloud.engine.execute(ann.caller, CreateTags(ids=(volume.id,), tags=(("Name", "n"),))),
        lambda: cloud.engine.execute(ann.caller, SetVolume(volume_id=volume.id, summary="s")),
        lambda: cloud.engine.execute(ann.caller, SetVolume(volume_id=volume.id, online=False)),
        lambda: ann("POST", "/-/", TAG) and ann("POST", disk, WEB),
    ):
        change()
        seen.append(tag_of(ann, disk))
    assert len(set(seen)) == len(seen)
    assert tag_of(ann, other) == untouched
    cloud.engine.execute(ann.caller, CreateTags(ids=(volume.id,), tags=(("shown", "nowhere"),)))
    assert tag_of(ann, disk) == seen[-1]


def test_a_machine_and_its_links(ann, cloud, disk):
    machine = ann.make()
    cloud.settle()
    seen = [tag_of(ann, machine)]
    made = ann("POST", machine, f'Link: <{disk}>; rel="http://schemas.ogf.org/occi/infrastructure#storage"')
    assert made.status_code == 200
    seen.append(tag_of(ann, machine))
    cloud.settle()
    seen.append(tag_of(ann, machine))
    assert len(set(seen)) == 3


# GET ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["disk", "/storage/", "/-/"])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '{},"other"', "*", ', "a" , {} ,'])
def test_what_is_known_is_not_sent_again(ann, disk, method, path, form):
    path = disk if path == "disk" else path
    tag = tag_of(ann, path)
    known = ann(method, path, headers={"If-None-Match": form.format(tag)})
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["etag"] == tag
    assert "Accept" in known.headers["vary"]


def test_what_is_not_known_is_sent(ann, disk):
    tag = tag_of(ann, disk)
    for other in (tag_of(ann, disk, "application/occi+json"), '"other"', 'W/"other"'):
        assert ann("GET", disk, headers={"If-None-Match": other}).status_code == 200
    assert ann("GET", disk, headers={"If-Match": tag}).status_code == 200
    assert ann("GET", disk, headers={"If-Match": '"other"'}).status_code == 412
    assert ann("GET", disk, headers={"If-Match": f"W/{tag}"}).status_code == 412
    assert ann("GET", "/storage/none", headers={"If-None-Match": "*"}).status_code == 404


@pytest.mark.parametrize("value", ["", "x", "'a'", '"a" "b"', '"a', 'w/"a"', '*, "a"', '"a b"'])
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_malformed_conditions_are_refused(ann, disk, method, name, value):
    said = attribute("occi.core.title", "t") if method == "POST" else None
    answer = ann(method, disk, body=said, headers={**PLAIN, name: value})
    assert answer.status_code == 400
    assert title(ann, disk) == "first"


# Changes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ACCEPTED)
def test_what_is_as_it_was_read_is_changed(ann, disk, accept):
    tag = tag_of(ann, disk, accept)
    assert changed(ann, disk, "second", If_Match=tag) == 200
    assert changed(ann, disk, "third", If_Match=tag) == 412
    assert changed(ann, disk, "third", If_Match=f'"x", {tag_of(ann, disk, accept)}') == 200
    assert changed(ann, disk, "fourth", If_Match=f"W/{tag_of(ann, disk)}") == 412
    assert changed(ann, disk, "fourth", If_Match="*") == 200
    assert changed(ann, disk, "fifth", If_None_Match=tag_of(ann, disk)) == 412
    assert changed(ann, disk, "fifth", If_None_Match=f"W/{tag_of(ann, disk)}") == 412
    assert changed(ann, disk, "fifth", If_None_Match="*") == 412
    assert changed(ann, disk, "fifth", If_None_Match=tag) == 200
    assert title(ann, disk) == "fifth"


def test_a_refusal_by_condition(ann, disk):
    refused = ann("DELETE", disk, headers={"If-Match": '"old"', "Accept": "application/occi+json"})
    assert (refused.status_code, refused.json["status"]) == (412, 412)
    assert refused.json["code"] == "precondition.failed"


def test_every_change_of_an_entity_obeys_conditions(ann, cloud, disk):
    old = {"If-Match": '"old"'}
    before = tag_of(ann, disk)
    full = ann("GET", disk).text.replace("first", "second")
    assert ann("PUT", disk, body=full, headers={**PLAIN, **old}).status_code == 412
    offline = action("offline", "http://schemas.ogf.org/occi/infrastructure/storage/action#")
    assert ann("POST", disk, offline, query="action=offline", headers=old).status_code == 412
    assert ann("DELETE", disk, headers=old).status_code == 412
    assert tag_of(ann, disk) == before
    now = {"If-Match": before}
    assert ann("POST", disk, offline, query="action=offline", headers=now).status_code == 200
    assert ann("DELETE", disk, headers=now).status_code == 412
    assert ann("DELETE", disk, headers={"If-Match": tag_of(ann, disk)}).status_code == 200
    cloud.settle()
    assert ann.locations("/storage/") == []


def test_machines_links_and_networks_obey_conditions(ann, cloud):
    machine = ann.make()
    cloud.settle()
    links = [each["id"] for each in ann.json(machine)["links"]]
    paths = [
        machine,
        *ann.locations("/network/"),
        *ann.locations("/securitygroup/"),
        *ann.locations("/link/"),
    ]
    assert len(paths) >= 5
    assert links
    for path in paths:
        assert ann("DELETE", path, headers={"If-Match": '"old"'}).status_code == 412
    tag = tag_of(ann, machine)
    stop = action("stop")
    assert ann("POST", machine, stop, query="action=stop", headers={"If-Match": tag}).status_code == 200
    assert ann("POST", machine, stop, query="action=stop", headers={"If-Match": tag}).status_code == 412


def test_put_that_only_makes_and_put_that_only_replaces(ann):
    path, other = "/storage/disk", attribute("occi.core.title", "other")
    said = {"If-None-Match": "*"}
    assert ann("PUT", path, STORAGE, SIZE, headers={"If-Match": "*"}).status_code == 412
    assert ann("PUT", path, STORAGE, SIZE, headers={"If-Match": '"x"'}).status_code == 412
    assert ann("GET", path).status_code == 404
    assert ann("PUT", path, STORAGE, SIZE, headers=said).status_code == 201
    assert ann("PUT", path, STORAGE, SIZE, other, headers=said).status_code == 412
    assert "occi.core.title" not in ann.attributes(path)
    assert ann("PUT", path, STORAGE, SIZE, other, headers={"If-Match": "*"}).status_code == 200
    assert title(ann, path) == "other"


def test_what_is_not_there_is_not_there(ann):
    # RFC 9110, 13.2.1: conditions are ignored where the answer would be a refusal without them.
    for method in ("DELETE", "POST"):
        assert ann(method, "/storage/none", headers={"If-Match": '"x"'}).status_code == 404
    assert ann("DELETE", "/nowhere/", headers={"If-Match": "*"}).status_code == 404
    assert ann("OPTIONS", "/storage/", headers={"If-Match": '"x"'}).status_code == 200
    assert ann("PATCH", "/storage/", headers={"If-Match": '"x"'}).status_code == 405


@pytest.mark.parametrize("accept", ["text/plain", "application/occi+json"])
def test_collections_and_categories_obey_conditions(ann, cloud, disk, accept):
    assert ann("POST", "/-/", TAG, headers={"If-Match": '"x"'}).status_code == 412
    assert ann("POST", "/-/", TAG, headers={"If-Match": tag_of(ann, "/-/", accept)}).status_code == 200
    tag = tag_of(ann, "/tag/web/", accept)
    listed = f"X-OCCI-Location: http://h{disk}"
    assert ann("PUT", "/tag/web/", listed, headers={"If-Match": tag}).status_code == 200
    assert ann("PUT", "/tag/web/", listed, headers={"If-Match": tag}).status_code == 412
    all_there = tag_of(ann, "/storage/", accept)
    second = ann("POST", "/storage/", STORAGE, SIZE, headers={"If-Match": all_there})
    assert second.status_code == 201
    assert ann("DELETE", "/storage/", headers={"If-Match": all_there}).status_code == 412
    cloud.settle()
    now = {"If-Match": tag_of(ann, "/storage/", accept)}
    assert ann("DELETE", "/storage/", headers=now).status_code == 200


def test_a_page_has_a_tag_of_its_own(ann, disk):
    one = tag_of(ann, "/storage/", query="page=1&number=1")
    assert ann("GET", "/storage/", query="page=2&number=1").headers["etag"] != one
    assert tag_of(ann, "/storage/", query="page=1&number=1") == one


def test_a_prefix_is_part_of_what_is_shown(ann, cloud, disk):
    project = Client(cloud, cloud.caller)
    project.prefix = "/projects/ann"
    assert tag_of(project, disk) != tag_of(ann, disk)
    assert changed(project, disk, "second", If_Match=tag_of(project, disk)) == 200


def test_tags_are_read_as_http_writes_them():
    read = conditions.read('"a", W/"b" ,,"c,d"', None).match
    assert (read.strong, read.weak, read.anything) == ({'"a"', '"c,d"'}, {'W/"b"'[2:]}, False)
    assert not conditions.read(None, None)
    with pytest.raises(OcciError):
        conditions.read(",".join(['"a"'] * 101), None)


def test_machines_made_together_show_the_json_tag(ann, cloud):
    ann.make(kind=COMPUTE)
    tag = tag_of(ann, "/compute/", "application/occi+json")
    assert ann("GET", "/compute/", headers={**JSON, "If-None-Match": tag}).status_code == 304
    cloud.settle()
    assert ann("GET", "/compute/", headers={**JSON, "If-None-Match": tag}).status_code == 200
