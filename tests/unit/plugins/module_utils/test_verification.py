# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All checks of a node: it goes on past what fails, and says what it could not look at."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import note
from ansible_collections.nfv.fastpath.plugins.module_utils._verification import verification, verify_node


def concern(layer, error=None, seen=1):
    class Some(Concern):
        name = layer

        def parse(self, spec):
            if isinstance(error, Refused):
                raise error
            return spec

        def discover(self):
            if error is not None:
                raise error
            return {}

        def check(self, current, desired):
            return [Check(f"{layer}.thing", layer, "x", 1, seen, "mend it")]

    return Some


@pytest.fixture
def host(tmp_path):
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("one")
    return Host(str(tmp_path))


def ids(checks, ok):
    return [check.id for check in checks if check.ok is ok]


def test_all_is_well(host):
    checks = verify_node(host, {"a": {}, "b": {}}, {"a": concern("a"), "b": concern("b")})
    assert ids(checks, True) == ["a.thing", "b.thing", "rollout.reboot_pending"]
    assert ids(checks, False) == []


def test_what_is_not_asked_for_is_not_looked_at(host):
    checks = verify_node(host, {"a": None}, {"a": concern("a", FastpathError("!")), "b": concern("b")})
    assert ids(checks, True) == ["rollout.reboot_pending"]


@pytest.mark.parametrize(
    ("error", "expected_id", "seen"),
    [
        (FastpathError("record is not JSON"), "a.readable", "record is not JSON"),
        (PermissionError(13, "Permission denied", "/x"), "a.readable", "Permission denied (/x)"),
        (Refused([Problem("fastpath_a[0]", 3, "must be 4")]), "a.spec", "3"),
    ],
)
def test_what_cannot_be_looked_at_is_a_failed_check_and_the_rest_goes_on(host, error, expected_id, seen):
    checks = verify_node(host, {"a": {}, "b": {}}, {"a": concern("a", error), "b": concern("b")})
    assert ids(checks, True) == ["b.thing", "rollout.reboot_pending"]
    (failed,) = [check for check in checks if not check.ok]
    assert (failed.id, failed.seen) == (expected_id, seen)
    assert failed.remedy


def test_a_pending_reboot_is_a_failed_check(host):
    note(host, "kernel_args", "without iommu=pt")
    (check,) = verify_node(host, {}, {})
    assert not check.ok
    assert check.seen == "kernel_args: without iommu=pt"
    assert "fastpath_reboot_ok" in check.remedy


def params(**more):
    return {"hugepages": [], "fail": False, **more}


def test_the_modules_result(host):
    result = verification(host, params(), {"hugepages": concern("hugepages", seen=2)})
    assert result["changed"] is False
    assert result["failed_checks"] == 1
    assert [check["ok"] for check in result["checks"]] == [False, True]
    assert result["node_facts"]["drivers"] == {}
    json.dumps(result)


def test_it_fails_only_when_told_to(host):
    with pytest.raises(FastpathError, match="1 of 2 checks failed: hugepages.thing x: expected 1, seen 2") as error:
        verification(host, params(fail=True), {"hugepages": concern("hugepages", seen=2)})
    assert error.value.details["failed_checks"] == 1
    assert verification(host, params(fail=True), {"hugepages": concern("hugepages")})["failed_checks"] == 0
