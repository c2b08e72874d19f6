# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import pod, vdpa_conf


def test_add_and_del(node: Node) -> None:
    node.pods.put(pod())
    before = node.left()
    result = node.good("ADD", vdpa_conf())
    print(result, node.left())
    node.good("DEL", vdpa_conf())
    assert node.left() == before
