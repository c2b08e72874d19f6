# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What is known about PCI drivers. A new user-space or vDPA driver is one line here."""

from __future__ import annotations

from dataclasses import dataclass

VFIO = "vfio-pci"


@dataclass(frozen=True)
class UserSpaceDriver:
    """A driver that hands a function to a program. ``vfio``: through the IOMMU, and verified by opening it."""

    vfio: bool = False


USER_SPACE: dict[str, UserSpaceDriver] = {
    VFIO: UserSpaceDriver(vfio=True),
    "uio_pci_generic": UserSpaceDriver(),
    "igb_uio": UserSpaceDriver(),
}

# Drivers of the vDPA bus: a device file for programs, or a network interface.
VHOST_VDPA, VIRTIO_VDPA = "vhost_vdpa", "virtio_vdpa"
VP_VDPA = "vp-vdpa"
# The kernel's own driver of virtio functions, which makes an interface and no vDPA device.
VIRTIO_PCI = "virtio-pci"
ANY_ATTRIBUTE = ("features", "mac", "max_vqp", "mtu")


@dataclass(frozen=True)
class VdpaDriver:
    """A driver whose functions can be made vDPA devices, by ``module``.

    ``settable``: what the kernel takes when a device is made. ``iommu``: programs reach memory through the node's own.
    ``late``: it offers its management device some seconds after it was bound.
    """

    module: str
    settable: tuple[str, ...] = ANY_ATTRIBUTE
    iommu: bool = False
    late: bool = False


VDPA: dict[str, VdpaDriver] = {
    VP_VDPA: VdpaDriver("vp_vdpa", ("features",), iommu=True),
    "ifcvf": VdpaDriver("ifcvf", ("features",), iommu=True),
    "mlx5_core": VdpaDriver("mlx5_vdpa"),
    "octep_vdpa": VdpaDriver("octep_vdpa", ("features",), iommu=True, late=True),
    "pds_core": VdpaDriver("pds_vdpa", ("features", "mac", "max_vqp")),
}


def is_kernel_driver(driver: str | None) -> bool:
    """A driver, and not one that hands the function to a program."""
    return driver is not None and driver not in USER_SPACE


def uses_vfio(driver: str | None) -> bool:
    return driver in USER_SPACE and USER_SPACE[driver].vfio
