# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The systemd units that run the engine at boot.

They fail visibly (``systemctl --failed``) and alone: nothing requires them, all that waits for them
waits for a bounded time, so a node with a broken card still boots and answers to ssh.
"""

from __future__ import annotations

# Users of pages and VFs; an ordering towards a unit that a node does not have means nothing.
USERS = "kubelet.service ovs-vswitchd.service openvswitch.service openvswitch-switch.service"
FOLDERS = "/etc/fastpath /var/lib/fastpath /usr/libexec/fastpath"

# Before nearly everything: the sooner after boot, the less of the memory is fragmented.
HUGEPAGES = f"""\
[Unit]
Description=Hugepages of nfv.fastpath
ConditionPathExists=/etc/fastpath/hugepages.json
DefaultDependencies=no
RequiresMountsFor={FOLDERS}
After=systemd-remount-fs.service
Before=sysinit.target shutdown.target {USERS}
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/libexec/fastpath/fastpath-node apply hugepages
TimeoutStartSec=120

[Install]
WantedBy=sysinit.target
"""

# Before the network is configured, so that nothing gets hold of a device that is to go to another driver.
SRIOV = f"""\
[Unit]
Description=SR-IOV virtual functions of nfv.fastpath
ConditionPathExists=/etc/fastpath/sriov.json
DefaultDependencies=no
RequiresMountsFor={FOLDERS}
After=local-fs.target systemd-modules-load.service systemd-udev-trigger.service fastpath-hugepages.service
Wants=network-pre.target
Before=network-pre.target shutdown.target {USERS}
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
# Interfaces may still be on their way through udev.
ExecStartPre=-/usr/bin/udevadm settle --timeout=30
ExecStart=/usr/libexec/fastpath/fastpath-node apply --wait 60 sriov
TimeoutStartSec=180

[Install]
WantedBy=multi-user.target
"""

# On the VFs of the former unit, and as early, since virtio_vdpa makes network interfaces.
VDPA = f"""\
[Unit]
Description=vDPA devices of nfv.fastpath
ConditionPathExists=/etc/fastpath/vdpa.json
DefaultDependencies=no
RequiresMountsFor={FOLDERS}
After=local-fs.target systemd-modules-load.service systemd-udev-trigger.service fastpath-sriov.service
Wants=network-pre.target
Before=network-pre.target shutdown.target {USERS}
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/libexec/fastpath/fastpath-node apply --wait 30 vdpa
TimeoutStartSec=180

[Install]
WantedBy=multi-user.target
"""

UNITS = {
    "fastpath-hugepages.service": HUGEPAGES,
    "fastpath-sriov.service": SRIOV,
    "fastpath-vdpa.service": VDPA,
}


def wants_path(unit_folder: str, unit: str) -> str:
    """The link that ``systemctl enable`` makes."""
    line = next(line for line in UNITS[unit].splitlines() if line.startswith("WantedBy="))
    return f"{unit_folder}/{line[len('WantedBy=') :]}.wants/{unit}"
