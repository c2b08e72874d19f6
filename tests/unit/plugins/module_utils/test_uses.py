# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who uses a function: pure facts in, names out."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._ip_link import Link
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._uses import Facts, Handle, busy, protects, with_uses

PF = PciDevice("0000:81:00.0", driver="igb", netdevs=("ens1",), virtfns=("0000:81:10.0",), iommu_group=10)
VF = PciDevice("0000:81:10.0", driver="vfio-pci", physfn=PF.address, vf_index=0, iommu_group=11)
BRIDGE = PciDevice("0000:80:00.0", driver="pcieport", iommu_group=11)
NODE = "192.0.2.10"


def uses(facts: Facts, *devices: PciDevice) -> dict[str, tuple[str, ...]]:
    return {device.address: device.uses for device in with_uses(devices or (PF, VF), facts)}


def test_nobody():
    assert uses(Facts(links=(Link("lo", addresses=(NODE,)), Link("ens1")))) == {PF.address: (), VF.address: ()}


def test_the_node_itself_in_a_stable_order():
    facts = Facts(
        links=(Link("ens1", addresses=(NODE, "2001:db8::1")),),
        default_routes=("ens1",),
        ssh_addresses=("2001:db8::1",),
    )
    assert uses(facts)[PF.address] == ("default-route", "ssh", f"address:{NODE}", "address:2001:db8::1")


STACKS = {
    "bridge": (Link("ens1", master="top"), Link("top", "bridge")),
    "bond": (Link("ens1", master="top"), Link("top", "bond")),
    "team": (Link("ens1", master="top"), Link("top", "team")),
    "vrf": (Link("ens1", master="top"), Link("top", "vrf")),
    "vlan": (Link("ens1"), Link("top", "vlan", lower="ens1")),
    "macvlan": (Link("ens1"), Link("top", "macvlan", lower="ens1")),
    "ipvlan": (Link("ens1"), Link("top", "ipvlan", lower="ens1")),
    "upper": (Link("ens1"), Link("top", "", lower="ens1")),
}


@pytest.mark.parametrize("kind", STACKS)
def test_what_is_stacked_on_it(kind):
    lower, upper = STACKS[kind]
    facts = Facts(links=(lower, Link("top", upper.kind, upper.lower, addresses=(NODE,))), default_routes=("top",))
    assert uses(facts)[PF.address] == ("default-route", f"address:{NODE}", f"{kind}:top")


def test_at_any_height():
    links = (
        Link("ens1", master="bond0"),
        Link("bond0", "bond"),
        Link("bond0.7", "vlan", lower="bond0", master="br0"),
        Link("br0", "bridge"),
        Link("br0.9", "vlan", lower="br0", addresses=(NODE,)),
        Link("other", addresses=("192.0.2.99",)),
    )
    found = uses(Facts(links=links, ssh_addresses=(NODE,)))[PF.address]
    assert found == ("ssh", f"address:{NODE}", "bond:bond0", "bridge:br0", "vlan:bond0.7", "vlan:br0.9")


def test_what_lies_below_a_bridge_beside_it_is_not_its_own():
    links = (Link("ens1", master="br0"), Link("br0", "bridge"), Link("veth0", "veth", master="br0", addresses=(NODE,)))
    assert uses(Facts(links=links))[PF.address] == ("bridge:br0",)


def test_a_port_of_open_vswitch_may_carry_whatever_its_bridges_do():
    links = (
        Link("ens1", master="ovs-system"),
        Link("ovs-system", "openvswitch"),
        Link("br-ex", "openvswitch", addresses=(NODE,)),
    )
    found = uses(Facts(links=links, default_routes=("br-ex",)))[PF.address]
    assert found == ("default-route", f"address:{NODE}", "ovs:br-ex", "ovs:ovs-system")


def test_a_ring_of_interfaces_ends():
    links = (Link("ens1", lower="b"), Link("b", "x", lower="ens1"), Link("self", lower="self"))
    assert uses(Facts(links=links))[PF.address] == ("x:b",)


def test_an_interface_of_another_namespace_below_is_nobodys():
    assert uses(Facts(links=(Link("top", "vlan", lower="if7"), Link("ens1", master="gone"))))[PF.address] == ()


@pytest.mark.parametrize(
    "path", ["/dev/vfio/11", "/dev/vfio/noiommu-11", "/dev/vfio/devices/vfio3", "/dev/uio2", "/dev/vhost-vdpa-0"]
)
def test_open_device_files(path):
    device = PciDevice(**{**vars(VF), "vdpa_devices": ("vdpa0",)})
    facts = Facts(
        handles=(Handle(path, "42 (qemu)"),),
        vfio_devices={"vfio3": VF.address},
        uio_devices={"uio2": VF.address},
        vhost_vdpa={"vhost-vdpa-0": "vdpa0"},
    )
    kind = path.split("/")[2].rstrip("0123456789").rstrip("-")
    assert uses(facts, PF, device) == {
        PF.address: (f"vf:{VF.address}",),
        VF.address: (f"{kind}:42 (qemu)", "vdpa:vdpa0"),
    }


def test_device_files_of_others():
    handles = tuple(Handle(path, "1 (x)") for path in ("/dev/vfio/99", "/dev/vfio/devices/vfio9", "/dev/uio9"))
    assert not any(uses(Facts(handles=handles)).values())


def test_a_group_is_held_for_all_its_functions_but_bridges():
    other = PciDevice("0000:81:10.1", driver="vfio-pci", iommu_group=11)
    found = uses(Facts(handles=(Handle("/dev/vfio/11", "42 (qemu)"),)), VF, other, BRIDGE)
    assert found == {VF.address: ("vfio:42 (qemu)",), other.address: ("vfio:42 (qemu)",), BRIDGE.address: ()}


def test_another_namespace():
    found = uses(Facts(elsewhere={VF.address: "/run/netns/pod"}))
    assert found == {PF.address: (f"vf:{VF.address}",), VF.address: ("netns:/run/netns/pod",)}


def test_protects_and_busy():
    device = PciDevice("a", uses=("default-route", "address:192.0.2.1", "bond:bond0", "vf:0000:81:10.0"))
    assert protects(device) == ("default-route", "address:192.0.2.1")
    assert busy(device) == ("default-route", "address:192.0.2.1", "bond:bond0")
    assert protects(PF) == busy(PF) == ()
