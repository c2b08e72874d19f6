# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which virtio devices the kernel made of a vDPA device for its own network.

It puts one below whatever does the DMA: the vDPA device itself where a program is behind it, else the PCI function,
beside the vDPA device. Subfunctions have that function in common, so several may stand there. A function's own virtio
device does not: it takes the driver virtio-pci, with which a function has no vDPA device.
"""

from __future__ import annotations

import re

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import DEVICES, VDPA_DEVICES, function_of

_VIRTIO = re.compile(r"virtio\d+")
# include/uapi/linux/ethtool.h: ETHTOOL_BUSINFO_LEN, the last byte of which ends the text.
BUS_INFO_LENGTH = 31


def virtio_devices(host: Host, name: str) -> tuple[str, ...]:
    """Folders of those that are of vDPA device ``name``, or may be.

    An interface says what it stands on. One in another network namespace cannot be asked, so it may be anybody's.
    """
    below = _below(host, f"{VDPA_DEVICES}/{name}")
    function = function_of(host, f"{VDPA_DEVICES}/{name}")
    if below or function is None:
        return below
    return tuple(folder for folder in _below(host, f"{DEVICES}/{function}") if _may_be_of(host, folder, name))


def netdevs_of(host: Host, name: str) -> tuple[str, ...]:
    """Interfaces of a vDPA device in this network namespace."""
    return tuple(netdev for folder in virtio_devices(host, name) for netdev in host.listdir(f"{folder}/net"))


def _below(host: Host, folder: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{child}" for child in host.listdir(folder) if _VIRTIO.fullmatch(child))


def _may_be_of(host: Host, folder: str, name: str) -> bool:
    told = [host.bus_info(netdev) for netdev in host.listdir(f"{folder}/net")]
    return all(text in (None, name[:BUS_INFO_LENGTH]) for text in told)
