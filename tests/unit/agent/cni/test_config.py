# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a configuration may say; everything that is wrong with it is told at once, by field and value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import make_socket
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    IPAM,
    SHORT,
    ovs_pod,
    pod,
    userspace_conf,
    vdpa_conf,
    vhostuser_conf,
    vpp_conf,
)
from fastpath_agent.cni.addresses import cidr, mac_address, pci_address
from fastpath_agent.cni.errors import CniError, Problem, refuse, shown


def host(**changes: Any) -> dict[str, Any]:
    return {**userspace_conf()["host"], **changes}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"deviceID": None}, "k8s.v1.cni.cncf.io/resourceName"),
        ({"deviceID": "83:00.5"}, 'deviceID = "83:00.5"'),
        ({"deviceID": 7}, "deviceID = 7"),
        ({"deviceID": None, "pool": "../x"}, "pool"),
        ({"mode": "both"}, 'mode = "both": must be one of client, server'),
        ({"MAC": "nonsense"}, "MAC"),
        ({"MAC": "01:00:5e:00:00:01"}, "MAC"),
        ({"IP": "192.0.2.1"}, "IPMask None"),
        ({"IPMask": "255.255.255.0"}, "IP"),
        ({"IP": "192.0.2.1", "IPMask": "255.0.255.0"}, "IP"),
        ({"IP": "192.0.2.1", "IPMask": "24", "ipam": IPAM}, "ipam"),
        ({"gateway": "x"}, "gateway"),
        ({"routes": "x"}, "routes"),
        ({"routes": [{"gw": "192.0.2.1"}]}, "routes[0].dst"),
        ({"routes": [{"dst": "x"}]}, 'routes[0].dst = "x"'),
        ({"routes": [{"dst": "0.0.0.0/0", "gw": 7}]}, "routes[0].gw"),
        ({"hostNic": "/etc/passwd"}, "hostNic"),
        ({"hostNic": "relative"}, "hostNic"),
        ({"hostNic": "/var/run/vdpa/none.json"}, "cannot be read"),
        ({"sharedDir": "/etc"}, "sharedDir"),
        ({"sharedDir": "/var/run/vdpa/../x"}, "sharedDir"),
        ({"kubeconfig": 7}, "kubeconfig"),
        ({"logLevel": "loud"}, "logLevel"),
        ({"logFile": "/etc/passwd"}, "logFile"),
        ({"dns": []}, "dns"),
        ({"dns": {"nameservers": 7}}, "dns.nameservers"),
        ({"prevResult": []}, "prevResult"),
        ({"runtimeConfig": []}, "runtimeConfig"),
        ({"runtimeConfig": {"mac": "x"}}, "runtimeConfig.mac"),
        ({"runtimeConfig": {"CNIDeviceInfoFile": "/etc/x"}}, "runtimeConfig.CNIDeviceInfoFile"),
        ({"runtimeConfig": {"CNIDeviceInfoFile": "/var/run/k8s.cni.cncf.io/devinfo/cni/"}}, "CNIDeviceInfoFile"),
        ({"runtimeConfig": {"CNIDeviceInfoFile": "/var/run/k8s.cni.cncf.io/devinfo/cni/a/b"}}, "CNIDeviceInfoFile"),
        ({"args": {"cni": {"mac": 7}}}, "args.cni.mac"),
        ({"ipam": {"type": "../x"}}, "ipam.type"),
        ({"ipam": {"type": "none-such"}}, "none-such"),
    ],
)
def test_vdpa(node: Node, changes: dict[str, Any], told: str) -> None:
    node.pods.put(pod())
    before = node.left()
    error = node.bad("ADD", vdpa_conf(**changes))
    assert error["code"] == 7 and told in error["msg"], error
    assert node.left() == before


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"host": None}, 7, "host"),
        ({"host": "x"}, 7, "host"),
        ({"host": {}}, 7, "host.engine"),
        ({"host": host(engine="xdp")}, 7, 'host.engine = "xdp"'),
        ({"host": host(iftype="memif")}, 2, 'host.iftype = "memif"'),
        ({"host": host(netType="interface")}, 2, 'host.netType = "interface"'),
        ({"host": host(netType="none")}, 2, 'host.netType = "none"'),
        ({"host": host(vhost={"mode": "x"})}, 7, "host.vhost.mode"),
        ({"host": host(vhost={"group": "a b"})}, 7, "host.vhost.group"),
        ({"host": host(vhost={"group": "none-such"})}, 7, "no group"),
        ({"host": host(vhost={"socketfile": "../x"})}, 7, "host.vhost.socketfile"),
        ({"host": host(bridge={"bridgeName": "br 0"})}, 7, "host.bridge.bridgeName"),
        ({"host": host(bridge={"bridgeName": "x" * 16})}, 7, "host.bridge.bridgeName"),
        ({"host": host(bridge={"vlanId": 4095})}, 7, "host.bridge.vlanId"),
        ({"host": host(bridge={"vlanId": "7"})}, 7, "host.bridge.vlanId"),
        ({"container": {"vhost": {"mode": "server"}}}, 7, "container.vhost.mode"),
        ({"container": {"iftype": "memif"}}, 7, "container.iftype"),
        ({"host": vpp_conf()["host"] | {"iftype": "vhostuser"}}, 2, "vhostuser"),
        ({"host": vpp_conf()["host"] | {"netType": ""}, "container": {}}, 7, "host.netType"),
        ({"host": vpp_conf()["host"] | {"bridge": {"bridgeName": "br0"}}, "container": {}}, 7, "bridge domain"),
        ({"host": vpp_conf()["host"] | {"bridge": {"bridgeId": 4, "vlanId": 5}}, "container": {}}, 2, "vlanId"),
        ({"host": vpp_conf()["host"] | {"memif": {"mode": "inject-punt"}}, "container": {}}, 2, "host.memif.mode"),
        ({"host": vpp_conf()["host"], "container": {"memif": {"role": "master"}}}, 7, "container.memif.role"),
    ],
)
def test_userspace(node: Node, changes: dict[str, Any], code: int, told: str) -> None:
    node.pods.put(ovs_pod())
    before = node.left()
    error = node.bad("ADD", userspace_conf(**changes), "userspace")
    assert error["code"] == code and told in error["msg"], error
    assert node.left() == before


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"vhost": None}, "vhost.vhost_tool"),
        ({"vhost": []}, "vhost"),
        ({"vhost": {"vhost_tool": ""}}, "vhost.vhost_tool"),
        ({"vhost": {"vhost_tool": 7}}, "vhost.vhost_tool"),
        ({"vhost": {"vhost_tool": "/bin/sh"}}, 'vhost.vhost_tool = "/bin/sh"'),
        ({"cniDir": "/etc"}, "cniDir"),
        ({"if0name": 7}, "if0name"),
        ({"bridge": {"bridgeName": "a/b"}}, "bridge.bridgeName"),
    ],
)
def test_vhostuser(node: Node, changes: dict[str, Any], told: str) -> None:
    before = node.left()
    error = node.bad("ADD", vhostuser_conf(**changes), "vhostuser")
    assert error["code"] == 7 and told in error["msg"], error
    assert node.left() == before


def test_everything_wrong_is_told_at_once(node: Node) -> None:
    error = node.bad("ADD", vdpa_conf(deviceID="x", MAC="y", logLevel="z", routes=7, ipam={"type": "dhcp"}))
    for field in ("deviceID", "MAC", "logLevel", "routes", "ipam.type"):
        assert field in error["msg"]
    assert error["code"] == 7


def test_what_is_merely_not_supported_has_its_own_code() -> None:
    with pytest.raises(CniError) as raised:
        refuse([Problem("a", 1, "x", True), Problem("b", 2, "y", True)])
    assert raised.value.code == 2 and "a = 1" in raised.value.message and "b = 2" in raised.value.message
    with pytest.raises(CniError) as raised:
        refuse([Problem("a", 1, "x", True), Problem("b", 2, "y")])
    assert raised.value.code == 7
    refuse([])


def test_values_are_shown_in_bounds() -> None:
    assert shown("x") == '"x"' and len(shown("x" * 5000)) < 100 and shown({1, 2}).startswith("{")


def test_values_that_are_fine(node: Node) -> None:
    """JSON's null and empty text are what is not given, as for the first plugins."""
    node.pods.put(pod())
    conf = vdpa_conf(MAC="", IP="", IPMask=None, routes=[], dns={}, logFile="", sharedDir="", runtimeConfig={}, args={})
    conf["ipam"] = None
    node.good("ADD", conf)


def test_pci_bus_id_will_do(node: Node) -> None:
    node.pods.put(pod())
    node.good("ADD", vdpa_conf(deviceID=None, pciBusID="0000:83:00.A".replace("A", "5")))
    assert node.sockets.leases()[0].device == "0000:83:00.5"


@pytest.mark.parametrize(
    ("address", "mask", "expected"),
    [
        ("192.0.2.1", "255.255.255.0", "192.0.2.1/24"),
        ("192.0.2.1", "24", "192.0.2.1/24"),
        ("192.0.2.1", 24, "192.0.2.1/24"),
        ("192.0.2.1", "255.255.255.255", "192.0.2.1/32"),
        ("2001:db8::1", "64", "2001:db8::1/64"),
        ("2001:db8::1", "ffff:ffff:ffff:ffff::", "2001:db8::1/64"),
    ],
)
def test_addresses(address: Any, mask: Any, expected: str) -> None:
    assert cidr(address, mask) == expected


@pytest.mark.parametrize(
    ("address", "mask"),
    [
        ("192.0.2.1", "0"),
        ("192.0.2.1", "33"),
        ("192.0.2.1", "0.0.255.0"),
        ("224.0.0.1", "24"),
        ("0.0.0.0", "24"),
        ("192.0.2.1/24", "24"),
        ("192.0.2.1", None),
        (None, "24"),
        (7, "24"),
        ("192.0.2.1", True),
        ("192.0.2.1", ""),
        ("2001:db8::1", "ff00::ff"),
        ("x", "24"),
    ],
)
def test_what_is_no_address(address: Any, mask: Any) -> None:
    with pytest.raises(ValueError):
        cidr(address, mask)


def test_macs_and_pci_addresses() -> None:
    assert mac_address("00-E8-CA-11-BA-01") == "00:e8:ca:11:ba:01"
    for text in ("", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:e8:ca:11:ba", 7, None):
        with pytest.raises(ValueError):
            mac_address(text)
    assert pci_address("0000:AB:1F.7") == "0000:ab:1f.7"
    for text in ("", "ab:1f.7", "0000:ab:2f.7", "0000:ab:1f.8", "0000:ab:1f.7\n", 7):
        with pytest.raises(ValueError):
            pci_address(text)


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        (
            userspace_conf(),
            {"engine": "ovs-dpdk", "iftype": "vhostuser", "netType": "interface", "vhost": {"mode": "client"}},
        ),
        (userspace_conf(container=None), {"engine": "ovs-dpdk", "iftype": "vhostuser", "vhost": {"mode": "client"}}),
        (
            userspace_conf("client", container=None, ipam=IPAM),
            {"engine": "ovs-dpdk", "iftype": "vhostuser", "netType": "interface", "vhost": {"mode": "server"}},
        ),
        (
            userspace_conf(
                container={"netType": "bridge", "vhost": {"group": "g"}, "bridge": {"bridgeName": "b", "vlanId": 3}}
            ),
            {
                "engine": "ovs-dpdk",
                "iftype": "vhostuser",
                "netType": "bridge",
                "vhost": {"mode": "client", "group": "g"},
                "bridge": {"bridgeName": "b", "vlanId": 3},
            },
        ),
    ],
)
def test_what_the_container_is_told(node: Node, conf: dict[str, Any], expected: dict[str, Any]) -> None:
    node.pods.put(ovs_pod())
    node.good("ADD", conf, "userspace")
    told = json.loads(node.pods.annotations()["userspace/configuration-data"])[0]["config"]
    vhost = {**expected["vhost"], "socketfile": f"{SHORT}-net1"}
    assert told == {"memif": {}, "bridge": {}, **expected, "vhost": vhost}


def test_what_the_container_is_told_of_memif(node: Node) -> None:
    (node.root / "run/vpp").mkdir()
    make_socket(f"{node.root}/run/vpp/cli.sock")
    node.pods.put(pod(volume={"hostPath": {"path": "/run/vpp/pods"}}))
    node.good("ADD", vpp_conf(container={}), "userspace")
    told = json.loads(node.pods.annotations()["userspace/configuration-data"])[0]["config"]
    assert told["memif"] == {"role": "slave", "mode": "ethernet", "socketfile": f"memif-{SHORT}-net1.sock"}
    assert (told["engine"], told["iftype"], told["vhost"]) == ("vpp", "memif", {})


def test_socket_file_of_the_configuration(node: Node) -> None:
    node.pods.put(ovs_pod())
    node.good("ADD", userspace_conf(host=host(vhost={"mode": "server", "socketfile": "mine"})), "userspace")
    assert list(node.database.ports()) == ["mine"]


def test_agent_without_an_api_and_a_configuration_without_a_folder(node: Node) -> None:
    """The engine's own folder, as the first plugin did."""
    node.change(pods=None)
    node.good("ADD", userspace_conf(kubeconfig=None), "userspace")
    assert node.has(f"/run/openvswitch/{SHORT}/configData-{SHORT}-net1.json")
