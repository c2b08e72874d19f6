# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Preflight on a node: parsers, planners and the node's own refusals come as one message, each once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern, Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._concerns import AHEAD
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, InUse, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet import KubeletState
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_spec import KubeletSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._preflight_node import preflight_node
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import note
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import PF, VdpaNode
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import NAMES, SPEC, sriov

FILES = ("usr/sbin/update-grub", "usr/sbin/ip", "usr/sbin/modprobe", "usr/bin/systemctl")


def planner(error=None, specs=None, steps=(), reboot=""):
    class Some(Concern):
        name = "some"

        def parse(self, spec):
            if specs is not None:
                specs.append(spec)
            return spec

        def discover(self):
            return {}

        def plan(self, current, desired):
            if error:
                raise error
            return Plan(operations=tuple(steps), reboot_reason=reboot)

    return Some


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    for path in FILES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return Host(str(tmp_path), run=no_command)


def no_command(argv, timeout, stdin):
    raise AssertionError(f"unexpected command {argv}")


def run(host, hugepages=None, kernel_args=None, sriov=None, **params):
    concerns = {
        "hugepages": hugepages or planner(),
        "kernel_args": kernel_args or planner(),
        "sriov": sriov or planner(),
        "dpdk": planner(),
    }
    spec = {"hugepages": [], "kernel_args": {}, "sriov": []}
    base = {"variables": [], "known_variables": [], "noiommu_ok": False, "disruption_ok": False}
    return preflight_node(host, {**spec, **base, **params}, concerns)


def variables(host, **more):
    with pytest.raises(Refused) as refused:
        run(host, **more)
    assert "nothing was changed" in refused.value.message
    return [problem.variable for problem in refused.value.problems]


def test_a_good_node(host):
    result = run(host)
    assert result["changed"] is False
    assert result["needs_reboot_first"] is False
    assert result["devices"] == []
    json.dumps(result)


def test_everything_comes_at_once_and_each_once(host):
    twice = Problem("fastpath_hugepages[0].numa_node", 7, "does not exist")
    found = variables(
        host,
        hugepages=planner(Refused([twice])),
        kernel_args=planner(Refused([twice, Problem("fastpath_kernel_args", "x", "is unfit")])),
        sriov=planner(FastpathError("ip is broken")),
        variables=["fastpath_hugepage"],
        sriov_spec=[],
    )
    assert found == [
        "fastpath_hugepage",
        "fastpath_hugepages[0].numa_node",
        "fastpath_kernel_args",
        "fastpath_sriov",
    ]


def test_planners_are_asked_also_where_another_spec_cannot_be_read(host):
    found = variables(
        host,
        **{"hugepages": planner(Refused([Problem("fastpath_hugepages[0].numa_node", 7, "no")]))},
        kernel_args=planner(),
        variables=["fastpath_x"],
    )
    assert "fastpath_hugepages[0].numa_node" in found


def test_a_node_without_a_boot_loader_is_refused_once(host):
    (__import__("pathlib").Path(host.root) / "usr/sbin/update-grub").unlink()
    assert variables(host, kernel_args=planner(FastpathError("no loader"))) == ["node.os"]


def test_the_planner_of_vfs_leaves_the_iommu_to_preflight(host):
    specs: list = []
    run(host, sriov=planner(specs=specs))
    assert specs == [{"pfs": [], "noiommu_ok": True, "coming_drivers": ()}]


@pytest.mark.parametrize(
    ("dpdk", "coming"), [(None, ()), ({"modules": ["igb_uio"]}, ("igb_uio",)), ({}, ("vfio-pci",))]
)
def test_the_planner_of_vfs_knows_what_dpdk_brings(host, dpdk, coming):
    specs: list = []
    run(host, sriov=planner(specs=specs), dpdk=dpdk)
    assert specs[0]["coming_drivers"] == coming


def test_of_a_wrong_spec_of_dpdk_nothing_comes(host):
    specs: list = []
    assert variables(host, sriov=planner(specs=specs), dpdk="wrong") == ["fastpath_dpdk"]
    assert specs[0]["coming_drivers"] == ()


def test_a_module_from_outside_is_asked_for_its_signature(host):
    vfs = [{"indexes": 0, "driver": "igb_uio", "pool": "p"}]
    sriov_spec = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": vfs}]
    lockdown = host.path("/sys/kernel/security")
    __import__("os").makedirs(lockdown)
    with open(f"{lockdown}/lockdown", "w") as file:
        file.write("none [integrity] confidentiality")
    calls = []

    def modinfo(argv, timeout, stdin):
        calls.append(list(argv))
        return Completed(0, "\n", "")

    params = {"hugepages": [], "kernel_args": {}, "sriov": sriov_spec, "variables": [], "known_variables": []}
    concerns = {name: planner() for name in ("hugepages", "kernel_args", "sriov")}
    with pytest.raises(Refused, match="unsigned"):
        preflight_node(Host(host.root, run=modinfo), {**params, "noiommu_ok": False, "disruption_ok": False}, concerns)
    assert calls == [["modinfo", "-F", "signer", "igb_uio"]]


def test_disruption_without_consent_is_refused_before_anything_else_happens(host):
    step = Operation("set_numvfs", "0000:81:00.0", 2, 7, disruptive=True, reason="VF 1 is in a pod")
    vfs = planner(steps=[step, Operation("probe", "x")])
    with pytest.raises(Refused, match="set_numvfs 0000:81:00.0 would disrupt running users .VF 1 is in a pod"):
        run(host, sriov=vfs)
    assert variables(host, sriov=vfs) == ["fastpath_disruption_ok"]
    assert run(host, sriov=vfs, disruption_ok=True)["changed"] is False


IN_USE = InUse("fastpath_sriov[0].num_vfs", 7, "would remove VF 1, which is used by netns:x: move its users away first")


def test_users_are_no_problem_where_they_are_moved_away_first(host):
    step = Operation("set_numvfs", "0000:81:00.0", 2, 7, disruptive=True, reason="all 2 are removed first")
    result = run(host, sriov=planner(Refused([IN_USE])), hugepages=planner(steps=[step]), drain_first=True)
    assert result["in_use"] is True
    assert result["disrupts"] == [
        str(IN_USE),
        "set_numvfs 0000:81:00.0: all 2 are removed first",
    ]
    assert variables(host, sriov=planner(Refused([IN_USE]))) == ["fastpath_sriov[0].num_vfs"]


def test_hugepages_make_the_memory_manager_forget_what_pods_have(host):
    """The kubelet's own plan cannot say so before the pages are there."""

    class Kubelet(planner()):
        def discover(self):
            return KubeletState(guaranteed=3)

        def parse(self, spec):
            return KubeletSpec(memory_manager=spec["memory_manager"])

    step = Operation("set_pages", "2M on NUMA node 0", 0, 8)

    def look(pages, policy, **params):
        concerns = {name: planner() for name in ("kernel_args", "sriov")}
        concerns.update({"hugepages": planner(steps=pages), "kubelet": Kubelet})
        base = {"variables": [], "known_variables": [], "noiommu_ok": False, "disruption_ok": False, "hugepages": []}
        return preflight_node(host, {**base, "kubelet": {"memory_manager": policy}, **params}, concerns)

    (said,) = look([step], "Static", drain_first=True)["disrupts"]
    assert "3 Guaranteed pods have memory that the kubelet has to forget" in said
    with pytest.raises(Refused, match="fastpath_disruption_ok"):
        look([step], "Static")
    assert look([], "Static")["disrupts"] == look([step], "None")["disrupts"] == []


def test_other_problems_stay_problems(host):
    both = Refused([IN_USE, Problem("fastpath_sriov[0].num_vfs", 99, "supports 7 VFs")])
    with pytest.raises(Refused) as refused:
        run(host, sriov=planner(both), drain_first=True)
    assert [problem.value for problem in refused.value.problems] == [99]


def test_reasons_to_reboot_are_known_before_the_run(host):
    result = run(host, kernel_args=planner(reboot="boot arguments wait"))
    assert result["reboot_reasons"] == {"kernel_args": "boot arguments wait"}
    assert (result["disrupts"], result["in_use"]) == ([], False)


def test_reasons_of_former_runs_still_stand(host):
    note(host, "hugepages", "pages wait")
    assert run(host)["reboot_reasons"] == {"hugepages": "pages wait"}


OVS = {
    "other_config": {"dpdk-init": True, "dpdk-socket-mem": [1024]},
    "bridges": [
        {"name": "br0", "ports": [{"name": "d0", "type": "dpdk", "vf": {"pf": {"netdev": "ens1"}, "index": 0}}]}
    ],
}


def fresh(argv, timeout, stdin):
    """Answers of a node with apt, before anything was installed or any list of packages was read."""
    answers = {
        "dpkg-query": Completed(0, "libc6\tinstalled\t2.41\n", ""),
        "apt-cache": Completed(100, "", "N: Unable to locate package"),
        "update-alternatives": Completed(2, "", "error: no alternatives"),
        "getconf": Completed(0, "glibc 2.41\n", ""),
        "ip": Completed(0, "[]\n[]\n", ""),
    }
    return answers[argv[0]]


@pytest.fixture
def fresh_host(host):
    files = {
        "usr/bin/dpkg-query": "",
        "usr/bin/apt-get": "",
        "etc/os-release": "ID=debian\n",
        "proc/sys/kernel/osrelease": "6.12\n",
        "proc/cpuinfo": "flags : sse4_2\n",
        "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages": "0\n",
        "sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages": "0\n",
        "lib/modules/6.12/modules.dep": "kernel/drivers/vfio/pci/vfio-pci.ko.xz:\n",
    }
    for path, text in files.items():
        target = Path(host.root) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return Host(host.root, run=fresh)


def ahead(host, **params):
    base = {"variables": [], "known_variables": [], "noiommu_ok": False, "disruption_ok": False}
    return preflight_node(host, {**base, **params}, AHEAD)


@pytest.mark.parametrize("provider", ["packages", "source"])
def test_what_other_roles_will_bring_may_still_be_absent(fresh_host, provider):
    result = ahead(fresh_host, dpdk={"provider": provider}, ovs=OVS, ovs_provider=provider)
    assert result["changed"] is False


def test_a_switch_without_dpdk_will_be_replaced(fresh_host):
    program = Path(fresh_host.root) / "usr/sbin/ovs-vswitchd"
    program.touch()
    run = {"/usr/sbin/ovs-vswitchd": Completed(0, "ovs-vswitchd (Open vSwitch) 3.5.0\n", "")}
    host = Host(fresh_host.root, run=lambda argv, *rest: run.get(argv[0]) or fresh(argv, *rest))
    assert ahead(host, ovs=OVS)["changed"] is False


def test_what_nothing_will_bring_is_refused(fresh_host):
    (Path(fresh_host.root) / "usr/bin/dpkg-query").unlink()
    wrong = {"other_config": {"pmd-cpu-mask": "400"}}
    with pytest.raises(Refused) as refused:
        ahead(fresh_host, dpdk={"modules": ["uio_pci_generic"]}, ovs=wrong)
    found = {problem.variable for problem in refused.value.problems}
    assert {"fastpath_dpdk.modules", "ovs_dpdk_provider"} < found
    assert any(name.startswith("fastpath_ovs.other_config") for name in found)


@pytest.fixture
def virtio_node(host):
    """A virtio PF that has no VFs yet."""
    (Path(host.root) / "sys/bus").mkdir(parents=True)
    node = VdpaNode(host.root)
    node.add_virtio_pf(0)
    (Path(host.root) / "sys/kernel/iommu_groups/1").mkdir(parents=True)
    return node


def test_vdpa_devices_are_judged_by_the_vfs_that_will_be(virtio_node):
    assert ahead(virtio_node, sriov=sriov(), vdpa=SPEC)["changed"] is False
    assert virtio_node.changes == 0


@pytest.mark.parametrize("pf", [{"netdev": "ens2"}, {"address": PF}])
def test_a_vf_of_vdpa_with_another_driver_is_refused_once_in_whichever_words(virtio_node, pf):
    with pytest.raises(Refused) as refused:
        ahead(virtio_node, sriov=sriov("vfio-pci", pf=pf), vdpa=SPEC)
    assert [problem.variable for problem in refused.value.problems] == ["fastpath_vdpa[0].indexes"] * 2
    assert [problem.value for problem in refused.value.problems] == [0, 1]


def test_pools_of_vdpa_devices_meet_the_node(virtio_node):
    vdpa = [{"pf": {"address": "0000:81:00.0"}, "indexes": "0", "pool": "vdpa"}]
    with pytest.raises(Refused) as refused:
        ahead(virtio_node, sriov=sriov(), vdpa=vdpa)
    assert [problem.variable for problem in refused.value.problems] == ["fastpath_vdpa[0].pf"]


@pytest.mark.parametrize("pf", [{"netdev": "ens2"}, {"address": PF}])
def test_vdpa_devices_wait_for_the_reboot_that_brings_the_iommu(virtio_node, pf):
    (Path(virtio_node.root) / "sys/kernel/iommu_groups/1").rmdir()
    (Path(virtio_node.root) / "sys/firmware/acpi/tables").mkdir(parents=True)
    (Path(virtio_node.root) / "sys/firmware/acpi/tables/DMAR").touch()
    concerns = {**AHEAD, "kernel_args": planner(reboot="the IOMMU")}
    base = {"variables": [], "known_variables": [], "noiommu_ok": False, "disruption_ok": False}
    spec = {**base, "sriov": sriov(pf=pf), "vdpa": SPEC}
    result = preflight_node(virtio_node, {**spec, "kernel_args": {"iommu": "passthrough"}}, concerns)
    assert result["needs_reboot_first"] is True
    with pytest.raises(Refused) as refused:
        preflight_node(virtio_node, {**spec, "kernel_args": {}}, concerns)
    (problem,) = refused.value.problems
    assert problem.variable == "fastpath_vdpa[0].bus" and "{iommu: passthrough}" in problem.message


@pytest.mark.parametrize("drain_first", [True, False])
def test_users_of_vdpa_devices_are_moved_away_first_where_there_is_a_cluster(virtio_node, drain_first):
    virtio_node.add_vfs()
    converge(VdpaConcern(virtio_node), Request(spec=SPEC))
    virtio_node.open(NAMES[0])
    if drain_first:
        result = ahead(virtio_node, sriov=sriov(), vdpa=[], drain_first=True)
        assert result["in_use"] and "vhost-vdpa:4711 (qemu)" in result["disrupts"][0]
        return
    with pytest.raises(Refused, match="used by vhost-vdpa:4711"):
        ahead(virtio_node, sriov=sriov(), vdpa=[])
