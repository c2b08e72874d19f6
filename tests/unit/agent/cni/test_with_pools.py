# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the shim's process to the agent's own pools and back; only the back end and the API are stand-ins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import FakePods, make_socket
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    CONTAINER,
    DEVICE,
    NAMESPACE,
    NETNS,
    POD,
    UID,
    pod,
    vdpa_conf,
)
from fastpath_agent.backend import Backend
from fastpath_agent.cni import installer
from fastpath_agent.cni.settings import Settings
from fastpath_agent.cni.toolbox import toolbox
from fastpath_agent.cni_server import build
from fastpath_agent.config import Access
from fastpath_agent.folders import PodFolders
from fastpath_agent.lease_file import LeaseFile
from fastpath_agent.model import PodOwner
from fastpath_agent.sockets import Sockets


class OneDevice(Backend):
    """Has one device, and makes a socket without a process behind it."""

    name = "vdpa"
    problem = ""

    def __init__(self, folders: PodFolders) -> None:
        self.folders = folders

    def candidates(self, wanted: str, owner: PodOwner) -> list[str] | None:
        return [wanted] if wanted == DEVICE else None

    def lease(self, device: str, owner: PodOwner, mode: Any) -> Any:
        return self.folders.lease("vdpa", device, "vdpa-0", owner, mode)

    def attach(self, lease: Any) -> None:
        self.folders.make(lease, Access(0, 0))
        if not os.path.lexists(lease.path):
            make_socket(lease.path)

    def detach(self, lease: Any) -> None:
        self.folders.remove_socket(lease)

    def restore(self, leases: Any) -> None:
        pass

    def states(self) -> list[Any]:
        return []


class Chain:
    def __init__(self, base: Path) -> None:
        self.base = base
        folders = PodFolders(Host(), str(base))
        self.pods = FakePods()
        self.sockets = Sockets([OneDevice(folders)], LeaseFile(Host(), f"{base}/leases.json"), folders)
        settings = Settings(records=f"{base}/records", socket_folders=(str(base),), socket_seconds=1)
        box = toolbox(settings, self.sockets, self.pods, lambda _device: "02:00:5e:10:00:07")
        path = f"{base}/s/cni.sock"
        self.server, self.dispatcher = build(box, path, frozenset((os.getuid(),)))
        self.server.start()
        installer.Installer(f"{base}/bin", installer.render("1", path, sys.executable)).install()

    def run(self, command: str, conf: dict[str, Any], **variables: str) -> tuple[int, Any]:
        environment = {
            "CNI_CONTAINERID": CONTAINER,
            "CNI_NETNS": NETNS,
            "CNI_IFNAME": "net1",
            "CNI_PATH": "/opt/cni/bin",
            "CNI_ARGS": f"K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={POD};K8S_POD_UID={UID}",
            "CNI_COMMAND": command,
            **variables,
        }
        done = subprocess.run(
            [f"{self.base}/bin/vdpa"],
            input=json.dumps(conf).encode(),
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.stderr == b""
        return done.returncode, json.loads(done.stdout) if done.stdout else None


@pytest.fixture
def chain() -> Iterator[Chain]:
    base = Path(tempfile.mkdtemp(prefix="fp", dir="/tmp"))
    made = Chain(base)
    made.pods.put(pod(volume={"hostPath": {"path": f"{base}/pods"}}))
    yield made
    made.server.stop()
    shutil.rmtree(base)


def test_a_pods_life(chain: Chain) -> None:
    conf = vdpa_conf(cniVersion="1.1.0")
    code, result = chain.run("ADD", conf)
    assert code == 0
    assert result["interfaces"] == [
        {
            "name": "net1",
            "mac": "02:00:5e:10:00:07",
            "sandbox": NETNS,
            "socketPath": f"{chain.base}/pods/{UID}/vdpa-0",
            "pciID": DEVICE,
        }
    ]
    assert chain.run("CHECK", {**conf, "prevResult": result}) == (0, None)
    assert chain.run("STATUS", conf) == (0, None)
    assert chain.run("DEL", conf) == (0, None)
    assert chain.run("DEL", conf) == (0, None)
    assert chain.sockets.leases() == [] and os.listdir(f"{chain.base}/records") == []
    assert os.listdir(f"{chain.base}/pods") == [] and chain.pods.annotations() == {}


def test_the_pools_errors_keep_their_codes(chain: Chain) -> None:
    code, error = chain.run("ADD", vdpa_conf(deviceID="0000:99:00.0"))
    assert (code, error["code"]) == (1, 7) and "0000:99:00.0" in error["msg"]
    assert chain.run("ADD", vdpa_conf())[0] == 0
    chain.pods.put(pod(name="other", uid="other-uid", volume={"hostPath": {"path": f"{chain.base}/pods"}}))
    args = f"K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME=other;K8S_POD_UID=other-uid"
    code, error = chain.run("ADD", vdpa_conf(), CNI_CONTAINERID="other", CNI_ARGS=args)
    assert (code, error["code"]) == (1, 11)
    assert len(chain.sockets.leases()) == 1
