# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel's table of Unix sockets says."""

from __future__ import annotations

import os
import socket

from fastpath_agent.unix_sockets import Listener, is_socket, listeners, parse_unix_table
from hypothesis import given
from hypothesis import strategies as st

TABLE = """\
Num       RefCount Protocol Flags    Type St Inode Path
ffff9f2c41d0c000: 00000002 00000000 00010000 0001 01 24567 /var/run/vdpa/vhost/vdpa-0
ffff9f2c41d0c400: 00000003 00000000 00000000 0001 03 24568 /var/run/vdpa/vhost/vdpa-0
ffff9f2c41d0c800: 00000003 00000000 00000000 0001 03 24569
ffff9f2c41d0cc00: 00000002 00000000 00010000 0001 01 24570 /with a blank
ffff9f2c41d0d000: 00000003 00000000 00000000 0001 03 24571 /nobody/listens
ffff9f2c41d0d400: 00000002 00000000 00010000 0001 01 24572 @abstract
"""


def test_a_recorded_table():
    assert parse_unix_table(TABLE) == {
        "/var/run/vdpa/vhost/vdpa-0": Listener("/var/run/vdpa/vhost/vdpa-0", 1),
        "/with a blank": Listener("/with a blank", 0),
        "@abstract": Listener("@abstract", 0),
    }


@given(st.text(max_size=300))
def test_any_text(text):
    parse_unix_table(text)
    parse_unix_table(f"{TABLE}{text}")


def test_a_socket_that_was_moved_is_known_by_where_it_was_bound(place):
    path, moved = str(place / "a"), str(place / "b")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        os.rename(path, moved)
        assert listeners()[path].connections == 0
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(moved)
            with listener.accept()[0]:
                assert listeners()[path].connections == 1
    assert path not in listeners()


def test_what_is_a_socket(place):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "socket"))
    (place / "link").symlink_to(place / "socket")
    (place / "file").touch()
    assert is_socket(str(place / "socket"))
    assert not any(is_socket(str(place / name)) for name in ("link", "file", "nothing"))
