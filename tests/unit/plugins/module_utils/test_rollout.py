# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One reboot for all reasons: decided from the disk and from this run, settled by any reboot, confirmed once."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import REASONS_PATH, note, reasons
from ansible_collections.nfv.fastpath.plugins.module_utils._rollout import Decision, decide, settle
from ansible_collections.nfv.fastpath.plugins.module_utils._rollout_node import decide_node
from hypothesis import given, settings
from hypothesis import strategies as some

REASONS = some.dictionaries(some.sampled_from(["hugepages", "kernel_args", "sriov"]), some.text(max_size=3))


@pytest.mark.parametrize(
    ("on_disk", "results", "ok", "expected"),
    [
        ({}, {}, True, Decision()),
        ({}, {"kernel_args": {"reboot_reason": ""}}, True, Decision()),
        ({"kernel_args": "a"}, {}, True, Decision("reboot", {"kernel_args": "a"})),
        ({"kernel_args": "a"}, {}, False, Decision("postponed", {"kernel_args": "a"})),
        ({"kernel_args": "a"}, {"kernel_args": {"reboot_reason": ""}}, True, Decision()),
        ({"kernel_args": "a"}, {"kernel_args": {}}, True, Decision("reboot", {"kernel_args": "a"})),
        ({"kernel_args": "a"}, {"kernel_args": {"skipped": True}}, True, Decision("reboot", {"kernel_args": "a"})),
        (
            {"sriov": "b"},
            {"hugepages": {"reboot_reason": "c"}, "kernel_args": {"reboot_reason": "a"}},
            True,
            Decision("reboot", {"hugepages": "c", "kernel_args": "a", "sriov": "b"}),
        ),
        ({}, {"kernel_args": "no result"}, True, Decision()),
    ],
)
def test_decision(on_disk, results, ok, expected):
    assert decide(on_disk, results, ok) == expected


@settings(deadline=None)
@given(REASONS, some.booleans())
def test_check_mode_decides_as_the_run_does(found, ok):
    """In check mode reasons come with the results alone; in a run they are on the disk as well."""
    results = {concern: {"reboot_reason": reason} for concern, reason in found.items()}
    on_disk = {concern: reason for concern, reason in found.items() if reason}
    assert decide({}, results, ok) == decide(on_disk, results, ok) == decide(on_disk, {}, ok)


@settings(deadline=None)
@given(REASONS, REASONS, some.booleans())
def test_no_reboot_without_consent_or_reason(on_disk, newer, ok):
    results = {concern: {"reboot_reason": reason} for concern, reason in newer.items()}
    decision = decide(on_disk, results, ok)
    assert (decision.decision == "reboot") == (ok and bool(decision.reasons))
    assert (decision.decision == "none") == (not decision.reasons)
    assert all(decision.reasons.values())


@pytest.mark.parametrize(
    ("decision", "operations", "required"), [("none", 0, False), ("postponed", 0, True), ("reboot", 1, True)]
)
def test_result_has_the_keys_of_every_module(decision, operations, required):
    result = Decision(decision, {"kernel_args": "a", "sriov": "b"} if required else {}).result("node1")
    assert set(Plan().result()) <= set(result)
    assert result["changed"] is False
    assert len(result["operations"]) == operations
    assert result["reboot_required"] is required
    assert result["reboot_reason"] == ("kernel_args: a; sriov: b" if required else "")
    json.dumps(result)


class Lamps(Concern):
    """A concern whose lamps light up at a reboot, or do not."""

    name = "kernel_args"
    left = ""

    def parse(self, spec):
        return spec

    def discover(self):
        return {}

    def plan(self, current, desired):
        return Plan(reboot_reason=self.left)


@pytest.fixture
def host(tmp_path):
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    host = Host(str(tmp_path))
    boot(host, "one")
    return host


def boot(host, name):
    with open(host.path("/proc/sys/kernel/random/boot_id"), "w") as file:
        file.write(name)


def run(host, dry_run=False, concern=Lamps, **params):
    return decide_node(
        host, {"results": {}, "reboot_ok": True, "after_reboot": False, **params}, dry_run, {"kernel_args": concern}
    )


def test_reasons_outlive_a_run_that_was_cut_off(host):
    note(host, "kernel_args", "a")
    assert run(host)["decision"] == "reboot"
    assert run(host)["reasons"] == {"kernel_args": "a"}
    assert run(host, reboot_ok=False)["decision"] == "postponed"
    assert reasons(host) == {"kernel_args": "a"}


def test_any_reboot_settles_them_and_leaves_no_file(host):
    note(host, "kernel_args", "a")
    boot(host, "two")
    assert run(host, dry_run=True)["decision"] == "none"
    assert host.exists(REASONS_PATH)
    assert run(host)["decision"] == "none"
    assert not host.exists("/var/lib/fastpath")
    assert not settle(host)


def test_records_of_others_stay_where_they_are(host):
    host.write_file("/var/lib/fastpath/sriov.json", "{}")
    note(host, "kernel_args", "a")
    boot(host, "two")
    assert settle(host)
    assert host.listdir("/var/lib/fastpath") == ["sriov.json"]


def test_check_mode_is_told(host):
    assert run(host, dry_run=True)["dry_run"] is True
    assert run(host)["dry_run"] is False


def test_a_reboot_that_brought_it_is_confirmed(host):
    Lamps(host).store.save_desired({"on": 1})
    assert run(host, after_reboot=True)["decision"] == "none"


def test_a_reboot_that_did_not_bring_it_stops_the_run(host):
    class Dark(Lamps):
        left = "the running kernel is without iommu=pt"

    Dark(host).store.save_desired({"on": 1})
    with pytest.raises(FastpathError, match="without iommu=pt. It is not rebooted again"):
        run(host, after_reboot=True, concern=Dark)
    assert run(host, concern=Dark)["decision"] == "none"


def test_the_planners_own_words_come_through(host):
    class Overridden(Lamps):
        def plan(self, current, desired):
            raise FastpathError("Overridden by: /etc/default/grub.d/zz.cfg")

    Overridden(host).store.save_desired({"on": 1})
    with pytest.raises(FastpathError, match="zz.cfg"):
        run(host, after_reboot=True, concern=Overridden)


def test_nothing_is_confirmed_where_nothing_is_wanted_any_more(host):
    class Dark(Lamps):
        left = "dark"

    assert run(host, after_reboot=True, concern=Dark)["decision"] == "none"
