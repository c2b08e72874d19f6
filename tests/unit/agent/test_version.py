# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path

from fastpath_agent.version import VERSION

CHECKOUT = Path(__file__).resolve().parents[3]


def test_the_agents_version_is_the_collections():
    (version,) = re.findall(r"^version: (\S+)$", (CHECKOUT / "galaxy.yml").read_text(), re.MULTILINE)
    assert version == VERSION


def test_the_example_of_the_reference_is_a_configuration():
    import json

    from fastpath_agent.config import parse

    text = (CHECKOUT / "docs/reference/agent/configuration.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert [pool.name for pool in parse(json.loads(example)).pools] == ["vdpa_dpdk_a", "cloud_a", "ovs_a"]
