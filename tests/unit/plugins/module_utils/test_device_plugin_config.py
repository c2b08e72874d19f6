# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The device plugin's configuration: right by its schema, and each pool gets exactly its devices."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_config import (
    EMPTY,
    Group,
    PoolOptions,
    as_text,
    checksum,
    group_nodes,
    node_config,
    parse_pools,
    parse_prefix,
    ranges,
    resource_names,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_schema import check_config
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import PoolDevices
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.tests.unit.device_plugin_model import Vf, advertised
from hypothesis import given
from hypothesis import strategies as st

IGB, OTHER = "0000:81:00.0", "0000:01:00.0"


def part(pool: str, pf: str, *indexes: int, driver: str | None = "kernel", vdpa: str | None = None) -> PoolDevices:
    return PoolDevices(pool, pf, indexes, driver, vdpa, variable=f"{pool} on {pf}")


def test_a_node_of_the_lab():
    config = node_config(
        [
            part("igb_dpdk", IGB, 0, 1, driver="vfio-pci"),
            part("igb_kernel", IGB, 2, 3),
            part("igb_kernel", IGB, 4, 5),
            part("igb_kernel", OTHER, 0),
            part("vdpa_vhost", "0000:02:00.0", 0, vdpa="vhost"),
        ],
        prefix="intel.com",
    )
    assert config == {
        "resourceList": [
            {
                "resourceName": "igb_dpdk",
                "resourcePrefix": "intel.com",
                "selectors": {"rootDevices": [f"{IGB}#0-1"], "drivers": ["vfio-pci"]},
            },
            {
                "resourceName": "igb_kernel",
                "resourcePrefix": "intel.com",
                "selectors": {"rootDevices": [f"{OTHER}#0", f"{IGB}#2-5"]},
            },
            {
                "resourceName": "vdpa_vhost",
                "resourcePrefix": "intel.com",
                "selectors": {"rootDevices": ["0000:02:00.0#0"], "vdpaType": "vhost"},
            },
        ]
    }


def test_no_pool_at_all_is_right_and_runs_nowhere():
    assert node_config([]) == EMPTY
    assert check_config(EMPTY) == []
    assert group_nodes({"node1": as_text(EMPTY), "node2": as_text(EMPTY)}) == ()


def test_what_a_user_adds_to_a_pool():
    options, problems = parse_pools(
        {
            "igb_dpdk": {
                "resource_prefix": "intel.com",
                "exclude_topology": True,
                "additional_info": {"*": {"rack": "7"}},
                "selectors": {"needVhostNet": True},
            }
        }
    )
    assert problems == []
    (entry,) = node_config([part("igb_dpdk", IGB, 0, driver="vfio-pci")], options)["resourceList"]
    assert entry == {
        "resourceName": "igb_dpdk",
        "resourcePrefix": "intel.com",
        "excludeTopology": True,
        "additionalInfo": {"*": {"rack": "7"}},
        "selectors": {"rootDevices": [f"{IGB}#0"], "drivers": ["vfio-pci"], "needVhostNet": True},
    }


def test_several_selectors_are_a_list():
    both = [{"vendors": ["8086"]}, {"vendors": ["15b3"]}]
    options, problems = parse_pools({"nic": {"selectors": both}})
    assert (node_config([], options)["resourceList"][0]["selectors"], problems) == (both, [])


def test_devices_that_the_collection_did_not_make():
    options, problems = parse_pools(
        {"fpga": {"device_type": "accelerator", "selectors": [{"vendors": ["8086"], "devices": ["0d90"]}]}}
    )
    assert problems == []
    (entry,) = node_config([], options, "example.com")["resourceList"]
    assert entry == {
        "resourceName": "fpga",
        "resourcePrefix": "example.com",
        "deviceType": "accelerator",
        "selectors": {"vendors": ["8086"], "devices": ["0d90"]},
    }


def test_options_of_a_pool_that_a_node_does_not_have():
    options, _problems = parse_pools({"igb_dpdk": {"exclude_topology": True}})
    assert node_config([], options) == EMPTY


@pytest.mark.parametrize(
    ("spec", "variable", "words"),
    [
        ([], "fastpath_pools", "must be a mapping"),
        ({"a.b": {}}, "fastpath_pools.a.b", "must be the name of a Kubernetes resource"),
        ({"a": None}, "fastpath_pools.a", "must be a mapping"),
        ({"a": {"exclude_topolgy": "x"}}, "fastpath_pools.a.exclude_topolgy", "Did you mean exclude_topology?"),
        ({"a": {"resource_prefix": "Intel"}}, "fastpath_pools.a.resource_prefix", "domain in lower case"),
        ({"a": {"exclude_topology": 3}}, "fastpath_pools.a.exclude_topology", "true or false"),
        ({"a": {"device_type": "nic"}}, "fastpath_pools.a.device_type", "must be one of"),
        ({"a": {"additional_info": []}}, "fastpath_pools.a.additional_info", "texts by device"),
        ({"a": {"selectors": "x"}}, "fastpath_pools.a.selectors", "a mapping, or a list"),
        ({"a": {"selectors": []}}, "fastpath_pools.a.selectors", "at least one"),
        ({"a": {"selectors": {"needVhostNett": True}}}, "fastpath_pools.a.selectors.needVhostNett", "needVhostNet?"),
        ({"a": {"selectors": {"drivers": ["x"]}}}, "fastpath_pools.a.selectors.drivers", "is computed from"),
        ({"a": {"selectors": [{"drivers": "x"}]}}, "fastpath_pools.a.selectors[0].drivers", "must be a list"),
        ({"a": {"selectors": [{}]}}, "fastpath_pools.a.selectors[0]", "takes every network device"),
    ],
)
def test_what_is_refused(spec, variable, words):
    _options, problems = parse_pools(spec)
    (problem,) = problems
    assert problem.variable == variable
    assert words in problem.message


def test_nothing_special():
    assert parse_pools(None) == ({}, [])
    assert parse_pools({"a": {}}) == ({"a": PoolOptions()}, [])


def test_two_pools_with_one_vf_are_refused():
    with pytest.raises(Refused) as refused:
        node_config([part("a", IGB, 0, 1), part("b", IGB, 1)])
    (problem,) = refused.value.problems
    assert problem.value == "b"
    assert "claims VF 1 of 0000:81:00.0" in problem.message


def test_a_selector_that_does_not_fit_the_kind_is_refused():
    options, _problems = parse_pools({"a": {"device_type": "accelerator"}})
    with pytest.raises(Refused, match="rootDevices.*is no selector for accelerator"):
        node_config([part("a", IGB, 0)], options)


def test_nodes_that_are_built_alike_are_one_group():
    same, other = as_text(node_config([part("a", IGB, 0)])), as_text(node_config([part("a", OTHER, 0)]))
    groups = group_nodes({"n3": same, "n1": same, "n2": other, "n4": as_text(EMPTY)})
    assert {group.nodes for group in groups} == {("n1", "n3"), ("n2",)}
    assert {group.config for group in groups} == {same, other}
    assert all(group == Group(checksum(group.config)[:10], group.config, group.nodes) for group in groups)


def test_the_order_of_the_input_does_not_matter():
    parts = [part("a", IGB, 1, 0), part("a", OTHER, 3), part("b", IGB, 2)]
    assert as_text(node_config(parts)) == as_text(node_config(reversed(parts)))


def test_names_of_resources():
    options, _problems = parse_pools({"b": {"resource_prefix": "intel.com"}})
    assert resource_names(["b", "a"], options, "example.com") == {"a": "example.com/a", "b": "intel.com/b"}


def test_the_prefix_of_all():
    assert parse_prefix("intel.com") == ("intel.com", [])
    _prefix, (problem,) = parse_prefix("intel.com/")
    assert problem.variable == "fastpath_resource_prefix"


INDEXES = st.sets(st.integers(0, 20), min_size=1)


@given(INDEXES)
def test_ranges_name_each_index_once(indexes):
    seen = []
    for span in ranges(indexes).split(","):
        ends = [int(end) for end in span.split("-")]
        seen += list(range(ends[0], ends[-1] + 1))
    assert seen == sorted(indexes)


@st.composite
def nodes(draw: st.DrawFn) -> tuple[list[PoolDevices], list[Vf]]:
    """Any node: VFs of some PFs, each in one pool or in none, and the pools as the collection would see them."""
    parts: list[PoolDevices] = []
    vfs: list[Vf] = []
    kinds = {
        name: draw(st.sampled_from([("kernel", None), ("vfio-pci", None), ("kernel", "vhost"), ("kernel", "virtio")]))
        for name in ("a", "b", "c")
    }
    for pf in draw(st.sets(st.sampled_from([IGB, OTHER, "0000:02:00.0"]))):
        members: dict[str, list[int]] = {}
        for index in range(draw(st.integers(0, 8))):
            pool = draw(st.sampled_from(["a", "b", "c", None]))
            driver, vdpa = kinds[pool] if pool else (draw(st.sampled_from(["kernel", "vfio-pci"])), None)
            vfs.append(Vf(pf, index, "igbvf" if driver == "kernel" else driver, vdpa))
            if pool:
                members.setdefault(pool, []).append(index)
        for pool, indexes in members.items():
            cut = draw(st.integers(0, len(indexes)))
            halves = [half for half in (indexes[:cut], indexes[cut:]) if half]
            parts += [part(pool, pf, *half, driver=kinds[pool][0], vdpa=kinds[pool][1]) for half in halves]
    return parts, vfs


@given(nodes())
def test_the_plugin_advertises_exactly_what_the_pools_say(node):
    parts, vfs = node
    config = node_config(parts, prefix="example.com")
    assert check_config(config) == []
    wanted: dict[str, set[tuple[str, int]]] = {}
    for item in parts:
        wanted.setdefault(f"example.com/{item.pool}", set()).update((item.pf, index) for index in item.indexes)
    assert advertised(as_text(config), vfs) == wanted


@given(nodes())
def test_a_device_with_another_driver_than_its_pool_is_not_handed_out(node):
    parts, vfs = node
    wrong = [Vf(vf.pf, vf.index, "uio_pci_generic", vf.vdpa) for vf in vfs]
    explicit = {f"nfv.fastpath/{item.pool}" for item in parts if item.driver == "vfio-pci"}
    assert not explicit & set(advertised(as_text(node_config(parts)), wrong))


def test_the_text_is_json_and_always_the_same():
    config = node_config([part("a", IGB, 0)])
    assert json.loads(as_text(config)) == config
    assert as_text(config) == as_text(json.loads(as_text(config)))
