"""HTTP of the metadata service: whatever comes is a request, not yet one, or refused."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.metadata.service import Request, Response, refusal
from gateway.metadata.wire import BadRequest, Reader, written

WHOLE = b"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nX-A: b\r\nContent-Length: 3\r\n\r\nabc"


def outcome(pieces: list[bytes]) -> Request | int | None:
    reader = Reader()
    try:
        for piece in pieces:
            found = reader.feed(piece)
            if found is not None:
                return found
    except BadRequest as error:
        return error.status
    return None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in zip(marks, marks[1:], strict=False)]


@given(st.lists(st.integers(min_value=0), max_size=12))
def test_how_a_request_is_cut_does_not_matter(places):
    assert outcome(cut(WHOLE, places)) == Request(
        method="PUT",
        target="/latest/api/token",
        headers=(("host", "x"), ("x-a", "b"), ("content-length", "3")),
    )


@given(st.lists(st.binary(max_size=200), max_size=8))
@example([b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n"])
@example([b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n"])
@example([b"\r\n\r\n"])
@example([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_any_bytes_are_a_request_or_refused_or_not_yet_one(pieces):
    found = outcome([piece for piece in pieces if piece])
    assert found is None or isinstance(found, Request) or found in {400, 413, 431}


@given(st.integers(min_value=0, max_value=len(WHOLE) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_request_breaks_nothing(place, damage):
    found = outcome([WHOLE[:place] + damage + WHOLE[place + len(damage) :]])
    assert found is None or isinstance(found, Request) or found in {400, 413, 431}


def test_an_answer_is_told_whole():
    answer = Response(status=200, body=b"x\r\n\r\ny", headers={"ETag": '"1"'})
    assert written(answer, "GET", 0.0) == (
        b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: "1"\r\nContent-Length: 6\r\n'
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: EC2ws\r\nConnection: close\r\n\r\nx\r\n\r\ny"
    )  # fmt: skip
    assert written(answer, "HEAD", 0.0) == written(answer, "GET", 0.0)[: -len(answer.body)]
    assert b"Content-Type: text/html\r\n" in written(refusal(405, {"Allow": "PUT"}), "GET", 0.0)
