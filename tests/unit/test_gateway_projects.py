"""Which project a request is for, by header and by path, and what is left of the path."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

import falcon
import falcon.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.projects import place_of


def place(uri, **headers):
    """What a server makes of a request's target."""
    path = uri.partition("?")[0]
    env = {"RAW_URI": uri, "PATH_INFO": unquote_to_bytes(path).decode("latin-1"), **headers}
    return place_of(env, falcon.Request(falcon.testing.create_environ() | env).path)


@pytest.mark.parametrize(
    ("uri", "path", "names", "prefix"),
    [
        ("/compute/", "/compute/", (), ""),
        ("/projects/physics/compute/x?action=stop", "/compute/x", ("physics",), "/projects/physics"),
        ("/projects/physics/", "/", ("physics",), "/projects/physics"),
        ("/projects/physics", "/", ("physics",), "/projects/physics"),
        ("/projects/physics/-/", "/-/", ("physics",), "/projects/physics"),
        ("/projects/physics/projects/physics/compute/x", "/compute/x", ("physics",), "/projects/physics"),
        ("/projects/a/projects/b/projects/a/", "/", ("a", "b"), "/projects/a"),
        ("/projects/a%2Fb/compute/", "/compute/", ("a/b",), "/projects/a%2Fb"),
        ("/projects/a%2fb/compute/", "/compute/", ("a/b",), "/projects/a%2Fb"),
        ("/projects/a%252Fb/-/", "/-/", ("a%2Fb",), "/projects/a%252Fb"),
        ("/projects/J%C3%BCrgen%20%26%3F/", "/", ("Jürgen &?",), "/projects/J%C3%BCrgen%20%26%3F"),
        ("/projects/..%2F..%2F/compute/", "/compute/", ("../../",), "/projects/..%2F..%2F"),
        ("/projects/a%0D%0AX:y/", "/", ("a\r\nX:y",), "/projects/a%0D%0AX%3Ay"),
        ("/projects//compute/", "/compute/", ("",), "/projects/"),
        ("/projects/", "/", ("",), "/projects/"),
        ("/projects", "/projects", (), ""),
        ("/projects/a//compute/", "//compute/", ("a",), "/projects/a"),
        ("/%70rojects/a/compute/", "/compute/", ("a",), "/projects/a"),
        ("/projects%2Fa/compute/", "/projects/a/compute/", (), ""),
        ("/projects/a/projects%2Fb/", "/projects/b/", ("a",), "/projects/a"),
    ],
)
def test_paths(uri, path, names, prefix):
    found = place(uri)
    assert (found.path, found.names, found.prefix) == (path, names, prefix)


def test_the_absolute_form():
    env = {"RAW_URI": "http://h/projects/a%2Fb/compute/?x", "PATH_INFO": "/projects/a/b/compute/"}
    found = place_of(env, "/projects/a/b/compute/")
    assert (found.path, found.names, found.prefix) == ("/compute/", ("a/b",), "/projects/a%2Fb")


def test_the_header_and_both():
    assert place("/compute/", HTTP_X_PROJECT="physics").names == ("physics",)
    assert place("/compute/", HTTP_X_PROJECT=" J\xc3\xbcrgen ").names == ("Jürgen",)
    assert place("/compute/", HTTP_X_PROJECT="").names == ("",)  # says that it is for one, and not which
    both = place("/projects/a/compute/", HTTP_X_PROJECT="b")
    assert (both.names, both.prefix) == (("b", "a"), "/projects/a")
    assert place("/projects/a/compute/", HTTP_X_PROJECT="a").names == ("a",)


def test_where_the_target_as_sent_is_not_known_the_decoded_path_will_do():
    found = place_of({"PATH_INFO": "/projects/a b/compute/"}, "/projects/a b/compute/")
    assert (found.path, found.names, found.prefix) == ("/compute/", ("a b",), "/projects/a%20b")
    twice = "/projects/a%2Fb/compute/"  # decoded already: it is not decoded once more
    assert place_of({"PATH_INFO": twice}, twice).names == ("a%2Fb",)
    # Another one than the server's path is not believed.
    env = {"PATH_INFO": "/projects/a/compute/", "RAW_URI": "/projects/b/compute/"}
    assert place_of(env, "/projects/a/compute/").names == ("a",)


@given(st.text(min_size=1, max_size=30).filter(lambda text: text.isprintable()), st.text(max_size=20))
def test_every_name_comes_back(name, rest):
    path = quote(f"/{rest}", safe="/", errors="replace")
    if path.startswith("/projects/"):
        return
    found = place(f"/projects/{quote(name, safe='')}{path}")
    assert found.names == (name,)
    assert found.prefix == f"/projects/{quote(name, safe='')}"
    assert unquote_to_bytes(found.prefix.removeprefix("/projects/")).decode() == name


@given(st.binary(max_size=60))
def test_no_path_is_a_bug(data):
    uri = "/projects/" + quote(data, safe="/%")
    found = place(uri)
    assert found.prefix.isascii()
    assert "\r" not in found.prefix
    assert "\n" not in found.prefix


def test_a_path_of_nothing_but_prefixes():
    found = place("/projects/a" * 5500)
    assert (found.path, found.names) == ("/", ("a",))
