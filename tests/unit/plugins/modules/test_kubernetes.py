# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for containerd, membership, the kubelet and images: options in, results out."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.nfv.fastpath.plugins.modules import (
    container_runtime,
    image_bundle,
    images,
    kube_join,
    kube_tools,
    kubelet,
    node_packages,
)
from ansible_collections.nfv.fastpath.tests.unit.kubelet_node import FULL, KubeletNode
from ansible_collections.nfv.fastpath.tests.unit.module_run import KEYS, run
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils import image_models as of_images
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils import join_node as of_join
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.containerd_node import LAB, ContainerdNode
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.test_node_packages import Apt


def three_runs(module: Any, **options: Any) -> dict[str, Any]:
    """In check mode, for real, and again."""
    foretold = run(module, check=True, **options)
    done = run(module, **options)
    assert set(done) >= KEYS and done["changed"]
    assert {key: done[key] for key in KEYS} == {key: foretold[key] for key in KEYS}
    again = run(module, **options)
    assert (again["changed"], again["operations"]) == (False, [])
    return done


def test_container_runtime(tmp_path, monkeypatch):
    node = ContainerdNode(tmp_path)
    monkeypatch.setattr(container_runtime, "Host", lambda: node)
    three_runs(container_runtime, spec=LAB)
    assert run(container_runtime, state="absent")["changed"]
    refused = run(container_runtime, spec={"x": 1})
    assert refused["failed"] and refused["problems"][0]["variable"] == "fastpath_container_runtime.x"


def test_kubelet(tmp_path, monkeypatch):
    node = KubeletNode(tmp_path)
    monkeypatch.setattr(kubelet, "Host", lambda: node)
    three_runs(kubelet, spec=FULL)
    node.guaranteed_pods(2)
    refused = run(kubelet, state="absent")
    assert refused["failed"] and "Give consent" in refused["msg"]
    assert run(kubelet, state="absent", disruption_ok=True)["changed"]


def test_kube_join(tmp_path, monkeypatch):
    node = of_join.JoinNode(tmp_path)
    monkeypatch.setattr(kube_join, "Host", lambda: node)
    secrets = {"bootstrap_kubeconfig": of_join.BOOTSTRAP.bootstrap_kubeconfig, "ca": of_join.CA}
    done = three_runs(kube_join, spec=of_join.BY_KUBECONFIG, **secrets)
    assert of_join.TOKEN not in json.dumps(done["operations"]) + json.dumps(done["diff"])
    assert done["joins"] and not run(kube_join, spec=of_join.BY_KUBECONFIG, **secrets)["joins"]
    assert run(kube_join, state="absent")["changed"]
    refused = run(kube_join, spec=of_join.BY_KUBEADM, token="abc.def")
    assert refused["failed"] and "abc.def" not in refused["msg"]


def test_packages(tmp_path, monkeypatch):
    apt = Apt(tmp_path)
    monkeypatch.setattr(node_packages, "Host", lambda: apt.host)
    three_runs(node_packages, purpose="container_runtime", packages={"containerd": "containerd"})
    assert run(node_packages, purpose="container_runtime", state="absent", remove_packages=True)["changed"]
    assert apt.packages == {"bash"}


def test_images(tmp_path, monkeypatch):
    tool = of_images.BuildTool()
    builds = [of_images.build(of_images.context_folder(tmp_path))]
    made = of_images.task(tool, tmp_path, builds).result(False)
    node = of_images.ImageNode(tmp_path / "node")
    monkeypatch.setattr(images, "Host", lambda: node)
    three_runs(images, bundle=made["manifest"], archive=made["archive"])
    assert run(images, bundle=made["manifest"])["archive_needed"] is False
    assert run(images, state="absent")["changed"]
    empty = run(image_bundle, builds=[], cache=str(tmp_path / "none"))
    assert (empty["changed"], empty["pull_policy"]) == (False, "Never")
    assert run(image_bundle, builds=[{"name": "a"}])["failed"]


def test_tools(tmp_path, monkeypatch):
    node = of_join.JoinNode(tmp_path)
    monkeypatch.setattr(kube_tools, "Host", lambda: node)
    assert run(kube_tools, state="absent")["changed"] is False
    assert run(kube_tools, bundle={"schema": "x"})["failed"]
