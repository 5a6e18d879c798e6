r"""OpenNebula's image templates: ``NAME = "value"`` lines that describe an image to be registered.

The syntax is that of OpenNebula 3.4 to 7.0 (src/template/template_parser.l, "Image Template" in its
references): names in any case, values bare or in double quotes, which may go over several lines and hold
``\"``, comments after ``#``. What has no meaning here is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn

from backend.errors import BackendError, Code
from backend.images.formats import FORMATS
from backend.images.sources import DIGESTS
from backend.model import Value

TYPES: Final = ("OS", "CDROM", "DATABLOCK")
WITHOUT_EFFECT: Final = frozenset({"BUS", "DEV_PREFIX", "DISK_TYPE", "TARGET"})
"""Attributes that only say where in a machine OpenNebula would plug the image; they are passed over."""

_FILESYSTEMS: Final = {"": "", "raw": "", "ext4": "ext4", "swap": "swap"}
_LONGEST: Final = {"NAME": 128, "DESCRIPTION": 255, "PATH": 4096}
_MOST_MIB: Final = (64 << 40) >> 20
_ONE_NAME: Final = {"DRIVER": "FORMAT", "FS": "FSTYPE"}
_KNOWN: Final = frozenset(
    {"NAME", "DESCRIPTION", "TYPE", "PATH", "SIZE", "FSTYPE", "PERSISTENT", "PUBLIC", "FORMAT", "MD5", "SHA1"}
)
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<comment>\#[^\n]*)
      | (?P<name>[A-Za-z0-9_]+)[ \t]*=[ \t]*
        (?: (?P<bracket>\[)
          | "(?P<quoted>(?:[^"\\]|\\.)*)"
          | (?P<bare>[^\s=\#,\[\]"][^\s=\#,\[\]]*)
          | (?P<none>(?=[\n\#]|\Z))
        )""",
    re.VERBOSE | re.DOTALL,
)


class ImageTemplate(Value, frozen=True, kw_only=True):
    """What a template asks for.

    ``path`` is the place of the bytes, empty for a new empty disk of ``size_mib`` MiB with ``filesystem``
    (``ext4``, ``swap``, or none). ``format`` is empty when the template does not say. ``digest`` is
    ``md5:DIGITS`` or ``sha1:DIGITS``, what the bytes must hash to. ``ignored`` are the attributes given that
    have no effect.
    """

    name: str
    path: str = ""
    type: str = "OS"
    size_mib: int = 0
    filesystem: str = ""
    persistent: bool = False
    public: bool = False
    format: str = ""
    description: str = ""
    digest: str = ""
    ignored: tuple[str, ...] = ()


def parse_template(text: str) -> ImageTemplate:
    """Read a template.

    Raises:
        BackendError: PARAMETER_INVALID; the message says what is wrong.
    """
    found = _attributes(text)
    if not found.get("NAME"):
        _refuse("NAME is missing")
    for name, longest in _LONGEST.items():
        if len(found.get(name, "")) > longest:
            _refuse(f"{name} is longer than {longest} signs")
    kind = found.get("TYPE", "").upper() or "OS"
    if kind not in TYPES:
        _refuse(f"TYPE = {kind[:40]} is not served; there are: {', '.join(TYPES)}")
    path = found.get("PATH", "")
    if not path and kind != "DATABLOCK":
        _refuse("PATH is missing; only a DATABLOCK can be made empty")
    form = found.get("FORMAT", "").lower()
    if form and form not in FORMATS:
        _refuse(f"FORMAT = {form[:40]} is not served; there are: {', '.join(FORMATS)}")
    empty = not path
    return ImageTemplate(
        name=found["NAME"],
        path=path,
        type=kind,
        size_mib=_size(found) if empty else 0,
        filesystem=_filesystem(found) if empty else "",
        persistent=_switch(found, "PERSISTENT"),
        public=_switch(found, "PUBLIC"),
        format=form,
        description=found.get("DESCRIPTION", ""),
        digest=_digest(found),
        ignored=_ignored(found, empty=empty),
    )


def _refuse(reason: str) -> NoReturn:
    raise BackendError(
        Code.PARAMETER_INVALID, f"The image template cannot be used: {reason}.", parameter="template"
    )


def _attributes(text: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line, written, value in _pairs(text):
        name = _ONE_NAME.get(written.upper(), written.upper())
        if name in {"SOURCE", "CLONE"}:
            _refuse(f"line {line}: {name} is not served; give the bytes by PATH")
        if name not in _KNOWN | WITHOUT_EFFECT:
            _refuse(f"line {line}: the attribute {name[:40]} is unknown")
        if name in found and (name not in _ONE_NAME.values() or found[name].lower() != value.lower()):
            _refuse(f"line {line}: {name} is given twice")
        found[name] = value
    return found


def _pairs(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, name and value of each attribute."""
    position = 0
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        match = _TOKEN.match(text, position)
        if match is None:
            _refuse(f"line {line}: it is not understood")
        position = match.end()
        if match["name"] is None:
            continue
        if match["bracket"]:
            _refuse(f"line {line}: {match['name'][:40]} is a section in brackets, and images have none")
        quoted = match["quoted"]
        value = (match["bare"] or "") if quoted is None else quoted.replace('\\"', '"')
        if any(sign < " " and sign not in "\t\r\n" for sign in value):
            _refuse(f"line {line}: {match['name'][:40]} has control signs")
        yield line, match["name"], value


def _size(found: Mapping[str, str]) -> int:
    text = found.get("SIZE", "")
    if not text:
        _refuse("SIZE is missing, the megabytes of a new empty disk")
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 0 < int(text) <= _MOST_MIB:
        _refuse(f"SIZE = {text[:40]} is no number of megabytes from 1 to {_MOST_MIB}")
    return int(text)


def _filesystem(found: Mapping[str, str]) -> str:
    text = found.get("FSTYPE", "").lower()
    if text not in _FILESYSTEMS:
        _refuse(f"FSTYPE = {text[:40]} cannot be made; there are: ext4, swap, raw")
    return _FILESYSTEMS[text]


def _switch(found: Mapping[str, str], name: str) -> bool:
    text = found.get(name, "").upper()
    if text not in {"", "YES", "NO"}:
        _refuse(f"{name} is YES or NO, not {text[:40]}")
    return text == "YES"


def _digest(found: Mapping[str, str]) -> str:
    given = {kind: found[kind.upper()].lower() for kind in ("md5", "sha1") if found.get(kind.upper())}
    for kind, digits in given.items():
        if len(digits) != DIGESTS[kind] or set(digits) - set("0123456789abcdef"):
            _refuse(f"{kind.upper()} is not {DIGESTS[kind]} hexadecimal digits")
    if len(given) > 1:
        _refuse("give MD5 or SHA1, not both")
    return next((f"{kind}:{digits}" for kind, digits in given.items()), "")


def _ignored(found: Mapping[str, str], *, empty: bool) -> tuple[str, ...]:
    """What was given and has no effect: places in a machine, and the size of what has one already."""
    without = WITHOUT_EFFECT if empty else WITHOUT_EFFECT | {"SIZE", "FSTYPE"}
    return tuple(name for name in found if name in without)
