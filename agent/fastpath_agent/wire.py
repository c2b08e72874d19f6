# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two messages of ``vdpadpdk.VdpaDpdk/GetSocketpath`` in Protocol Buffers' encoding.

Each has one text with the number 1 (``pciAddress``, ``socketpath``). That is all of the format which is needed: fields
with other numbers are skipped, as the format asks for, so that a later client is understood.
"""

from __future__ import annotations

PACKAGE_SERVICE = "vdpadpdk.VdpaDpdk"
METHOD = "GetSocketpath"
FULL_METHOD = f"/{PACKAGE_SERVICE}/{METHOD}"
# Neither an address nor a path of a socket comes near.
MAX_MESSAGE = 4096

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIRST_FIELD = 1


def encode(text: str) -> bytes:
    """A message with this text; an empty one has no bytes at all."""
    content = text.encode()
    return b"" if not content else bytes([_FIRST_FIELD << 3 | _LENGTH]) + _varint(len(content)) + content


def decode(message: bytes) -> str:
    """The text; the last one where there are several. Raises ValueError where the bytes are no message."""
    place, text = 0, ""
    if len(message) > MAX_MESSAGE:
        raise ValueError("the message is too long")
    while place < len(message):
        key, place = _read_varint(message, place)
        field, kind = key >> 3, key & 7
        if kind == _LENGTH:
            size, place = _read_varint(message, place)
            content, place = message[place : place + size], place + size
            if field == _FIRST_FIELD:
                text = content.decode()
        elif kind == _VARINT:
            _value, place = _read_varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            place += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"there is no wire type {kind}")
        if not field or place > len(message):
            raise ValueError("the message is cut off")
    return text


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        part = message[place]
        place += 1
        number |= (part & 0x7F) << shift
        if not part & 0x80:
            return number, place
    raise ValueError("a number is cut off")
