"""The operations of the EC2 endpoint, compiled from the service models: routing, reading and writing.

:func:`operation` finds what ``Action`` and ``Version`` name; an :class:`Endpoint` reads its parameters and
writes its reply. What an operation *does* is in the action modules.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import msgspec

from ec2 import model
from ec2.advice import instead_of
from ec2.errors import Ec2Error
from rendering.query_params import Parse, compile_input
from rendering.query_shapes import Operation, Structure
from rendering.query_xml import (
    Fragment,
    Writer,
    compile_fragment,
    compile_output,
    error_document,
    reply_document,
    result_document,
    result_error_document,
)

EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
STS_VERSION = "2011-06-15"
FIRST_VERSION = "2006-06-26"

#: Instance types and the resource types of tags are checked by the actions: a private cloud has types of its
#: own, and a resource that cannot be tagged has its own sentence. The action of a network ACL's entry may be
#: in capitals, which older clients send. Likewise the length of an image's name, and account attributes, of
#: which the service knows more than its model. A call on no instances at all is answered by its action ("No
#: instances specified"), after dry run.
CORRECTIONS = model.Corrections(
    open_choices=frozenset({"AccountAttributeName", "InstanceType", "ResourceType", "RuleAction"}),
    unbounded=frozenset({"ImageNameRequest", "LaunchTemplateName"}),
    optional=frozenset(
        (f"{name}InstancesRequest", "InstanceIds")
        for name in ("Start", "Stop", "Reboot", "Terminate", "Monitor", "Unmonitor")
    ),
    reasons={"InstanceAttributeName": "Unknown attribute.", "ImageAttributeName": "Unknown attribute."},
)

_READING = ("Describe", "Get", "List", "Search")
_CHANGING = frozenset({"GetSessionToken"})
_DATE = re.compile(r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One operation, ready to serve.

    ``parse(pairs, unknown=None)`` gives the parameters by SDK names or raises QueryError (see
    ``rendering.query_params.compile_input``).
    """

    service: str
    shape: Operation
    parse: Parse
    write: Writer | None

    @property
    def name(self) -> str:
        """The operation's name, which is the value of ``Action``."""
        return self.shape.name

    def reply(self, document: Mapping[str, Any] | None, *, version: str, request_id: str) -> bytes:
        """The reply as XML; ``document`` is keyed by SDK names and ignored by operations without output."""
        if self.service == "sts":
            assert self.write is not None
            return result_document(
                action=self.name,
                namespace=STS_NAMESPACE,
                request_id=request_id,
                write=self.write,
                document=document or {},
            )
        return reply_document(
            action=self.name,
            namespace=f"{EC2_NAMESPACE}{version}/",
            request_id=request_id,
            write=self.write,
            document=document,
        )


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled service model. ``known`` names all operations of the real service, served or not."""

    name: str
    version: str
    endpoints: Mapping[str, Endpoint]
    shapes: Mapping[str, Structure]
    known: frozenset[str]
    strict: bool

    def fragment(self, shape: str) -> Callable[[Mapping[str, Any]], Fragment]:
        """The function that renders one structure, for example ``Instance``, into a Fragment to be cached.

        Compile once and keep it. Raises KeyError for a shape that no served operation reaches.
        """
        return compile_fragment(self.shapes[shape], strict=self.strict)


@functools.cache
def service(name: str, *, strict: bool = False) -> Service:
    """Compile the model of ``ec2``, ``ec2_lists`` or ``sts``.

    A strict service refuses replies with unknown members (tests).
    """
    loaded = model.load(name, CORRECTIONS)
    endpoints = {
        shape.name: Endpoint(
            service=name,
            shape=shape,
            parse=compile_input(shape.input),
            write=None if shape.output is None else compile_output(shape.output, strict=strict),
        )
        for shape in loaded.operations.values()
    }
    return Service(
        name=name,
        version=loaded.version,
        endpoints=endpoints,
        shapes={key: shape for key, shape in loaded.shapes.items() if isinstance(shape, Structure)},
        known=loaded.known,
        strict=strict,
    )


EC2 = service("ec2")
LISTS = service("ec2_lists")
"""Operations that list what this cloud has none of: their replies are empty lists, whatever is asked for."""
STS = service("sts")


def operation(action: str | None, version: str | None, *, ec2: Service = EC2, sts: Service = STS) -> Endpoint:
    """Find the operation a request names.

    What the real service lists and this one has none of is among :data:`LISTS`.

    Raises Ec2Error: MissingAction, MissingParameter (no version), NoSuchVersion, UnsupportedOperation for an
    operation that the real service has and this one has not, InvalidAction for any other.
    """
    if not action:
        raise Ec2Error("MissingAction", "The request is missing an action")
    if not version:
        raise Ec2Error("MissingParameter", "The request must contain the parameter Version")
    if service_of(version) == sts.name:
        return _endpoint(sts, action)
    if not (_is_date(version) and FIRST_VERSION <= version <= ec2.version):
        raise Ec2Error("NoSuchVersion", f"The version {version[:40]} is not supported")
    return LISTS.endpoints.get(action) or _endpoint(ec2, action)


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def reads(action: str | None) -> bool:
    """Whether an action, if it is one, only tells of things."""
    return bool(action) and str(action).startswith(_READING) and action not in _CHANGING


def service_of(version: str | None) -> str:
    """The service that a request is for: each has versions of its own."""
    return "sts" if version == STS_VERSION else "ec2"


def _endpoint(found: Service, action: str) -> Endpoint:
    endpoint = found.endpoints.get(action)
    if endpoint is not None:
        return endpoint
    if action in found.known:
        refusal = f"The operation {action} is not supported by this cloud. {instead_of(action)}"
        raise Ec2Error("UnsupportedOperation", refusal.rstrip())
    raise Ec2Error("InvalidAction", f"The action {action[:120]} is not valid for this web service.")


def error_reply(
    error_code: str, message: str, *, version: str | None, request_id: str, sender: bool = True
) -> bytes:
    """The error reply in the form the caller's protocol expects: STS's for its version, EC2's for all
    others.
    """
    if service_of(version) == "sts":
        return result_error_document(
            code=error_code, message=message, request_id=request_id, namespace=STS_NAMESPACE, sender=sender
        )
    return error_document(code=error_code, message=message, request_id=request_id)
