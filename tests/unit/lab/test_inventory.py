# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lab's inventories say of its cluster follows from what the cluster could be made of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._network_spec import parse_networks

CHECKOUT = Path(__file__).resolve().parents[3]
SHOW = "{'networks': fastpath_networks, 'sriov': fastpath_sriov} | to_json"


def shown(folder, without):
    """The networks and VFs of a node, in a checkout whose control plane is made without some parts."""
    shutil.copytree(CHECKOUT / "inventories", folder / "inventories")
    plane = folder / ".lab/control-plane"
    plane.mkdir(parents=True)
    (plane / "made-of.json").write_text(json.dumps({"without": without, "stands_in": {}}))
    inventories = [word for name in ("lab", "lab-cluster") for word in ("-i", f"inventories/{name}")]
    argv = [sys.executable, "-m", "ansible", "adhoc", *inventories, "node1", "-m", "ansible.builtin.debug"]
    done = subprocess.run(
        [*argv, "-a", f"msg={{{{ {SHOW} }}}}"],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.partition("=>")[2])["msg"]
    return found if isinstance(found, dict) else json.loads(found)


@pytest.mark.parametrize(
    ("without", "kind", "vlan"), [({}, "sriov", 100), ({"sriov-cni": "cannot be had"}, "host-device", None)]
)
def test_vfs_come_into_pods_by_what_there_is(tmp_path, without, kind, vlan):
    found = shown(tmp_path, without)
    networks = {one["name"]: one for one in found["networks"]}
    assert [networks[name]["type"] for name in ("fast", "dpdk", "lan")] == [kind, kind, "bridge"]
    assert networks["fast"].get("vlan") == vlan
    assert networks["fast"]["pool"] == "igb_kernel"
    assert parse_networks(found["networks"])[1] == []


def test_the_vfs_of_a_network_are_in_one_vlan(tmp_path):
    """Without sriov-cni, what the VF has is what the pod gets."""
    groups = [group for pf in shown(tmp_path, {})["sriov"] for group in pf["vfs"] if group["pool"] == "igb_kernel"]
    assert {group.get("vlan") for group in groups} == {None}


def test_the_networks_of_the_examples_are_there(tmp_path):
    names = {one["name"] for one in shown(tmp_path, {"sriov-cni": "x"})["networks"]}
    pods = yaml.safe_load((CHECKOUT / "examples/pods.yml").read_text())["items"]
    asked = [pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] for pod in pods]
    assert {name.strip() for text in asked for name in text.split(",")} == names
