# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the module cluster_objects does, apart from Ansible: look, plan, wait."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import is_ours, plan_objects, selector
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_wait import daemonset_ready, daemonset_unmet
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import Kube
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import (
    CRD,
    KINDS,
    NAD,
    NAMESPACES,
    NODES,
    PODS,
    Key,
    Kind,
    key_of,
    kind_of,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import cluster_too_old, parse_version

VERSION_PATH = "/version"
SHARED_NAMESPACES = ("default", "kube-system")
# What a task says, to the action plugin and to the module behind it.
OBJECTS_OPTIONS: dict[str, Any] = {
    "component": {"type": "str", "required": True},
    "objects": {"type": "list", "elements": "dict", "default": []},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "beside": {"type": "str", "default": ""},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
}


@dataclass(frozen=True)
class ObjectsTask:
    """The module's options. ``beside``: image names of which no foreign DaemonSet may run, by what it is."""

    component: str
    objects: Sequence[Mapping[str, Any]] = ()
    present: bool = True
    beside: str = ""

    def result(self, kube: Kube, dry_run: bool) -> dict[str, Any]:
        """The plan, for others to carry out. Refused where something of others stands in its way."""
        wanted = list(self.objects) if self.present else []
        if self.present:
            refuse_old(kube)
        live, unknown = self._look(kube, wanted)
        problems = [
            *self._missing_kinds(wanted, unknown, dry_run),
            *self._missing_namespaces(kube, wanted, live),
            *self._doubles(kube),
        ]
        used = self._used_kinds(kube, wanted, live)
        plan = plan_objects(wanted, live, self.component, used, self.present)
        if problems or plan.problems:
            raise Refused([*problems, *plan.problems])
        return {
            **plan.plan().result(),
            "apply": list(plan.apply),
            "remove": list(plan.remove),
            "unready": _unready(live),
            "warnings_found": list(plan.warnings),
            "scope": "cluster",
        }

    def _look(self, kube: Kube, wanted: Sequence[Mapping[str, Any]]) -> tuple[dict[Key, dict[str, Any]], set[str]]:
        """Ours by label, one request a kind; and by name what is wanted and not among them."""
        live: dict[Key, dict[str, Any]] = {}
        unknown: set[str] = set()
        for kind in KINDS.values():
            found = listed(kube, kind, selector(self.component))
            if found is None:
                unknown.add(kind.kind)
            live.update({key_of(item): item for item in found or ()})
        for item in wanted:
            kind, key = kind_of(item), key_of(item)
            if key not in live and kind.kind not in unknown:
                there = kube.get(kind.path(key[1], key[2]))
                if there is not None:
                    live[key] = there
        return live, unknown

    @staticmethod
    def _missing_kinds(wanted: Sequence[Mapping[str, Any]], unknown: set[str], dry_run: bool) -> list[Problem]:
        """In a dry run the kind may be what a role before this one would have brought."""
        if dry_run or NAD not in unknown or not any(item["kind"] == NAD for item in wanted):
            return []
        message = "is no kind that this cluster knows: Multus brings it. Run the multus role first"
        return [Problem("cluster", NAD, message)]

    @staticmethod
    def _missing_namespaces(
        kube: Kube, wanted: Sequence[Mapping[str, Any]], live: Mapping[Key, Mapping[str, Any]]
    ) -> list[Problem]:
        """Asked only where an object is new in a namespace that may not be there."""
        new = {key_of(item) for item in wanted} - set(live)
        asked = {key[1] for key in new} - {"", *SHARED_NAMESPACES}
        if not asked:
            return []
        there = {item["metadata"]["name"] for item in kube.items(NAMESPACES.path()) or ()}
        return [
            Problem(
                "namespace",
                name,
                "does not exist in the cluster, and "
                + ", ".join(sorted(key[2] for key in new if key[1] == name))
                + " is to be in it: create it, or name another",
            )
            for name in sorted(asked - there)
        ]

    def _doubles(self, kube: Kube) -> list[Problem]:
        """The same program twice on a node is a fight over the same files."""
        if not self.beside or not self.present:
            return []
        others = [item for item in listed(kube, KINDS["DaemonSet"]) or () if not is_ours(item)]
        return [
            Problem(
                "cluster",
                f"DaemonSet {item['metadata'].get('namespace')}/{item['metadata']['name']}",
                f"runs {image} already and was not made by this collection: remove it, or leave this role out "
                "(fastpath_multus: existing for Multus)",
            )
            for item in others
            for image in sorted({image for image in _images(item) if self.beside in image})
        ]

    def _used_kinds(
        self, kube: Kube, wanted: Sequence[Mapping[str, Any]], live: Mapping[Key, Mapping[str, Any]]
    ) -> list[str]:
        """Definitions of kinds that would go, and of which there are objects of others."""
        going = [item for key, item in live.items() if key[0] == CRD and is_ours(item)]
        names = {key_of(item) for item in wanted}
        going = [item for item in going if key_of(item) not in names]
        pods = {_whole_name(pod) for pod in kube.items(PODS.path()) or ()} if going else set()
        used = []
        for item in going:
            spec = item["spec"]
            version = next(entry["name"] for entry in spec["versions"] if entry.get("storage"))
            kind = Kind(spec["names"]["kind"], f"{spec['group']}/{version}", spec["names"]["plural"])
            if any(in_use(one, kind.kind, pods) for one in kube.items(kind.path()) or ()):
                used.append(item["metadata"]["name"])
        return used


def refuse_old(kube: Kube) -> None:
    """Before anything else is asked, which an old cluster may not understand. What is no version is not judged."""
    said = (kube.get(VERSION_PATH) or {}).get("gitVersion")
    version = parse_version(said)
    reason = cluster_too_old(version) if version else ""
    if reason:
        raise Refused([Problem("cluster", f"Kubernetes {said}", reason)])


def in_use(item: Mapping[str, Any], kind: str, pods: Collection[str]) -> bool:
    """Whether an object of a kind that would go matters to somebody. Addresses of pods that are gone are left-overs.

    ``pods``: all of the cluster, with their namespaces.
    """
    spec = item.get("spec") or {}
    if kind == "IPPool":
        return any(_is_held(one, pods) for one in (spec.get("allocations") or {}).values())
    if kind == "OverlappingRangeIPReservation":
        return _is_held(spec, pods)
    return kind != "NodeSlicePool" and not is_ours(item)


def _is_held(allocation: Mapping[str, Any], pods: Collection[str]) -> bool:
    pod = allocation.get("podref")
    return not pod or pod in pods


def _whole_name(pod: Mapping[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _unready(live: Mapping[Key, Mapping[str, Any]]) -> list[str]:
    sets = [item for item in live.values() if item["kind"] == "DaemonSet" and is_ours(item)]
    return sorted(item["metadata"]["name"] for item in sets if not daemonset_ready(item))


def _images(item: Mapping[str, Any]) -> list[str]:
    spec = item["spec"]["template"]["spec"]
    return [str(one.get("image")) for one in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]]


def listed(kube: Kube, kind: Kind, labels: str = "", fields: str = "") -> list[dict[str, Any]] | None:
    """A list of the API does not say of each object what it is; here each does."""
    found = kube.items(kind.path(), labels, fields)
    if found is None:
        return None
    return [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in found]


def wait_for_daemonsets(kube: Kube, component: str, timeout: float) -> None:
    """Until all pods of the component are ready on nodes that are up; FastpathError naming what is not."""

    def unmet() -> list[str]:
        sets = listed(kube, KINDS["DaemonSet"], selector(component)) or []
        waiting = [item for item in sets if not daemonset_ready(item)]
        if not waiting:
            return []
        pods = [pod for item in waiting for pod in _pods_of(kube, item)]
        nodes = kube.items(NODES.path()) or []
        return [reason for item in waiting for reason in daemonset_unmet(item, pods, nodes)]

    left = kube.wait(unmet, timeout)
    if left:
        raise FastpathError(f"{component} is not ready after {timeout:g} s: {'; '.join(left)}.", unmet=left)


def _pods_of(kube: Kube, item: Mapping[str, Any]) -> list[dict[str, Any]]:
    labels = item["spec"]["selector"]["matchLabels"]
    words = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return kube.items(PODS.path(item["metadata"].get("namespace", "")), words) or []


def objects_result(kube: Kube, params: Mapping[str, Any], dry_run: bool) -> dict[str, Any]:
    """The module's result."""
    if params["only_wait"]:
        wait_for_daemonsets(kube, params["component"], params["wait_timeout"])
        return {"changed": False}
    present = params["state"] == "present"
    task = ObjectsTask(params["component"], params["objects"], present, params["beside"])
    return task.result(kube, dry_run)
