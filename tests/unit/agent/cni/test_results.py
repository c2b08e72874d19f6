# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Golden requests and results: each plugin, each version of the specification, byte for byte where others read it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    CONTAINER,
    DEVICE,
    DEVICE_INFO,
    IPAM,
    NETNS,
    SHORT,
    UID,
    ovs_pod,
    pod,
    userspace_conf,
    vdpa_conf,
    vhostuser_conf,
)
from fastpath_agent.cni.errors import CniError
from fastpath_agent.cni.result import Address, Interface, Result, Route, parse_result
from hypothesis import given
from hypothesis import strategies as st

VERSIONS = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]
MAC = "00:e8:ca:11:ba:01"
SOCKET = f"/var/run/vdpa/vhost/{UID}/vdpa-0"
DUAL = {
    "type": "static",
    "result": {
        "cniVersion": "1.0.0",
        "ips": [
            {"address": "192.0.2.7/24", "gateway": "192.0.2.1"},
            {"address": "2001:db8::7/64", "gateway": "2001:db8::1"},
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "2001:db8:1::/48", "gw": "2001:db8::fe", "mtu": 9000}],
        "dns": {"nameservers": ["192.0.2.53"], "search": ["example.org"]},
    },
}


def golden_ips(version: str) -> list[dict[str, Any]]:
    four: dict[str, Any] = {"interface": 0, "address": "192.0.2.7/24", "gateway": "192.0.2.1"}
    six: dict[str, Any] = {"interface": 0, "address": "2001:db8::7/64", "gateway": "2001:db8::1"}
    if version in ("0.3.1", "0.4.0"):
        return [{"version": "4", **four}, {"version": "6", **six}]
    return [four, six]


def golden_routes(version: str) -> list[dict[str, Any]]:
    second: dict[str, Any] = {"dst": "2001:db8:1::/48", "gw": "2001:db8::fe"}
    return [{"dst": "0.0.0.0/0"}, {**second, "mtu": 9000} if version == "1.1.0" else second]


DNS = {"nameservers": ["192.0.2.53"], "search": ["example.org"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_vdpa(node: Node, version: str) -> None:
    node.pods.put(pod())
    result = node.good("ADD", vdpa_conf(cniVersion=version, MAC=MAC, ipam=DUAL))
    interface = {"name": "net1", "mac": MAC, "sandbox": NETNS}
    if version == "1.1.0":
        interface.update(socketPath=SOCKET, pciID=DEVICE)
    assert result == {
        "cniVersion": version,
        "interfaces": [interface],
        "ips": golden_ips(version),
        "routes": golden_routes(version),
        "dns": DNS,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_userspace(node: Node, version: str) -> None:
    node.pods.put(ovs_pod())
    result = node.good("ADD", userspace_conf(cniVersion=version, ipam=DUAL), "userspace")
    interface = {"name": "net1", "sandbox": NETNS}
    if version == "1.1.0":
        interface["socketPath"] = f"/var/run/openvswitch/pods/{UID}/{SHORT}-net1"
    assert result == {
        "cniVersion": version,
        "interfaces": [interface],
        "ips": golden_ips(version),
        "routes": golden_routes(version),
        "dns": DNS,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_vhostuser(node: Node, version: str) -> None:
    result = node.good("ADD", vhostuser_conf(cniVersion=version, ipam=DUAL), "vhostuser")
    mac = result["interfaces"][0]["mac"]
    assert int(mac[:2], 16) & 3 == 2
    interface = {"name": "net1", "mac": mac, "sandbox": NETNS}
    if version == "1.1.0":
        interface["socketPath"] = f"/var/lib/cni/vhostuser/{CONTAINER}/{SHORT}-net1"
    assert result["interfaces"] == [interface]
    assert (result["ips"], result["routes"]) == (golden_ips(version), golden_routes(version))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("plugin", ["vdpa", "userspace", "vhostuser"])
def test_version_is_answered_by_the_agent_too(node: Node, plugin: str, version: str) -> None:
    assert node.good("VERSION", {"cniVersion": version}, plugin) == {
        "cniVersion": version,
        "supportedVersions": VERSIONS,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_errors_carry_the_version_of_the_request(node: Node, version: str) -> None:
    error = node.bad("ADD", vdpa_conf(cniVersion=version, deviceID=None))
    assert error["cniVersion"] == version
    assert set(error) <= {"cniVersion", "code", "msg", "details"}


@pytest.mark.parametrize("version", [None, "0.1.0", "0.2.0", "0.3.0", "1.2.0", "2.0.0", "", 1, "1.0.0 ", ["1.0.0"]])
@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
def test_other_versions_are_refused(node: Node, version: Any, command: str) -> None:
    error = node.bad(command, vdpa_conf(cniVersion=version))
    assert (error["code"], error["cniVersion"]) == (1, "1.1.0")
    assert "0.3.1, 0.4.0, 1.0.0, 1.1.0" in error["details"]


@pytest.mark.parametrize(("command", "first"), [("CHECK", "0.4.0"), ("GC", "1.1.0"), ("STATUS", "1.1.0")])
def test_commands_exist_from_their_version_on(node: Node, command: str, first: str) -> None:
    for version in VERSIONS:
        answer = node.ask(command, vdpa_conf(cniVersion=version))
        too_old = not answer["ok"] and answer["error"]["code"] == 1
        assert too_old == (VERSIONS.index(version) < VERSIONS.index(first)), (command, version)


def test_result_of_a_plugin_before_comes_first(node: Node) -> None:
    node.pods.put(pod())
    former = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "sandbox": NETNS}, {"name": "veth1"}],
        "ips": [{"address": "10.0.0.2/24", "interface": 0}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}],
        "dns": {"domain": "cluster.local"},
    }
    conf = vdpa_conf(cniVersion="1.0.0", prevResult=former, IP="192.0.2.2", IPMask="24")
    result = node.good("ADD", conf)
    assert [each["name"] for each in result["interfaces"]] == ["eth0", "veth1", "net1"]
    assert result["ips"] == [
        {"address": "10.0.0.2/24", "interface": 0},
        {"address": "192.0.2.2/24", "interface": 2},
    ]
    assert (result["routes"], result["dns"]) == (former["routes"], former["dns"])


def test_annotation_is_what_readers_of_the_first_deployments_know(node: Node) -> None:
    """Addresses with their ``version``, which later specifications dropped; one array; no blanks and no '='."""
    node.pods.put(pod())
    node.good("ADD", vdpa_conf(cniVersion="1.1.0", MAC=MAC, IP="192.168.133.2", IPMask="255.255.255.0"))
    annotations = node.pods.annotations()
    assert annotations["userspace/mapped-dir"] == "/var/lib/cni/usrspcni"
    text = annotations["userspace/configuration-data"]
    assert json.loads(text) == [
        {
            "containerId": CONTAINER,
            "ifName": "net1",
            "name": "vdpa-network-a",
            "config": {
                "engine": "vDPA",
                "iftype": "vhostuser",
                "netType": "none",
                "memif": {},
                "vhost": {"mode": "client", "socketfile": "vdpa-0"},
                "bridge": {},
            },
            "ipResult": {
                "cniVersion": "0.4.0",
                "interfaces": [{"name": "net1", "mac": MAC, "sandbox": NETNS}],
                "ips": [{"version": "4", "interface": 0, "address": "192.168.133.2/24"}],
                "dns": {},
            },
        }
    ]
    assert not set(text) & set(" =\\\n")


def test_device_information_file(node: Node) -> None:
    node.pods.put(pod())
    node.good("ADD", vdpa_conf(runtimeConfig={"CNIDeviceInfoFile": DEVICE_INFO}))
    assert json.loads(node.box.files.read(DEVICE_INFO, 10000)) == {
        "type": "vhost-user",
        "version": "1.1.0",
        "vhost-user": {"mode": "client", "path": "/var/lib/cni/usrspcni/vdpa-0"},
    }


def test_ipam_plugin_gets_the_whole_request(node: Node) -> None:
    """The complete configuration on standard input, the same variables, and CNI_COMMAND."""
    node.pods.put(pod())
    conf = vdpa_conf(ipam=IPAM, args={"cni": {"labels": []}})
    node.good("ADD", conf)
    (argv, stdin, environment), *_rest = node.programs.calls
    assert argv == [str(node.bin_dir / "host-local")]
    assert json.loads(stdin) == conf
    assert environment == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": CONTAINER,
        "CNI_NETNS": NETNS,
        "CNI_IFNAME": "net1",
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=apps;K8S_POD_NAME=vdpa-pod-1;K8S_POD_UID={UID}",
        "CNI_PATH": str(node.bin_dir),
    }
    node.good("DEL", conf)
    assert [call[2]["CNI_COMMAND"] for call in node.programs.calls] == ["ADD", "DEL"]


addresses = st.one_of(st.ip_addresses(v=4).map(lambda ip: f"{ip}/24"), st.ip_addresses(v=6).map(lambda ip: f"{ip}/64"))
short_texts = st.text(max_size=5)
results = st.builds(
    Result,
    st.lists(st.builds(Interface, st.text(max_size=5), st.text(max_size=5), st.text(max_size=5)), max_size=3).map(
        tuple
    ),
    st.lists(st.builds(Address, addresses, st.just(""), st.integers(0, 3)), max_size=3).map(tuple),
    st.lists(st.builds(Route, st.just("198.51.100.0/24"), st.just("192.0.2.1")), max_size=2).map(tuple),
    st.sampled_from([{}, DNS]),
)


@given(results, st.sampled_from(VERSIONS))
def test_what_is_rendered_can_be_parsed(result: Result, version: str) -> None:
    assert parse_result(result.render(version), "x").render(version) == result.render(version)


@pytest.mark.parametrize(
    "value",
    [
        [],
        None,
        "x",
        {"ips": {}},
        {"ips": [1]},
        {"ips": [{}]},
        {"ips": [{"address": "192.0.2.1"}]},
        {"ips": [{"address": "192.0.2.1/99"}]},
        {"ips": [{"address": "192.0.2.1/24", "gateway": "x"}]},
        {"ips": [{"address": "192.0.2.1/24", "interface": -1}]},
        {"ips": [{"address": "192.0.2.1/24", "interface": True}]},
        {"routes": [{"dst": "nowhere"}]},
        {"routes": [{"dst": "0.0.0.0/0", "mtu": "9000"}]},
        {"interfaces": [{"name": 1}]},
        {"dns": []},
        {"dns": {"nameservers": "x"}},
        {"dns": {"domain": 1}},
    ],
)
def test_result_that_is_none_is_told(value: Any) -> None:
    with pytest.raises(CniError) as raised:
        parse_result(value, "the answer of IPAM plugin x")
    assert raised.value.code == 6 and "IPAM plugin x" in raised.value.message
