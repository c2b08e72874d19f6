# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_versions import (
    DIFFERS,
    FITS,
    UNKNOWN,
    judge,
    parse_version_output,
)


@pytest.mark.parametrize(
    ("ovs", "dpdk", "verdict"),
    [
        ("3.1.0", "22.11.11", FITS),
        ("3.5.0", "24.11.4", FITS),
        ("3.6.3", "24.11.6", FITS),
        ("3.5.0", "24.11", FITS),
        ("3.5.0", "24.111", DIFFERS),
        ("3.5.0", "23.11.7", DIFFERS),
        ("2.9.2", "17.11.3", FITS),
        ("9.0.0", "24.11", UNKNOWN),
        ("", "", UNKNOWN),
    ],
)
def test_pairs(ovs, dpdk, verdict):
    assert judge(ovs, dpdk) == verdict


def test_the_program_tells_both():
    assert parse_version_output("ovs-vswitchd (Open vSwitch) 3.1.0\nDPDK 22.11.11\n") == ("3.1.0", "22.11.11")
    assert parse_version_output("ovs-vswitchd (Open vSwitch) 3.1.0\n") == ("3.1.0", None)
    assert parse_version_output("") == (None, None)
