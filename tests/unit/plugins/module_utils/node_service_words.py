# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words in which tests of a node's service speak of it."""

from __future__ import annotations

from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._node_service import NodeService
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster

IGB = "nfv.fastpath/igb"
IN_SERVICE = {"unschedulable": False, "taints": []}


def service(**more: Any) -> NodeService:
    return NodeService("node1", **{"reason": "VFs change", "now": lambda: "now", **more})


def state(cluster: FakeCluster) -> dict[str, Any]:
    item = cluster.find("Node", "node1")
    annotations = {key.split("/")[1]: value for key, value in item["metadata"]["annotations"].items()}
    taints = [taint["key"] for taint in item["spec"].get("taints") or ()]
    return {**annotations, "unschedulable": item["spec"].get("unschedulable", False), "taints": taints}
