# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.modules import kernel_args
from ansible_collections.nfv.fastpath.tests.unit.module_run import KEYS, run
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.grub_node import CFG, GrubNode


@pytest.fixture
def node(tmp_path, monkeypatch):
    found = GrubNode(tmp_path)
    monkeypatch.setattr(kernel_args, "Host", lambda: found.host)
    return found


def test_keys_and_check_mode(node):
    spec = {"iommu": "passthrough"}
    expected = run(kernel_args, check=True, spec=spec)
    assert set(expected) >= KEYS
    result = run(kernel_args, spec=spec)
    for key in KEYS:
        assert result[key] == expected[key], key
    assert result["changed"]
    assert result["reboot_required"]
    assert result["diff"]["after"]["arguments"] == ["intel_iommu=on", "iommu=pt"]
    again = run(kernel_args, spec=spec)
    assert (again["changed"], again["reboot_required"], again["operations"]) == (False, True, [])


def test_pages_and_teardown(node):
    before = node.get(CFG)
    run(kernel_args, hugepages=[{"size": "1G", "count": 2}])
    assert "hugepagesz=1G hugepages=2" in node.get(CFG)
    assert run(kernel_args, state="absent")["changed"]
    assert node.get(CFG) == before
    assert not run(kernel_args, state="absent")["changed"]


def test_a_refusal_is_one_message_with_every_problem(node):
    result = run(kernel_args, spec={"iomu": "on", "extra": {"x": True}}, hugepages=[{"size": "3M", "count": 1}])
    assert result["failed"]
    assert len(result["problems"]) == 3
    assert {problem["variable"] for problem in result["problems"]} >= {
        "fastpath_kernel_args.iomu",
        "fastpath_kernel_args.extra.x",
    }
    assert "nothing was changed" in result["msg"]


def test_an_override_names_its_file(node):
    node.put("etc/default/grub.d/zzz.cfg", 'GRUB_CMDLINE_LINUX="a"\n')
    result = run(kernel_args, spec={"iommu": "passthrough"})
    assert result["failed"]
    assert result["suspects"][0].startswith("/etc/default/grub.d/zzz.cfg")
