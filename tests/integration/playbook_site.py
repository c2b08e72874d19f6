# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks as a whole, with the real clients on an API server in memory; what works on nodes is stood in for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster
from fake_api import api_server, two_nodes
from nodes import CHECKOUT, Play

STUB = (CHECKOUT / "tests/integration/stub_module.py").read_text()
PARTS = ("ansible.cfg", "galaxy.yml", "meta", "playbooks", "plugins", "roles")
# The others talk to the cluster or write the report. What a node has is read, and this machine has nothing.
REAL = {
    "agent_groups",
    "cluster_objects",
    "cluster_spec_info",
    "cluster_verify",
    "device_plugin",
    "member_info",
    "node_service",
    "report",
}
ANSWERS: dict[str, Any] = {
    "cni_bundle": {"manifest": {}, "archive": ""},
    "preflight": {"needs_reboot_first": False, "disrupts": [], "in_use": False, "reboot_reasons": {}},
    # Never "reboot", which would be this machine's.
    "rollout": {"decision": "none", "reasons": {}},
    "verify": {"checks": [], "failed_checks": 0, "node_facts": {}},
}
NETWORK = {"name": "far", "namespace": "apps", "type": "macvlan", "master": "eth0", "ipam": {"type": "static"}}


class Site:
    """A copy of the collection without what it does on nodes, and a cluster of two."""

    def __init__(self, folder: Path, cluster: FakeCluster, kubeconfig: str) -> None:
        self.folder, self.cluster, self.kubeconfig = folder, cluster, kubeconfig
        self.collection = folder / "ansible_collections/nfv/fastpath"
        for part in PARTS:
            source = CHECKOUT / part
            target = self.collection / part
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        for module in (self.collection / "plugins/modules").glob("*.py"):
            if module.stem not in REAL:
                module.write_text(f"#!/usr/bin/python\n{STUB}")
        (self.collection / "plugins/action/ovs_dpdk.py").unlink()
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        # By its folder a module that is stood in for knows on which node it is.
        hosts = {name: {**local, "ansible_remote_tmp": str(folder / name)} for name in ("node1", "node2")}
        (folder / "hosts.json").write_text(json.dumps({"fastpath_nodes": {"hosts": hosts}}))

    def run(self, name: str, with_cluster: bool = True, answers: Any = None, **variables: Any) -> Play:
        (self.folder / "calls").write_text("")
        (self.folder / "answers.json").write_text(json.dumps({**ANSWERS, **(answers or {})}))
        self.cluster.forget_calls()
        given = {
            "fastpath_report_dir": str(self.folder / "report"),
            "fastpath_wait_timeout": 20,
            "rollout_multus": "none",
            **({"fastpath_kubeconfig": self.kubeconfig, "fastpath_networks": [NETWORK]} if with_cluster else {}),
            **variables,
        }
        ours = {
            "ANSIBLE_CONFIG": str(self.collection / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "STUBS": str(self.folder),
        }
        argv = ["--inventory", str(self.folder / "hosts.json"), "--extra-vars", json.dumps(given)]
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), f"playbooks/{name}.yml", *argv],
            cwd=self.collection,
            env={**os.environ, **ours, "ANSIBLE_COLLECTIONS_PATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Play(done.returncode, done.stdout + done.stderr)

    def calls(self) -> Counter[str]:
        return Counter((self.folder / "calls").read_text().split())


@contextmanager
def playbook_site(folder: Path) -> Iterator[Site]:
    cluster = two_nodes()
    with api_server(cluster, folder) as kubeconfig:
        yield Site(folder, cluster, kubeconfig)
