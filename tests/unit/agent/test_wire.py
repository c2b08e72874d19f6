# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The messages of GetSocketpath, byte for byte as the first clients and servers of that service sent them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from fastpath_agent.wire import FULL_METHOD, MAX_MESSAGE, decode, encode
from hypothesis import given
from hypothesis import strategies as st


def test_recorded_bytes():
    assert encode("0000:83:00.5") == bytes.fromhex("0a0c303030303a38333a30302e35")
    assert decode(bytes.fromhex("0a0c303030303a38333a30302e35")) == "0000:83:00.5"
    answer = bytes([0x0A, 0x1A]) + b"/var/run/vdpa/vhost/vdpa-3"
    assert encode("/var/run/vdpa/vhost/vdpa-3") == answer
    assert decode(answer) == "/var/run/vdpa/vhost/vdpa-3"


def test_not_found_is_a_message_without_bytes():
    assert encode("") == b""
    assert decode(b"") == ""


def test_the_method():
    assert FULL_METHOD == "/vdpadpdk.VdpaDpdk/GetSocketpath"


@given(st.text(max_size=500))
def test_texts_come_back(text):
    assert decode(encode(text)) == text


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"\x0a\x01a\x0a\x01b", "b"),
        (b"\x12\x03abc\x0a\x01x", "x"),
        (b"\x10\x96\x01\x0a\x01x", "x"),
        (b"\x11" + bytes(8) + b"\x0a\x01x\x15" + bytes(4), "x"),
        (b"\x0a\x00", ""),
    ],
    ids=["twice", "another text", "a number", "fixed widths", "written empty"],
)
def test_fields_of_later_clients(message, text):
    assert decode(message) == text


@pytest.mark.parametrize(
    "message",
    [
        b"\x0a",
        b"\x0a\x05ab",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0b",
        b"\xff" * 12,
        b"\x0a\x01\xff",
        b"\x02\x01a",
        b"\x11\0",
    ],
    ids=["no length", "too short", "huge length", "groups", "no end", "no utf-8", "field 0", "cut off"],
)
def test_what_is_no_message(message):
    with pytest.raises(ValueError):
        decode(message)


def test_a_message_that_is_too_long():
    with pytest.raises(ValueError, match="too long"):
        decode(encode("x" * MAX_MESSAGE))


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(message):
    with suppress(ValueError):
        assert isinstance(decode(message), str)
