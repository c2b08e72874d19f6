# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The concern ovs_dpdk against a node whose Open vSwitch takes changes over, refuses them, or dies of them."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _uses_discovery
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_apply import reasons
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_check import parse_pmd_rxq_show
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_concern import OvsDpdkConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import read_pci
from ansible_collections.nfv.fastpath.tests.unit.fake_ovsdb import BRIDGE, INTERFACE
from ansible_collections.nfv.fastpath.tests.unit.ovs_node import (
    PORT,
    VF0,
    OvsNode,
    apply,
    spec,
    teardown,
)

DROP_IN = "etc/systemd/system/ovs-vswitchd.service.d/fastpath.conf"


@pytest.fixture
def node(tmp_path, monkeypatch):
    # Without a look at this machine's processes and routes.
    monkeypatch.setattr(_uses_discovery, "discover_pci", read_pci)
    return OvsNode(tmp_path)


def commands(node, name):
    return [call for call in node.calls if call[0] == name]


def files(node):
    skipped = ("proc", "sys", "run", "var/log")
    found = {}
    for path in sorted(node.tree.rglob("*")):
        name = str(path.relative_to(node.tree))
        if path.is_file() and not path.is_symlink() and not name.startswith(skipped):
            found[name] = path.read_text()
    return found


def test_apply_and_again(node):
    plan = apply(node, spec(PORT))
    assert plan.changed
    assert node.commits() == 1
    assert node.database.named(INTERFACE, "dpdk0")["options"] == {"dpdk-devargs": VF0}
    assert node.database.root["other_config"]["dpdk-socket-mem"] == "512,512"
    assert "After=fastpath-hugepages.service fastpath-sriov.service" in (node.tree / DROP_IN).read_text()
    assert commands(node, "systemctl") == [("systemctl", "daemon-reload")]
    node.calls.clear()
    before = files(node)
    assert not apply(node, spec(PORT)).changed
    assert (node.commits(), files(node), commands(node, "systemctl")) == (1, before, [])
    assert len(commands(node, "ovsdb")) == 1


def test_check_mode_says_the_same_and_does_nothing(node):
    before, start = files(node), node.database.state()
    dry = apply(node, spec(PORT), dry_run=True)
    assert (files(node), node.database.state()) == (before, start)
    assert apply(node, spec(PORT)).operations == dry.operations


def test_teardown_returns_to_the_start(node):
    node.database.root["other_config"]["max-idle"] = "10000"
    before, start = files(node), node.database.state()
    apply(node, spec(PORT, **{"max-idle": 30000}))
    plan = teardown(node)
    assert [step.action for step in plan.operations][-2:] == ["restart_vswitchd", "forget"]
    assert (files(node), node.database.state()) == (before, start)
    assert not teardown(node).changed


def test_a_key_that_others_set_is_taken_away_and_given_back(node):
    node.database.root["other_config"]["max-idle"] = "10000"
    apply(node, spec(**{"max-idle": None}))
    assert "max-idle" not in node.database.root["other_config"]
    apply(node, spec())
    assert node.database.root["other_config"]["max-idle"] == "10000"
    node.database.root["other_config"]["max-idle"] = "20000"
    assert not apply(node, spec()).changed


def test_a_restart_needs_consent_and_happens_around_the_transaction(node):
    apply(node, spec(PORT))
    with pytest.raises(
        FastpathError, match=r"dpdk-extra is read at its start only, and meanwhile dpdk0 forward nothing"
    ):
        apply(node, spec(PORT, **{"dpdk-extra": "--log-level=8"}))
    assert node.commits() == 1
    node.calls.clear()
    apply(node, spec(PORT, **{"dpdk-extra": "--log-level=8"}), disruption_ok=True)
    order = [
        call[1] if call[0] == "systemctl" else "commit"
        for call in node.calls
        if call[0] == "systemctl" or "comment" in call
    ]
    assert order == ["stop", "commit", "start"]
    assert node.running_config["dpdk-extra"] == "--log-level=8"


def test_taps_that_outlive_the_switch_are_removed(node):
    apply(node, spec(PORT))
    bridge = next(iter(node.database.rows["Bridge"].values()))["name"]
    taps = [node.tree / f"sys/class/net/{name}/tun_flags" for name in (bridge, "ovs-netdev", "theirs")]
    for tap in taps:
        node.put(str(tap.relative_to(node.tree)), "0x1002")
    teardown(node)
    assert [tap.exists() for tap in taps] == [False, False, True]


def test_what_stands_for_the_whole_switch_is_started_again(node):
    """It needs the daemons, so systemd stops it with the first of them."""
    node.put("usr/lib/systemd/system/openvswitch-switch.service", "")
    apply(node, spec(PORT))
    apply(node, spec(PORT, **{"dpdk-extra": "--log-level=8"}), disruption_ok=True)
    calls = [call for call in node.calls if call[0] == "systemctl" and call[1] in ("stop", "start")]
    started = ("systemctl", "start", "ovs-vswitchd.service", "openvswitch-switch.service")
    assert calls[-2:] == [("systemctl", "stop", "ovs-vswitchd.service"), started]


def test_a_start_that_fails_is_taken_back(node):
    apply(node, spec(PORT))
    state = node.database.state()
    record = json.loads((node.tree / "var/lib/fastpath/ovs_dpdk.json").read_text())
    with pytest.raises(FastpathError) as raised:
        apply(node, spec(PORT, **{"dpdk-extra": node.bad_extra}), disruption_ok=True)
    assert "ovs-vswitchd: unrecognized option '--no-such-option' | EAL: Invalid" in raised.value.message
    assert "The former configuration was restored, and ovs-vswitchd runs with it" in raised.value.message
    assert node.running
    assert node.database.state() == state
    assert json.loads((node.tree / "var/lib/fastpath/ovs_dpdk.json").read_text()) == record
    assert not [step for step in apply(node, spec(PORT)).operations if step.action != "save_desired"]


def test_a_first_initialisation_that_kills_it_is_taken_back(node):
    state = node.database.state()
    with pytest.raises(
        FastpathError, match="ended with the new configuration.*Unable to initialize DPDK: Invalid argument"
    ):
        apply(node, spec(**{"dpdk-extra": node.bad_extra}))
    assert node.running
    assert node.database.state()["Open_vSwitch"] == state["Open_vSwitch"]
    assert node.database.rows[BRIDGE] == {}


def test_an_interface_that_fails_is_told_and_tried_again(node):
    node.bad_devices = {VF0}
    for _run in range(2):
        with pytest.raises(FastpathError, match="dpdk0: Error attaching device to DPDK") as raised:
            apply(node, spec(PORT))
        assert raised.value.details == {"interface_errors": {"dpdk0": "Error attaching device to DPDK"}}
    node.bad_devices = set()
    assert [step.action for step in apply(node, spec(PORT)).operations] == ["reconfigure"]
    assert not apply(node, spec(PORT)).changed


@pytest.mark.parametrize("cut", ["stop", "commit", "start", "daemon-reload"])
def test_a_run_that_is_cut_off_is_finished_by_the_next(node, cut):
    apply(node, spec(PORT))
    wanted = spec(PORT, **{"dpdk-extra": "--log-level=8", "vhost-sock-dir": "vhost"})
    node.cut_at = cut
    with pytest.raises(KeyboardInterrupt):
        apply(node, wanted, disruption_ok=True)
    node.cut_at = None
    apply(node, wanted, disruption_ok=True)
    assert node.running
    assert not apply(node, wanted).changed
    teardown(node)
    assert node.database.rows[BRIDGE] == {}
    assert node.database.root["other_config"] == {}


def test_a_stopped_process_is_started(node):
    apply(node, spec(PORT))
    node.stop()
    assert [step.action for step in apply(node, spec(PORT)).operations] == ["start_vswitchd"]
    assert node.running


def test_what_is_not_installed_is_said(node):
    for path in ("usr/sbin/ovs-vswitchd", "run/openvswitch/db.sock"):
        os.unlink(node.tree / path)
    node.stop()
    assert apply(node, spec(PORT), dry_run=True).changed
    with pytest.raises(FastpathError, match="Open vSwitch is not installed: the role ovs_dpdk installs it"):
        apply(node, spec(PORT))


def test_the_folder_of_server_sockets_is_made_before_dpdk_looks_for_it(node):
    apply(node, spec(**{"vhost-sock-dir": "vhost"}))
    assert (node.tree / "run/openvswitch/vhost").is_dir()


def failed(node, wanted):
    return {check.id: check for check in verify(OvsDpdkConcern(node), wanted) if not check.ok}


def test_verification(node):
    wanted = spec({"name": "v0", "type": "dpdkvhostuserclient", "socket": "/run/v0.sock"})
    apply(node, wanted)
    assert set(failed(node, wanted)) == {"ovs_dpdk.pmd_threads"}
    node.database.root["other_config"]["dpdk-socket-mem"] = "1"
    node.database.named(INTERFACE, "v0")["error"] = "broken"
    node.database.named(INTERFACE, "v0")["options"] = {}
    node.stop()
    found = failed(node, wanted)
    assert found["ovs_dpdk.interface"].seen == "broken"
    assert {"ovs_dpdk.running", "ovs_dpdk.initialized", "ovs_dpdk.other_config", "ovs_dpdk.column"} < set(found)


PMD = """\
Displaying last 60 seconds pmd usage %
pmd thread numa_id 1 core_id 5:
  isolated : true
  port: dpdk0             queue-id:  0 (enabled)   pmd usage:  3 %
  port: vhost0            queue-id: 12 (disabled)  pmd usage: NOT AVAIL
  overhead:  1 %
pmd thread numa_id 0 core_id 6:
  isolated : false
main thread:
  whatever else
"""


def test_the_placement_of_queues_is_read():
    first, second = parse_pmd_rxq_show(PMD)
    assert (first.core, first.numa_node, first.queues) == (5, 1, (("dpdk0", 0), ("vhost0", 12)))
    assert (second.core, second.queues) == (6, ())
    assert parse_pmd_rxq_show("") == ()
    assert parse_pmd_rxq_show("  port: x queue-id: 0\n") == ()


def test_the_gravest_lines_of_a_log():
    log = "t|1|dpdk|ERR|one\nt|2|dpdk|INFO|two\nt|3|dpdk|ERR|one\nt|4|daemon|EMER|three\nt|5|bridge|WARN|four\nbroken\n"
    assert reasons(log) == ["one", "three"]
    assert reasons("t|1|bridge|WARN|four\nt|1|vlog|WARN|five\n") == ["four"]
    assert reasons("") == []
