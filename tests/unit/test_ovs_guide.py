# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide lists the keys that the code knows."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_keys import table
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import parse_ovs

CHECKOUT = Path(__file__).resolve().parents[2]
GUIDE = CHECKOUT / "docs/guides/ovs_dpdk.md"


def test_the_table_of_keys_is_the_one_of_the_code():
    assert table() in GUIDE.read_text()


def test_examples_are_valid():
    blocks = [block.split("```")[0] for block in GUIDE.read_text().split("```yaml\n")[1:]]
    checked = [values for block in blocks for values in [yaml.safe_load(block)] if "fastpath_ovs" in values]
    assert checked
    for values in checked:
        assert parse_ovs(values["fastpath_ovs"])[1] == []


def test_inventory_and_scenario_are_valid():
    for path in ("inventories/ovs-dpdk/group_vars/fastpath_nodes/main.yml", "molecule/ovs_dpdk/vars/main.yml"):
        assert parse_ovs(yaml.safe_load((CHECKOUT / path).read_text())["fastpath_ovs"])[1] == []
