# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""vDPA devices on emulated virtio VFs: made, opened, with packets, kept over a reboot, left to users, given back.

One story in order: each chapter starts from the state that the former left, as it would at a user's site.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from nodes import OWN as NODE
from nodes import (
    Play,
    difference,
    difference_but_for_accounts,
    fingerprint,
    lab,
    must_be_running,
    playbook,
    ssh,
    with_spec,
)
from traffic import wait_until

pytestmark = pytest.mark.slow
PF = {"vendor": "1af4", "device": "1041"}
PF_ADDRESS = "0000:02:00.0"
FIRST = "vdpa-0000-02-00.0-vf0"
NAMES = {FIRST, "vdpa-0000-02-00.0-vf1", "vdpa2"}
SPEC = {
    "fastpath_kernel_args": {},
    "fastpath_hugepages": [{"size": "2M", "count": 192, "numa_node": 0}],
    "fastpath_sriov": [{"pf": PF, "num_vfs": 4, "vfs": [{"indexes": "0-2", "driver": "vp-vdpa"}]}],
    "fastpath_vdpa": [
        {"pf": {"address": PF_ADDRESS}, "indexes": "0-1", "pool": "vdpa_vhost"},
        {"pf": {"address": PF_ADDRESS}, "indexes": 2, "bus": "virtio_vdpa", "name": "vdpa2"},
    ],
    "fastpath_dpdk": {"modules": []},
}
HOLD = "import os,time; os.open('/dev/{}', os.O_RDWR); time.sleep(600)"


def run(name: str, **changes: Any) -> Play:
    return playbook(name, "--limit", NODE, *with_spec(**{**SPEC, **changes}))


def devices() -> dict[str, Any]:
    return json.loads(ssh(NODE, "vdpa -j dev show"))["dev"]


def device_file() -> str:
    return ssh(NODE, f"basename /sys/bus/vdpa/devices/{FIRST}/vhost-vdpa-*").strip()


@pytest.fixture(scope="module")
def story(lab_is_up):
    lab("restore", NODE)
    return {"start": fingerprint(NODE)}


def received_by_vf_3() -> int:
    return int(ssh(NODE, f"cat /sys/bus/pci/devices/{PF_ADDRESS}/virtfn3/virtio*/net/*/statistics/rx_packets"))


def send_through_the_device_file() -> None:
    """VF 3 has the kernel's driver and hears all that goes over the lab's bridge.

    Both threads are on the first CPU, whose NUMA node has the pages.
    """
    name = ssh(NODE, f"basename $(ls -d /sys/bus/pci/devices/{PF_ADDRESS}/virtfn3/virtio*/net/*)").strip()
    ssh(NODE, f"ip link set {name} promisc on up")
    before = received_by_vf_3()
    device = f"net_virtio_user0,path=/dev/{device_file()},queue_size=64"
    eal = f"--lcores=(0-1)@0 -n 1 --no-pci --in-memory -m 256 --no-telemetry --vdev={device}"
    options = "--forward-mode=txonly --nb-cores=1 --rxd=64 --txd=64 --total-num-mbufs=8192 --no-lsc-interrupt"
    unit = "systemd-run --collect --unit sender --property=LimitMEMLOCK=infinity"
    ssh(NODE, f"{unit} dpdk-testpmd {shlex.join(eal.split())} -- {options} --stats-period=5")
    try:
        wait_until(lambda: received_by_vf_3() > before + 1000, "packets of the vDPA device arrive at VF 3")
    finally:
        print(ssh(NODE, "systemctl stop sender 2>&1; journalctl --unit sender --no-pager --lines 40"))


def test_1_a_plan_before_there_is_any_vf(story):
    run("plan").must_pass()
    assert difference(story["start"], fingerprint(NODE)) == []


def test_2_devices_are_made_proven_and_carry_packets(story):
    run("site").must_pass()
    assert set(devices()) == NAMES
    assert run("site").must_pass().changed() == {NODE: 0}
    send_through_the_device_file()


def test_3_a_device_in_use_stays_whatever_the_consent(story):
    ssh(NODE, f'systemd-run --collect --unit holder python3 -c "{HOLD.format(device_file())}"')
    try:
        before = devices()
        run("site", fastpath_vdpa=[], fastpath_disruption_ok=True).must_fail("vhost-vdpa:", "python3", FIRST)
        run("verify").must_pass()
        run("teardown", fastpath_disruption_ok=True).must_fail("vhost-vdpa:", "python3", FIRST)
        assert devices() == before
    finally:
        ssh(NODE, "systemctl stop holder")
    run("site").must_pass()


def test_4_what_cannot_be_is_refused(story):
    vfio = [{"pf": PF, "num_vfs": 4, "vfs": [{"indexes": "0-2", "driver": "vfio-pci"}]}]
    run("site", fastpath_sriov=vfio).must_fail("fastpath_vdpa[0].indexes", "vfio-pci", "nothing was changed")
    mac = [{"pf": PF, "indexes": 0, "mac": "02:00:00:00:00:01"}]
    run("site", fastpath_vdpa=mac).must_fail("fastpath_vdpa[0].mac", "cannot be set with the driver vp-vdpa")


def test_5_vfs_go_to_another_driver_and_come_back_in_one_run_each(story):
    vfio = [{"pf": PF, "num_vfs": 4, "vfs": [{"indexes": "0-2", "driver": "vfio-pci"}]}]
    run("site", fastpath_sriov=vfio, fastpath_vdpa=[]).must_pass()
    assert devices() == {}
    run("site").must_pass()
    assert set(devices()) == NAMES


def test_6_another_number_of_vfs_and_back_with_all_devices(story):
    three = [{"pf": PF, "num_vfs": 3, "vfs": [{"indexes": "0-2", "driver": "vp-vdpa"}]}]
    run("site", fastpath_sriov=three).must_fail("set_numvfs", "disruption_ok")
    run("plan", fastpath_sriov=three, fastpath_disruption_ok=True).must_pass()
    assert set(devices()) == NAMES
    for vfs in (three, SPEC["fastpath_sriov"]):
        run("site", fastpath_sriov=vfs, fastpath_disruption_ok=True).must_pass()
        assert set(devices()) == NAMES


def test_7_all_is_there_again_after_a_reboot_and_carries_packets(story):
    lab("reset", NODE)
    must_be_running(NODE)
    assert set(devices()) == NAMES
    run("verify").must_pass()
    assert run("site").must_pass().changed() == {NODE: 0}
    send_through_the_device_file()


def test_8_teardown_gives_back_what_was_there(story):
    run("teardown", dpdk_remove_packages=True).must_pass()
    assert difference_but_for_accounts(story["start"], fingerprint(NODE)) == []
    assert devices() == {}
