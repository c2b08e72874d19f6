# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the module dpdk does, apart from Ansible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._bundle_shipping import ship
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_node import DpdkConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_spec import PACKAGES, parse_dpdk
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host


def dpdk_result(
    host: Host, params: Mapping[str, Any], dry_run: bool, warn: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Carry out, or answer ``archive_needed`` with nothing changed: first every refusal, then the copying."""
    present = params["state"] == "present"
    spec = {"dpdk": params.get("spec"), "bundle": params.get("bundle")}
    by_packages = present and parse_dpdk(spec).provider == PACKAGES
    removes = not present and bool(params.get("remove_packages", True))
    concern = DpdkConcern(host, params.get("archive"), remove_packages=removes, refresh=by_packages)
    request = Request(spec, present, dry_run, bool(params.get("disruption_ok")))
    return ship(concern, request, params.get("archive"), warn)
