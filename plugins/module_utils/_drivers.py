# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What is known about PCI drivers. A new user-space driver is one line here."""

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


def is_kernel_driver(driver: str | None) -> bool:
    """A driver, and not one that hands the function to a program."""
    return driver is not None and driver not in USER_SPACE


def uses_vfio(driver: str | None) -> bool:
    return driver in USER_SPACE and USER_SPACE[driver].vfio
