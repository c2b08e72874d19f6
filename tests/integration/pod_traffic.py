# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packets between pods that have nothing but a socket: a testpmd in each, which finds it by network-status alone.

Or nothing but the device file of a vDPA device, the only one in the pod.
"""

from __future__ import annotations

import re
import subprocess
from typing import Any

from cluster import PREFIX, REGISTRY, kubectl, pod
from nodes import CHECKOUT, LAB
from traffic import ENOUGH, PROMPT, Counters, Testpmd, wait_until

MAC = re.compile(r"MAC address: ((?:[0-9A-F]{2}:){5}[0-9A-F]{2})[\s\S]*testpmd> ")
# Of others on the wire: neighbours that look for each other.
STRAY = 40
SOCKETS = "/var/lib/cni/usrspcni"
IMAGE = f"{REGISTRY}/fastpath/testpmd:1"
DEVICE_FILES = "/dev/vhost-vdpa-*"


def socket_pod(name: str, node: str, pool: str, own_folder: bool = True) -> dict[str, Any]:
    """The same for every back end but for the pool. Not ``own_folder``: it asks for the folder of all pods' sockets."""
    made = pod(name, node, "fast", {pool: 1}, **{"hugepages-2Mi": "128Mi", "memory": "256Mi"})
    (container,) = made["spec"]["containers"]
    container["image"] = IMAGE
    container["env"] = [{"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]
    part = {"subPathExpr": "$(POD_UID)"} if own_folder else {}
    container["volumeMounts"] = [
        {"name": "shared-dir", "mountPath": SOCKETS, **part},
        {"name": "podnetinfo", "mountPath": "/etc/podnetinfo"},
    ]
    annotations = {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}}
    made["spec"]["terminationGracePeriodSeconds"] = 1
    made["spec"]["volumes"] = [
        {"name": "shared-dir", "hostPath": {"path": "/var/run/vdpa/pods", "type": "Directory"}},
        {"name": "podnetinfo", "downwardAPI": {"items": [annotations]}},
    ]
    return made


def device_pod(name: str, node: str, pool: str) -> dict[str, Any]:
    """No network but the cluster's own, no privilege, and a device of the pool."""
    made = pod(name, node, "", {pool: 1}, **{"hugepages-2Mi": "128Mi", "memory": "256Mi"})
    del made["metadata"]["annotations"]
    (container,) = made["spec"]["containers"]
    del container["securityContext"]
    container["image"] = IMAGE
    made["spec"]["terminationGracePeriodSeconds"] = 1
    return made


def resource(pool: str) -> str:
    return f"{PREFIX}/{pool}"


class PodTestpmd(Testpmd):
    """An interactive testpmd in a pod. ``where``: the interface that has the socket, or a pattern of device files."""

    def __init__(self, name: str, where: str = "net1") -> None:
        self.node, self.name, self.said = name, name, ""
        self._child = subprocess.Popen(
            [LAB, "kubectl", "exec", "-i", name, "--", "socket-testpmd", where],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_for(PROMPT)
            self.mac = MAC.search(self.do("show port info 0", MAC)).group(1)
        except AssertionError:
            self._end()
            raise

    def _end(self) -> None:
        """End of input ends a testpmd; one that does not end is ended in its pod."""
        self._child.stdin.close()
        try:
            self._child.wait(30)
        except subprocess.TimeoutExpired:
            kubectl("exec", self.name, "--", "busybox", "pkill", "-9", "-x", "dpdk-testpmd", check=False)
            self._child.kill()
            self._child.wait(10)


def exchange(first: str, second: str, where: str = "net1") -> Counters:
    """Packets to and fro between two pods; what either sent has arrived at the other. What ``first`` counted."""
    with PodTestpmd(second, where) as answering, PodTestpmd(first, where) as asking:
        for side, peer in ((answering, asking), (asking, answering)):
            side.do(f"set eth-peer 0 {peer.mac}")
            side.do("set fwd macswap")
        # What neighbours sent before is counted by the first start.
        for side in (answering, asking):
            side.do("start")
        asking.do("stop")
        for side in (answering, asking):
            side.do("clear port stats all")
        asking.do("start tx_first 4")
        wait_until(lambda: asking.counters().received >= ENOUGH, f"{ENOUGH} packets are back in {first}")
        asking.do("stop")
        asking.do("set fwd rxonly")
        asking.do("start")
        asked, answered = _still(asking, answering)
    lost = (asked.sent - answered.received, answered.sent - asked.received)
    assert answered.received >= ENOUGH, (asked, answered)
    assert all(-STRAY <= number <= 0 for number in lost), f"lost {lost}: {asked}, {answered}"
    return asked


def _still(asking: Testpmd, answering: Testpmd) -> tuple[Counters, Counters]:
    """Both sides' counters once the wire has run empty."""
    former: list[tuple[Counters, Counters]] = []

    def same() -> bool:
        former.append((asking.counters(), answering.counters()))
        sent = [(one.sent, other.sent) for one, other in former[-2:]]
        return len(sent) == 2 and sent[0] == sent[1]

    wait_until(same, "counters stand still")
    return former[-1]
