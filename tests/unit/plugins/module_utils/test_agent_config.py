# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an agent is given is what it takes, and is the same text for nodes that are built alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_config import (
    AgentPod,
    agent_pod,
    parse_pod,
    quantity,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import parse_agent
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_config import PoolOptions
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import PoolDevices
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import Pool as Pages
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from fastpath_agent.config import parse as agent_reads
from fastpath_agent.device_map import listed_by_pools

PF = "0000:02:00.0"
DEVICES = (
    PoolDevices("vdpa_a", PF, (0, 1, 3), "vfio-pci"),
    PoolDevices("cloud_a", PF, (2,), "vfio-pci"),
    PoolDevices("others", PF, (4,), "kernel"),
)
AGENT = {
    "pools": [
        {"name": "vdpa_a", "devargs": "vdpa=1,sw-live-migration=1"},
        {"name": "cloud_a", "backend": "translate", "queues": 2},
        {"name": "ovs_a", "backend": "ovs", "bridge": "br0", "vlan": 7, "ports": 8},
    ]
}
SMALL, LARGE = Pages(2048, 1024), Pages(1024 * 1024, 8)


def pod(given: dict[str, Any] | None = None, pages: tuple[Pages, ...] = (SMALL,), **names: Any) -> AgentPod | None:
    spec, problems = parse_agent(AGENT if given is None else given)
    assert problems == []
    options = {name: PoolOptions(prefix=prefix) for name, prefix in names.items()}
    return agent_pod(spec, DEVICES, pages, (options, "example.com"))


def test_the_agent_takes_it_and_means_the_same_devices():
    config = agent_reads(json.loads(pod().config))
    assert [(pool.name, pool.backend, pool.mode) for pool in config.pools] == [
        ("vdpa_a", "vdpa", "client"),
        ("cloud_a", "translate", "client"),
        ("ovs_a", "ovs", "server"),
    ]
    functions = [PciDevice(address=PF, class_id="020000", virtfns=("x",))]
    functions += [
        PciDevice(address=f"0000:02:00.{index + 1}", class_id="020000", driver="vfio-pci", physfn=PF, vf_index=index)
        for index in range(5)
    ]
    assert listed_by_pools(config, functions) == ("0000:02:00.1", "0000:02:00.2", "0000:02:00.4")


def test_what_the_pod_needs():
    made = pod(ovs_a="other.example.com")
    assert (made.devices, made.ovs) == (True, True)
    assert made.ports == {"other.example.com/ovs_a": 8}
    assert made.resources == ("example.com/cloud_a", "example.com/vdpa_a", "other.example.com/ovs_a")
    assert parse_pod({"config.json": made.config, "pod.json": made.needs}) == made


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [
        ("127.0.0.1:9465", "127.0.0.1", 9465),
        (":9465", "127.0.0.1", 9465),
        ("0.0.0.0:80", "127.0.0.1", 80),
        ("[::]:80", "::1", 80),
        ("[fd00::1]:80", "fd00::1", 80),
    ],
)
def test_the_kubelet_asks_it_where_it_listens(listen, host, port):
    assert pod({**AGENT, "listen": listen}).as_json()["probe"] == {"host": host, "port": port}


@pytest.mark.parametrize("config", ["", "{}", '{"listen": "nowhere"}'])
def test_a_configuration_that_somebody_edited_is_not_understood(config):
    assert parse_pod({"config.json": config, "pod.json": pod().needs}) is None


@pytest.mark.parametrize(
    ("pages", "wanted"),
    [
        # Three devices with 64 MiB, one with 128.
        ((SMALL,), {"hugepages-2Mi": "320Mi"}),
        ((LARGE, SMALL), {"hugepages-2Mi": "320Mi"}),
        ((LARGE,), {"hugepages-1Gi": "4Gi"}),
        ((), {}),
    ],
)
def test_hugepages(pages, wanted):
    assert pod(pages=pages).hugepages == wanted


def test_without_pools_there_is_no_agent():
    assert pod({"pools": []}) is None


def test_ports_need_no_device():
    made = pod({"pools": [AGENT["pools"][2]]})
    assert (made.devices, made.ovs, made.hugepages) == (False, True, {})


def test_a_group_is_what_it_is_given():
    assert pod().group == pod().group
    assert pod().group != pod(pages=(LARGE,)).group
    assert pod().group != pod({**AGENT, "grpc": False}).group


@pytest.mark.parametrize("data", [{}, {"config.json": "{}"}, {"config.json": "{}", "pod.json": "[]"}])
def test_an_edited_map_says_nothing(data):
    assert parse_pod(data) is None


@pytest.mark.parametrize(("size", "text"), [(2048, "2Mi"), (1048576, "1Gi"), (1572864, "1536Mi"), (64, "64Ki")])
def test_amounts_as_the_api_server_has_them(size, text):
    assert quantity(size) == text
