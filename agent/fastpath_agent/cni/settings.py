# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the node's administrator decides for the plugins. A network configuration cannot widen it."""

from __future__ import annotations

from dataclasses import dataclass

RUN = ("/var/run", "/run")


def below_run(name: str) -> tuple[str, ...]:
    """A folder below /run by both of its names."""
    return tuple(f"{folder}/{name}" for folder in RUN)


@dataclass(frozen=True)
class Settings:
    """Paths are the host's. ``root``: where the host's root lies for the agent.

    ``whole_folders``: pods may mount a folder that holds other pods' sockets too, as the first plugins' manifests do.
    """

    root: str = "/"
    records: str = "/var/lib/fastpath/cni"
    socket_folders: tuple[str, ...] = (
        *below_run("vdpa"),
        *below_run("openvswitch"),
        *below_run("vpp"),
        "/usr/local/var/run/openvswitch",
        "/var/lib/cni/usrspcni",
        "/var/lib/cni/vhostuser",
        "/var/lib/vhost_sockets",
    )
    host_nic_folders: tuple[str, ...] = (*below_run("vdpa"), "/etc/fastpath")
    log_folders: tuple[str, ...] = ("/var/log",)
    tool_folders: tuple[str, ...] = ("/usr/libexec/fastpath/vhost-tools",)
    device_info_folders: tuple[str, ...] = below_run("k8s.cni.cncf.io/devinfo/cni")
    kubelet: str = "/var/lib/kubelet"
    cgroups: str = "/sys/fs/cgroup"
    ovs_rundir: str = "/run/openvswitch"
    ovs_database: str = "/run/openvswitch/db.sock"
    vpp_cli: str = "/run/vpp/cli.sock"
    # Stands in for a pod's long path: the only purpose of the folder.
    short_links: str = "/var/lib/vhost_sockets"
    whole_folders: bool = False
    # A request's work ends before the shim stops waiting.
    request_seconds: float = 50
    socket_seconds: float = 5

    @property
    def written(self) -> tuple[str, ...]:
        """All folders that the plugins write below."""
        return (*self.socket_folders, self.records, *self.device_info_folders, f"{self.kubelet}/pods", self.short_links)
