# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Objects of a cluster: which of them have to be applied or removed, and which are not ours. No I/O.

What the collection made carries its labels, and a checksum of what was asked for. So a second run knows without writing
that nothing is to be done, and what others made is never touched.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import FIELD_MANAGER
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import CRD, ORDER, Key, key_of, named
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan

MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT = "nfv.fastpath/component"
CHECKSUM = "nfv.fastpath/checksum"
# By these the elements of a list are told apart, if all of them have one.
LIST_KEYS = ("name", "mountPath", "key", "containerPort")

Live = Mapping[Key, Mapping[str, Any]]


@dataclass(frozen=True)
class ObjectsPlan:
    """``apply`` and ``remove`` are whole objects, in the order in which they are to be done."""

    apply: tuple[dict[str, Any], ...] = ()
    remove: tuple[dict[str, Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    def plan(self) -> Plan:
        """As every module returns it."""
        operations = [Operation("apply_object", named(key_of(item))) for item in self.apply]
        operations += [Operation("remove_object", named(key_of(item))) for item in self.remove]
        return Plan(tuple(operations), dict(self.before), dict(self.after), warnings=self.warnings)


def selector(component: str) -> str:
    """Finds what was made for one component."""
    return f"{MANAGED_BY}={FIELD_MANAGER},{COMPONENT}={component}"


def is_ours(item: Mapping[str, Any]) -> bool:
    labels = item.get("metadata", {}).get("labels") or {}
    return bool(labels.get(MANAGED_BY) == FIELD_MANAGER)


def marked(item: Mapping[str, Any], component: str) -> dict[str, Any]:
    """An object with the labels that make it ours, and the checksum of what it shall be."""
    made = copy.deepcopy(dict(item))
    metadata = made.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), MANAGED_BY: FIELD_MANAGER, COMPONENT: component}
    text = json.dumps(made, sort_keys=True)
    checksum = hashlib.sha256(text.encode()).hexdigest()[:16]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), CHECKSUM: checksum}
    return made


def plan_objects(
    desired: Iterable[Mapping[str, Any]],
    live: Live,
    component: str,
    used_kinds: Iterable[str] = (),
    present: bool = True,
) -> ObjectsPlan:
    """What brings the desired objects about and removes those of the component that nobody asks for any longer.

    ``live``: all objects of the component, and others that have the name of a desired one. ``used_kinds``: names of
    CustomResourceDefinitions of which there are objects that are not ours: these stay.
    """
    wanted = {key_of(item): marked(item, component) for item in desired} if present else {}
    problems, apply = [], []
    for key, item in sorted(wanted.items(), key=_order):
        there = live.get(key)
        if there is not None and not is_ours(there):
            # A definition of a kind is a standard that everybody may have brought.
            if key[0] != CRD:
                problems.append(_foreign(key))
            continue
        if there is None or needs_apply(item, there):
            apply.append(item)
    ours = {key: item for key, item in live.items() if is_ours(item) and key not in wanted}
    kept = {key for key in ours if key[0] == CRD and key[2] in set(used_kinds)}
    remove = [_bare(ours[key]) for key in sorted(set(ours) - kept, key=_place, reverse=True)]
    changed = [key_of(item) for item in [*apply, *remove]]
    return ObjectsPlan(
        apply=tuple(apply),
        remove=tuple(remove),
        problems=tuple(problems),
        warnings=tuple(
            f"{named(key)} stays: others made objects of that kind, or pods need some." for key in sorted(kept)
        ),
        before={named(key): _shown(live[key], wanted.get(key)) for key in changed if key in live},
        after={named(key): dict(wanted[key]) for key in changed if key in wanted},
    )


def needs_apply(item: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether something else was asked for last time, or somebody changed it since."""
    former = (there["metadata"].get("annotations") or {}).get(CHECKSUM)
    return former != item["metadata"]["annotations"][CHECKSUM] or not covers(there, item)


def covers(there: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; what the API server or others added beside it does not matter."""
    if isinstance(wanted, Mapping):
        if not isinstance(there, Mapping):
            return not wanted and there is None
        return all(_covers_field(key, there.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, (list, tuple)):
        return _covers_list(there, wanted)
    # The API server does not keep what is the zero of its type.
    return bool(there == wanted) or (there is None and not wanted)


def _covers_field(key: str, there: Any, wanted: Any) -> bool:
    if key != "resources" or not isinstance(there, Mapping) or not isinstance(wanted, Mapping):
        return covers(there, wanted)
    return all(_covers_amounts(there.get(name), value) for name, value in wanted.items())


def _covers_amounts(there: Any, wanted: Any) -> bool:
    """Limits or requests. The API server writes amounts in its own way: ``1024Mi`` is ``1Gi`` there."""
    if not isinstance(there, Mapping) or not isinstance(wanted, Mapping):
        return covers(there, wanted)
    return all(
        covers(there.get(name), amount) or _same_amount(there.get(name), amount) for name, amount in wanted.items()
    )


def _same_amount(one: Any, other: Any) -> bool:
    try:
        # Slow to import, and not there where no cluster is asked.
        from kubernetes.utils import quantity
    except ImportError:
        return False
    parse: Any = quantity.parse_quantity
    try:
        return bool(parse(str(one)) == parse(str(other)))
    except ValueError:
        return False


def _covers_list(there: Any, wanted: Sequence[Any]) -> bool:
    if not isinstance(there, (list, tuple)):
        return not wanted and there is None
    key = _list_key(there, wanted)
    if key is None:
        return len(there) == len(wanted) and all(covers(one, other) for one, other in zip(there, wanted))
    have = {one[key]: one for one in there}
    return all(one[key] in have and covers(have[one[key]], one) for one in wanted)


def _list_key(*lists: Sequence[Any]) -> str | None:
    """What tells the elements apart, in all of the lists."""
    return next((key for key in LIST_KEYS if all(_tells_apart(key, items) for items in lists)), None)


def _tells_apart(key: str, items: Sequence[Any]) -> bool:
    names = [item.get(key) if isinstance(item, Mapping) else None for item in items]
    return all(isinstance(name, (str, int)) for name in names) and len(set(names)) == len(names)


def _foreign(key: Key) -> Problem:
    message = (
        "is in the cluster already and was not made by this collection. Remove it, or give ours another name or "
        "namespace; nothing of others is taken over"
    )
    return Problem("cluster", named(key), message)


def _bare(item: Mapping[str, Any]) -> dict[str, Any]:
    """As much of an object as it takes to remove it."""
    metadata = {key: item["metadata"][key] for key in ("name", "namespace") if item["metadata"].get(key)}
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata}


def _shown(there: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> Any:
    """Of an object in the cluster only what is asked for, so that a diff shows what will be different."""
    return _bare(there) if wanted is None else _projected(there, wanted)


def _projected(there: Any, wanted: Any) -> Any:
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        return {key: _projected(there[key], value) for key, value in wanted.items() if key in there}
    return there


def _place(key: Key) -> tuple[int, Key]:
    return (ORDER.index(key[0]) if key[0] in ORDER else len(ORDER), key)


def _order(pair: tuple[Key, Any]) -> tuple[int, Key]:
    return _place(pair[0])
