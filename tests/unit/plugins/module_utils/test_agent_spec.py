# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node agent as users ask for it: what is taken, and one sentence for each thing that is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import AgentSpec, parse_agent
from fastpath_agent.config import parse as agent_reads


def accepted(text: str) -> AgentSpec:
    spec, problems = parse_agent(yaml.safe_load(text))
    assert problems == []
    return spec


def refused(text: str) -> list[str]:
    return [str(problem) for problem in parse_agent(yaml.safe_load(text))[1]]


def test_nothing_is_no_agent():
    assert parse_agent(None) == (AgentSpec(), [])
    assert accepted("pools: []").pools == ()


def test_three_back_ends():
    spec = accepted(
        """
        pools:
          - {name: vdpa_a}
          - {name: cloud_a, backend: translate, queues: 2, user: 1000}
          - {name: ovs_a, backend: ovs, bridge: br-dpdk, vlan: 100, ports: 8}
          - {name: ovs_b, backend: ovs, bridge: br-dpdk}
        vdpa: {cpus: "2", memory_mib: 32}
        translate: {forwarding_cpus: 4-7}
        listen: ":9465"
        """
    )
    assert [(pool.backend, pool.mode, pool.ports) for pool in spec.pools] == [
        ("vdpa", "client", 0),
        ("translate", "client", 0),
        ("ovs", "server", 8),
        ("ovs", "server", 16),
    ]
    assert spec.vdpa.as_json() == {"cpus": "2", "memory_mib": 32}
    assert spec.translate.as_json() == {"forwarding_cpus": "4-7", "memory_mib": 128}
    assert spec.cpus == {
        "fastpath_node_agent.vdpa.cpus": (2,),
        "fastpath_node_agent.translate.forwarding_cpus": (4, 5, 6, 7),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "fastpath_node_agent = []: must be a mapping"),
        ("{pool: []}", "fastpath_node_agent.pool = []: is no known key. Did you mean pools?"),
        ("{pools: [a]}", "pools[0] = 'a': must be a mapping with the keys name and backend"),
        ("{pools: [{backend: vdpa}]}", "pools[0].name = None: is missing"),
        ("{pools: [{name: a, backend: dpdk}]}", "pools[0].backend = 'dpdk': must be one of vdpa, translate, ovs"),
        (
            "{pools: [{name: a, bridge: br0}]}",
            "pools[0].bridge = 'br0': is for the back end ovs, and this pool has vdpa",
        ),
        ("{pools: [{name: a, backend: ovs}]}", "pools[0].bridge = None: is missing"),
        ("{pools: [{name: a, backend: ovs, bridge: b, mode: client}]}", "pools[0].mode = 'client': cannot be had"),
        ("{pools: [{name: a, backend: ovs, bridge: b, ports: 0}]}", "pools[0].ports = 0: must be from 1 to 1024"),
        ("{pools: [{name: a, backend: ovs, bridge: b, devargs: x=1}]}", "is for the back end vdpa or translate"),
        ("{pools: [{name: a}, {name: a, backend: translate}]}", "pools[1].name = 'a': is also the name of"),
        ("{vdpa: {cpus: 0-1}}", "vdpa.cpus = '0-1': has CPU 0"),
        ("{vdpa: {forwarding_cpus: 1}}", "vdpa.forwarding_cpus = 1: is no known key"),
        ("{translate: {cpus: '1-2', forwarding_cpus: '2'}}", "has CPU 2, which is in cpus too"),
        ("{translate: 4}", "translate = 4: must be a mapping"),
        ("{vdpa: {eal_args: [a b]}}", "must be a list of arguments without blanks"),
        ("{listen: 9465}", "listen = 9465: must be an address and a port in quotes"),
        ("{grpc_users: root}", "grpc_users = 'root': must be a list of user numbers"),
        ("{pools: [{name: a, label: x}]}", "label = 'x': must be an SELinux context"),
    ],
)
def test_what_cannot_be_is_said(text, said):
    assert any(said in problem for problem in refused(text)), refused(text)


def test_the_agent_takes_what_is_taken_here():
    """The same words in both: values of a pool and of a program go over as they are."""
    given: dict[str, Any] = {
        "pools": [
            {"name": "a", "devargs": "class=vdpa", "queues": 4, "user": 1, "group": 2, "label": "a:b:c:s0"},
            {"name": "b", "backend": "ovs", "bridge": "br0", "vlan": 4094},
        ],
        "vdpa": {"cpus": "1", "memory_mib": 8, "eal_args": ["--no-huge"], "app_args": ["-x"], "start_seconds": 5},
        "translate": {"forwarding_cpus": "2,3"},
        "grpc_users": [0, 107],
        "grpc": False,
        "whole_folders": True,
        "listen": "[::1]:1",
    }
    spec, problems = parse_agent(given)
    assert problems == []
    config = agent_reads(
        json.loads(
            json.dumps(
                {
                    "pools": given["pools"],
                    "vdpa": spec.vdpa.as_json(),
                    "translate": spec.translate.as_json(),
                    "listen": spec.listen,
                    "grpc_users": list(spec.grpc_users),
                }
            )
        )
    )
    assert config.vdpa.cpus == spec.vdpa.cpus and config.translate.forwarding_cpus == spec.translate.forwarding_cpus
    assert [pool.name for pool in config.pools] == ["a", "b"]
