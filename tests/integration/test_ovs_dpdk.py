# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch with DPDK on two nodes, with packets: from packages, from a build, and given back.

One story in order: each chapter starts from the state that the former left, as it would at a user's site. Its testpmd
comes from a bundle: the distribution's brings 270 packages along, which take minutes on an emulated node. The short
form has the chapters that need two nodes and packets; what Molecule and the unit tests show as well is in the full one.
"""

from __future__ import annotations

import re

import pytest
from nodes import PAIR, difference, fingerprint, keep_journal, lab, playbook, ssh, with_spec
from traffic import NIC_PORT, SOCKET, VM_PORT, exchange, ready, wait_until

PF = {"vendor": "8086", "device": "10c9", "numa_node": 1}
# Without one, DPDK gives the VF another random address at each start of the switch.
MAC = "02:fa:57:00:00:{{ '01' if inventory_hostname == 'node1' else '02' }}"
REMOVE = {"ovs_dpdk_remove_packages": True, "dpdk_remove_packages": True}
FLOWS = [
    f"priority=10,ip,in_port={NIC_PORT},actions=output:{VM_PORT}",
    f"priority=10,ip,in_port={VM_PORT},actions=output:{NIC_PORT}",
    "priority=0,actions=drop",
]
SPEC = {
    "fastpath_serial": 2,
    "fastpath_disruption_ok": True,
    "fastpath_kernel_args": {},
    "fastpath_hugepages": [{"size": "2M", "count": 192, "numa_node": node} for node in (0, 1)],
    "fastpath_sriov": [
        {"pf": PF, "num_vfs": 2, "vfs": [{"indexes": "0", "driver": "vfio-pci", "mac": MAC}, {"indexes": "1"}]}
    ],
    "fastpath_dpdk": {"provider": "source"},
    "fastpath_dpdk_build": {"drivers": ["net/e1000", "net/null", "net/vhost", "net/virtio"], "examples": ["l2fwd"]},
    "fastpath_ovs": {
        "other_config": {
            "dpdk-init": True,
            "dpdk-socket-mem": {0: 128, 1: 128},
            "dpdk-lcore-mask": "0",
            "pmd-cpu-mask": "1",
            "pmd-sleep-max": 10000,
            "max-idle": 30000,
        },
        "bridges": [
            {
                "name": "br-fp",
                "fail_mode": "secure",
                "flows": FLOWS,
                "ports": [
                    {"name": NIC_PORT, "type": "dpdk", "vf": {"pf": PF, "index": 0}},
                    {"name": VM_PORT, "type": "dpdkvhostuserclient", "socket": SOCKET},
                ],
            }
        ],
    },
}


def spec(**changes):
    return with_spec(**{**SPEC, **changes})


def spec_of_ovs(**changes):
    return spec(fastpath_ovs={**SPEC["fastpath_ovs"], **changes})


def wrong(keys, *ports):
    bridge = SPEC["fastpath_ovs"]["bridges"][0]
    return {
        "other_config": {**SPEC["fastpath_ovs"]["other_config"], **keys},
        "bridges": [{**bridge, "ports": [*bridge["ports"], *ports]}],
    }


BOND_OF_ONE = {"name": "bond0", "type": "bond", "members": [{"name": "dpdk1", "type": "dpdk", "pci": "0000:81:10.2"}]}
BOUND_TO_KERNEL = {"name": "dpdk1", "type": "dpdk", "pci": "0000:01:00.0"}
IN_NO_FOLDER = {"name": "vhost1", "type": "dpdkvhostuserclient", "socket": "/sys/kernel/vhost1.sock"}
# What a spec says of itself is refused before a node is looked at, so there are two lots.
REFUSALS = {
    "of the spec": (
        wrong({"pmd-cpu-mask": "0x2"}, BOND_OF_ONE),
        [r"pmd-cpu-mask\W+0x2.*list", "members.*at least 2 members of a bond"],
    ),
    "of the node": (
        wrong({"pmd-cpu-mask": "9", "dpdk-socket-mem": {0: 4096}}, BOUND_TO_KERNEL, IN_NO_FOLDER),
        [
            "pmd-cpu-mask.*CPU 9.*not there",
            "dpdk-socket-mem.*4096 MiB on NUMA node 0.*will have 384 MiB",
            "0000:01:00.0.*driver igb.*vfio-pci",
            "/sys/kernel/vhost1.sock",
        ],
    ),
}


@pytest.fixture(scope="module")
def story(lab_is_up):
    lab("restore", *PAIR)
    for node in PAIR:
        keep_journal(node)
    return {"start": {node: fingerprint(node) for node in PAIR}}


def records_of(node: str) -> int:
    """Transactions that the database has on disk."""
    return int(ssh(node, "ovsdb-tool show-log /etc/openvswitch/conf.db | grep -c ^record"))


def other_process(node: str, former: str) -> bool:
    latest = ssh(node, "cat /run/openvswitch/ovs-vswitchd.pid 2>/dev/null || true")
    return latest not in ("", former) and ssh(node, "systemctl is-active ovs-vswitchd || true").strip() == "active"


def left_on(node: str, story) -> list[str]:
    """Debian's packages never take the user away again that they made for their service."""
    lines = difference(story["start"][node], fingerprint(node))
    return [line for line in lines if not re.match(r"/files//etc/(passwd|group|shadow|gshadow)-?: ", line)]


def versions(node: str) -> str:
    return ssh(node, "ovs-vsctl --timeout=20 get Open_vSwitch . dpdk_initialized dpdk_version ovs_version")


@pytest.mark.parametrize("name", REFUSALS)
def test_0_bad_input_is_refused_before_anything_is_changed(story, name):
    changes, lines = REFUSALS[name]
    refused = playbook("site", "--limit", "node1", *spec_of_ovs(**changes)).must_fail("nothing was changed", "node1")
    said = re.sub(r"\s+", " ", refused.out)
    for line in lines:
        assert re.search(line, said), f"{line!r} is not in the output:\n{refused.out[-6000:]}"
    assert difference(story["start"]["node1"], fingerprint("node1")) == []


@pytest.mark.slow
def test_0_a_pair_of_versions_that_does_not_belong_together_is_refused(story):
    other = {"dpdk": {"version": "23.11.2", "sha256": "0" * 64, "url": "https://example.org/dpdk.tar.xz"}}
    source = spec(fastpath_ovs_provider="source", fastpath_artefacts=other)
    playbook("site", "--limit", "node1", *source).must_fail("Open vSwitch 3.6.3 with DPDK 23.11.2", "DPDK 24.11")
    assert difference(story["start"]["node1"], fingerprint("node1")) == []


def test_1_packages_bring_it_and_packets_flow(story):
    playbook("site", *spec()).must_pass()
    for node in PAIR:
        assert versions(node).startswith("true")
    exchange(*PAIR)


@pytest.mark.slow
def test_2_the_second_run_writes_nothing(story):
    records = {node: records_of(node) for node in PAIR}
    assert playbook("site", *spec()).must_pass().changed() == dict.fromkeys(PAIR, 0)
    assert {node: records_of(node) for node in PAIR} == records


def test_3_packets_flow_again_after_a_crash(story):
    former = {node: ssh(node, "cat /run/openvswitch/ovs-vswitchd.pid") for node in PAIR}
    for node in PAIR:
        ssh(node, f"kill -9 {former[node]}")
    for node in PAIR:
        # The database keeps saying what was; only another process makes it true again.
        wait_until(lambda node=node: other_process(node, former[node]), f"{node} has another ovs-vswitchd")
    exchange(*PAIR)


def test_4_packets_flow_again_after_a_reboot(story):
    lab("reset", *PAIR)
    for node in PAIR:
        ssh(node, "systemctl is-system-running --wait || true", timeout=300)
        started = "systemctl show --value -p {} {}"
        ours = int(ssh(node, started.format("InactiveExitTimestampMonotonic", "ovs-vswitchd")))
        assert ours > int(ssh(node, started.format("ActiveEnterTimestampMonotonic", "fastpath-sriov"))) > 0
    exchange(*PAIR)


@pytest.mark.slow
def test_5_a_start_that_fails_says_why_and_gives_back_what_worked(story):
    config = {**SPEC["fastpath_ovs"]["other_config"], "dpdk-extra": "--no-such-option"}
    former = ssh("node1", "ovs-vsctl --timeout=20 get Open_vSwitch . other_config")
    failed = playbook("site", "--limit", "node1", *spec_of_ovs(other_config=config))
    failed.must_fail("no-such-option", "node1")
    assert ssh("node1", "ovs-vsctl --timeout=20 get Open_vSwitch . other_config") == former
    wait_until(lambda: ready("node1"), "both ports of node1 are back")


@pytest.mark.slow
def test_6_a_build_takes_over_and_packets_flow(story):
    source = spec(fastpath_ovs_provider="source", fastpath_dpdk={"provider": "source"})
    playbook("site", *source, timeout=3000).must_pass()
    for node in PAIR:
        seen = versions(node)
        assert "true" in seen and "DPDK 24.11.6" in seen and '"3.6.3"' in seen, seen
    exchange(*PAIR)
    pids = {node: ssh(node, "cat /run/openvswitch/ovs-vswitchd.pid") for node in PAIR}
    assert playbook("site", *source).must_pass().changed() == dict.fromkeys(PAIR, 0)
    assert {node: ssh(node, "cat /run/openvswitch/ovs-vswitchd.pid") for node in PAIR} == pids


@pytest.mark.slow
def test_7_and_back_to_packages(story):
    playbook("site", *spec()).must_pass()
    for node in PAIR:
        assert '"3.6.3"' not in versions(node)
    exchange(*PAIR)


def test_8_teardown_gives_back_what_was_there(story):
    playbook("teardown", *spec(**REMOVE)).must_pass()
    for node in PAIR:
        assert left_on(node, story) == []


@pytest.mark.slow
def test_9_all_of_it_from_packages(story):
    playbook("site", *spec(fastpath_dpdk={}), timeout=2400).must_pass()
    for node in PAIR:
        assert ssh(node, "realpath $(command -v dpdk-testpmd)") == "/usr/bin/dpdk-testpmd\n"
    exchange(*PAIR)
    playbook("teardown", *spec(**REMOVE)).must_pass()
    for node in PAIR:
        assert left_on(node, story) == []
