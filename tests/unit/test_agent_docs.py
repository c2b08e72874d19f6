# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node agent's pages say what its sources say, and an example in them is a configuration that it takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.docs import agent_facts
from fastpath_agent import protocol
from fastpath_agent.cni.versions import SUPPORTED
from fastpath_agent.config import parse

CHECKOUT = Path(__file__).resolve().parents[2]
AGENT, PAGES = CHECKOUT / "agent/fastpath_agent", CHECKOUT / "docs/reference/agent"


def test_pages_are_as_the_sources():
    assert agent_facts.problems(AGENT, PAGES) == []


@pytest.mark.parametrize(
    ("page", "before", "after", "said"),
    [
        ("configuration.md", "| `listen` |", "| `listens` |", "the key listen is missing"),
        ("configuration.md", "| `listen` |", "| `listens` |", "there is no key listens"),
        (
            "configuration.md",
            "`/run/fastpath/agent` |",
            "`/run/agent` |",
            "default of state_directory is `/run/fastpath",
        ),
        ("configuration.md", "| `whole_folders` | `false`", "| `whole_folders` | `true`", "default of whole_folders"),
        ("protocols.md", "`fastpath_agent_info`", "`fastpath_info`", "the metric fastpath_agent_info is missing"),
        ("protocols.md", '"numa_node": 1', '"node": 1', "devices of the status have node, numa_node wrong"),
    ],
)
def test_a_page_that_is_out_of_date(tmp_path, page, before, after, said):
    shutil.copytree(PAGES, tmp_path / "pages")
    text = (PAGES / page).read_text()
    assert before in text
    (tmp_path / "pages" / page).write_text(text.replace(before, after, 1))
    assert any(said in line for line in agent_facts.problems(AGENT, tmp_path / "pages"))


def test_the_example_is_a_configuration():
    text = (PAGES / "configuration.md").read_text()
    found = parse(json.loads(text.partition("```json\n")[2].partition("```")[0]))
    assert [pool.backend for pool in found.pools] == ["vdpa", "translate", "ovs"]


def test_the_protocol_is_the_one_that_is_spoken():
    text = (PAGES / "protocols.md").read_text()
    for name in (*protocol.ENVIRONMENT, *protocol.COMMANDS, *protocol.PLUGINS, protocol.SOCKET):
        assert name in text
    assert f"waits {protocol.ANSWER_SECONDS:g} s" in text and f"within {protocol.REQUEST_SECONDS:g} s" in text
    guide = (CHECKOUT / "docs/guides/cni_plugins.md").read_text()
    assert all(version in guide for version in SUPPORTED)
