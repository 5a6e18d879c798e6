"""The door of the EC2 face: which key does a request claim, and does its signature hold?"""

from __future__ import annotations

from datetime import datetime

from ec2 import sigv2, sigv4
from ec2.signature import Presented, SignaturePolicy, SignedRequest, refused


def present(request: SignedRequest, policy: SignaturePolicy) -> Presented | None:
    """The claim of a request, or None when it is not signed.

    Raises SignatureError IncompleteSignature for a signature that cannot be read, AuthFailure for one of
    version 2 where that is switched off.
    """
    found = sigv4.parse(request)
    if found is not None:
        return found
    old = sigv2.parse(request)
    if old is not None and not policy.version_2:
        raise refused()
    return old


def verify(
    presented: Presented, *, secret: str, request: SignedRequest, now: datetime, policy: SignaturePolicy
) -> None:
    """Return when the request was signed with the secret; raises SignatureError otherwise."""
    match presented:
        case sigv4.PresentedV4():
            sigv4.verify(presented, secret=secret, request=request, now=now, policy=policy)
        case sigv2.PresentedV2():
            sigv2.verify(presented, secret=secret, request=request, now=now, policy=policy)
        case _:
            raise refused()
