# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pod's volume: which folder of the host it is, where containers see it, and whether others see it too."""

from __future__ import annotations

import os
import stat
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import VHOST
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    SHORT,
    UID,
    ovs_pod,
    pod,
    userspace_conf,
    vdpa_conf,
)
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import is_socket
from fastpath_agent.cni.errors import CniError
from fastpath_agent.cni.owners import group_id
from fastpath_agent.cni.volumes import SharedDir, require_private, shared_dir

MOUNT = "/var/lib/cni/usrspcni"
EMPTY = f"/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~empty-dir/shared-dir"


@pytest.mark.parametrize(
    ("volume", "mount", "expected"),
    [
        (None, None, SharedDir("hostPath", f"{VHOST}/{UID}", MOUNT, True)),
        (None, {"subPath": UID}, SharedDir("hostPath", f"{VHOST}/{UID}", MOUNT, True)),
        (None, {"subPathExpr": "a/$(POD_UID)/b"}, SharedDir("hostPath", f"{VHOST}/a/{UID}/b", MOUNT, True)),
        (None, {"subPathExpr": "$$(POD_UID)"}, SharedDir("hostPath", f"{VHOST}/$(POD_UID)", MOUNT, False)),
        (None, {"subPath": "app"}, SharedDir("hostPath", f"{VHOST}/app", MOUNT, False)),
        (None, {"subPath": f"x{UID}"}, SharedDir("hostPath", f"{VHOST}/x{UID}", MOUNT, False)),
        (None, {}, SharedDir("hostPath", VHOST, MOUNT, False)),
        (None, {"mountPath": "/"}, SharedDir("hostPath", VHOST, "/", False)),
        ({"hostPath": {"path": "//a//b/"}}, {}, SharedDir("hostPath", "/a/b", MOUNT, False)),
        ({"emptyDir": {}}, {}, SharedDir("emptyDir", EMPTY, MOUNT, True)),
        ({"emptyDir": {"medium": "Memory"}}, {}, SharedDir("emptyDir", EMPTY, MOUNT, True)),
    ],
)
def test_folder_and_mount(volume: Any, mount: Any, expected: SharedDir) -> None:
    assert shared_dir(pod(volume=volume, mount=mount)) == expected


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("other", [{}, {"subPath": "app"}, {"subPathExpr": "$(UNKNOWN)"}])
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_one_container_that_sees_the_whole_folder_is_one_too_many(kind: str, other: Any, position: int) -> None:
    asked = pod()
    mount = {"name": "shared-dir", "mountPath": "/all", **other}
    containers = asked["spec"].setdefault(kind, [])
    containers.insert(position, {"name": "other", "volumeMounts": [mount]})
    with pytest.raises(CniError):
        require_private(shared_dir(asked), whole_folders=False)


@pytest.mark.parametrize(
    ("volume", "mount", "told"),
    [
        ({"configMap": {"name": "x"}}, {}, "configMap"),
        ({"hostPath": {"path": "relative"}}, {}, "absolute"),
        ({"hostPath": {"path": "/a/../b"}}, {}, "absolute"),
        ({"hostPath": {}}, {}, "absolute"),
        (None, {"subPath": "../x"}, "below the volume"),
        (None, {"subPath": "/x"}, "below the volume"),
        (None, {"subPath": "a\nb"}, "characters"),
        (None, {"subPath": 7}, "below the volume"),
        (None, {"subPathExpr": "$(UNKNOWN)"}, "UNKNOWN"),
        (None, {"mountPath": ""}, "mountPath"),
        (None, {"mountPath": 7}, "mountPath"),
        ({"emptyDir": {}}, {"subPath": "x"}, "emptyDir"),
    ],
)
def test_what_is_wrong_is_told(volume: Any, mount: Any, told: str) -> None:
    with pytest.raises(CniError) as raised:
        shared_dir(pod(volume=volume, mount=mount))
    assert raised.value.code == 7 and told in raised.value.message


def test_pods_without_the_volume_or_the_mount() -> None:
    without = pod()
    without["spec"]["volumes"][0]["name"] = "other"
    with pytest.raises(CniError, match="no volume named shared-dir"):
        shared_dir(without)
    without = pod()
    without["spec"]["containers"][0]["volumeMounts"] = []
    with pytest.raises(CniError, match="no container mounts"):
        shared_dir(without)
    with pytest.raises(CniError, match="uid"):
        shared_dir(pod(volume={"emptyDir": {}}, mount={}, uid="../x"))


def test_containers_count_before_init_containers_and_the_last_of_them() -> None:
    several = pod()
    several["spec"]["initContainers"] = [{"volumeMounts": [{"name": "shared-dir", "mountPath": "/init"}]}]
    several["spec"]["containers"].append(
        {"volumeMounts": [{"name": "other", "mountPath": "/x"}, {"name": "shared-dir", "mountPath": "/last"}]}
    )
    assert shared_dir(several).container == "/last"


@pytest.mark.parametrize(
    ("pod_context", "own_context", "expected"),
    [
        ({}, {}, (-1, -1)),
        ({"runAsUser": 1000, "fsGroup": 2000}, {}, (1000, 2000)),
        ({"runAsUser": 1000, "runAsGroup": 7}, {"runAsUser": 1001}, (1001, 7)),
        ({"runAsUser": "x", "fsGroup": -5}, {}, (-1, -1)),
        ({"runAsUser": True}, {"runAsGroup": 9}, (-1, 9)),
    ],
)
def test_who_opens_the_sockets(pod_context: Any, own_context: Any, expected: tuple[int, int]) -> None:
    owned = pod()
    owned["spec"]["securityContext"] = pod_context
    owned["spec"]["containers"][0]["securityContext"] = own_context
    found = shared_dir(owned)
    assert (found.owner, found.group) == expected


def test_folder_of_another_place_than_the_sockets_is_told(node: Node) -> None:
    node.pods.put(pod(volume={"hostPath": {"path": "/var/run/other"}}))
    error = node.bad("ADD", vdpa_conf())
    assert error["code"] == 7 and VHOST in error["msg"] and "/var/run/other" in error["msg"]
    assert node.sockets.table == {}


@pytest.mark.parametrize("path", ["/run/vdpa/vhost", "/var/run/vdpa/vhost/"])
def test_run_has_two_names(node: Node, path: str) -> None:
    node.pods.put(pod(volume={"hostPath": {"path": path}}))
    node.good("ADD", vdpa_conf())


def test_empty_dir_cannot_hold_a_devices_socket(node: Node) -> None:
    node.pods.put(pod(volume={"emptyDir": {}}, mount={}))
    error = node.bad("ADD", vdpa_conf())
    assert error["code"] == 7 and "emptyDir" in error["msg"]


def test_path_in_the_container_has_to_fit(node: Node) -> None:
    node.pods.put(pod(mount={"mountPath": "/" + "x" * 110, "subPathExpr": "$(POD_UID)"}))
    error = node.bad("ADD", vdpa_conf())
    assert error["code"] == 7 and "107" in error["msg"]
    assert node.sockets.table == {}


def test_long_folder_of_the_host_is_reached_by_a_short_link(node: Node) -> None:
    """An emptyDir's path is too long for a socket; the container makes it there all the same."""
    os.makedirs(f"{node.root}{EMPTY}")
    node.pods.put(pod(volume={"emptyDir": {}}, mount={}))
    node.good("ADD", userspace_conf("client"), "userspace")
    link = f"/var/lib/vhost_sockets/{SHORT}-net1"
    path = f"{link}/{SHORT}-net1"
    assert node.database.interface(f"{SHORT}-net1")["options"] == {"vhost-server-path": path}
    assert len(path) <= 107 and os.readlink(f"{node.root}{link}") == EMPTY


@pytest.mark.parametrize(("mode", "expected"), [("server", 0o750), ("client", 0o770)])
def test_folder_belongs_to_the_pod(node: Node, mode: str, expected: int) -> None:
    """It can write to it only where it makes the socket itself."""
    owned = ovs_pod()
    owned["spec"]["securityContext"] = {"runAsUser": 1234, "fsGroup": 5678}
    node.pods.put(owned)
    node.good("ADD", userspace_conf(mode), "userspace")
    folder = f"{node.root}/run/openvswitch/pods/{UID}"
    status = os.stat(folder)
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 5678, expected)
    if mode == "server":
        status = os.stat(f"{folder}/{SHORT}-net1")
        assert is_socket(f"{folder}/{SHORT}-net1")
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 5678, 0o660)


def test_pod_with_interfaces_of_both_kinds_has_one_folder(node: Node) -> None:
    shared = {"hostPath": {"path": VHOST}}
    node.pods.put(pod(volume=shared))
    node.good("ADD", vdpa_conf())
    node.good("ADD", userspace_conf("client"), "userspace", CNI_IFNAME="net2")
    node.good("DEL", vdpa_conf())
    assert node.database.ports()
    node.good("DEL", userspace_conf("client"), "userspace", CNI_IFNAME="net2")
    assert not node.has(f"/run/vdpa/vhost/{UID}")


def test_group_of_the_configuration(node: Node) -> None:
    node.put_file("/etc/group", "root:x:0:\nhugetlbfs:x:4321:ovs\nbroken\n")
    node.pods.put(ovs_pod())
    conf = userspace_conf(
        "server", host={**userspace_conf()["host"], "vhost": {"mode": "server", "group": "hugetlbfs"}}
    )
    node.good("ADD", conf, "userspace")
    assert os.stat(f"{node.root}/run/openvswitch/pods/{UID}").st_gid == 4321
    assert group_id("17", str(node.root)) == 17 and group_id("", "/") == -1
    with pytest.raises(CniError, match="no group"):
        group_id("unknown", str(node.root))
    with pytest.raises(CniError, match="no group"):
        group_id("root", "/nowhere")


def test_folder_that_pods_share_is_refused_and_stays_where_it_is_allowed(node: Node, tmp_path: Any) -> None:
    shared = {"volume": {"hostPath": {"path": "/var/run/openvswitch/app"}}, "mount": {}}
    node.pods.put(pod(**shared))
    assert node.bad("ADD", userspace_conf(), "userspace")["code"] == 7
    other = Node(tmp_path / "other", whole_folders=True)
    other.pods.put(pod(**shared))
    other.good("ADD", userspace_conf(), "userspace")
    other.good("DEL", userspace_conf(), "userspace")
    assert os.listdir(other.root / "run/openvswitch/app") == []


def test_folder_outside_of_what_is_allowed(node: Node) -> None:
    node.pods.put(pod(volume={"hostPath": {"path": "/etc/x"}}))
    error = node.bad("ADD", userspace_conf(), "userspace")
    assert error["code"] == 7 and "hostPath of shared-dir" in error["msg"]
