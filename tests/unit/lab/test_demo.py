# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the demo says of parts of the cluster that could not be had."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import demo

OLDER = {"stands_in": {"plugin": "plugin: an older one stands in"}}


def test_with_everything_there_is_nothing_to_say():
    assert (demo.stand_ins({}), demo.irreplaceable({"without": {}})) == ([], [])


def test_what_was_replaced_is_said_and_the_demo_goes_on():
    status = {"without": {"sriov-cni": "sriov-cni cannot be had"}, **OLDER}
    first, second, third = demo.stand_ins(status)
    assert (first, second) == ("sriov-cni cannot be had", "plugin: an older one stands in")
    assert "host-device" in third and "without a VLAN" in third
    assert demo.irreplaceable(status) == []


def test_what_nothing_replaces_ends_it():
    assert demo.irreplaceable({"without": {"whereabouts": "whereabouts cannot be had"}}) == [
        "whereabouts cannot be had"
    ]
