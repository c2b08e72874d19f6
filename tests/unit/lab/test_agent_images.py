# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's image has the agent and its programs, and the workload finds its socket by what Multus wrote."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _artefact_list
from fastpath_lab import agent_images
from fastpath_lab.oci import Layout, with_folders
from fastpath_lab.sources import agent_tree


@pytest.fixture
def made(tmp_path):
    root, programs = tmp_path / "root", tmp_path / "programs"
    for name in ("usr/bin/python3.13", "usr/lib/python3/dist-packages/grpc/a.py", "usr/share/doc/x", "dev/null"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "usr/bin/python3").symlink_to("python3.13")
    (root / "bin").symlink_to("usr/bin")
    (root / "var/run").mkdir(parents=True)
    programs.mkdir()
    for name in ("dpdk-vdpa", "dpdk-testpmd"):
        (programs / name).write_text(name)
    return agent_images.images(root, programs, agent_tree())


def items(image: Any) -> dict[str, Any]:
    return {f"/{item.path}": item for item in with_folders(image.items)}


def test_the_agents_image_is_the_one_that_the_collection_asks_for(made):
    entry = _artefact_list.IMAGES["node-agent"]
    assert made[0].name == f"{entry['repository'].partition('/')[2]}:{entry['tag']}"


def test_what_is_in_it(made):
    found = items(made[0])
    for path in (
        "/usr/bin/dpdk-vdpa",
        "/usr/bin/dpdk-testpmd",
        "/usr/bin/fastpath-agent",
        "/usr/libexec/fastpath-agent/fastpath-agent",
        "/usr/libexec/fastpath-agent/fastpath_agent/cli.py",
        "/usr/lib/python3/dist-packages/grpc/a.py",
        "/etc/passwd",
        "/tmp",
    ):
        assert path in found, path
    assert "/usr/share/doc/x" not in found and "/dev/null" not in found
    assert (found["/bin"].link, found["/lib64"].link, found["/var/run"].link) == ("usr/bin", "usr/lib64", "/run")
    assert found["/usr/bin/python3"].link == "python3.13"


def test_they_can_be_written(made, tmp_path):
    layout = Layout(tmp_path / "layout")
    for image in made:
        layout.add(image)
    assert sorted(layout.images()) == sorted(image.name for image in made)


def test_the_patch_is_said_to_be_for_the_lab():
    text = (Path(agent_images.PATCH).parent / "README.md").read_text()
    assert "Do not use it elsewhere" in text


STATUS = [
    {"name": "lab", "default": True, "interface": "eth0"},
    {
        "name": "default/fast",
        "interface": "net1",
        "mac": "02:00:00:00:00:01",
        "device-info": {"type": "vhost-user", "vhost-user": {"mode": "server", "path": "/sockets/x"}},
    },
]


def test_the_workload_takes_path_mode_and_address_from_the_status(tmp_path, monkeypatch):
    program = runpy.run_path(str(agent_images.WORKLOAD))
    written = tmp_path / "annotations"
    written.write_text(f'a="b"\nk8s.v1.cni.cncf.io/network-status={json.dumps(json.dumps(STATUS))}\n')
    monkeypatch.setitem(program["interface"].__globals__, "ANNOTATIONS", written)
    entry = program["interface"]("net1")
    assert program["device"](entry) == (
        "net_virtio_user0,path=/sockets/x,queues=1,queue_size=256,server=1,mac=02:00:00:00:00:01"
    )
    monkeypatch.setitem(program["interface"].__globals__, "WAIT_SECONDS", 0.0)
    with pytest.raises(SystemExit, match="eth0 has no socket"):
        program["interface"]("eth0")


def test_the_workload_takes_the_only_device_file(tmp_path):
    program = runpy.run_path(str(agent_images.WORKLOAD))
    (tmp_path / "vhost-vdpa-3").touch()
    pattern = f"{tmp_path}/vhost-vdpa-*"
    assert program["device_file"](pattern) == f"net_virtio_user0,path={tmp_path}/vhost-vdpa-3,queues=1,queue_size=64"
    (tmp_path / "vhost-vdpa-4").touch()
    with pytest.raises(SystemExit, match="one device was expected"):
        program["device_file"](pattern)
