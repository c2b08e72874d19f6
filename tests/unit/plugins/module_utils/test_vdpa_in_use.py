# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""vDPA devices that somebody uses: they stay as they are, whoever consents, while others change."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, InUse, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.tests.unit.vdpa_bus_node import BUS
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    NAMES,
    SPEC,
    VHOST,
    actions,
    apply,
    bus_driver,
    entry,
    mlx5_node,
    tear_down,
    virtio_node,
)

node = pytest.fixture(virtio_node)
mlx5 = pytest.fixture(mlx5_node)


@pytest.mark.parametrize("consent", [True, False])
def test_devices_in_use_are_never_removed(node, consent):
    apply(node, SPEC)
    node.open(NAMES[1])
    node.commands.clear()
    for work in (
        lambda: apply(node, [entry(indexes=0)], disruption_ok=consent),
        lambda: apply(node, [entry(bus="virtio_vdpa")], disruption_ok=consent),
        lambda: apply(node, [entry(indexes=0, name=NAMES[1])], disruption_ok=consent),
        lambda: tear_down(node, disruption_ok=consent),
    ):
        with pytest.raises(Refused, match=rf"{NAMES[1]}.* used by vhost-vdpa:4711 \(qemu\)") as refused:
            work()
        assert all(isinstance(problem, InUse) for problem in refused.value.problems)
    assert set(node.devices) == set(NAMES) and not [
        argv for argv in node.commands if argv[:3] == ["vdpa", "dev", "del"]
    ]
    node.close()
    tear_down(node)


def test_attributes_of_devices_in_use_stay(mlx5):
    apply(mlx5, [entry(mtu=1500)])
    mlx5.open(NAMES[0])
    with pytest.raises(Refused, match="used by vhost-vdpa:4711"):
        apply(mlx5, [entry(mtu=9000)], disruption_ok=True)


def test_a_mac_address_that_a_program_set_itself_is_no_drift_while_it_runs(mlx5):
    spec = [entry(indexes=0, mac="02:00:00:00:00:01")]
    apply(mlx5, spec)
    mlx5.open(NAMES[0])
    mlx5.devices[NAMES[0]].config["mac"] = "02:00:00:00:00:99"
    assert not apply(mlx5, spec).changed
    mlx5.close()
    with pytest.raises(FastpathError, match="mac 02:00:00:00:00:99 -> 02:00:00:00:00:01"):
        apply(mlx5, spec)


def test_a_device_in_use_may_stay_as_it_is_while_others_change(node):
    apply(node, SPEC)
    node.open(NAMES[0])
    node._put(f"{BUS}/devices/{NAMES[0]}/driver_override", "(null)")
    plan = apply(node, [entry(indexes="0-2")])
    assert actions(plan) == ["save_desired", "bind_device", "add_device", "bind_device"]
    assert bus_driver(node, NAMES[0]) == VHOST


def test_an_interface_in_use(node):
    apply(node, [entry(bus="virtio_vdpa")])
    node.links["vnet0"]["addr_info"].append({"local": "192.0.2.7", "scope": "global"})
    with pytest.raises(Refused, match="used by address:192.0.2.7: move its users away"):
        tear_down(node)


def test_an_interface_in_a_pod(node, monkeypatch):
    apply(node, [entry(indexes=0, bus="virtio_vdpa")])
    node._put("/run/netns/pod", "")
    node.take_into_pod(NAMES[0])
    inside = Completed(0, '[{"ifname": "eth1", "parentdev": "virtio0", "addr_info": []}]', "")
    real = node._run
    monkeypatch.setattr(node, "_run", lambda argv, *more: inside if argv[0] == "nsenter" else real(argv, *more))
    with pytest.raises(Refused, match="used by netns:/run/netns/pod"):
        tear_down(node)
