# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a spec of the kubelet; amounts of memory, and where they are reserved."""

from __future__ import annotations

from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_spec import (
    NumaNode,
    parse_kubelet,
    parse_quantity,
    place_memory,
    show_bytes,
)
from ansible_collections.nfv.fastpath.tests.unit.kubelet_node import GIB
from hypothesis import given
from hypothesis import strategies as st


def test_every_problem_at_once():
    _spec, problems = parse_kubelet(
        {
            "cpu_manger": "static",
            "cpu_manager": "static",
            "topology_manager": "numa",
            "topology_scope": 3,
            "memory_manager": "none",
            "reserved_cpus": "5-2",
            "reserved_memory": {"a": "1Gi", 0: "much"},
            "kube_reserved": {"memory": "1X", "gpu": "1", "cpu": "some"},
            "system_reserved": "1Gi",
            "eviction_hard": {"memory.available": "few"},
            "cpu_manager_options": {"a": []},
            "config": {"evictionHard": {}, "kind": "x", "maxPods": 3},
        }
    )
    assert {problem.variable.removeprefix("fastpath_kubelet.") for problem in problems} == {
        "cpu_manger",
        "cpu_manager",
        "topology_manager",
        "topology_scope",
        "reserved_cpus",
        "reserved_memory.a",
        "reserved_memory.0",
        "reserved_memory",
        "kube_reserved.memory",
        "kube_reserved.gpu",
        "kube_reserved.cpu",
        "system_reserved",
        "eviction_hard.memory.available",
        "cpu_manager_options.a",
        "config.evictionHard",
        "config.kind",
    }
    assert parse_kubelet([])[1] and parse_kubelet({"cpu_manager_options": {"x": "y"}})[1]
    assert parse_kubelet(None) == parse_kubelet({})


def test_quantities():
    assert [parse_quantity(text) for text in ("1Ki", "2M", 5, "3Gi")] == [1024, 2 * 10**6, 5, 3 * GIB]
    assert [parse_quantity(text) for text in ("1.5Gi", "", None, True, "-1", "1gi")] == [None] * 6
    assert (show_bytes(3 * GIB), show_bytes(7)) == ("3072Mi", "7")


AMOUNTS = st.integers(0, 2000).map(lambda size: f"{size}Mi") | st.integers(0, GIB).map(str)


@given(
    kube=AMOUNTS,
    system=AMOUNTS,
    eviction=st.sampled_from(["100Mi", "1%", "2.5%", "333333"]),
    cpus=st.sets(st.integers(0, 7), min_size=1, max_size=7),
)
def test_the_sum_is_right_to_the_byte(kube, system, eviction, cpus):
    spec, problems = parse_kubelet(
        {
            "memory_manager": "Static",
            "reserved_cpus": sorted(cpus),
            "kube_reserved": {"memory": kube},
            "system_reserved": {"memory": system},
            "eviction_hard": {"memory.available": eviction},
        }
    )
    assert problems == []
    numa = {0: NumaNode(8 * GIB, (0, 1, 2, 3)), 1: NumaNode(8 * GIB, (4, 5, 6, 7))}
    placed, wrong = place_memory(spec, numa, 16 * GIB + 4096)
    assert wrong == []
    assert sum(placed.values()) == spec.reserved_bytes(16 * GIB + 4096)
    assert {number for number, size in placed.items() if size} <= {cpu // 4 for cpu in cpus}
