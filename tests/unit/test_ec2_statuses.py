"""The HTTP status of each code, and that no other code has one of its own (EC2 API reference, "Error codes")."""

from __future__ import annotations

import pytest
from ec2_codes import CODES, SERVER_CODES

from ec2.errors import STATUS, http_status
from ec2.ids import MALFORMED, NOT_FOUND

BY_STATUS = {
    401: "AuthFailure",
    403: "UnauthorizedOperation SignatureDoesNotMatch InvalidClientTokenId OptInRequired Blocked PendingVerification",
    412: "DryRunOperation",
    413: "RequestEntityTooLarge",
    500: "InternalError InternalFailure Server.InternalError InsufficientInstanceCapacity InsufficientAddressCapacity "
    "InsufficientVolumeCapacity",
    503: "RequestLimitExceeded Unavailable ServiceUnavailable",
}
SAID = {code: status for status, codes in BY_STATUS.items() for code in codes.split()}


@pytest.mark.parametrize("code", sorted({*SAID, *CODES, *SERVER_CODES}))
def test_the_status_of_each_code(code):
    assert http_status(code) == SAID.get(code, 400)


def test_what_is_missing_or_malformed_is_never_404():
    codes = {each.code for each in (*MALFORMED.values(), *NOT_FOUND.values())}
    assert codes <= CODES
    assert {http_status(code) for code in codes} == {400}
    assert 404 not in STATUS.values()
