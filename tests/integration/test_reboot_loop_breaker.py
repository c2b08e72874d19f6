# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Another GRUB file overrides ours: found before the reboot where it can be, and never rebooted twice for it."""

from __future__ import annotations

import pytest
from nodes import boot_id, boots, difference, fingerprint, keep_journal, playbook, ssh

pytestmark = pytest.mark.one_node
OVERRIDE = "/etc/default/grub.d/zzzz-vendor.cfg"
OVERRIDING = 'GRUB_CMDLINE_LINUX="console=ttyS0"\n'


def override(node: str) -> None:
    ssh(node, f"mkdir -p /etc/default/grub.d && cat > {OVERRIDE}", stdin=OVERRIDING)


def test_an_override_that_is_there_already_is_named_and_nothing_reboots(fresh_node):
    override(fresh_node)
    before, state = boot_id(fresh_node), fingerprint(fresh_node)
    failed = playbook("site", "--limit", fresh_node)
    failed.must_fail(OVERRIDE)
    assert boot_id(fresh_node) == before
    changed = [line for line in difference(state, fingerprint(fresh_node)) if "/files//etc/default" in line]
    assert changed == []


@pytest.mark.slow
def test_an_override_that_comes_between_is_named_after_one_reboot(fresh_node):
    keep_journal(fresh_node)
    playbook("node_roles", "--limit", fresh_node).must_pass()
    override(fresh_node)
    ssh(fresh_node, "update-grub 2>&1 && sync")
    first = boots(fresh_node)
    playbook("reboot_for_reasons", "--limit", fresh_node)
    assert boots(fresh_node) == first + 1
    for _attempt in range(2):
        playbook("site", "--limit", fresh_node).must_fail(OVERRIDE)
        assert boots(fresh_node) == first + 1, "rebooted again for an argument that a reboot did not bring"
    ssh(fresh_node, f"rm {OVERRIDE}")
    playbook("site", "--limit", fresh_node).must_pass()
    assert "iommu=pt" in ssh(fresh_node, "cat /proc/cmdline")
