# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports and bridges by transactions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_switch import FakeDatabase
from ansible_collections.nfv.fastpath.tests.unit.fake_ovsdb import Refusal
from fastpath_agent.cni import ovs
from fastpath_agent.cni.errors import CniError
from fastpath_agent.cni.files import Files
from fastpath_agent.cni.ovs import Port, Switch
from fastpath_agent.cni.ovs_sockets import made_at
from fastpath_agent.cni.settings import Settings

PORT = Port("br0", "c1-net1", "c1", "net1", "network", "/run/x/c1-net1", 7)


@pytest.fixture
def database(tmp_path: Path) -> FakeDatabase:
    return FakeDatabase(tmp_path)


@pytest.fixture
def switch(database: FakeDatabase) -> Switch:
    return Switch(database.door, seconds=0.2)


def test_port_and_its_bridge_come_in_one_transaction(switch: Switch, database: FakeDatabase) -> None:
    state = switch.add_port(PORT)
    assert (state.kind, state.error) == ("dpdkvhostuserclient", "") and state.ofport
    assert len(database.changes) == 1
    assert database.ports()["c1-net1"]["tag"] == 7
    assert database.named("Bridge", "br0")["datapath_type"] == "netdev"
    assert switch.attachments("network") == [("c1", "net1")] and switch.attachments("other") == []


def test_same_port_again_changes_nothing(switch: Switch, database: FakeDatabase) -> None:
    switch.add_port(PORT)
    switch.add_port(PORT)
    assert len(database.changes) == 1


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
    database.others = [FakeDatabase.remove_bridges]
    switch.add_port(PORT)
    assert database.bridges() == {"br0"}


def test_port_that_comes_while_the_bridge_is_to_go_keeps_it(switch: Switch, database: FakeDatabase) -> None:
    switch.add_port(PORT)
    inner = Switch(database.door, seconds=0.2)

    def join(changed: FakeDatabase) -> None:
        changed.others = []
        inner.add_port(Port("br0", "c2-net1", "c2", "net1", "network"))

    database.others = [join]
    switch.delete_port("c1", "net1")
    assert list(database.ports()) == ["c2-net1"] and database.bridges() == {"br0"}


def test_many_at_once(switch: Switch, database: FakeDatabase) -> None:
    ports = [Port("br0", f"c{number}-net1", f"c{number}", "net1", "network") for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(switch.add_port, ports))
        assert len(database.ports()) == 50 and database.bridges() == {"br0"}
        list(pool.map(lambda port: switch.delete_port(port.container_id, port.ifname), ports))
    assert database.ports() == {} and database.bridges() == set()


def test_a_turn_that_never_comes(switch: Switch, database: FakeDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ovs, "TURN_SECONDS", 0.05)
    with switch._change, pytest.raises(CniError, match="busy with other ports") as raised:
        switch.add_port(PORT)
    assert raised.value.code == 11
    switch.add_port(PORT)


def test_database_that_always_changes_is_try_again_later(switch: Switch, database: FakeDatabase) -> None:
    database.others = [lambda changed: changed.add_bridge("br0"), FakeDatabase.remove_bridges] * 50
    with pytest.raises(CniError) as raised:
        switch.add_port(PORT)
    assert raised.value.code == 11


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("", "/run/openvswitch/p"), ("vhost", "/run/openvswitch/vhost/p"), ("a/b", "/run/openvswitch/a/b/p")],
)
def test_folder_that_open_vswitch_makes_sockets_in(
    switch: Switch, database: FakeDatabase, folder: str, expected: str
) -> None:
    database.root["other_config"] = {"vhost-sock-dir": folder} if folder else {}
    assert made_at(switch, Settings(), "p") == expected


@pytest.mark.parametrize("folder", ["../x", "/etc", "a b", "a/../b"])
def test_odd_folder_of_open_vswitch(switch: Switch, database: FakeDatabase, folder: str) -> None:
    database.root["other_config"] = {"vhost-sock-dir": folder}
    with pytest.raises(CniError):
        made_at(switch, Settings(), "p")


def test_socket_on_another_file_system_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import make_socket
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


def test_what_the_database_refuses_is_told(switch: Switch, database: FakeDatabase) -> None:
    def refuse(_changed: FakeDatabase) -> None:
        raise Refusal("not today")

    database.others = [refuse]
    with pytest.raises(CniError, match="not today") as raised:
        switch.add_port(PORT)
    assert raised.value.code == 104 and database.ports() == {}


def test_no_database(switch: Switch, database: FakeDatabase) -> None:
    database.away = True
    for ask in (switch.ready, lambda: switch.add_port(PORT), lambda: switch.delete_port("c1", "net1")):
        with pytest.raises(CniError, match="cannot be reached") as raised:
            ask()
        assert raised.value.code == 11
