"""Secrets at rest, passwords and tokens."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.crypto import (
    KeyFiles,
    KeyUnusable,
    Passwords,
    SecretBox,
    new_key_id,
    new_password,
    new_secret,
    new_token,
    token_digest,
)
from gateway.home import Home, open_to_others

KEY = bytes(range(32))


@given(st.text(string.ascii_letters + string.digits, min_size=1), st.text(max_size=100))
def test_what_is_sealed_opens_again_and_hides_the_secret(key_id, secret):
    box = SecretBox(KEY)
    sealed = box.seal(key_id, secret)
    assert box.open(key_id, sealed) == secret
    assert len(secret) < 4 or secret.encode() not in sealed
    assert box.seal(key_id, secret) != sealed  # a fresh nonce each time


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_noticed(position, difference):
    box = SecretBox(KEY)
    sealed = bytearray(box.seal("AKIA1", "secret"))
    sealed[position % len(sealed)] ^= difference
    with pytest.raises(KeyUnusable):
        box.open("AKIA1", bytes(sealed))


def test_a_secret_belongs_to_its_key_id_and_its_key_file():
    sealed = SecretBox(KEY).seal("AKIA1", "secret")
    with pytest.raises(KeyUnusable):
        SecretBox(KEY).open("AKIA2", sealed)
    with pytest.raises(KeyUnusable, match="keys/at-rest"):
        SecretBox(bytes(32)).open("AKIA1", sealed)


def test_generated_credentials_have_the_shape_clients_expect():
    assert len({new_key_id() for _ in range(100)}) == 100
    assert len(new_key_id()) == 20
    assert new_key_id().startswith("AKIA")
    assert len(new_secret()) == 40
    assert new_password().isalnum()
    assert token_digest(new_token()) != token_digest(new_token())


# Passwords ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def passwords():
    return Passwords()


def test_right_and_wrong_passwords(passwords):
    stored = passwords.hash("right")
    assert "right" not in stored
    for _ in range(2):  # the second time out of memory
        assert passwords.verify("ann", "right", stored)
        assert not passwords.verify("ann", "wrong", stored)
        assert not passwords.verify("ann", "right", None)
        assert not passwords.verify("ann", "right", "not a hash")


def test_what_is_remembered_holds_for_that_user_password_and_hash_only(passwords, monkeypatch):
    stored, other = passwords.hash("right"), passwords.hash("right")
    assert passwords.verify("ann", "right", stored)
    monkeypatch.setattr(passwords, "_check", lambda _password, _stored: False)  # now only memory answers yes
    assert passwords.verify("ann", "right", stored)
    assert not passwords.verify("bob", "right", stored)
    assert not passwords.verify("annr", "ight", stored)
    assert not passwords.verify("ann", "right", other)  # the password was changed, to itself or another


def test_memory_ends(monkeypatch):
    forgetful = Passwords(memory=0.0)
    stored = forgetful.hash("right")
    assert forgetful.verify("ann", "right", stored)
    monkeypatch.setattr(forgetful, "_check", lambda _password, _stored: False)
    assert not forgetful.verify("ann", "right", stored)


@settings(max_examples=10, deadline=None)  # hashing is slow on purpose
@given(st.text(max_size=40))
def test_any_text_is_a_possible_password(text):
    passwords = Passwords()
    assert passwords.verify("ann", text, passwords.hash(text))


# Key files ----------------------------------------------------------------------------------------------


def test_key_files_are_private_stay_and_are_missed_when_gone(tmp_path):
    home = Home(path=tmp_path / "home")
    home.make()
    files = KeyFiles(home)
    files.make()
    before = files.at_rest, files.pages
    files.make()
    assert (files.at_rest, files.pages) == before
    assert not any(open_to_others(path) for path in (home.path, home.keys, *home.keys.iterdir()))
    (home.keys / "at-rest").write_text("AAAA")
    with pytest.raises(KeyUnusable, match="damaged"):
        _ = files.at_rest
    (home.keys / "at-rest").unlink()
    with pytest.raises(KeyUnusable, match="missing"):
        _ = files.at_rest
    (home.keys / "pages").chmod(0o640)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        _ = files.pages
