# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests that no runtime should send, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    vdpa_conf,
)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("CNI_CONTAINERID", "", "[CNI_CONTAINERID] missing"),
        ("CNI_IFNAME", "", "[CNI_IFNAME] missing"),
        ("CNI_NETNS", "", "[CNI_NETNS] missing"),
        ("CNI_CONTAINERID", "../../etc", "CNI_CONTAINERID"),
        ("CNI_CONTAINERID", "-x", "CNI_CONTAINERID"),
        ("CNI_CONTAINERID", "x" * 200, "CNI_CONTAINERID"),
        ("CNI_IFNAME", "..", "CNI_IFNAME"),
        ("CNI_IFNAME", "a:b", "CNI_IFNAME"),
        ("CNI_NETNS", "relative", "CNI_NETNS"),
        ("CNI_NETNS", "/a\nb", "CNI_NETNS"),
        ("CNI_ARGS", "novalue", "CNI_ARGS"),
        ("CNI_ARGS", "=x", "CNI_ARGS"),
        ("CNI_ARGS", "A=\udcff", "CNI_ARGS"),
        ("CNI_ARGS", "K8S_POD_NAME=../x;K8S_POD_NAMESPACE=a", "K8S_POD_NAME"),
        ("CNI_ARGS", "K8S_POD_UID=../x", "K8S_POD_UID"),
    ],
)
def test_wrong_variables_are_named(node: Node, variable: str, value: str, told: str) -> None:
    error = node.bad("ADD", vdpa_conf(), **{variable: value})
    assert error["code"] == 4 and told in error["msg"]


def test_pod_has_to_be_named(node: Node) -> None:
    assert node.bad("ADD", vdpa_conf(), CNI_ARGS="")["code"] == 4


@pytest.mark.parametrize("name", [None, "", "../x", "a b", 7, ".x", "a/b", "x" * 300])
def test_network_has_to_have_a_proper_name(node: Node, name: Any) -> None:
    assert node.bad("ADD", vdpa_conf(name=name))["code"] == 7


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (None, 999),
        ([], 999),
        ({}, 4),
        ({"command": "RUN", "plugin": "vdpa"}, 4),
        ({"command": ["ADD"], "plugin": "vdpa"}, 4),
        ({"command": "ADD", "plugin": "bridge"}, 7),
        ({"command": "ADD", "plugin": {}}, 7),
        ({"command": "ADD", "plugin": "vdpa"}, 6),
        ({"command": "ADD", "plugin": "vdpa", "netconf": "{"}, 6),
        ({"command": "ADD", "plugin": "vdpa", "netconf": "[" * 50_000}, 6),
        ({"command": "ADD", "plugin": "vdpa", "netconf": {"cniVersion": "1.0.0"}}, 4),
        ({"command": "ADD", "plugin": "vdpa", "netconf": {"cniVersion": "1.0.0"}, "env": {"CNI_IFNAME": 1}}, 4),
    ],
)
def test_messages_that_no_shim_sends(node: Node, message: Any, code: int) -> None:
    answer = node.dispatcher.answer(message)
    assert (answer["ok"], answer["error"]["code"]) == (False, code)
