# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's cluster as tests see it: kubectl, pods that ask for networks and devices, and what was written."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from nodes import CHECKOUT, LAB

sys.path.insert(0, str(CHECKOUT / "tests/lab"))

from fastpath_lab import audit, pki

AUDIT = CHECKOUT / ".lab/control-plane/audit.log"
REGISTRY = "10.77.0.1:5000"
# The nodes, and what they are as members.
CLUSTER = ("-i", "inventories/lab", "-i", "inventories/lab-cluster")
PREFIX = "nfv.fastpath"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
STATUS = "k8s.v1.cni.cncf.io/network-status"
# What a cluster writes by itself, all the time.
FLEETING = (
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "pods",
    "controllerrevisions.apps",
    "componentstatuses",
)


def kubectl(*argv: str, stdin: str = "", check: bool = True, timeout: float = 120) -> str:
    done = subprocess.run(
        [LAB, "kubectl", *argv], cwd=CHECKOUT, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert not check or done.returncode == 0, f"kubectl {' '.join(argv)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + (done.stderr if done.returncode else "")


def get(*argv: str) -> Any:
    return json.loads(kubectl("get", *argv, "-o", "json"))


def pod(name: str, node: str, networks: str, devices: dict[str, int], **more: Any) -> dict[str, Any]:
    """A pod that waits. ``devices``: how many of which pool. ``more``: further limits, such as ``cpu``."""
    limits = {**{f"{PREFIX}/{pool}": count for pool, count in devices.items()}, **more}
    container = {
        "name": "app",
        "image": f"{REGISTRY}/tools:1",
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", "trap 'exit 0' TERM; sleep 86400 & wait"],
        "resources": {"limits": limits, "requests": limits},
        "securityContext": {"capabilities": {"add": ["NET_RAW", "NET_ADMIN"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {NETWORKS: networks}, "labels": {"app": name}},
        "spec": {"nodeName": None, "nodeSelector": {"kubernetes.io/hostname": node}, "containers": [container]},
    }


def examples() -> list[dict[str, Any]]:
    """The pods that users are shown."""
    return list(yaml.safe_load((CHECKOUT / "examples/pods.yml").read_text())["items"])


def start(pods: Sequence[dict[str, Any]], seconds: int = 180) -> None:
    """Create pods and wait until they run."""
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(pods)}))
    names = [f"pod/{one['metadata']['name']}" for one in pods]
    waited = kubectl(
        "wait", "--for=condition=Ready", f"--timeout={seconds}s", *names, check=False, timeout=seconds + 60
    )
    missing = [name for name in names if f"{name} condition met" not in waited]
    assert not missing, waited + "".join(kubectl("describe", name)[-2500:] for name in missing)


def inside(name: str, command: str) -> str:
    return kubectl("exec", name, "--", "/bin/sh", "-c", command)


def network_status(name: str) -> dict[str, dict[str, Any]]:
    """What Multus gave a pod, by interface."""
    text = get("pod", name)["metadata"]["annotations"][STATUS]
    return {one.get("interface", ""): one for one in json.loads(text)}


def allocatable(node: str) -> dict[str, str]:
    """Devices that a node offers, by pool."""
    found = get("node", node)["status"]["allocatable"]
    return {name.partition("/")[2]: count for name, count in found.items() if name.startswith(f"{PREFIX}/")}


def objects() -> dict[str, Any]:
    """Every object that somebody wants to be there, without what the cluster itself adds to it."""
    kinds = set(kubectl("api-resources", "--verbs=list", "-o", "name").split()) - set(FLEETING)
    found = {}
    for item in get(",".join(sorted(kinds)), "--all-namespaces")["items"]:
        if item["kind"] == "CertificateSigningRequest" and item.get("status", {}).get("certificate"):
            continue  # Kubernetes itself removes a granted one after an hour.
        metadata = item["metadata"]
        where = f"{item['apiVersion']} {item['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
        labels, notes = metadata.get("labels", {}), metadata.get("annotations", {})
        found[where] = {
            "labels": labels,
            "annotations": sorted(name for name in notes if "kubernetes.io" not in name),
            "spec": item.get("spec"),
            "data": sorted(item.get("data") or {}),
        }
    return found


def written() -> int:
    """Where the API server's log of writes ends now."""
    return audit.position(AUDIT)


def writes_since(position: int) -> list[str]:
    """What the playbooks' user wrote since then."""
    return [f"{one.verb} {one.path}" for one in audit.writes(AUDIT, position, pki.ADMIN)]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)
