# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text that Prometheus reads."""

from __future__ import annotations

import re

from fastpath_agent.metrics import STATES, Metric, of_devices, render, single
from fastpath_agent.model import DeviceState, PodOwner, SocketLease
from hypothesis import given
from hypothesis import strategies as st

SAMPLE = re.compile(
    r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\\n])*"(,(?=[a-z]))?)*\})? -?[0-9][0-9.e+-]*\Z',
    re.DOTALL,
)


def test_a_family_as_a_whole():
    metric = Metric("m", "gauge", "What it is.", [({"a": "x"}, 1.0), ({}, 0.5)])
    assert render([metric]) == '# HELP m What it is.\n# TYPE m gauge\nm{a="x"} 1\nm 0.5\n'


def test_devices_and_pods():
    state = DeviceState("0000:02:00.3", "vdpa", "a", "leased", socket="/x", connected=True, restarts=3)
    lease = SocketLease("0000:02:00.3", "vdpa", "/p", "vdpa-0", PodOwner("c", "net1", "apps", "one", "u"), "client")
    text = render(of_devices([state], [lease]))
    labels = 'device="0000:02:00.3",backend="vdpa",pool="a"'
    assert f'fastpath_agent_device_state{{{labels},state="leased"}} 1\n' in text
    assert f'fastpath_agent_device_state{{{labels},state="failed"}} 0\n' in text
    assert f"fastpath_agent_device_failures_total{{{labels}}} 3\n" in text
    assert f"fastpath_agent_device_connected{{{labels}}} 1\n" in text
    owner = 'device="0000:02:00.3",namespace="apps",pod="one",interface="net1"'
    assert f"fastpath_agent_lease_info{{{owner}}} 1\n" in text


def test_one_state_of_each_device_is_1():
    for state in STATES:
        text = render(of_devices([DeviceState("d", "vdpa", state=state)], []))
        assert len(re.findall(r"^fastpath_agent_device_state\{.*\} 1$", text, re.MULTILINE)) == 1


def test_what_is_unknown_has_no_sample():
    assert "fastpath_agent_device_connected{" not in render(of_devices([DeviceState("d", "ovs")], []))


def test_large_numbers_keep_their_digits():
    assert single("m", "gauge", "x", 1763726400.5).lines()[-1] == "m 1763726400.5"
    assert single("m", "counter", "x", 12345678).lines()[-1] == "m 12345678"


@given(st.text(max_size=30), st.text(max_size=30), st.floats(0, 1e12, allow_nan=False))
def test_any_label_is_one_line(name, pool, value):
    text = render([Metric("m", "gauge", f"help {name}", [({"device": name, "pool": pool}, value)])])
    lines = text.split("\n")
    assert len(lines) == 4
    assert SAMPLE.match(lines[2])
