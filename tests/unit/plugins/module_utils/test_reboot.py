# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reasons for a reboot are kept until it happened, and no longer."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _reboot
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host


@pytest.fixture
def host(tmp_path):
    folder = tmp_path / "proc/sys/kernel/random"
    folder.mkdir(parents=True)
    (folder / "boot_id").write_text("boot-1\n")
    return Host(str(tmp_path))


def test_reboot_reasons_live_until_the_next_boot(host, tmp_path):
    _reboot.note(host, "kernel_args", "iommu=pt is not live")
    _reboot.note(host, "hugepages", "1G pages")
    assert _reboot.reasons(host) == {"kernel_args": "iommu=pt is not live", "hugepages": "1G pages"}
    _reboot.note(host, "hugepages", "")
    assert _reboot.reasons(host) == {"kernel_args": "iommu=pt is not live"}
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("boot-2\n")
    assert _reboot.reasons(host) == {}
    _reboot.note(host, "kernel_args", "")
    assert not (tmp_path / "var/lib/fastpath/reboot.json").exists()
