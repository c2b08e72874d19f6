# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the module ovs_bundle does, apart from Ansible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._bundle_shipping import ship
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_node import OvsBundleConcern


def ovs_bundle_result(
    host: Host, params: Mapping[str, Any], dry_run: bool, warn: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    present = params["state"] == "present"
    request = Request({"bundle": params.get("bundle")}, present, dry_run, bool(params.get("disruption_ok")))
    return ship(OvsBundleConcern(host, params.get("archive")), request, params.get("archive"), warn)
