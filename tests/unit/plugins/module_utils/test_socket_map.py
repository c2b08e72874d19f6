# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The socket map where all agree, and each way in which they do not."""

from __future__ import annotations

import copy
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._socket_map import Seen, check_map, socket_map
from ansible_collections.nfv.fastpath.plugins.module_utils._socket_map_node import (
    map_result,
    read_map,
    settled_checks,
)
from ansible_collections.nfv.fastpath.tests.unit.folder_node import FolderNode

A, B = "0000:02:00.1", "0000:02:00.2"
UID = "0f9b3b0e-4d1c-4d4b-8f5e-1a2b3c4d5e6f"
IDLE, LEASED = "/var/run/vdpa/vhost/vdpa-1", f"/var/run/vdpa/pods/{UID}/vdpa-0"
STATUS: dict[str, Any] = {
    "version": 1,
    "boot_id": "boot",
    "time": 1000.0,
    "problems": [],
    "backends": {"vdpa": "", "translate": "", "ovs": ""},
    "devices": [
        {"device": "ports/abc-net1", "backend": "ovs", "pool": "ports", "state": "leased", "socket": "/x"},
        {"device": A, "backend": "vdpa", "pool": "fast", "state": "leased", "socket": LEASED, "connected": True},
        {"device": B, "backend": "vdpa", "pool": "fast", "state": "ready", "socket": IDLE, "numa_node": 1},
    ],
    "leases": [
        {
            "device": A,
            "mode": "client",
            "socket": LEASED,
            "owner": {"container_id": "c", "ifname": "net1", "namespace": "default", "pod": "app", "uid": UID},
        }
    ],
}
SEEN = Seen(
    status=STATUS,
    sockets={A: LEASED, B: IDLE},
    listed=(A, B),
    devices={
        address: PciDevice(address=address, driver="vfio-pci", physfn="0000:02:00.0", vf_index=index)
        for index, address in enumerate((A, B))
    },
    there=frozenset({LEASED, IDLE}),
    pods=frozenset({UID}),
    boot_id="boot",
    now=1010.0,
)


def failed(seen: Seen, **expected: int) -> dict[str, str]:
    return {check.id: str(check.seen) for check in check_map(seen, expected or {"fast": 2}) if not check.ok}


def changed(**status: Any) -> Seen:
    return replace(SEEN, status={**copy.deepcopy(STATUS), **status})


def device(**values: Any) -> Seen:
    first, second, third = copy.deepcopy(STATUS["devices"])
    return changed(devices=[first, second, {**third, **values}])


def test_all_agree():
    assert failed(SEEN) == {}
    first, second, third = socket_map(SEEN)
    assert (first.device, first.vf_index, first.pod, first.interface, first.mode) == (
        A,
        0,
        "default/app",
        "net1",
        "client",
    )
    assert (second.device, second.pod, second.driver, second.numa_node) == (B, "", "vfio-pci", 1)
    assert (third.device, third.pf, third.vf_index) == ("ports/abc-net1", "", None)


@pytest.mark.parametrize(
    ("seen", "check", "said"),
    [
        (replace(SEEN, status=None), "agent", "it has written no status"),
        (replace(SEEN, boot_id="other"), "agent", "its status is of a former boot"),
        (replace(SEEN, now=1100.0), "agent", "its status is 100 s old"),
        (changed(backends={"vdpa": "no hugepages"}), "agent", "vdpa: no hugepages"),
        (changed(problems=["line 3: x"]), "agent", "line 3: x"),
    ],
)
def test_an_agent_that_is_of_no_use_hides_all_else(seen, check, said):
    assert failed(seen) == {f"node_agent.{check}": said}


@pytest.mark.parametrize(
    ("seen", "check", "said"),
    [
        (device(state="failed", reason="it ended"), "device", "it ended"),
        (device(state="starting", reason="it failed before"), "device", "it failed before"),
        (device(state="absent", reason="gone"), "pool", "1"),
        (replace(SEEN, sockets=None), "socket_list", "it is missing, or no such list"),
        (replace(SEEN, sockets={A: LEASED}), "socket_list", f"{B}: nothing, the agent has {IDLE}"),
        (replace(SEEN, there=frozenset({LEASED})), "socket_list", f"{IDLE} is no socket"),
        (replace(SEEN, listed=(A, "0000:09:00.0")), "pci_list", "no function of this node: 0000:09:00.0"),
        (replace(SEEN, pods=frozenset({"other"})), "lease", f"the kubelet knows no pod with the UID {UID}"),
        (replace(SEEN, there=frozenset({IDLE})), "lease", f"{LEASED} is no socket"),
    ],
)
def test_where_they_disagree(seen, check, said):
    assert failed(seen)[f"node_agent.{check}"] == said


def test_a_device_on_its_way_is_no_failure():
    assert failed(device(state="starting")) == {}


def test_pools_that_lack_devices():
    assert failed(SEEN, fast=3) == {"node_agent.pool": "2"}


def test_the_map_of_a_node(tmp_path, monkeypatch):
    node = FolderNode(tmp_path)
    node.put("proc/sys/kernel/random/boot_id", "boot\n")
    node.put("run/vdpa/status.json", json.dumps(STATUS))
    entries = [{"pciAddress": A, "socketpath": LEASED}, {"pciAddress": B, "socketpath": IDLE}]
    node.put("run/vdpa/socketList.dat", json.dumps(entries))
    node.put("run/vdpa/pciList.dat", f"{A}\n{B}\n\n")
    node.put(f"var/lib/kubelet/pods/{UID}/etc-hosts", "")
    vhost = Path(tmp_path / "run/vdpa/vhost")
    vhost.mkdir()
    monkeypatch.chdir(vhost)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind("vdpa-1")
    bound.close()
    seen = read_map(node, clock=lambda: 1000.0)
    assert (seen.listed, seen.there, seen.pods) == ((A, B), {IDLE}, {UID})
    sriov = [{"pf": {"address": "0000:02:00.0"}, "num_vfs": 2, "vfs": [{"indexes": "0-1", "pool": "fast"}]}]
    result = map_result(node, {"pools": ["fast", "ports"], "sriov": sriov}, lambda: 1000.0)
    assert [entry["device"] for entry in result["entries"]] == [A, B, "ports/abc-net1"]
    # Of the tree no function is one of PCI, and one socket is not there.
    ids = {check["id"] for check in result["checks"] if not check["ok"]}
    assert ids == {"node_agent.pci_list", "node_agent.socket_list", "node_agent.lease"}


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', '[{"pciAddress": 1}]', "[1]"])
def test_lists_that_are_none(tmp_path, text):
    node = FolderNode(tmp_path)
    node.put("proc/sys/kernel/random/boot_id", "boot\n")
    node.put("run/vdpa/socketList.dat", text)
    node.put("run/vdpa/status.json", "no JSON")
    seen = read_map(node)
    assert (seen.sockets, seen.status) == (None, None)


def test_what_differs_for_a_moment_only_is_no_failure(tmp_path):
    node = FolderNode(tmp_path)
    node.put("proc/sys/kernel/random/boot_id", "boot\n")
    node.put("run/vdpa/status.json", json.dumps({**STATUS, "devices": [], "leases": []}))
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        node.put("run/vdpa/socketList.dat", "[]")

    assert all(check.ok for check in settled_checks(node, {}, lambda: 1000.0, pause))
    assert len(pauses) == 1
    assert not all(check.ok for check in settled_checks(node, {"fast": 1}, lambda: 1000.0, pause))
    assert len(pauses) == 5
