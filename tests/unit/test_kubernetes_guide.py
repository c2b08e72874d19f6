# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guide and the roles' pages show of containerd, members, kubelets and images is what the code takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_spec import parse_runtime
from ansible_collections.nfv.fastpath.plugins.module_utils._image_builds import parse_builds, pull_policy
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_spec import KUBEADM_OLDEST, WAYS, parse_join
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import (
    CONTAINERD_CRI_V1_ONLY,
    DROP_INS,
    NEWEST,
    OLDEST,
    OLDEST_CLUSTER,
    OLDEST_CONTAINERD,
    runtime_problem,
    runtime_warning,
    shown,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_spec import parse_kubelet
from ansible_collections.nfv.fastpath.plugins.module_utils._wanted import VARIABLES

CHECKOUT = Path(__file__).resolve().parents[2]
GUIDE = (CHECKOUT / "docs/guides/kubernetes.md").read_text()
CLUSTER = (CHECKOUT / "docs/guides/bring_your_own_cluster.md").read_text()
ROLES = ("container_runtime", "kubernetes", "images")
PARSERS = {
    "fastpath_container_runtime": parse_runtime,
    "fastpath_kubelet": parse_kubelet,
    "fastpath_kubernetes": parse_join,
}


def examples(text: str) -> list[dict[str, Any]]:
    found = [yaml.safe_load(block.split("```")[0]) for block in text.split("```yaml\n")[1:]]
    return [item[0]["vars"] if isinstance(item, list) else item for item in found]


def pages() -> list[str]:
    inventory = (CHECKOUT / "inventories/baremetal/group_vars/fastpath_nodes/main.yml").read_text()
    lines = [line[2:] for line in inventory.splitlines() if line.startswith("# fastpath_ku") or "_runtime:" in line]
    roles = [(CHECKOUT / f"roles/{role}/README.md").read_text() for role in ROLES]
    return [GUIDE, *roles, "```yaml\n" + "\n".join(line for line in lines if "kubeconfig" not in line) + "\n```"]


@pytest.mark.parametrize("text", pages())
def test_examples_are_valid(text):
    text = text.replace("sha256:...", "sha256:" + "a" * 64)
    given = [(name, value) for example in examples(text) for name, value in example.items()]
    assert given
    for name, value in given:
        assert name in VARIABLES
        if name in PARSERS:
            assert PARSERS[name](value)[1] == [], name
        if name == "fastpath_image_builds":
            # The collection's own have their folder from elsewhere.
            assert parse_builds([entry for entry in value if "own" not in entry])


def test_versions_are_those_of_the_code():
    assert f"| {shown(OLDEST)}: kinds" in GUIDE and f"| {NEWEST} |" in GUIDE
    assert f"| Kubernetes, for what is put into a cluster | {shown(OLDEST_CLUSTER)}; older ones are refused" in GUIDE
    assert f"A cluster with Kubernetes {shown(OLDEST_CLUSTER)} or newer" in CLUSTER
    assert f"| kubeadm | {shown(KUBEADM_OLDEST)} |" in GUIDE
    assert f"| the kubelet's policies | {shown(DROP_INS)} |" in GUIDE and f"{shown(DROP_INS)} on" in GUIDE
    assert f"| containerd | {shown(OLDEST_CONTAINERD)};" in GUIDE
    for way in WAYS:
        assert f"| `{way}` |" in GUIDE


def test_the_roles_table_of_versions():
    table = (CHECKOUT / "roles/container_runtime/README.md").read_text()
    old, new = (1, 7, 24), CONTAINERD_CRI_V1_ONLY
    rows = {
        "| 1.16 to 1.22 | 1.6, 1.7 |": ((1, 22, 0), True, False, False),
        "| 1.23 to 1.35 | 1.6 or newer |": ((1, 35, 0), True, True, False),
        "| 1.36 | 1.6 or newer; before 2.0 it warns |": ((1, 36, 0), True, True, True),
        "| 1.37 or newer | 2.0 or newer |": ((1, 37, 0), False, True, False),
    }
    for row, (kubelet, with_old, with_new, warns) in rows.items():
        assert row in table
        assert (runtime_problem(kubelet, old) == "") is with_old
        assert (runtime_problem(kubelet, new) == "") is with_new
        assert bool(runtime_warning(kubelet, old)) is warns


def test_pull_policies():
    page = (CHECKOUT / "roles/images/README.md").read_text()
    for way in ("push", "load"):
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{way}` |")]
        assert f"`{pull_policy(way)}`" in row
