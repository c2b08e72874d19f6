# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the module ovs_packages does, apart from Ansible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern, Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_packages_node import OvsPackagesConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._store import Store


def ovs_packages_result(host: Host, params: Mapping[str, Any], dry_run: bool) -> dict[str, Any]:
    """Packages take over from a bundle, and at a teardown a bundle goes as well."""
    present = params["state"] == "present"
    spec = {"ovs": params.get("ovs"), "upgrade": params.get("upgrade", False)}
    request = Request(spec, present, dry_run, bool(params.get("disruption_ok")))
    work: list[tuple[Concern[Any, Any], Request]] = [
        (OvsPackagesConcern(host, remove=bool(params.get("remove_packages"))), request)
    ]
    bundle = _bundle(host, present)
    if bundle:
        gone = replace(request, spec=None, present=False)
        work = [*work, (bundle, gone)] if present else [(bundle, gone), *work]
        if not dry_run:
            # All consent is asked for before anything is changed.
            for concern, wanted in work:
                converge(concern, replace(wanted, dry_run=True))
    return _together([converge(concern, wanted) for concern, wanted in work]).result()


def _bundle(host: Host, packaged: bool) -> Concern[Any, Any] | None:
    """Most nodes never had one, and do not pay for loading what it takes."""
    store = Store(host, "ovs_bundle")
    if store.desired() is None and not store.record():
        return None
    from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_node import OvsBundleConcern

    return OvsBundleConcern(host, packaged=packaged)


def _together(plans: list[Plan]) -> Plan:
    return Plan(
        operations=tuple(step for plan in plans for step in plan.operations),
        before={key: value for plan in plans for key, value in plan.before.items()},
        after={key: value for plan in plans for key, value in plan.after.items()},
        reboot_reason="; ".join(plan.reboot_reason for plan in plans if plan.reboot_reason),
        warnings=tuple(text for plan in plans for text in plan.warnings),
    )
