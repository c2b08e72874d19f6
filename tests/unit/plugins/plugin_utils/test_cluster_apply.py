# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The calls that carry out a plan: which, with what, in which order, and none without need."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.plugin_utils._cluster_apply import K8S, MODULE, apply_objects
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import daemonset

KIND = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "a.b"}}
AGENT = daemonset("agent")
OLD = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "old", "namespace": "kube-system"}}
ARGUMENTS = {
    "kubeconfig": "/etc/kubernetes/admin.conf",
    "context": None,
    "api_timeout": 120,
    "component": "multus",
    "objects": [AGENT, KIND],
    "state": "present",
    "beside": "",
    "wait": True,
    "wait_timeout": 300,
}


class Calls:
    """Modules that answer in turn; any further call fails the test."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.made: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        self.made.append((name, options))
        return self.answers.pop(0)


def planned(*apply: Any, remove: tuple[Any, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "changed": bool(apply or remove),
        "operations": [],
        "apply": list(apply),
        "remove": list(remove),
        "unready": [],
        "warnings_found": ["w"],
        "invocation": {},
        **more,
    }


def test_all_of_it():
    calls = Calls(planned(KIND, AGENT, remove=(OLD,)), {}, {}, {}, {})
    result = apply_objects(calls, ARGUMENTS, dry_run=False)
    assert result == {"changed": True, "operations": [], "warnings": ["w"]}
    plan, kinds, others, removed, waited = calls.made
    assert plan == (MODULE, ARGUMENTS)
    ssa = {"field_manager": "nfv.fastpath", "force_conflicts": True}
    assert kinds == (
        K8S,
        {
            "kubeconfig": "/etc/kubernetes/admin.conf",
            "state": "present",
            "apply": True,
            "server_side_apply": ssa,
            "resource_definition": [KIND],
            "wait": True,
            "wait_condition": {"type": "Established", "status": "True"},
            "wait_timeout": 300,
        },
    )
    assert others[1]["resource_definition"] == [AGENT]
    assert "wait" not in others[1]
    assert removed[1]["resource_definition"] == [OLD]
    assert (removed[1]["state"], removed[1]["wait"]) == ("absent", True)
    assert removed[1]["delete_options"] == {"propagationPolicy": "Foreground"}
    assert waited == (MODULE, {**ARGUMENTS, "only_wait": True})


def test_nothing_to_do_is_one_look():
    calls = Calls(planned())
    assert apply_objects(calls, ARGUMENTS, dry_run=False) == {"changed": False, "operations": [], "warnings": ["w"]}
    assert [name for name, _options in calls.made] == [MODULE]


def test_what_a_run_that_was_cut_off_left_unready_is_waited_for():
    calls = Calls(planned(unready=["agent"]), {})
    apply_objects(calls, ARGUMENTS, dry_run=False)
    assert [name for name, _options in calls.made] == [MODULE, MODULE]


@pytest.mark.parametrize("more", [{"wait": False}, {"objects": [KIND]}, {"state": "absent"}])
def test_not_waiting(more):
    calls = Calls(planned(unready=["agent"]))
    apply_objects(calls, {**ARGUMENTS, **more}, dry_run=False)
    assert len(calls.made) == 1


def test_check_mode_stops_after_the_plan():
    calls = Calls(planned(KIND, AGENT))
    result = apply_objects(calls, ARGUMENTS, dry_run=True)
    assert result["changed"] is True
    assert len(calls.made) == 1


def test_the_context_goes_along():
    calls = Calls(planned(AGENT), {}, {})
    apply_objects(calls, {**ARGUMENTS, "context": "lab"}, dry_run=False)
    assert calls.made[1][1]["context"] == "lab"


def test_a_refusal_is_handed_on():
    refusal = {"failed": True, "msg": "Refused", "problems": [1]}
    assert apply_objects(Calls(refusal), ARGUMENTS, dry_run=False) == refusal


def test_a_failure_says_what_was_being_done():
    calls = Calls(planned(AGENT), {"failed": True, "msg": "Failed to apply object: forbidden"})
    result = apply_objects(calls, ARGUMENTS, dry_run=False)
    assert result["failed"]
    assert result["msg"] == "Could not apply the objects of multus: Failed to apply object: forbidden"
    calls = Calls(planned(remove=(OLD,)), {"failed": True})
    assert "Could not remove the objects of multus: no reason" in apply_objects(calls, ARGUMENTS, dry_run=False)["msg"]


def test_a_wait_in_vain_speaks_for_itself():
    calls = Calls(
        planned(unready=["agent"]), {"failed": True, "msg": "multus is not ready after 300 s: x.", "unmet": ["x"]}
    )
    assert apply_objects(calls, ARGUMENTS, dry_run=False)["msg"] == "multus is not ready after 300 s: x."
