# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. When ovs-vswitchd has to start anew. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_keys import AT_START, WITH_DPDK, effect_of
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import OvsSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_state import OvsState


def restart_reason(current: OvsState, spec: OvsSpec, keys: Sequence[str]) -> str:
    """Why it has to, where ``keys`` of other_config change; empty where it has not."""
    service = current.service
    if service.running_program != service.selected_program and spec.uses_dpdk:
        return f"{service.running_program} runs, and {service.selected_program} is selected"
    late = [key for key in keys if effect_of(key) == AT_START]
    if current.dpdk_initialized:
        late += [key for key in keys if effect_of(key) == WITH_DPDK]
    if late:
        return f"{', '.join(late)} {'is' if len(late) == 1 else 'are'} read at its start only"
    asked_before = current.database.root.get("other_config", "dpdk-init") in ("true", "try")
    if spec.uses_dpdk and asked_before and not current.dpdk_initialized:
        return "it could not initialise DPDK, and tries that once for each start"
    return ""
