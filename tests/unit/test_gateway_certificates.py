"""Subjects of certificates: one name whatever the spelling, and none that a proxy did not say."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.auth.certificates import CertificateDoor, NoSubject, subject_in, subject_of
from gateway.settings import NotConfigured, X509Table, checked
from tests.support.certificates import ANN, certificate_of_ann

HEADER = "HTTP_X_SSL_CLIENT_S_DN"


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (ANN, ANN),
        ("/C=DE/O=Grid/CN=ann", ANN),
        ("cn=ann,o=Grid,c=DE", ANN),
        ("/DC=org/DC=grid/CN=host/node.example.org", "CN=host/node.example.org,DC=grid,DC=org"),
        ("CN=host/node.example.org,DC=grid,DC=org", "CN=host/node.example.org,DC=grid,DC=org"),
        ("/C=DE/CN=J\\xC3\\xBCrgen", "CN=Jürgen,C=DE"),
        ("CN=J\\C3\\BCrgen,C=DE", "CN=Jürgen,C=DE"),
        ("CN=Jürgen,C=DE", "CN=Jürgen,C=DE"),
        ("/CN=x/Email=a@b", "emailAddress=a@b,CN=x"),
        ("1.2.840.113549.1.9.1=a@b,CN=x", "emailAddress=a@b,CN=x"),
        ("UID=b+CN=a,O=x", "CN=a+UID=b,O=x"),
        ("CN=a\\,b,O=x", "CN=a\\,b,O=x"),
        ("/O=x/CN=a,b", "CN=a\\,b,O=x"),
        ("/CN=a\\x2Fb", "CN=a\\\\x2Fb"),  # OpenSSL writes such signs as they are: this is a backslash
    ],
)
def test_spellings_of_a_subject(text, subject):
    assert subject_of(text) == subject
    assert subject_of(subject) == subject


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "ann", "/CN", "/CN=", "/x=1", "CN=a,X=b", "CN=a,", "CN=a\n", "/CN=a\0", "CN=\\00a", "CN=\\FF",
        "/CN=\\xff", "subject=C = DE, CN = ann", "C=DE, CN=ann", "/CN=a,/CN=b", "C=Germany", "CN=" + "a" * 65,
        "CN=" + "a," * 3000, "CN=#04024869",
    ],
)  # fmt: skip
def test_no_subjects(text):
    with pytest.raises(NoSubject):
        subject_of(text)


@given(st.text(max_size=80))
@example("/1.2.3=\\x80")
@example("1.99999999999999999999999=x")
def test_no_text_is_a_bug(text):
    for each in (text, f"/CN={text}", f"CN={text}"):
        try:
            found = subject_of(each)
        except NoSubject:
            continue
        assert subject_of(found) == found


@given(
    st.lists(
        st.tuples(
            st.sampled_from([NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.EMAIL_ADDRESS]),
            st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=12).filter(
                str.isprintable
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_rfc_4514_writes_is_read_as_the_same_name(parts):
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
    assert subject_of(name.rfc4514_string()) == subject_of(subject_of(name.rfc4514_string()))
    again = x509.Name.from_rfc4514_string(
        subject_of(name.rfc4514_string()), {"emailAddress": NameOID.EMAIL_ADDRESS}
    )
    assert again == name


def test_the_subject_of_a_file():
    assert subject_in(certificate_of_ann()) == ANN
    with pytest.raises(NoSubject):
        subject_in(b"no certificate")


def door(**settings):
    given = {"header": "X-SSL-Client-S-DN", "proxies": ("127.0.0.1", "10.0.0.0/8", "2001:db8::/32")}
    return CertificateDoor(X509Table(**(given | settings)))


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"])
def test_a_proxy_is_believed(peer):
    assert door()({HEADER: "/C=DE/O=Grid/CN=ann", "REMOTE_ADDR": peer}) == ANN
    assert (
        door()({HEADER: "CN=J\xc3\xbcrgen,C=DE", "REMOTE_ADDR": peer}) == "CN=Jürgen,C=DE"
    )  # as WSGI has UTF-8


@pytest.mark.parametrize(
    "peer", ["127.0.0.2", "11.0.0.1", "", "unix:", "::1", "::ffff:11.0.0.1", "10.0.0.1, 9.9.9.9"]
)
def test_nobody_else_is(peer):
    env = {
        HEADER: ANN,
        "REMOTE_ADDR": peer,
        "HTTP_X_FORWARDED_FOR": "10.0.0.1",
        "HTTP_FORWARDED": "for=10.0.0.1",
    }
    assert door()(env) is None


def test_the_second_header_must_say_success():
    both = door(verified="X-SSL-Client-Verify")
    env = {HEADER: ANN, "REMOTE_ADDR": "127.0.0.1"}
    assert both(env) is None
    for word in ("", "NONE", "FAILED:expired", "success", "SUCCESS,SUCCESS", "NONE,SUCCESS", "SUCCESS "):
        assert both({**env, "HTTP_X_SSL_CLIENT_VERIFY": word}) is None
    assert both({**env, "HTTP_X_SSL_CLIENT_VERIFY": "SUCCESS"}) == ANN


@pytest.mark.parametrize(
    "value", ["", " ", "(null)", "-", f"{ANN}, {ANN}", "/CN=a,/C=DE/CN=ann", "CN=\xff", "CN=a\tb"]
)
def test_what_cannot_be_read_is_nobody(value):
    assert door()({HEADER: value, "REMOTE_ADDR": "127.0.0.1"}) is None


def test_without_settings_there_is_no_such_door():
    assert CertificateDoor(X509Table())({HEADER: ANN, "REMOTE_ADDR": "127.0.0.1", "HTTP_": ANN}) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"header": "X-DN"},
        {"proxies": ("127.0.0.1",)},
        {"header": "X-DN", "verified": "x-dn", "proxies": ("127.0.0.1",)},
        {"header": "X_DN", "proxies": ("127.0.0.1",)},
        {"header": "X-DN", "proxies": ("0.0.0.0/0",)},
        {"header": "X-DN", "proxies": ("::/0",)},
        {"header": "X-DN", "proxies": ("proxy.example",)},
        {"header": "X-DN", "proxies": ("10.0.0.1/8",)},
    ],
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ValidationError):
        X509Table(**settings)


def test_guests_that_reach_the_loopback_interface_are_no_proxies(tmp_path):
    table = {"header": "X-DN", "proxies": ("127.0.0.1",)}
    with pytest.raises(NotConfigured, match="guests can speak from"):
        checked(tmp_path, x509=table, network={"outbound": True})
    checked(tmp_path, x509=table)
    checked(tmp_path, x509=table | {"proxies": ("10.0.0.1",)}, network={"outbound": True})
