# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that are members already: saved once with the cluster's data of that moment, and there again in seconds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from . import fresh, join, pki, process, services
from .node import Machine
from .parallel import for_each
from .progress import step

if TYPE_CHECKING:
    from .control_plane import ControlPlane

RECIPE = 1
STATE = "member"
_DATA = "etcd"
_COPY_SECONDS, _BOOT_SECONDS, _READY_SECONDS = 120.0, 300.0, 120.0


def entry(plane: ControlPlane) -> Path:
    """Return the cache's folder with a disk for each of the default nodes, and with the cluster's data.

    It is made in a lab of its own, so that nothing of this one is disturbed.
    """
    lab = plane.lab
    made = plane.build()
    site, nodes = lab.build(), lab.topology.select([])
    inputs = {
        "recipe": RECIPE,
        "nodes": {
            node.name: fresh.state(lab.cache, Machine(site, node, lab.state / "nodes" / node.name)).name
            for node in nodes
        },
        "files": {node.name: join.files(lab.topology, node) for node in nodes},
        "script": join.containerd_script(lab.topology),
        "packages": join.PACKAGES,
        "cluster": {name: str(value) for name, value in asdict(lab.topology.cluster).items()},
        "kubeadm": services.kubeadm_config(lab.topology, plane.status()["version"]),
        "keys": pki.authority(lab.cache, lab.topology).name,
        "images": made.folder.parent.name,
        "programs": {name: folder.name for name, folder in sorted(plane.parts.folders.items())},
    }

    def build(work: Path) -> None:
        with lab.beside("members") as other:
            names = [node.name for node in nodes]
            with step(f"{', '.join(names)}: first members, to save their state"):
                other.up(names)
                theirs = type(plane)(other)
                theirs.join(names)
                machines = other.machines(names)
                with theirs.standing_still():
                    for_each(lambda machine: machine.save(STATE), machines)
                    for_each(lambda machine: machine.quit(), machines)
                    for machine in machines:
                        shutil.move(machine.disk, work / f"{machine.node.name}.qcow2")
                    _copy(theirs.folder / _DATA, work / _DATA)

    return lab.cache.get("members", inputs, build)


def restore(plane: ControlPlane, names: Sequence[str]) -> None:
    """Bring nodes and control plane to the state after a join. What other nodes the cluster had, it has no longer."""
    saved = entry(plane)
    lab = plane.lab
    with lab.locked(), process.interruptible():
        lab.ensure()
        machines = [lab.machine(node.name) for node in lab.topology.select(list(names))]
        for machine in machines:
            machine.kill()
        lab.forget_connections([machine.node.name for machine in machines])
        since = datetime.now(UTC)
        plane.start_with(saved / _DATA)
        with step(f"members: {', '.join(machine.node.name for machine in machines)}"):
            for_each(lambda machine: _bring(machine, saved), machines)
        for path in sorted(saved.glob("*.qcow2")):
            if path.stem not in {machine.node.name for machine in machines}:
                plane.delete(f"/api/v1/nodes/{path.stem}")
        for machine in machines:
            _wait(plane, machine.node.name, since)


def _bring(machine: Machine, saved: Path) -> None:
    machine.folder.mkdir(parents=True, exist_ok=True)
    machine.ready = False
    partial = machine.folder / "disk.new"
    _copy(saved / f"{machine.node.name}.qcow2", partial, "--sparse=always")
    os.replace(partial, machine.disk)
    machine.start(load=STATE)
    machine.wait_ssh(_BOOT_SECONDS, set_clock=True)


def _wait(plane: ControlPlane, name: str, since: datetime) -> None:
    """The data says that the node is ready, which was so when it was saved: wait until its kubelet says so again."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"

    def renewed() -> bool:
        text = plane.get(path).get("spec", {}).get("renewTime", "")
        return bool(text) and datetime.fromisoformat(text) >= since

    process.wait_until(renewed, _READY_SECONDS, f"{name}: a word of its kubelet", interval=0.3)
    plane.wait_node(name)


def _copy(source: Path, target: Path, *options: str) -> None:
    process.run(["cp", "-a", "--reflink=auto", *options, str(source), str(target)], timeout=_COPY_SECONDS)
