# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual lab: nodes with SR-IOV, an IOMMU and NUMA on a machine that has none."""

from .errors import LabError
from .lab import Lab

__all__ = ["Lab", "LabError"]
