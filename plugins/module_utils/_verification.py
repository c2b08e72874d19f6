# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. All checks of a node. It never stops at the first: what cannot be looked at is a failed check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._concerns import Concerns
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._node_facts import discover_node
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import read_pci
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import reasons
from ansible_collections.nfv.fastpath.plugins.module_utils._wanted import concern_specs


def verify_node(host: Host, specs: Mapping[str, Any], concerns: Concerns) -> list[Check]:
    """``specs``: by concern; None leaves a concern out. Ends with the reboot that may be pending."""
    checks = []
    for name, concern in concerns.items():
        if specs.get(name) is not None:
            checks += _of_concern(name, concern, host, specs[name])
    return [*checks, _reboot_check(host)]


def _of_concern(name: str, concern: Any, host: Host, spec: Any) -> list[Check]:
    try:
        return verify(concern(host), spec)
    except Refused as refused:
        return [
            Check(f"{name}.spec", name, problem.variable, "a valid value", str(problem.value), problem.message)
            for problem in refused.problems
        ]
    except FastpathError as error:
        seen = error.message
    except OSError as error:
        seen = f"{error.strerror} ({error.filename})"
    return [
        Check(f"{name}.readable", name, name, "readable", seen, "Remove what the message names, then verify again.")
    ]


def _reboot_check(host: Host) -> Check:
    pending = "; ".join(f"{concern}: {reason}" for concern, reason in sorted(reasons(host).items()))
    return Check(
        "rollout.reboot_pending",
        "rollout",
        "node",
        "no reboot pending",
        pending or "no reboot pending",
        "Run site.yml with fastpath_reboot_ok=true, or reboot the node yourself.",
    )


def verification(host: Host, params: Mapping[str, Any], concerns: Concerns) -> dict[str, Any]:
    """The module's result; FastpathError only where a failure was asked for."""
    specs = concern_specs(params)
    checks = verify_node(host, specs, concerns)
    failed = [check for check in checks if not check.ok]
    result = {
        "changed": False,
        "checks": [check.result() for check in checks],
        "failed_checks": len(failed),
        "node_facts": {**discover_node(host).summary(), "drivers": _drivers(host)},
        "socket_map": _socket_map(host) if specs.get("node_agent") else [],
    }
    if failed and params.get("fail"):
        texts = "; ".join(
            f"{check.id} {check.target}: expected {check.expected}, seen {check.seen}" for check in failed
        )
        raise FastpathError(f"{len(failed)} of {len(checks)} checks failed: {texts}", **result)
    return result


def _socket_map(host: Host) -> list[dict[str, Any]]:
    """For the report. That it cannot be read is a failed check already."""
    from ansible_collections.nfv.fastpath.plugins.module_utils._socket_map import socket_map
    from ansible_collections.nfv.fastpath.plugins.module_utils._socket_map_node import read_map

    try:
        return [entry.as_json() for entry in socket_map(read_map(host))]
    except (FastpathError, OSError):
        return []


def _drivers(host: Host) -> dict[str, int]:
    """Number of network functions by driver."""
    drivers = [device.driver or "none" for device in read_pci(host) if (device.class_id or "").startswith("02")]
    return {name: drivers.count(name) for name in sorted(set(drivers))}
