# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node agent among the other layers of a node."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_checks import (
    Around,
    check_agent,
    device_counts,
    memory_need,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import parse_agent
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import parse_node_pools
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import parse_hugepages
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import parse_ovs

SRIOV = """
- pf: {address: "0000:01:00.0"}
  num_vfs: 6
  vfs:
    - {indexes: 0-1, driver: vfio-pci, pool: fast}
    - {indexes: 2-3, driver: kernel, pool: plain}
    - {indexes: "4", driver: igb_uio, pool: uio}
"""
VDPA = '[{pf: {address: "0000:02:00.0"}, indexes: "0", pool: of_kernel}]'
OVS = """
other_config: {dpdk-init: true, pmd-cpu-mask: "3"}
bridges: [{name: br-dpdk}, {name: br-lan, datapath_type: system}]
"""


def around(pages: str = "[{size: 2M, count: 512}]", ovs: str = OVS, **kubelet: Any) -> Around:
    pools, wrong = parse_node_pools(yaml.safe_load(SRIOV), yaml.safe_load(VDPA), ["by_hand"])
    of_ovs, of_ovs_problems = parse_ovs(yaml.safe_load(ovs))
    found, of_pages = parse_hugepages(yaml.safe_load(pages))
    assert not [*wrong, *of_ovs_problems, *of_pages]
    return Around(pools, of_ovs, found, kubelet)


def problems(text: str, beside: Around | None = None) -> list[str]:
    spec, wrong = parse_agent(yaml.safe_load(text))
    assert wrong == []
    return [str(problem) for problem in check_agent(spec, beside or around())]


@pytest.mark.parametrize(
    "text",
    [
        "{pools: [{name: fast}], vdpa: {cpus: '1'}}",
        "{pools: [{name: fast, backend: translate}], translate: {forwarding_cpus: 1-2}}",
        "{pools: [{name: uio, backend: translate}]}",
        "{pools: [{name: plain, devargs: class=vdpa}]}",
        "{pools: [{name: ports, backend: ovs, bridge: br-dpdk}]}",
    ],
)
def test_what_fits(text):
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{pools: [{name: fats}]}", "pools[0].name = 'fats': is no pool of VFs. Did you mean fast?"),
        ("{pools: [{name: plain}]}", "has VFs with the driver kernel (fastpath_sriov[0].vfs[1])"),
        ("{pools: [{name: uio}]}", "has VFs with the driver igb_uio"),
        ("{pools: [{name: of_kernel}]}", "has vDPA devices of the kernel (fastpath_vdpa[0])"),
        ("{pools: [{name: by_hand}]}", "has selectors in fastpath_pools"),
        ("{pools: [{name: fast, backend: ovs, bridge: br-dpdk}]}", "is a pool of devices in fastpath_sriov[0].vfs[0]"),
        ("{pools: [{name: p, backend: ovs, bridge: br-dpd}]}", "is no bridge of fastpath_ovs. Did you mean br-dpdk?"),
        ("{pools: [{name: p, backend: ovs, bridge: br-lan}]}", "has datapath_type system"),
        (
            "{pools: [{name: fast, backend: translate}], translate: {forwarding_cpus: '1'}}",
            "are 1 CPUs for 2 devices",
        ),
        (
            "{pools: [{name: fast, backend: translate}], translate: {forwarding_cpus: 3-4}}",
            "has CPU 3, on which Open vSwitch polls",
        ),
    ],
)
def test_what_does_not_fit(text, said):
    assert any(said in problem for problem in problems(text)), problems(text)


def test_a_bridge_needs_dpdk():
    (said,) = problems("{pools: [{name: p, backend: ovs, bridge: b}]}", around(ovs="{bridges: [{name: b}]}"))
    assert "dpdk-init" in said


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ("[]", "fastpath_hugepages has none"),
        ("[{size: 2M, count: 63}]", "takes 64 pages of 2048 kB, and fastpath_hugepages has 63"),
        ("[{size: 1G, count: 1}]", "takes 2 pages of 1048576 kB, and fastpath_hugepages has 1"),
    ],
)
def test_pages_for_every_process(pages, said):
    (problem,) = problems("{pools: [{name: fast}]}", around(pages))
    assert said in problem
    assert problems("{pools: [{name: fast}], vdpa: {eal_args: [--no-huge]}}", around(pages)) == []


def test_each_process_has_whole_pages():
    spec, _none = parse_agent({"pools": [{"name": "fast"}], "vdpa": {"memory_mib": 65}})
    assert memory_need(spec, device_counts(spec, around().pools), 2048) == 2 * 33


def test_cpus_that_a_pod_may_get_alone():
    text = "{pools: [{name: fast}], vdpa: {cpus: 1-2}}"
    assert problems(text, around(cpu_manager="static", reserved_cpus="0-2")) == []
    (said,) = problems(text, around(cpu_manager="static", reserved_cpus="0-1"))
    assert "fastpath_node_agent.vdpa.cpus = '1-2': has CPU 2, which the kubelet may give to a pod alone" in said
    assert problems(text, around(cpu_manager="none")) == []
