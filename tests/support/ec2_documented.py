"""What the documentation in botocore's model says that its shapes do not: the filters of each operation."""

from __future__ import annotations

from html.parser import HTMLParser

from ec2_face import SESSION

MODEL = SESSION._session.get_service_model("ec2")


class _FilterNames(HTMLParser):
    """The names in the documentation of a ``Filters`` member: how each item of its outermost list begins."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self._lists = 0
        self._item = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._lists += tag == "ul"
        if tag == "li" and self._lists == 1:
            self._item = ""

    def handle_data(self, data: str) -> None:
        if self._lists == 1:
            self._item += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "li" and self._lists == 1 and self._item.split():
            self.names.append(self._item.split()[0])
        self._lists -= tag == "ul"


def filters_member(operation: str) -> str | None:
    """The SDK's name of the input member that takes filters; None for an operation without."""
    shape = MODEL.operation_model(operation).input_shape
    if shape is None:
        return None
    return next((name for name, member in shape.members.items() if member.name == "FilterList"), None)


def documented_filters(operation: str) -> list[str]:
    """The filters that an operation's documentation names; ``tag:<key>`` as ``tag:Name``."""
    member = filters_member(operation)
    if member is None:
        return []
    parser = _FilterNames()
    parser.feed(MODEL.operation_model(operation).input_shape.members[member].documentation)
    names = [name.replace("<key>", "Name").rstrip(":,") for name in parser.names]
    return ["tag:Name" if name == "tag" else name for name in names]
