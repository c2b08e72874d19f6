# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guides of the cluster's part show is what the code takes and makes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_spec import ClusterSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_config import (
    COMPUTED,
    OPTION_FIELDS,
    node_config,
    parse_pools,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_schema import NET_DEVICE, SELECTOR_KEYS
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import PoolDevices, parse_node_pools
from ansible_collections.nfv.fastpath.plugins.module_utils._images import image
from ansible_collections.nfv.fastpath.plugins.module_utils._network_ipam import KNOWN_KEYS
from ansible_collections.nfv.fastpath.plugins.module_utils._network_spec import COMMON_KEYS, TYPE_FIELDS

CHECKOUT = Path(__file__).resolve().parents[2]
GUIDES = CHECKOUT / "docs/guides"
DEVICE_PLUGIN, NETWORKS, CLUSTER = (
    (GUIDES / f"{name}.md").read_text() for name in ("device_plugin", "networks", "bring_your_own_cluster")
)
PFS = {"": "0000:0b:00.0", "0000:81:00.0": "0000:81:00.0"}


def blocks(text: str, language: str) -> list[str]:
    return [block.split("```")[0] for block in text.split(f"```{language}\n")[1:]]


def words(text: str) -> set[str]:
    return {word for word in re.findall(r"`([^`]*)`", text) for word in [word.strip('"')]}


@pytest.mark.parametrize("text", [DEVICE_PLUGIN, NETWORKS], ids=["device_plugin", "networks"])
def test_examples_are_valid(text):
    specs = [value for block in blocks(text, "yaml") for value in [yaml.safe_load(block)] if "fastpath_sriov" in value]
    assert specs
    for spec in specs:
        assert ClusterSpec({"n1": spec}).problems == []


def test_examples_of_roles_are_valid():
    for role in ("networks", "device_plugin"):
        play, inventory = blocks((CHECKOUT / f"roles/{role}/README.md").read_text(), "yaml")
        given = yaml.safe_load(inventory)
        assert "vars" not in yaml.safe_load(play)[0], "other nodes would not see them"
        pools = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "pool": "igb_kernel"}]}]
        assert ClusterSpec({"n1": {"fastpath_sriov": pools, **given}}).problems == []


def test_the_configuration_is_what_the_spec_gives():
    spec = yaml.safe_load(blocks(DEVICE_PLUGIN, "yaml")[0])
    pools, problems = parse_node_pools(spec["fastpath_sriov"], spec["fastpath_vdpa"])
    assert problems == []
    devices = [
        PoolDevices(part.pool, PFS[part.selector.address or ""], part.indexes, part.driver, part.vdpa)
        for part in pools.slices
    ]
    shown = json.loads(blocks(DEVICE_PLUGIN, "json")[0])
    assert node_config(devices, {}, spec["fastpath_resource_prefix"]) == shown


def test_further_pools_are_valid():
    assert parse_pools(yaml.safe_load(blocks(DEVICE_PLUGIN, "yaml")[1])["fastpath_pools"])[1] == []


def test_every_key_is_in_its_guide():
    own = set(SELECTOR_KEYS[NET_DEVICE]) - set(COMPUTED)
    assert words(DEVICE_PLUGIN) >= {*OPTION_FIELDS, *SELECTOR_KEYS, *own}
    of_types = {key for fields in TYPE_FIELDS.values() for key in fields}
    of_addresses = {key for keys in KNOWN_KEYS.values() for key in keys}
    assert words(NETWORKS) >= {*COMMON_KEYS, *TYPE_FIELDS, *KNOWN_KEYS, *of_types, *of_addresses}


def test_images_are_called_as_in_the_guide():
    line = next(line for line in CLUSTER.splitlines() if line.startswith("| `fastpath_images`"))
    for name in words(line) - {"fastpath_images", "{}"}:
        assert image(name)
