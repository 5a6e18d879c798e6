"""Bodies: whole, thrown away, or known to be malformed."""

from __future__ import annotations

import io

from gunicorn.http.errors import InvalidChunkSize
from hypothesis import given
from hypothesis import strategies as st

from gateway.bodies import receive

LIMIT = 1000


class Wire(io.BytesIO):
    """A stream that gives less than asked for, as sockets do, and then fails or ends."""

    def __init__(self, data, error=None):
        super().__init__(data)
        self.error = error

    def read(self, size=-1):
        part = super().read(min(size, 333))
        if not part and self.error:
            raise self.error
        return part


@given(st.binary(max_size=2 * LIMIT), st.booleans())
def test_a_body_arrives_whole_or_only_its_length(data, chunked):
    env = {"wsgi.input": Wire(data), "wsgi.input_terminated": True}
    env |= {"HTTP_TRANSFER_ENCODING": "chunked"} if chunked else {"CONTENT_LENGTH": str(len(data))}
    assert receive(env, LIMIT)
    assert env["wsgi.input"].read() == (data if len(data) <= LIMIT else b"")
    assert int(env.get("CONTENT_LENGTH", 0)) == len(data)
    assert env["wsgi.input_terminated"] is (not data and not chunked)  # else a face would read the old one


def test_a_body_cut_off_is_malformed():
    assert not receive({"wsgi.input": Wire(b"abc"), "CONTENT_LENGTH": "4"}, LIMIT)


def test_a_broken_chunk_is_malformed_and_gone():
    for error in (InvalidChunkSize(b"zz"), ConnectionResetError()):
        env = {"wsgi.input": Wire(b"abc", error), "HTTP_TRANSFER_ENCODING": "chunked"}
        assert not receive(env, LIMIT)
        assert env["wsgi.input"].read() == b""


def test_without_a_body_nothing_is_read():
    for env in ({}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}):
        assert receive({"wsgi.input": Wire(b"", AssertionError("read")), **env}, LIMIT)
