"""What a guest shows on its screen, read from libvirt in one go."""

from __future__ import annotations

from typing import Final

import libvirt

from backend.ports import StepFailed

LARGEST: Final = 64 << 20
"""Bytes of a picture: a guest can make its screen large, but not more than its video memory."""
_LEFT_SHIFT: Final = 42
_PRESS_MS: Final = 50


def picture(domain: libvirt.virDomain) -> bytes:
    """The first screen of a running domain, PNG or PPM as the hypervisor likes; raises StepFailed."""
    stream = domain.connect().newStream(0)
    try:
        domain.screenshot(stream, 0)
        data = _received(stream)
        stream.finish()
    except BaseException:
        _abort(stream)
        raise
    return data


def _received(stream: libvirt.virStream) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := stream.recv(1 << 18):
        size += len(part)
        if size > LARGEST:
            raise StepFailed("the picture of the display is too large")
        parts.append(part)
    return b"".join(parts)


def press_shift(domain: libvirt.virDomain) -> None:
    """Press a key that types nothing."""
    domain.sendKey(libvirt.VIR_KEYCODE_SET_LINUX, _PRESS_MS, [_LEFT_SHIFT], 1, 0)


def _abort(stream: libvirt.virStream) -> None:
    try:
        stream.abort()
    except libvirt.libvirtError:  # it was over already
        return
