# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What verification says of vDPA devices: as they are to be, lost, changed, or of no use to a program."""

from __future__ import annotations

import os
import shutil
import struct
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._vhost_vdpa import GET_DEVICE_ID
from ansible_collections.nfv.fastpath.tests.unit.vdpa_bus_node import BUS
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import PF, VdpaNode
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    NAMES,
    SPEC,
    apply,
    entry,
    mlx5_node,
    virtio_node,
)

node = pytest.fixture(virtio_node)


def ioctl(features=0x300000020):
    return lambda _file, request, _argument: (
        struct.pack("=I", 1) if request == GET_DEVICE_ID else struct.pack("=Q", features)
    )


def checks(node: VdpaNode, spec: Any, **more: Any) -> dict[tuple[str, str], Any]:
    found = verify(VdpaConcern(node, ioctl=more.pop("ioctl", ioctl()), **more), spec)
    return {(check.id, check.target): check for check in found}


def test_verification(node):
    spec = [entry(indexes=0, features=["MAC", "VERSION_1", "ACCESS_PLATFORM"]), entry(indexes=1, bus="virtio_vdpa")]
    apply(node, spec)
    found = checks(node, spec)
    assert [key for key, check in found.items() if not check.ok] == []
    assert [check_id for check_id, _target in found] == [
        "vdpa.device",
        "vdpa.driver",
        "vdpa.node",
        "vdpa.features",
        "vdpa.device",
        "vdpa.driver",
        "vdpa.netdev",
    ]


def test_verification_of_attributes(tmp_path):
    node = mlx5_node(tmp_path)
    spec = [entry(indexes=0, mac="02:00:00:00:00:01", mtu=9000)]
    apply(node, spec)
    check = checks(node, spec)[("vdpa.attributes", NAMES[0])]
    assert check.ok and check.seen == {"mac": "02:00:00:00:00:01", "mtu": 9000}
    node.devices[NAMES[0]].config["mtu"] = 1500
    check = checks(node, spec)[("vdpa.attributes", NAMES[0])]
    assert check.seen == {"mac": "02:00:00:00:00:01", "mtu": 1500}


def test_verification_of_a_node_that_lost_it(node):
    apply(node, SPEC)
    node.reboot()
    node.add_vfs()
    found = checks(node, SPEC)
    assert {key for key, check in found.items() if not check.ok} == {
        (check_id, name) for name in NAMES for check_id in ("vdpa.device", "vdpa.driver")
    }
    assert found[("vdpa.device", NAMES[0])].seen is None


def test_verification_without_vfs(node):
    node._remove_vfs(node.functions[PF])
    found = checks(node, SPEC)
    assert found[("vdpa.device", NAMES[0])].expected == "0000:02:00.0 vf 0"
    assert ("vdpa.spec", "fastpath_vdpa[0].pf") in checks(node, [entry(pf={"netdev": "ens9"})])


def test_verification_sees_a_device_that_no_program_can_have(node):
    apply(node, SPEC)
    os.unlink(node.path("/dev/vhost-vdpa-0"))
    found = checks(node, SPEC)
    assert found[("vdpa.node", NAMES[0])].seen == "there is no /dev/vhost-vdpa-0"
    assert found[("vdpa.node", NAMES[1])].ok
    node.write_attribute(f"{BUS}/devices/{NAMES[1]}/driver/unbind", NAMES[1])
    found = checks(node, SPEC)
    assert found[("vdpa.driver", NAMES[1])].seen is None and ("vdpa.node", NAMES[1]) not in found


def test_verification_sees_other_features_and_a_missing_interface(node):
    spec = [entry(indexes=0, features=["MAC", "VERSION_1"]), entry(indexes=1, bus="virtio_vdpa")]
    apply(node, spec)
    folder = node.path(f"{node.devices[NAMES[1]].virtio}/net")
    shutil.rmtree(folder)
    found = checks(node, spec, ioctl=ioctl(1 << 5))
    assert (found[("vdpa.features", NAMES[0])].expected, found[("vdpa.features", NAMES[0])].seen) == (
        ["MAC", "VERSION_1"],
        ["MAC"],
    )
    assert found[("vdpa.netdev", NAMES[1])].seen == "none"
