# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gathering who uses functions: processes, connections and namespaces of a tree."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _uses_discovery
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._uses_discovery import discover_pci
from ansible_collections.nfv.fastpath.tests.unit.fake_node import FakeNode

PF = "0000:81:00.0"
VF = "0000:81:10.0"


@pytest.fixture
def node(tmp_path):
    node = FakeNode(tmp_path)
    node.add_pf()
    return node


def uses(node: FakeNode, ssh: str = "") -> dict[str, tuple[str, ...]]:
    return {device.address: device.uses for device in discover_pci(node, ssh) if device.uses}


def put(node: FakeNode, path: str, text: str = "") -> None:
    os.makedirs(os.path.dirname(node.path(path)), exist_ok=True)
    with open(node.path(path), "w", encoding="utf-8") as file:
        file.write(text)


def link(node: FakeNode, path: str, target: str) -> None:
    os.makedirs(os.path.dirname(node.path(path)), exist_ok=True)
    os.symlink(target, node.path(path))


def address(node: FakeNode, local: str, scope: str = "global") -> None:
    node.links["ens1"]["addr_info"].append({"local": local, "scope": scope})


def test_nobody(node):
    assert uses(node) == {}


def test_link_local_addresses_are_no_use(node):
    address(node, "fe80::1", "link")
    assert uses(node) == {}


def test_route_and_address(node):
    address(node, "192.0.2.10")
    node.routes.append({"dst": "default", "nexthops": [{"dev": "ens1"}, {"dev": "other"}]})
    assert uses(node) == {PF: ("default-route", "address:192.0.2.10")}


def test_ip_that_fails_is_told(node):
    node._run = lambda argv, timeout, stdin: Completed(1, "", "no ip")
    with pytest.raises(FastpathError, match="no ip"):
        discover_pci(node)


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("198.51.100.1 5000 192.0.2.10 22", True),
        ("2001:db8::9 5000 fe80::1%ens1 22", False),
        ("198.51.100.1 5000 192.0.2.11 22", False),
        ("nonsense", False),
        ("a b c d", False),
    ],
)
def test_the_connection_that_the_caller_knows(node, said, seen):
    address(node, "192.0.2.10")
    assert ("ssh" in uses(node, said)[PF]) is seen


def test_the_connection_above_sudo(node):
    address(node, "192.0.2.10")
    pid = os.getpid()
    put(node, f"/proc/{pid}/stat", f"{pid} (python (x) y) S 500 1 1")
    put(node, "/proc/500/stat", "500 (sudo) S 400 1 1")
    put(node, "/proc/400/stat", "400 (sh) S 1 1 1")
    put(node, "/proc/400/environ", "HOME=/root\0SSH_CONNECTION=198.51.100.1 5000 192.0.2.10 22\0")
    assert uses(node)[PF] == ("ssh", "address:192.0.2.10")


HEADER = "  sl  local_address rem_address   st tx_queue\n"


@pytest.mark.parametrize(
    ("table", "row", "local"),
    [
        ("tcp", "0: 0A0200C0:0016 010033C6:1388 01 0", "192.0.2.10"),
        ("tcp6", "0: B80D0120000000000000000001000000:0016 00000000000000000000000000000000:1 01 0", "2001:db8::1"),
        ("tcp6", "0: 0000000000000000FFFF00000A0200C0:0016 0000000000000000FFFF0000010033C6:1 01 0", "192.0.2.10"),
    ],
)
def test_any_open_connection_to_port_22(node, table, row, local):
    address(node, local)
    put(node, f"/proc/net/{table}", HEADER + row + "\n")
    assert "ssh" in uses(node)[PF]


@pytest.mark.parametrize(
    "row", ["0: 0A0200C0:0016 00000000:0000 0A 0", "0: 0A0200C0:1F90 010033C6:1388 01 0", "0: broken"]
)
def test_other_sockets_do_not_count(node, row):
    address(node, "192.0.2.10")
    put(node, "/proc/net/tcp", HEADER + row + "\n")
    assert uses(node)[PF] == ("address:192.0.2.10",)


def with_vf(node: FakeNode, driver: str) -> str:
    """One VF with a driver; its IOMMU group."""
    node.load(node.drivers[driver].module)
    node.write_attribute(f"/sys/bus/pci/devices/{PF}/sriov_drivers_autoprobe", "0")
    node.write_attribute(f"/sys/bus/pci/devices/{PF}/sriov_numvfs", "1")
    node.write_attribute(f"/sys/bus/pci/devices/{VF}/driver_override", driver)
    node.write_attribute("/sys/bus/pci/drivers_probe", VF)
    return node.link_name(f"/sys/bus/pci/devices/{VF}/iommu_group")


def test_a_program_with_a_vfio_group(node):
    group = with_vf(node, "vfio-pci")
    put(node, f"/dev/vfio/{group}")
    put(node, "/dev/vfio/vfio")
    put(node, "/proc/77/comm", "dpdk-testpmd\n")
    link(node, "/proc/77/fd/3", f"/dev/vfio/{group}")
    link(node, "/proc/77/fd/4", "/dev/vfio/vfio")
    link(node, "/proc/78/fd/3", "/dev/null")
    os.makedirs(node.path("/proc/79"))
    assert uses(node) == {VF: ("vfio:77 (dpdk-testpmd)",), PF: (f"vf:{VF}",)}


def test_processes_are_not_looked_at_where_there_is_no_device_file(node, monkeypatch):
    put(node, "/dev/vfio/vfio")
    monkeypatch.setattr(_uses_discovery, "_names", lambda *_: pytest.fail("looked at a process"))
    link(node, "/proc/77/fd/3", "/dev/vfio/1")
    assert uses(node) == {}


@pytest.mark.parametrize("gone", [FileNotFoundError, ProcessLookupError])
def test_a_process_that_ends_meanwhile_uses_nothing(node, monkeypatch, gone):
    refuse_to_list(node, monkeypatch, gone)
    assert uses(node) == {}


def test_a_process_that_may_not_be_looked_at_is_not_taken_for_one_that_uses_nothing(node, monkeypatch):
    refuse_to_list(node, monkeypatch, PermissionError)
    with pytest.raises(FastpathError, match="/proc/77/fd may not be read.*become root"):
        uses(node)


def refuse_to_list(node: FakeNode, monkeypatch: pytest.MonkeyPatch, error: type[OSError]) -> None:
    """A process with a VFIO group open, whose open files cannot be listed."""
    put(node, "/dev/vfio/7")
    link(node, "/proc/77/fd/3", "/dev/vfio/7")
    listed = os.listdir

    def listdir(path: str) -> list[str]:
        if path.endswith("/proc/77/fd"):
            raise error
        return listed(path)

    monkeypatch.setattr(os, "listdir", listdir)


def test_uio_and_vdpa_device_files(node):
    with_vf(node, "uio_pci_generic")
    link(node, "/sys/class/uio/uio0", f"../../devices/pci0000:81/{VF}/uio/uio0")
    put(node, "/dev/uio0")
    link(node, "/proc/77/fd/3", "/dev/uio0")
    folder = f"/sys/devices/pci0000:81/{PF}/vdpa0"
    put(node, f"{folder}/vhost-vdpa-0/x")
    link(node, "/sys/bus/vdpa/devices/vdpa0", f"../../../devices/pci0000:81/{PF}/vdpa0")
    put(node, "/dev/vhost-vdpa-0")
    link(node, "/proc/77/fd/4", "/dev/vhost-vdpa-0")
    assert uses(node) == {VF: ("uio:77 (?)",), PF: ("vhost-vdpa:77 (?)", "vdpa:vdpa0", f"vf:{VF}")}


class Namespaces(FakeNode):
    """Answers ``ip`` in other namespaces; ``inside`` by path, None for one that is gone by then."""

    inside: dict[str, list[dict[str, object]] | None]
    closed: tuple[str, ...] = ()

    def _command(self, argv, timeout, stdin):
        if argv[0] == "nsenter":
            self.commands.append(list(argv))
            path = argv[1].partition("=")[2]
            if path in self.closed:
                return Completed(1, "", "nsenter: reassociate to namespace 'ns/net' failed: Operation not permitted")
            answer = self.inside[path]
            if answer is None:
                os.unlink(self.path(path))
                return Completed(1, "", "gone")
            return Completed(0, json.dumps(answer), "")
        return super()._command(argv, timeout, stdin)


def moved(name: str, **more: object) -> dict[str, object]:
    return {"ifname": name, "parentbus": "pci", "parentdev": VF, **more}


@pytest.fixture
def elsewhere(tmp_path):
    """A node whose only VF has a driver of the kernel and no interface here."""
    node = Namespaces(tmp_path)
    node.inside = {}
    node.add_pf()
    with_vf(node, "igbvf")
    os.unlink(node.path("/sys/class/net/ens1v0"))
    del node.links["ens1v0"]
    link(node, "/proc/self/ns/net", "net:[1]")
    for pid, namespace in ((1, 1), (50, 2), (51, 2), (60, 3)):
        link(node, f"/proc/{pid}/ns/net", f"net:[{namespace}]")
        put(node, f"/proc/{pid}/comm", f"c{pid}\n")
    return node


def test_an_interface_in_a_pod(elsewhere):
    elsewhere.inside = {"/proc/50/ns/net": [{"ifname": "lo"}], "/proc/60/ns/net": [moved("net1")]}
    assert uses(elsewhere) == {VF: ("netns:60 (c60)",), PF: (f"vf:{VF}",)}
    assert len([argv for argv in elsewhere.commands if argv[0] == "nsenter"]) == 2


def test_an_interface_of_a_virtio_device_in_a_pod(elsewhere):
    link(elsewhere, "/sys/bus/virtio/devices/virtio3", f"../../../devices/pci0000:81/{VF}/virtio3")
    inside = {"ifname": "net1", "parentbus": "virtio", "parentdev": "virtio3"}
    elsewhere.inside = {"/proc/50/ns/net": [{"ifname": "lo"}], "/proc/60/ns/net": [inside]}
    assert uses(elsewhere)[VF] == ("netns:60 (c60)",)


def test_an_interface_in_a_named_namespace(elsewhere):
    put(elsewhere, "/run/netns/blue")
    inode = os.stat(elsewhere.path("/run/netns/blue")).st_ino
    link(elsewhere, "/proc/70/ns/net", f"net:[{inode}]")
    elsewhere.inside = {"/run/netns/blue": [moved("net1")]}
    assert uses(elsewhere)[VF] == ("netns:/run/netns/blue",)
    assert len([argv for argv in elsewhere.commands if argv[0] == "nsenter"]) == 1


def test_a_driver_that_made_no_interface_is_not_elsewhere(elsewhere):
    elsewhere.inside = {"/proc/50/ns/net": [{"ifname": "lo"}], "/proc/60/ns/net": None}
    assert uses(elsewhere) == {}


def test_where_the_kernel_does_not_tell_nobody_is_ruled_out(elsewhere):
    elsewhere.inside = {"/proc/50/ns/net": [{"ifname": "lo"}, {"ifname": "net1"}], "/proc/60/ns/net": None}
    assert uses(elsewhere)[VF] == ("netns:unknown",)


def test_what_cannot_be_entered_rules_nobody_out(elsewhere):
    elsewhere.closed = ("/proc/60/ns/net",)
    elsewhere.inside = {"/proc/50/ns/net": [{"ifname": "lo"}]}
    assert uses(elsewhere)[VF] == ("netns:unknown",)


def test_a_process_that_ended_leaves_its_namespace_to_others(elsewhere):
    elsewhere.inside = {"/proc/50/ns/net": None, "/proc/51/ns/net": [moved("net1")]}
    assert uses(elsewhere)[VF] == ("netns:51 (c51)",)


def test_more_namespaces_than_are_looked_into_rule_nobody_out(elsewhere, monkeypatch):
    monkeypatch.setattr(_uses_discovery, "MAX_NAMESPACES", 1)
    elsewhere.inside = {"/proc/50/ns/net": [{"ifname": "lo"}]}
    assert uses(elsewhere)[VF] == ("netns:unknown",)


def test_other_namespaces_are_not_entered_where_nothing_is_missing(node):
    link(node, "/proc/self/ns/net", "net:[1]")
    link(node, "/proc/50/ns/net", "net:[2]")
    assert uses(node) == {}
