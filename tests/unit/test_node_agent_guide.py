# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node agent's guide shows what is taken, and names every key."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils import _agent_spec, _host_nic_spec
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import parse_agent
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_spec import ClusterSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._image_builds import parse_builds
from ansible_collections.nfv.fastpath.plugins.plugin_utils._own_images import OWN

CHECKOUT = Path(__file__).resolve().parents[2]
GUIDE = (CHECKOUT / "docs/guides/node_agent.md").read_text()
README = (CHECKOUT / "roles/node_agent/README.md").read_text()


def blocks(text: str) -> list[dict]:
    return [yaml.safe_load(block.split("```")[0]) for block in text.split("```yaml\n")[1:]]


def test_the_whole_example_is_valid():
    (whole,) = [block for block in blocks(GUIDE) if "fastpath_sriov" in block]
    spec = ClusterSpec({"n1": whole})
    assert spec.problems == []
    assert spec.allocatable("n1") == {"nfv.fastpath/cloud_a": 2, "nfv.fastpath/ovs_a": 8, "nfv.fastpath/vdpa_a": 4}


def test_the_pod_asks_for_what_there_is():
    (pod,) = [block for block in blocks(GUIDE) if block.get("kind") == "Pod"]
    (container,) = pod["spec"]["containers"]
    assert container["volumeMounts"][0]["subPathExpr"] == "$(POD_UID)"
    assert {"nfv.fastpath/vdpa_a", "hugepages-2Mi", "memory"} == set(container["resources"]["limits"])


def test_addresses():
    (given,) = [block for block in blocks(GUIDE) if "host_nic" in block.get("fastpath_node_agent", {})]
    spec, problems = parse_agent(given["fastpath_node_agent"])
    assert problems == [] and spec.host_nic[0].per_node == 8


def test_the_image():
    (given,) = [block for block in blocks(GUIDE) if "fastpath_image_builds" in block]
    (entry,) = given["fastpath_image_builds"]
    assert entry["own"] in OWN
    assert parse_builds([{**{key: entry[key] for key in ("name", "tag")}, "context": "/x"}])


def test_every_key_is_in_the_guide():
    words = set(re.findall(r"`([^`]*)`", GUIDE)) | set(re.findall(r"\b[a-z_]+\b", GUIDE))
    keys = {*_agent_spec.TOP_KEYS, *_agent_spec._POOL_KEYS, *_agent_spec._PROGRAM_KEYS, *_host_nic_spec.KEYS}
    assert keys <= words, keys - words


def test_the_roles_example():
    _play, given = blocks(README)
    given["fastpath_ovs"] = {"other_config": {"dpdk-init": True}, "bridges": [{"name": "br-dpdk"}]}
    assert ClusterSpec({"n1": given}).problems == []
