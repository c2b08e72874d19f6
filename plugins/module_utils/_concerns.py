# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. All concerns of a node by name, in the order in which they are brought about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_engine import BootEngineConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_node import DpdkConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_node import HugepagesConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args import KernelArgsConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_concern import SriovConcern

Concerns = Mapping[str, Callable[[Host], Concern[Any, Any]]]

CONCERNS: Concerns = {
    "boot_engine": BootEngineConcern,
    "hugepages": HugepagesConcern,
    "kernel_args": KernelArgsConcern,
    "sriov": SriovConcern,
}

# Those that need nothing before a reboot and have no part in deciding on one.
VERIFIED: Concerns = {**CONCERNS, "dpdk": DpdkConcern}
