# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports and bridges by transactions, and the socket that these go through."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_switch import FakeDatabase
from fastpath_agent.cni.errors import CniError
from fastpath_agent.cni.files import Files
from fastpath_agent.cni.ovs import Port, Switch
from fastpath_agent.cni.ovs_sockets import made_at
from fastpath_agent.cni.ovsdb import Outdated, Ovsdb, as_map, from_map, from_set
from fastpath_agent.cni.settings import Settings

PORT = Port("br0", "c1-net1", "c1", "net1", "network", "/run/x/c1-net1", 7)


@pytest.fixture
def database(tmp_path: Path) -> FakeDatabase:
    return FakeDatabase(tmp_path)


@pytest.fixture
def switch(database: FakeDatabase) -> Switch:
    return Switch("unused", seconds=0.2, database=database)  # type: ignore[arg-type]


def test_port_and_its_bridge_come_in_one_transaction(switch: Switch, database: FakeDatabase) -> None:
    state = switch.add_port(PORT)
    assert (state.kind, state.error) == ("dpdkvhostuserclient", "") and state.ofport
    changes = [steps for steps in database.transactions if steps[0]["op"] != "select"]
    assert len(changes) == 1
    assert database.ports()["c1-net1"]["tag"] == 7
    bridge = next(iter(database.tables["Bridge"].values()))
    assert bridge["datapath_type"] == "netdev"
    assert switch.attachments("network") == [("c1", "net1")] and switch.attachments("other") == []


def test_same_port_again_changes_nothing(switch: Switch, database: FakeDatabase) -> None:
    switch.add_port(PORT)
    before = json.dumps(database.tables)
    switch.add_port(PORT)
    assert json.dumps(database.tables) == before


def test_somebody_elses_port_of_that_name_is_an_error(switch: Switch, database: FakeDatabase) -> None:
    switch.add_port(PORT)
    with pytest.raises(CniError) as raised:
        switch.add_port(Port("br0", "c1-net1", "c2", "net1", "network"))
    assert raised.value.code == 104
    switch.delete_port("c2", "net1")
    assert list(database.ports()) == ["c1-net1"]


def test_bridge_of_the_kernel_is_refused(switch: Switch, database: FakeDatabase) -> None:
    database.add_bridge("br0", "")
    with pytest.raises(CniError, match="netdev") as raised:
        switch.add_port(PORT)
    assert raised.value.code == 7 and database.ports() == {}


def test_bridge_that_another_makes_meanwhile_is_used(switch: Switch, database: FakeDatabase) -> None:
    database.others = [lambda changed: changed.add_bridge("br0")]
    switch.add_port(PORT)
    assert database.bridges() == {"br0"} and list(database.ports()) == ["c1-net1"]
    switch.delete_port("c1", "net1")
    assert database.bridges() == {"br0"}, "it is another's"


def test_bridge_that_another_removes_meanwhile_is_made(switch: Switch, database: FakeDatabase) -> None:
    database.add_bridge("br0")

    def remove(changed: FakeDatabase) -> None:
        changed.tables["Open_vSwitch"]["root"]["bridges"] = []
        changed.tables["Bridge"].clear()
        changed.tables["Port"].clear()
        changed.tables["Interface"].clear()

    database.others = [remove]
    switch.add_port(PORT)
    assert database.bridges() == {"br0"}


def test_port_that_comes_while_the_bridge_is_to_go_keeps_it(switch: Switch, database: FakeDatabase) -> None:
    switch.add_port(PORT)
    inner = Switch("unused", seconds=0.2, database=database)  # type: ignore[arg-type]

    def join(changed: FakeDatabase) -> None:
        changed.others = []
        changed._lock.release()
        try:
            inner.add_port(Port("br0", "c2-net1", "c2", "net1", "network"))
        finally:
            changed._lock.acquire()

    database.others = [join]
    switch.delete_port("c1", "net1")
    assert list(database.ports()) == ["c2-net1"] and database.bridges() == {"br0"}


def test_many_at_once(switch: Switch, database: FakeDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastpath_agent.cni.ovs.ATTEMPTS", 500)
    monkeypatch.setattr("fastpath_agent.cni.ovs.POLL_SECONDS", 0.001)
    ports = [Port("br0", f"c{number}-net1", f"c{number}", "net1", "network") for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(switch.add_port, ports))
        assert len(database.ports()) == 20 and database.bridges() == {"br0"}
        list(pool.map(lambda port: switch.delete_port(port.container_id, port.ifname), ports))
    assert database.ports() == {} and database.bridges() == set()


def test_database_that_always_changes_is_try_again_later(switch: Switch, database: FakeDatabase) -> None:
    counter = iter(range(1000))
    database.others = [lambda changed: changed.add_bridge(f"x{next(counter)}") or _outdate(changed)] * 50
    with pytest.raises(CniError) as raised:
        switch.add_port(PORT)
    assert raised.value.code == 11


def _outdate(_changed: FakeDatabase) -> None:
    raise Outdated


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("", "/run/openvswitch/p"), ("vhost", "/run/openvswitch/vhost/p"), ("a/b", "/run/openvswitch/a/b/p")],
)
def test_folder_that_open_vswitch_makes_sockets_in(
    switch: Switch, database: FakeDatabase, folder: str, expected: str
) -> None:
    database.tables["Open_vSwitch"]["root"]["other_config"] = as_map({"vhost-sock-dir": folder} if folder else {})
    assert made_at(switch, Settings(), "p") == expected


@pytest.mark.parametrize("folder", ["../x", "/etc", "a b", "a/../b"])
def test_odd_folder_of_open_vswitch(switch: Switch, database: FakeDatabase, folder: str) -> None:
    database.tables["Open_vSwitch"]["root"]["other_config"] = as_map({"vhost-sock-dir": folder})
    with pytest.raises(CniError):
        made_at(switch, Settings(), "p")


def test_socket_on_another_file_system_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import make_socket
    from fastpath_agent.cni.ovs_sockets import take_over

    (tmp_path / "run/x").mkdir(parents=True)
    make_socket(f"{tmp_path}/run/p")
    files = Files(["/run"], str(tmp_path))

    def elsewhere(*_arguments: Any, **_keywords: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.rename", elsewhere)
    with pytest.raises(CniError, match="another file system") as raised:
        take_over(files, "/run/p", "/run/x/p", 1)
    assert raised.value.code == 7


Reply = Callable[[dict[str, Any]], bytes]


class Server:
    """One answer for each connection, in the pieces that a test wants."""

    def __init__(self, path: str) -> None:
        self.pieces: list[bytes] = []
        self.asked: list[dict[str, Any]] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            with connection:
                self.asked.append(json.loads(connection.recv(1 << 20)))
                for piece in self.pieces:
                    connection.sendall(piece)
                    time.sleep(0.01)
                if not self.pieces:
                    time.sleep(0.5)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(str(tmp_path / "db.sock"))
    yield made
    made.close()


@pytest.fixture
def ovsdb(tmp_path: Path) -> Ovsdb:
    return Ovsdb(str(tmp_path / "db.sock"), timeout=0.3)


STEP = {"op": "select", "table": "Port", "where": [], "columns": ["name"]}


@pytest.mark.parametrize(
    "pieces",
    [
        [b'{"id":0,"error":null,"result":[{"rows":[{"name":"\xc3\xbc}"}]}]}'],
        [b'{"id":0,"error":null,"resu', b'lt":[{"rows":[{"name":"\xc3', b'\xbc}"}]}]}'],
        [b'{"method":"echo","id":"echo","params":[]}', b'\n{"id":0,"result":[{"rows":[{"name":"\xc3\xbc}"}]}]} '],
    ],
)
def test_answer_in_pieces(server: Server, ovsdb: Ovsdb, pieces: list[bytes]) -> None:
    server.pieces = pieces
    assert ovsdb.transact([STEP]) == [{"rows": [{"name": "ü}"}]}]
    assert server.asked == [{"method": "transact", "params": ["Open_vSwitch", STEP], "id": 0}]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", 11),
        (b"nonsense}", 11),
        (b'{"id":0,"error":{"error":"not allowed"},"result":null}', 104),
        (b'{"id":0,"error":null,"result":[{},{"error":"constraint violation","details":"two ports"}]}', 104),
    ],
)
def test_answer_that_is_none(server: Server, ovsdb: Ovsdb, answer: bytes, code: int) -> None:
    server.pieces = [answer] if answer else []
    with pytest.raises(CniError) as raised:
        ovsdb.transact([STEP])
    assert raised.value.code == code


def test_wait_that_does_not_hold(server: Server, ovsdb: Ovsdb) -> None:
    server.pieces = [b'{"id":0,"error":null,"result":[{"error":"timed out","details":"x"},null]}']
    with pytest.raises(Outdated):
        ovsdb.transact([STEP])


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(CniError) as raised:
        Ovsdb(str(tmp_path / "none.sock")).transact([STEP])
    assert raised.value.code == 11
    with pytest.raises(CniError):
        Switch(str(tmp_path / "none.sock")).ready()


def test_values() -> None:
    assert from_map(as_map({"b": "2", "a": "1"})) == {"a": "1", "b": "2"} and from_map("x") == {}
    assert from_set(["set", [1, 2]]) == [1, 2] and from_set(7) == [7] and from_set(["uuid", "x"]) == [["uuid", "x"]]
