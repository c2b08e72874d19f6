# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which virtio device is of which vDPA device, wherever the kernel puts it."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._virtio_vdpa import netdevs_of, virtio_devices
from ansible_collections.nfv.fastpath.tests.unit.vdpa_bus_node import BUS
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import PF
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    NAMES,
    VFS,
    actions,
    apply,
    entry,
    mlx5_node,
    tear_down,
    virtio_node,
)

node = pytest.fixture(virtio_node)


@pytest.fixture
def mlx5(tmp_path):
    """A PF with subfunctions."""
    return mlx5_node(tmp_path)


def sub_functions(node, count=2):
    node.load("mlx5_vdpa")
    names = [f"mlx5_core.sf.{number}" for number in range(count)]
    for name in names:
        node.add_auxiliary(name, PF)
    return [{"mgmtdev": f"auxiliary/{name}", "name": f"sf{n}", "bus": "virtio_vdpa"} for n, name in enumerate(names)]


def test_a_virtio_device_is_found_beside_its_device_and_below_a_program_s(node):
    node.offer("soft")
    spec = [entry(indexes=0, bus="virtio_vdpa"), {"mgmtdev": "vduse", "name": "soft", "bus": "virtio_vdpa"}]
    apply(node, spec)
    assert virtio_devices(node, NAMES[0]) == (f"/sys/bus/pci/devices/{VFS[0]}/virtio0",)
    assert virtio_devices(node, "soft") == (f"{BUS}/devices/soft/virtio1",)
    assert [netdevs_of(node, name) for name in (NAMES[0], "soft")] == [("vnet0",), ("vnet1",)]
    assert not apply(node, spec).changed


def test_devices_on_one_function_are_told_apart_by_what_their_interfaces_say(mlx5):
    spec = sub_functions(mlx5)
    apply(mlx5, spec)
    mlx5.links["vnet1"]["addr_info"].append({"local": "192.0.2.7", "scope": "global"})
    assert actions(apply(mlx5, spec[1:])) == ["save_desired", "remove_device"]
    with pytest.raises(Refused, match="sf1.*used by address:192.0.2.7"):
        tear_down(mlx5)


def test_an_interface_in_a_pod_is_not_taken_for_that_of_a_neighbour(mlx5, monkeypatch):
    """What is somewhere else cannot say whose it is, so no device of the function without an interface goes."""
    spec = sub_functions(mlx5)
    apply(mlx5, spec)
    mlx5.take_into_pod("sf0")
    mlx5._put("/run/netns/pod", "")
    inside = Completed(0, '[{"ifname": "eth1", "parentdev": "virtio0", "addr_info": []}]', "")
    real = mlx5._run
    monkeypatch.setattr(mlx5, "_run", lambda argv, *more: inside if argv[0] == "nsenter" else real(argv, *more))
    assert netdevs_of(mlx5, "sf0") == () and netdevs_of(mlx5, "sf1") == ("vnet1",)
    with pytest.raises(Refused, match="sf0.*used by netns:/run/netns/pod"):
        tear_down(mlx5)
    assert actions(apply(mlx5, spec[:1])) == ["save_desired", "remove_device"]


def test_another_device_of_the_function_has_no_interface(mlx5):
    spec = sub_functions(mlx5)
    apply(mlx5, [spec[0], {**spec[1], "bus": "vhost_vdpa"}])
    devices = {device.name: device.netdevs for device in VdpaConcern(mlx5).discover().devices}
    assert devices == {"sf0": ("vnet0",), "sf1": ()}
