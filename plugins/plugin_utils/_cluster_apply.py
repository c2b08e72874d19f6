# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Carries out a plan for objects of a cluster: few calls of kubernetes.core, none where all is as wished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

MODULE = "nfv.fastpath.cluster_objects"
K8S = "kubernetes.core.k8s"
FIELD_MANAGER = "nfv.fastpath"
CRD = "CustomResourceDefinition"
# Asked for by the planner, of no interest to anybody after it.
INTERNAL = ("apply", "remove", "unready", "warnings_found", "invocation")

# A module by name with its arguments; the result.
Execute = Callable[[str, dict[str, Any]], dict[str, Any]]


def apply_objects(execute: Execute, arguments: Mapping[str, Any], dry_run: bool) -> dict[str, Any]:
    """Plan, apply kinds before what is of these kinds, remove, wait."""
    plan = execute(MODULE, dict(arguments))
    if plan.get("failed"):
        return plan
    result = {key: value for key, value in plan.items() if key not in INTERNAL}
    result["warnings"] = [*plan.get("warnings", []), *plan.get("warnings_found", [])]
    if dry_run:
        return result
    apply, remove = plan["apply"], plan["remove"]
    kinds = [item for item in apply if item["kind"] == CRD]
    others = [item for item in apply if item["kind"] != CRD]
    established = {"wait": True, "wait_condition": {"type": "Established", "status": "True"}}
    for what, call in (
        ("apply", _applied(arguments, kinds, established)),
        ("apply", _applied(arguments, others, {})),
        ("remove", _removed(arguments, remove)),
        ("wait for", _waited(arguments) if apply or plan["unready"] else None),
    ):
        if call is None:
            continue
        done = execute(*call)
        if done.get("failed"):
            return _failure(done, what, arguments, result)
    return result


def _applied(
    arguments: Mapping[str, Any], items: Sequence[Mapping[str, Any]], more: Mapping[str, Any]
) -> tuple[str, dict[str, Any]] | None:
    """All objects in one call. They are ours by their labels, so a field that somebody set since is set back."""
    if not items:
        return None
    wanted = {
        "state": "present",
        "apply": True,
        "server_side_apply": {"field_manager": FIELD_MANAGER, "force_conflicts": True},
        "resource_definition": list(items),
        "wait_timeout": arguments["wait_timeout"],
        **more,
    }
    return K8S, {**_connection(arguments), **wanted}


def _removed(arguments: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]] | None:
    """Until they are gone, and with them the pods that they own."""
    if not items:
        return None
    wanted = {
        "state": "absent",
        "resource_definition": list(items),
        "delete_options": {"propagationPolicy": "Foreground"},
        "wait": True,
        "wait_timeout": arguments["wait_timeout"],
    }
    return K8S, {**_connection(arguments), **wanted}


def _waited(arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    if arguments["state"] != "present" or not arguments["wait"] or not _has_pods(arguments["objects"]):
        return None
    return MODULE, {**arguments, "only_wait": True}


def _has_pods(items: Sequence[Mapping[str, Any]]) -> bool:
    return any(item.get("kind") == "DaemonSet" for item in items)


def _connection(arguments: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {"kubeconfig": arguments["kubeconfig"], "context": arguments.get("context")}
    return {key: value for key, value in wanted.items() if value}


def _failure(
    done: Mapping[str, Any], what: str, arguments: Mapping[str, Any], result: Mapping[str, Any]
) -> dict[str, Any]:
    """One message that says what was being done; a second run goes on from there."""
    said = str(done.get("msg") or "no reason was given").strip()
    own = done.get("unmet") is not None
    message = said if own else f"Could not {what} the objects of {arguments['component']}: {said}"
    return {**result, "failed": True, "msg": message}
