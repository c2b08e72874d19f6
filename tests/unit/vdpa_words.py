# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fake nodes with VFs for vDPA, and the words in which tests of the vDPA concern speak of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern
from ansible_collections.nfv.fastpath.tests.unit.vdpa_bus_node import BUS
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import VdpaNode

VFS = [f"0000:02:10.{index}" for index in range(4)]
NAMES = ["vdpa-0000-02-00.0-vf0", "vdpa-0000-02-00.0-vf1"]
# Bus driver and override.
VHOST = ("vhost_vdpa", "vhost_vdpa")
VIRTIO = ("virtio_vdpa", "virtio_vdpa")


def entry(**more: Any) -> dict[str, Any]:
    return {"pf": {"netdev": "ens2"}, "indexes": "0-1", **more}


SPEC = [entry(pool="vdpa_vhost")]


def sriov(driver: str | None = "vp-vdpa", num_vfs: int = 4, pf: Any = None, **more: Any) -> list[dict[str, Any]]:
    """What the role sriov is asked for."""
    vfs = [{"indexes": "0-1", "driver": driver, **more}]
    return [{"pf": pf or {"netdev": "ens2"}, "num_vfs": num_vfs, "vfs": vfs}]


def virtio_node(tmp_path: Path | str, count: int = 4, without: Sequence[str] = (), **more: Any) -> VdpaNode:
    """A virtio PF whose VFs have vp-vdpa; as it stands a fixture."""
    node = VdpaNode(tmp_path, without)
    node.add_virtio_pf(count, **more)
    return node


def mlx5_node(tmp_path: Path | str, count: int = 2) -> VdpaNode:
    """A vendor whose VFs keep their driver and whose devices take every attribute; as it stands a fixture."""
    return virtio_node(tmp_path, count, driver="mlx5_core", vendor="15b3", device="101d", vf_device="101e")


def apply(node: VdpaNode, spec: Any, concern: VdpaConcern | None = None, **more: Any) -> Plan:
    return converge(concern or VdpaConcern(node), Request(spec=spec, **more))


def tear_down(node: VdpaNode, **more: Any) -> Plan:
    return converge(VdpaConcern(node), Request(present=False, **more))


def actions(plan: Plan) -> list[str]:
    return [operation.action for operation in plan.operations]


def record(node: VdpaNode) -> Any:
    return VdpaConcern(node).store.record()


def bus_driver(node: VdpaNode, name: str) -> tuple[str | None, str | None]:
    return node.link_name(f"{BUS}/devices/{name}/driver"), node.read_value(f"{BUS}/devices/{name}/driver_override")
