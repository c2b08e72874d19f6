# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster in memory: enough of an API server, and of what goes on behind it, to be asked and changed.

``calls`` has every request, ``writes`` those that changed something. Time stands still but for ``sleep``, and at each
sleep the controllers do one step: pods that end are gone, daemon pods appear and get ready.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._kube import Answer, Ask, Kube, NoAnswer
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import (
    BUDGETS,
    CRD,
    KINDS,
    NAD,
    NAMESPACES,
    NODES,
    PODS,
    Kind,
)
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import Item, daemon_pod

ALL = {kind.kind: kind for kind in [*KINDS.values(), NODES, PODS, NAMESPACES, BUDGETS]}


def merged(old: Any, patch: Any) -> Any:
    """JSON merge patch."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class FakeCluster:
    """``down``: how many requests find no server. ``on_sleep``: what else happens as time goes by."""

    def __init__(self, *items: Item, kinds: Iterable[str] = ()) -> None:
        self.items: dict[tuple[str, str, str], Item] = {}
        self.unknown = {NAD} - set(kinds)
        self.calls: list[str] = []
        self.asks: list[Ask] = []
        self.writes: list[str] = []
        self.now = 0.0
        self.down = 0
        self.busy: dict[str, int] = {}
        self.on_sleep: list[Callable[[], None]] = []
        self.images_pull = True
        self.version = "v1.36.3"
        self._numbers = itertools.count(1)
        for item in items:
            self.put(item)

    def kube(self, patience: float = 120) -> Kube:
        return Kube(self.request, patience, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.step()
        for happening in self.on_sleep:
            happening()

    # What is there

    def put(self, item: Item) -> Item:
        stored = copy.deepcopy(item)
        metadata = stored["metadata"]
        number = next(self._numbers)
        metadata.setdefault("uid", f"uid-{number}")
        metadata["resourceVersion"] = str(number)
        metadata.setdefault("generation", 1)
        if stored["kind"] == CRD:
            self.unknown.discard(stored["spec"]["names"]["kind"])
        self.items[(stored["kind"], metadata.get("namespace") or "", metadata["name"])] = stored
        return stored

    def find(self, kind: str, name: str, namespace: str = "") -> Item | None:
        return self.items.get((kind, namespace, name))

    def of(self, kind: str) -> list[Item]:
        return [item for (known, _namespace, _name), item in sorted(self.items.items()) if known == kind]

    def names(self, kind: str) -> list[str]:
        return [item["metadata"]["name"] for item in self.of(kind)]

    def forget_calls(self) -> None:
        self.calls.clear()
        self.asks.clear()
        self.writes.clear()

    # What kubernetes.core.k8s does

    def apply(self, item: Item) -> Item:
        """Server-side apply: former fields of ours that are no longer named go."""
        metadata = item["metadata"]
        there = self.find(item["kind"], metadata["name"], metadata.get("namespace") or "")
        if item["kind"] in self.unknown:
            raise AssertionError(f"the cluster does not know {item['kind']}")
        former = (there or {}).get("__applied")
        base = _without(there, former, item) if there else {}
        made = merged({key: value for key, value in base.items() if key != "__applied"}, item)
        made["__applied"] = copy.deepcopy(item)
        if there and there["metadata"].get("generation") and _spec(made) != _spec(there):
            made["metadata"]["generation"] = there["metadata"]["generation"] + 1
        self.writes.append(f"APPLY {item['kind']}/{metadata['name']}")
        return self.put(made)

    def drop(self, item: Item) -> None:
        metadata = item["metadata"]
        self.items.pop((item["kind"], metadata.get("namespace") or "", metadata["name"]), None)
        self.writes.append(f"REMOVE {item['kind']}/{metadata['name']}")
        if item["kind"] == "DaemonSet":
            self._drop_orphans()

    # The API

    def request(self, ask: Ask) -> Answer:
        self.calls.append(f"{ask.method} {ask.path}")
        self.asks.append(ask)
        if self.down:
            self.down -= 1
            raise NoAnswer("connection refused")
        if ask.path == "/version":
            return Answer(200, {"gitVersion": self.version})
        if ask.path.endswith("/eviction"):
            return self._evict(ask)
        kind, namespace, name = self._route(ask.path)
        if kind is NODES and name.endswith("/status"):
            name = name[: -len("/status")]
        if kind.kind in self.unknown:
            return Answer(404, {"message": "the server could not find the requested resource"})
        if ask.method == "GET" and not name:
            return Answer(200, {"items": [_bare(item) for item in self._selected(kind, namespace, ask.query)]})
        there = self.find(kind.kind, name, namespace)
        if there is None:
            return Answer(404, {"message": f"{kind.plural} {name!r} not found"})
        if ask.method == "GET":
            return Answer(200, _clean(there))
        self.writes.append(f"{ask.method} {ask.path}")
        if ask.method == "PATCH":
            return self._patch(ask, there)
        return self._delete(ask, there)

    def _route(self, path: str) -> tuple[Kind, str, str]:
        for kind in ALL.values():
            root = kind.path()
            if path == root or path.startswith(f"{root}/"):
                return kind, "", path[len(root) + 1 :]
            prefix = root.rsplit("/", 1)[0] + "/namespaces/"
            if kind.namespaced and path.startswith(prefix):
                namespace, _slash, rest = path[len(prefix) :].partition("/")
                plural, _slash, name = rest.partition("/")
                if plural == kind.plural:
                    return kind, namespace, name
        return self._custom(path)

    def _custom(self, path: str) -> tuple[Kind, str, str]:
        for definition in self.of(CRD):
            spec = definition["spec"]
            kind = Kind(
                spec["names"]["kind"], f"{spec['group']}/{spec['versions'][0]['name']}", spec["names"]["plural"]
            )
            if path == kind.path():
                return kind, "", ""
        raise AssertionError(f"no such path: {path}")

    def _selected(self, kind: Kind, namespace: str, query: Mapping[str, str]) -> list[Item]:
        found = [
            item
            for item in self.of(kind.kind)
            if not namespace or (item["metadata"].get("namespace") or "") == namespace
        ]
        for word in filter(None, query.get("labelSelector", "").split(",")):
            key, _equals, value = word.partition("=")
            found = [item for item in found if (item["metadata"].get("labels") or {}).get(key) == value]
        for word in filter(None, query.get("fieldSelector", "").split(",")):
            key, _equals, value = word.partition("=")
            assert key == "spec.nodeName", key
            found = [item for item in found if item["spec"].get("nodeName") == value]
        return found

    def _patch(self, ask: Ask, there: Item) -> Answer:
        version = ask.body.get("metadata", {}).get("resourceVersion")
        if version and version != there["metadata"]["resourceVersion"]:
            self.writes.pop()
            return Answer(409, {"message": "the object has been modified"})
        return Answer(200, _clean(self.put(merged(there, ask.body))))

    def _delete(self, ask: Ask, there: Item) -> Answer:
        uid = ((ask.body or {}).get("preconditions") or {}).get("uid")
        if uid and uid != there["metadata"]["uid"]:
            self.writes.pop()
            return Answer(409, {"message": "uid in precondition does not match"})
        if there["kind"] == "Pod":
            there["metadata"]["deletionTimestamp"] = "now"
        else:
            self.items.pop((there["kind"], there["metadata"].get("namespace") or "", there["metadata"]["name"]))
        return Answer(200, {})

    def _evict(self, ask: Ask) -> Answer:
        _kind, namespace, name = self._route(ask.path[: -len("/eviction")])
        pod = self.find("Pod", name, namespace)
        if pod is None:
            return Answer(404, {"message": f"pods {name!r} not found"})
        uid = ((ask.body.get("deleteOptions") or {}).get("preconditions") or {}).get("uid")
        if uid and uid != pod["metadata"]["uid"]:
            return Answer(409, {"message": "uid in precondition does not match"})
        budgets = [budget for budget in self.of(BUDGETS.kind) if _covered(budget, pod)]
        if len(budgets) > 1:
            return Answer(500, {"message": "This pod has more than one PodDisruptionBudget"})
        if budgets and budgets[0]["status"]["disruptionsAllowed"] < 1:
            return Answer(429, {"message": f"Cannot evict pod as it would violate the pod's disruption budget {name}."})
        for budget in budgets:
            budget["status"]["disruptionsAllowed"] -= 1
        self.writes.append(f"EVICT {namespace}/{name}")
        pod["metadata"]["deletionTimestamp"] = "now"
        return Answer(201, {})

    # What goes on behind it

    def step(self) -> None:
        """Pods that end are gone, and daemon pods come."""
        for key, item in list(self.items.items()):
            ending = item["kind"] == "Pod" and item["metadata"].get("deletionTimestamp")
            if ending and not item["metadata"].get("finalizers"):
                del self.items[key]
        self._drop_orphans()
        for item in self.of(NODES.kind):
            self._account(item)
        for item in self.of(CRD):
            item["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        for item in self.of("DaemonSet"):
            self._run(item)

    @staticmethod
    def _account(item: Item) -> None:
        """What a kubelet does with resources that somebody put on its node."""
        status = item["status"]
        capacity = {name: count for name, count in status.get("capacity", {}).items() if "/" in name}
        gone = [name for name in status.get("__capacity", {}) if name not in capacity]
        status["allocatable"] = {
            name: count for name, count in {**status["allocatable"], **capacity}.items() if name not in gone
        }
        if capacity or gone:
            status["__capacity"] = capacity

    def _drop_orphans(self) -> None:
        owners = {item["metadata"]["uid"] for item in self.of("DaemonSet")}
        for key, item in list(self.items.items()):
            references = item["metadata"].get("ownerReferences") or ()
            if any(one["kind"] == "DaemonSet" and one["uid"] not in owners for one in references):
                del self.items[key]

    def _run(self, item: Item) -> None:
        spec = item["spec"]["template"]["spec"]
        template = item["spec"]["template"]["metadata"]["labels"]
        wanted = spec.get("nodeSelector") or {}
        nodes = [
            node["metadata"]["name"]
            for node in self.of("Node")
            if all((node["metadata"].get("labels") or {}).get(key) == value for key, value in wanted.items())
        ]
        namespace = item["metadata"].get("namespace", "")
        own = {pod["spec"]["nodeName"]: pod for pod in self.of("Pod") if _owner(pod) == item["metadata"]["uid"]}
        for node, pod in own.items():
            if node not in nodes or pod["__generation"] != item["metadata"]["generation"]:
                self.items.pop(("Pod", namespace, pod["metadata"]["name"]))
        for node in nodes:
            blocked = spec.get("affinity", {}).get("podAntiAffinity") and any(
                pod["spec"]["nodeName"] == node
                and pod["metadata"].get("labels", {}).get("app.kubernetes.io/name")
                == template["app.kubernetes.io/name"]
                for pod in self.of("Pod")
            )
            if node not in own and not blocked:
                pod = daemon_pod(item, node, ready=self.images_pull)
                pod["__generation"] = item["metadata"]["generation"]
                self.put(pod)
        mine = [pod for pod in self.of("Pod") if _owner(pod) == item["metadata"]["uid"]]
        item["status"] = {
            "observedGeneration": item["metadata"]["generation"],
            "desiredNumberScheduled": len(nodes),
            "currentNumberScheduled": len(mine),
            "updatedNumberScheduled": len(mine),
            "numberReady": len([pod for pod in mine if _is_ready(pod)]),
        }


def _bare(item: Item) -> Item:
    """In a list the API server does not say what an object is."""
    return {key: value for key, value in _clean(item).items() if key not in ("kind", "apiVersion")}


def _clean(item: Item) -> Item:
    return copy.deepcopy({key: value for key, value in item.items() if not key.startswith("__")})


def _spec(item: Item) -> Any:
    return {key: item.get(key) for key in ("spec", "data", "rules")}


def _without(there: Any, former: Any, now: Any) -> Any:
    """What was applied before and is not any more, taken away."""
    if not (isinstance(there, Mapping) and isinstance(former, Mapping)):
        return there
    now = now if isinstance(now, Mapping) else {}
    return {
        key: _without(value, former.get(key), now.get(key))
        for key, value in there.items()
        if key not in former or key in now
    }


def _covered(budget: Item, pod: Item) -> bool:
    labels = pod["metadata"].get("labels") or {}
    wanted = budget["spec"]["selector"]["matchLabels"]
    same = budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return same and all(labels.get(key) == value for key, value in wanted.items())


def _owner(pod: Item) -> str:
    return next((one["uid"] for one in pod["metadata"].get("ownerReferences") or ()), "")


def _is_ready(pod: Item) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
