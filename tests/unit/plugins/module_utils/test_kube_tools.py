# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of Kubernetes: gathered from archives or the artefact, placed whole, given back."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_task import ArtefactTask
from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import Source
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_bundle import CniBundleTask
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_sources import TOOLS_ARTEFACT, choose
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_tools_node import kube_tools_result
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.test_cni_plugins import Node, bundle, node_with

BIN = "usr/local/bin"


def archive(path: Path, **files: bytes) -> str:
    with tarfile.open(path, "w:gz") as target:
        for name, content in files.items():
            item = tarfile.TarInfo(f"kubernetes/node/bin/{name}")
            item.size = len(content)
            target.addfile(item, io.BytesIO(content))
    return str(path)


def run(node: Node, made: dict[str, Any] | None = None, dry_run: bool = False) -> dict[str, Any]:
    return kube_tools_result(node, {"state": "present" if made else "absent", **(made or {})}, dry_run)


@pytest.fixture
def node(tmp_path):
    return node_with(tmp_path / "node", {})


def test_in_order(node, tmp_path):
    node.place(f"{BIN}/kubelet", b"old")
    node.place("opt/cni/bin/multus", b"not ours")
    start = node.tree()
    made = bundle(tmp_path, kubelet=b"new", kubeadm=b"adm")
    assert run(node, {**made, "archive": None})["archive_needed"]
    run(node, made)
    assert node.tree()[f"{BIN}/kubelet"] == (0o755, b"new") and node.tree()[f"{BIN}/kubeadm"] == (0o755, b"adm")
    assert not run(node, made)["changed"]
    run(node)
    assert node.tree() == start


def test_they_and_cni_plugins_do_not_know_of_each_other(node, tmp_path):
    from ansible_collections.nfv.fastpath.plugins.module_utils._cni_plugins_node import cni_result

    run(node, bundle(tmp_path, kubelet=b"k"))
    between = node.tree()
    cni_result(node, {"state": "present", **bundle(tmp_path, bridge=b"b")}, False)
    cni_result(node, {"state": "absent"}, False)
    assert node.tree() == between


@pytest.mark.parametrize("cut", range(8))
def test_cut_off(node, tmp_path, cut):
    node.place(f"{BIN}/kubelet", b"old")
    start = node.tree()
    made = bundle(tmp_path, kubelet=b"new", kubeadm=b"adm")
    with node.cut_off(cut):
        run(node, made)
    assert node.tree()[f"{BIN}/kubelet"][1] in (b"old", b"new")
    run(node, made)
    assert not run(node, made)["changed"]
    run(node)
    assert node.tree() == start


def test_from_an_archive(tmp_path):
    given = archive(tmp_path / "k.tar.gz", kubelet=b"k", kubeadm=b"a")
    task = CniBundleTask(
        ["kubelet", "kubeadm"], [given], cache=str(tmp_path / "cache"), variable="fastpath_kubernetes_archives"
    )
    made = task.result(False)
    assert made["manifest"]["plugins"] == {
        "kubeadm": hashlib.sha256(b"a").hexdigest(),
        "kubelet": hashlib.sha256(b"k").hexdigest(),
    }
    assert not task.result(False)["changed"]


def test_from_the_artefact(tmp_path):
    path = archive(tmp_path / "k.tar.gz", kubelet=b"k", kubectl=b"c")
    fetcher: Any = SimpleNamespace(
        fetch=lambda artefact: SimpleNamespace(path=path, source=Source("url", f"of {artefact.name}"))
    )
    task = CniBundleTask(["kubelet", "kubectl"], cache=str(tmp_path / "cache"), fetcher=fetcher)
    assert task.result(False)["manifest"]["sources"] == dict.fromkeys(["kubectl", "kubelet"], f"of {TOOLS_ARTEFACT}")


def test_without_a_checksum_nothing_is_fetched(tmp_path):
    with pytest.raises(FastpathError, match="fastpath_artefacts.<name>.sha256"):
        CniBundleTask(["kubelet"], cache=str(tmp_path / "cache")).result(False)
    wanted = [artefact.name for artefact in ArtefactTask([])._wanted()]
    assert TOOLS_ARTEFACT not in wanted and "dpdk" in wanted
    given = {TOOLS_ARTEFACT: {"sha256": "a" * 64}}
    assert TOOLS_ARTEFACT in [artefact.name for artefact in ArtefactTask([], overrides=given)._wanted()]


def test_problems_name_the_variable(tmp_path):
    with pytest.raises(Refused, match=r"fastpath_kubernetes_archives\[0\]"):
        CniBundleTask(["kubelet"], [3], variable="fastpath_kubernetes_archives").result(True)
    assert choose(["kubelet"], []).tools == ("kubelet",)
