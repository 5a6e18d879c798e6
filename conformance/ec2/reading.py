"""Reading replies and error documents: strictly XML, so that what an SDK could not read fails the check."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from conformance.checks import Failed, Value, expect, fail
from conformance.wire import Answer


class Node:
    """An element of a reply; names are without namespaces, paths have slashes (``instancesSet/item``)."""

    def __init__(self, element: etree._Element) -> None:
        self._element = element

    @property
    def name(self) -> str:
        """The element's name."""
        return _local(self._element)

    @property
    def content(self) -> str:
        """The text inside, empty for none."""
        return self._element.text or ""

    @property
    def children(self) -> list[Node]:
        """The elements inside."""
        return [Node(each) for each in self._element if isinstance(each.tag, str)]

    def all(self, path: str) -> list[Node]:
        """Every element at a path, in their order."""
        found = [self]
        for step in path.split("/"):
            found = [child for node in found for child in node.children if child.name == step]
        return found

    def node(self, path: str) -> Node:
        """The first element at a path; the check fails without."""
        found = self.all(path)
        if not found:
            raise Failed(f"{self.name} has no {path}, only {', '.join(self.names) or 'nothing'}")
        return found[0]

    def get(self, path: str, default: str = "") -> str:
        """The text of the first element at a path, or a default."""
        found = self.all(path)
        return found[0].content if found else default

    def text(self, path: str) -> str:
        """The text of the first element at a path; the check fails without the element."""
        return self.node(path).content

    def texts(self, path: str) -> list[str]:
        """The texts of all elements at a path."""
        return [each.content for each in self.all(path)]

    def has(self, path: str) -> bool:
        """Whether there is an element at a path."""
        return bool(self.all(path))

    def items(self, path: str) -> list[Node]:
        """The entries of a list; one that is left out has none."""
        return self.all(f"{path}/item")

    @property
    def names(self) -> list[str]:
        """The names of the elements inside."""
        return [each.name for each in self.children]

    def walk(self) -> Iterator[Node]:
        """This element and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


class Reply(Node):
    """The document of a request that was granted."""

    def __init__(self, element: etree._Element, answer: Answer) -> None:
        super().__init__(element)
        self.answer = answer

    @property
    def namespace(self) -> str:
        """The namespace of the root, empty for none."""
        return etree.QName(self._element).namespace or ""

    @property
    def request_id(self) -> str:
        """The id of the request, as the document says it."""
        return self.get("requestId")


class Refusal(Value, frozen=True, kw_only=True):
    """What an error document says."""

    status: int
    code: str
    message: str
    request_id: str

    def __str__(self) -> str:
        """As it is told in messages."""
        return f"{self.status} {self.code}: {self.message}"


def document(answer: Answer) -> etree._Element:
    """The root of the answer's XML; the check fails unless it is well-formed, without document type."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=False)
    try:
        root = etree.fromstring(answer.body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        begin = answer.text[:160]
        media = answer.media or "no media type"
        fail(f"the answer ({answer}, {media}) is no well-formed XML: {error}: {begin!r}")
    expect(root.getroottree().docinfo.doctype == "", "the answer has a document type declaration")
    return root


def reply(answer: Answer, what: str) -> Reply:
    """The reply to a request that must be granted."""
    if answer.status != 200:
        told = said(answer)
        fail(f"{what} was refused: {told or f'{answer}: {answer.text[:160]!r}'}")
    root = document(answer)
    expect(_local(root) != "Response", f"{what}: an error document with status 200: {answer.text[:300]!r}")
    return Reply(root, answer)


def refusal(answer: Answer, what: str) -> Refusal:
    """What the error document says of a request that must be refused."""
    expect(answer.status >= 300, f"{what} should be refused; it was answered {answer}")
    root = Node(document(answer))
    expect(
        root.name == "Response" and root.has("Errors/Error/Code"),
        f"{what}: {answer} has no error document (Response/Errors/Error/Code) but {answer.text[:200]!r}",
    )
    return _refusal(root, answer)


def said(answer: Answer) -> Refusal | None:
    """What an answer's error document says; None when there is none."""
    if answer.status < 300:
        return None
    try:
        root = Node(document(answer))
    except Failed:
        return None
    return _refusal(root, answer) if root.has("Errors/Error/Code") else None


def _refusal(root: Node, answer: Answer) -> Refusal:
    return Refusal(
        status=answer.status,
        code=root.get("Errors/Error/Code"),
        message=root.get("Errors/Error/Message"),
        request_id=root.get("RequestID"),
    )


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname
