# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control plane's saved states, and how it is started and ended, with no process at all."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from fastpath_lab import control_plane, services, topology
from fastpath_lab.control_plane import ControlPlane
from fastpath_lab.errors import LabError

TOPOLOGY = topology.load()


class Plane(ControlPlane):
    """Starts and ends nothing, and says what it would have done."""

    def __init__(self, folder, on=True):
        super().__init__(SimpleNamespace(topology=TOPOLOGY, state=folder, owner="o", netns="n", locked=None))
        self.on, self.done = on, []
        (self.folder / "etcd").mkdir(parents=True)
        self.write("first")

    def write(self, text):
        (self.folder / "etcd/db").write_text(text)

    def read(self):
        return (self.folder / "etcd/db").read_text()

    def running(self):
        return self.on

    def _stop(self, names=services.PROCESSES):
        self.on = False
        self.done.append("stop")

    def _start(self, made=None):
        self.on = True
        self.done.append(f"start with {self.read()}")


def test_data_and_nodes_are_of_one_moment(tmp_path):
    plane = Plane(tmp_path)
    with plane.saving("joined", ["node1", "node2"]):
        assert not plane.on
        plane.done.append("nodes")
    assert plane.done == ["stop", "nodes", "start with first"]


def test_put_back(tmp_path):
    plane = Plane(tmp_path)
    with plane.saving("joined", ["node1"]):
        pass
    plane.write("second")
    plane.put_back("joined", ["node1", "node2"])
    assert plane.read() == "first"
    assert plane.done[-1] == "start with first"
    plane.write("third")
    plane.put_back("joined", ["node1"])
    assert plane.read() == "first"


def test_saved_again_is_the_later_one(tmp_path):
    plane = Plane(tmp_path)
    for text in ("first", "second"):
        plane.write(text)
        with plane.saving("joined", []):
            pass
    plane.write("third")
    plane.put_back("joined", [])
    assert plane.read() == "second"


def test_part_of_the_nodes_is_refused_before_anything_is_changed(tmp_path):
    plane = Plane(tmp_path)
    with plane.saving("joined", ["node1", "node2"]):
        pass
    plane.write("second")
    before = list(plane.done)
    with pytest.raises(LabError, match="restore node2 as well"):
        plane.put_back("joined", ["node1"])
    assert (plane.read(), plane.done) == ("second", before)


def test_a_state_of_nodes_alone_leaves_it_as_it_is(tmp_path):
    plane = Plane(tmp_path)
    plane.put_back("applied", ["node1"])
    assert plane.done == []


def test_off_stays_off(tmp_path):
    plane = Plane(tmp_path, on=False)
    with plane.saving("joined", []):
        pass
    plane.put_back("joined", [])
    assert plane.done == []


def test_on_again_when_the_nodes_could_not_be_saved(tmp_path):
    plane = Plane(tmp_path)
    with pytest.raises(RuntimeError), plane.saving("joined", []):
        raise RuntimeError
    assert plane.on
    assert not (plane.folder / "saved").exists()


def test_no_control_plane_at_all(tmp_path):
    plane = Plane(tmp_path, on=False)
    (plane.folder / "etcd/db").unlink()
    (plane.folder / "etcd").rmdir()
    with plane.saving("joined", []):
        pass
    assert not (plane.folder / "saved").exists()


def test_status_of_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(control_plane.process, "owned", lambda owner: [])
    status = ControlPlane(SimpleNamespace(topology=TOPOLOGY, state=tmp_path, owner="o")).status()
    assert not status["up"]
    assert set(status["processes"]) == set(services.PROCESSES)
    assert "join" not in status
    json.dumps(status)


def test_written_files_are_for_their_owner_only(tmp_path):
    control_plane._write(tmp_path / "kubeconfig", "secret")
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["kubeconfig"]


def test_former_port_is_kept_where_it_is_free():
    import socket

    port = control_plane._free_port(0)
    assert control_plane._free_port(port) == port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert control_plane._free_port(port) != port
