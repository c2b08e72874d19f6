# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes nodes of the lab nodes of its cluster, with Debian's containerd: for tests whose subject is something else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import images, services
from .components import Components
from .errors import LabError
from .feed import feed
from .node import Machine
from .oci import TAR_END, Layout, tar_file
from .progress import step
from .topology import Node, Topology

PROGRAMS = ("kubeadm", "kubectl", "kubelet")
PACKAGES = ("containerd", "runc", "conntrack", "iptables", "nftables")
_BIN, _CNI_BIN, _CNI_CONFIG = "/usr/local/bin", "/opt/cni/bin", "/etc/cni/net.d"
_INSTALL_SECONDS, _JOIN_SECONDS, _SEND_SECONDS = 600, 300, 300

_KUBELET = f"""[Unit]
Description=kubelet
After=containerd.service network-online.target
Wants=containerd.service network-online.target
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart={_BIN}/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=5
[Install]
WantedBy=multi-user.target
"""


def default_network(topology: Topology, node: Node) -> str:
    """Return the CNI configuration of the network that every pod has. Pure."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(topology.cluster.pods_of(node))}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    values = {"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge, portmap]}
    return json.dumps(values, indent=1) + "\n"


def registry_hosts(topology: Topology) -> str:
    """Return what containerd reads of the lab's registry. Pure."""
    server = f"http://{services.registry(topology)}"
    return f'server = "{server}"\n[host."{server}"]\n  capabilities = ["pull", "resolve"]\n'


def files(topology: Topology, node: Node) -> dict[str, str]:
    """Return the files that a node gets, by their paths. Pure."""
    return {
        f"/etc/containerd/certs.d/{services.registry(topology)}/hosts.toml": registry_hosts(topology),
        f"{_CNI_CONFIG}/10-lab.conflist": default_network(topology, node),
        "/etc/systemd/system/kubelet.service": _KUBELET,
        "/etc/modules-load.d/kubernetes.conf": "overlay\nbr_netfilter\n",
        "/etc/sysctl.d/90-kubernetes.conf": "net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\n",
    }


def containerd_script(topology: Topology) -> str:
    """Return the commands that turn Debian's defaults of containerd into what a kubelet needs. Pure."""
    pause = f"{services.registry(topology)}/{services.PAUSE}"
    edits = (
        "s#SystemdCgroup = false#SystemdCgroup = true#",
        f's#sandbox_image = .*#sandbox_image = "{pause}"#',
        f's#bin_dir = .*#bin_dir = "{_CNI_BIN}"#',
        's#config_path = ""#config_path = "/etc/containerd/certs.d"#',
    )
    words = " ".join(f"-e {shlex.quote(edit)}" for edit in edits)
    return (
        "set -e\n"
        "systemctl restart systemd-modules-load systemd-sysctl\n"
        f"containerd config default | sed {words} > /etc/containerd/config.toml\n"
        "systemctl restart containerd\nsystemctl daemon-reload\nsystemctl enable kubelet\n"
    )


def join(machine: Machine, topology: Topology, parts: Components, made: Layout, argv: Sequence[str]) -> None:
    """Make a running node a node of the cluster; one that is in it already is left as it is."""
    name = machine.node.name
    if machine.ssh("test -e /etc/kubernetes/kubelet.conf").returncode == 0:
        return
    with step(f"{name}: containerd"):
        packages = " ".join(PACKAGES)
        apt = "DEBIAN_FRONTEND=noninteractive apt-get -q"
        _must(machine, f"{apt} update && {apt} -y --no-install-recommends install {packages}", _INSTALL_SECONDS)
    with step(f"{name}: programs"):
        programs = {f"{_BIN}/{program}": parts.program("kubernetes", program) for program in PROGRAMS}
        programs |= {f"{_CNI_BIN}/{path.name}": path for path in plugins(parts)}
        tar = packed(programs, files(topology, machine.node))
        feed(machine, "tar -C / --no-same-owner -xf -", tar, _SEND_SECONDS)
        _must(machine, containerd_script(topology), 120)
    images.load(machine, made, topology)
    with step(f"{name}: kubeadm join"):
        # What it would check was put there a moment ago.
        command = [*argv, f"--node-name={name}", "--ignore-preflight-errors=all"]
        _must(machine, shlex.join(command), _JOIN_SECONDS)


def plugins(parts: Components) -> list[Path]:
    """Return all CNI plugins that there are."""
    folders = [parts.folders[name] for name in ("cni", "sriov-cni") if name in parts.folders]
    found = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix == ""]
    if "whereabouts" in parts.folders:
        found.append(parts.program("whereabouts", "whereabouts"))
    return found


def _must(machine: Machine, command: str, timeout: float) -> None:
    done = machine.ssh(command, timeout=timeout)
    if done.returncode:
        raise LabError(f"{machine.node.name}: {done.returncode}: {(done.stdout + done.stderr)[-1200:]}")


def packed(programs: dict[str, Path], texts: dict[str, str]) -> Iterator[bytes]:
    """Yield a tar of programs and texts by the paths that they are to have."""
    for path, lies in programs.items():
        yield from tar_file(path.lstrip("/"), lies, 0o755)
    for path, text in texts.items():
        yield from tar_file(path.lstrip("/"), text.encode())
    yield TAR_END
