"""What no client of ours would send: each time a refusal in plain text or the standard's own form, never HTML,
never a 500, and the next request is served.
"""

from __future__ import annotations

import contextlib
import re
import socket
import xml.etree.ElementTree as ET

import pytest
from botocore.exceptions import ClientError
from live_cloud import Key

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
TEN_MEGABYTES = 10_000_000


def _raw(cloud, data: bytes) -> bytes:
    """Everything the server says to these bytes, until it closes or is silent for a while."""
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=20) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        said = b""
        connection.settimeout(5)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while chunk := connection.recv(65536):
                said += chunk
                if b"Connection: keep-alive" in said and b"\r\n\r\n" in said:
                    break
        return said


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS on the plain port
        b"GARBAGE\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 1200 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /%ff%fe%zz/\xc3\x28 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /compute/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PROPFIND /compute/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://elsewhere/-/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /?Action=%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /-/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\xfe\r\n\r\n",
        b"GET /-/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + b"QTpC" * 3000 + b"\r\n\r\n",
        b"GET /-/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic AGE6Yg==\r\n\r\n",
        b"GET /-/ HTTP/1.1\r\nHost: x\r\nAuthorization: Negotiate abc\r\n\r\n",
        b"GET /-/ HTTP/1.1\r\nHost: x\r\nAccept: ;;;/q=z\r\n\r\n",
    ],
)
def test_bytes_that_are_no_request_of_ours(cloud, data):
    said = _raw(cloud, data)
    assert re.match(rb"HTTP/1\.[01] (?:4\d\d|501|505) ", said), said[:200]
    assert b"<html" not in said.lower()
    assert b"text/html" not in said.lower()
    assert len(re.findall(rb"(?im)^server:", said)) == 1
    assert cloud.http("GET", "/livez").status == 200


def _ec2_error(answer) -> str:
    assert answer.headers["Content-Type"] == "text/xml;charset=UTF-8"
    code = ET.fromstring(answer.body).findtext("Errors/Error/Code")
    assert code
    return code


def test_ten_megabytes_to_ec2(cloud):
    answer = cloud.http("POST", "/", b"Action=" + b"a" * TEN_MEGABYTES, FORM)
    assert (answer.status, _ec2_error(answer)) == (413, "RequestEntityTooLarge")


def test_ten_megabytes_to_occi(cloud):
    answer = cloud.occi("POST", "/compute/", b"x" * TEN_MEGABYTES, {"Content-Type": "text/plain"})
    assert answer.status == 413
    unknown = cloud.http("POST", "/compute/", b"x" * TEN_MEGABYTES, {"Content-Type": "text/plain"})
    assert unknown.status == 401


def test_ten_megabytes_in_chunks(cloud):
    def chunks():
        for _ in range(160):
            yield b"x" * 65536

    for path, headers, status in (("/", FORM, 413), ("/compute/", {"Content-Type": "text/plain"}, 401)):
        answer = cloud.http("POST", path, chunks(), headers)
        assert answer.status == status


def test_a_hundred_thousand_fields(cloud):
    body = "Action=DescribeInstances&Version=2016-11-15&" + "&".join(
        f"InstanceId.{n}=i" for n in range(100_000)
    )
    answer = cloud.http("POST", "/", body, FORM)
    assert 400 <= answer.status < 500
    assert _ec2_error(answer)


def test_without_credentials_each_face_answers_in_its_own_words(cloud):
    ec2 = cloud.http("POST", "/", "Action=DescribeInstances&Version=2016-11-15", FORM)
    assert (ec2.status, _ec2_error(ec2)) == (401, "AuthFailure")
    assert ec2.headers["x-amzn-RequestId"]
    occi = cloud.http("GET", "/compute/", headers={"Accept": "application/occi+json"})
    assert occi.status == 401
    assert occi.headers["WWW-Authenticate"].startswith('Basic realm="isthmus"')
    assert occi.headers["Content-Type"].startswith("application/occi+json")
    known = cloud.occi("GET", "/-/")
    assert {name: occi.headers[name] for name in ("Server", "Accept")} == {
        name: known.headers[name] for name in ("Server", "Accept")
    }
    assert "OCCI/1.2 OCCI-CRTP-EP/1.1" in occi.headers["Server"]  # OCCI-CRTP-006
    assert occi.headers["WWW-Authenticate"].endswith(', Bearer realm="isthmus"')


@pytest.mark.parametrize("path", ["/services/Cloud", "/services/Eucalyptus/", "/services/compute"])
def test_older_paths_of_the_query_api_are_ec2s(cloud, path):
    answer = cloud.http("GET", path)
    assert (answer.status, _ec2_error(answer)) == (401, "AuthFailure")


def test_wrong_keys_and_wrong_secrets_cannot_be_told_apart(cloud):
    answers = []
    for key in (
        Key(cloud.key.id, "wrong"),
        Key("AKIAUNKNOWNUNKNOWN22", cloud.key.secret),
        Key("'OR'1'='1", "x"),
    ):
        with pytest.raises(ClientError) as refused:
            cloud.client(key=key).describe_instances()
        error = refused.value.response
        answers.append(
            (error["Error"]["Code"], error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"])
        )
    assert len(set(answers)) == 1
    assert answers[0][0] == "AuthFailure"


def test_a_region_of_somebody_elses_is_refused(cloud):
    with pytest.raises(ClientError, match="AuthFailure"):
        cloud.client(region_name="mars-north-1").describe_instances()


def test_head_has_the_headers_of_get_and_no_body(cloud):
    get, head = cloud.occi("GET", "/-/"), cloud.occi("HEAD", "/-/")
    assert (head.status, head.body) == (200, "")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_large_headers_are_read(cloud):
    """OCCI puts content into header fields (OCCI-REAL-19)."""
    many = ", ".join(f'x.y.z{number}="{"v" * 60}"' for number in range(500))
    answer = cloud.occi("GET", "/compute/", headers={"Content-Type": "text/occi", "X-OCCI-Attribute": many})
    assert answer.status in {200, 204, 400}


def test_logs_hold_no_secret_and_every_request(cloud):
    answer = cloud.occi("GET", "/-/")
    cloud.client().describe_instances()
    url = cloud.client("sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    assert cloud.http("GET", url.removeprefix(cloud.endpoint)).status == 200
    log = cloud.log.read_text()
    assert answer.headers["X-Request-Id"] in log
    for secret in (cloud.facts["secret_key"], cloud.occi_auth[1], "Signature=", "Basic "):
        assert secret not in log


def test_metrics_count_the_requests_of_all_web_processes(cloud):
    for _ in range(20):
        cloud.client("sts").get_caller_identity()
    text = cloud.http("GET", "/metrics").body
    counted = re.search(
        r'isthmus_requests_total\{face="ec2",operation="GetCallerIdentity",status="200"\} ([0-9.]+)', text
    )
    assert counted
    assert float(counted[1]) >= 20
    assert 'isthmus_hosts{state="on"} 1.0' in text
