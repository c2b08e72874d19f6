# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DPDK on a node, from the wish to the way back, on a node of files and transcripts."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import NodeAbi
from ansible_collections.nfv.fastpath.plugins.module_utils._bundles import BundleState
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_baseline import flags_of
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk import (
    MODULES_LOAD,
    DpdkState,
    find_problems,
    plan_dpdk,
    wanted_packages,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_node import DpdkConcern, loadable_modules
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_spec import DpdkSpec, parse_dpdk
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_task import dpdk_result
from ansible_collections.nfv.fastpath.plugins.module_utils._eal import WITHOUT_PAGES, WORKS, start_eal
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._node_abi import common_flags, discover_abi
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.tests.unit.dpdk_node import (
    SOURCE,
    DpdkNode,
    actions,
    apply,
    make_bundle,
    ship,
    teardown,
)


@pytest.fixture
def node(tmp_path):
    return DpdkNode(tmp_path / "node")


# packages


def test_packages_for_the_nics_that_are_there(node):
    result = apply(node, {"plugins": ["net-bond"]})
    assert actions(result) == ["save_desired", "install_packages", "link", "write_file", "load_module"]
    assert {"dpdk", "dpdk-dev", "librte-net-e1000-25", "librte-bus-pci25", "librte-net-bond25"} <= node.packages
    assert "librte-net-mlx5-25" not in node.packages
    assert node.host.read(MODULES_LOAD) == "# Written by nfv.fastpath.\nvfio-pci\n"
    assert (node.folder / "usr/local/bin/dpdk-devbind").readlink() == Path("/usr/bin/dpdk-devbind.py")


def test_the_second_run_does_nothing(node):
    apply(node)
    before, commands = node.files(), list(node.commands)
    result = apply(node)
    assert (result["changed"], result["operations"]) == (False, [])
    assert (node.files(), node.commands) == (before, commands)


def test_check_mode_says_the_same_and_changes_nothing(node):
    before = node.files()
    dry = apply(node, dry_run=True)
    assert node.files() == before
    assert node.commands == []
    real = apply(node)
    assert dry["operations"] == real["operations"]
    assert dry["diff"] == real["diff"]


def test_teardown_gives_back_what_was_there(node):
    packages, before = set(node.packages), node.files()
    apply(node)
    result = teardown(node)
    assert result["changed"]
    assert node.packages == packages
    assert node.files() == before
    assert not node.host.exists("/sys/module/vfio_pci")
    assert teardown(node)["changed"] is False


def test_teardown_in_check_mode(node):
    apply(node)
    before, commands = node.files(), list(node.commands)
    dry = teardown(node, dry_run=True)
    assert (node.files(), node.commands) == (before, commands)
    assert dry["operations"] == teardown(node)["operations"]


def test_teardown_may_leave_the_packages(node):
    apply(node)
    there = set(node.packages)
    teardown(node, remove_packages=False)
    assert node.packages == there


def test_what_was_installed_before_is_not_ours_to_remove(node):
    """Also where installing ours upgrades it, which a simulation names like something new."""
    node.packages |= {"dpdk", "librte-eal25"}
    node.put("usr/bin/dpdk-devbind.py", "")
    before = set(node.packages)
    apply(node)
    teardown(node)
    assert node.packages == before


def test_the_abi_of_what_is_installed_where_the_lists_are_gone(node):
    apply(node)
    node.known = False
    node.apt = lambda argv: Completed(0, "", "")
    assert apply(node)["changed"] is False


def test_a_module_in_use_or_loaded_before_stays(node):
    node.put("sys/module/vfio_pci/refcnt", "0\n")
    apply(node)
    teardown(node)
    assert node.host.exists("/sys/module/vfio_pci")


def test_a_module_that_has_a_device_is_not_unloaded(node):
    apply(node)
    (node.folder / "sys/bus/pci/drivers/vfio-pci/0000:81:00.0").mkdir(parents=True)
    teardown(node)
    assert node.host.exists("/sys/module/vfio_pci")


def test_packages_that_others_need_by_now_stay_and_are_named(node):
    apply(node)
    node.needed_by_others = {"librte-eal25"}
    warnings = []
    params = {"state": "absent", "remove_packages": True}
    dpdk_result(node.host, params, False, warnings.append)
    assert "librte-eal25" in node.packages
    assert any("librte-eal25" in warning for warning in warnings)


def test_lists_of_archives_are_read_where_they_are_missing(node):
    node.known = False
    apply(node)
    assert node.commands[0] == ["update"]
    assert [command[0] for command in node.commands].count("update") == 1


def test_a_distribution_without_dpdk(node):
    node.known = False
    node.apt = lambda argv: Completed(0, "", "")
    with pytest.raises(Refused, match="no package dpdk-dev"):
        apply(node)


def test_cut_off_after_the_record_and_before_the_install(node):
    """The record names packages that are not there: neither the next run nor a teardown minds."""
    install, node.apt = (
        node.apt,
        lambda argv: (
            Completed(100, "", "E: power cut")
            if not {"--simulate", "--print-uris"} & {*argv}
            else DpdkNode.apt(node, argv)
        ),
    )
    with pytest.raises(FastpathError, match="power cut"):
        apply(node)
    node.apt = install
    packages = {"bash", "python3"}
    assert node.packages == packages
    apply(node)
    teardown(node)
    assert node.packages == packages


def test_igb_uio_comes_with_its_headers(node):
    apply(node, {"modules": ["igb_uio"]})
    assert {"dpdk-kmods-dkms", "linux-headers-6.12.0-lab"} <= node.packages
    assert node.commands[-1] == ["modprobe", "igb_uio"]
    assert apply(node, {"modules": ["igb_uio"]})["changed"] is False


@pytest.mark.parametrize("word", ["integrity", "confidentiality"])
def test_uio_under_lockdown_is_refused(node, word):
    node.put("sys/kernel/security/lockdown", f"none [{word}]\n")
    with pytest.raises(Refused) as refused:
        apply(node, {"modules": ["vfio-pci", "igb_uio", "uio_pci_generic"]})
    assert [problem.value for problem in refused.value.problems] == ["igb_uio", "uio_pci_generic"]
    assert f"lockdown is {word}" in refused.value.message
    assert node.commands == []
    assert apply(node, {"modules": ["vfio-pci"]})["changed"]


def test_uio_under_secure_boot_is_refused(node):
    path = node.folder / "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x06\0\0\0\x01")
    with pytest.raises(Refused, match="Secure Boot is on"):
        apply(node, {"modules": ["igb_uio"]})


def test_a_module_that_the_kernel_does_not_have(node):
    node.put("lib/modules/6.12.0-lab/modules.dep", "")
    with pytest.raises(Refused, match=r"no module of the running kernel 6\.12\.0-lab"):
        apply(node)


def test_a_built_in_module_counts(node):
    node.put("lib/modules/6.12.0-lab/modules.dep", "")
    node.put("lib/modules/6.12.0-lab/modules.builtin", "kernel/drivers/vfio/pci/vfio-pci.ko\n")
    assert loadable_modules(node.host, "6.12.0-lab") == {"vfio-pci"}


def test_warnings_where_pages_or_iommu_are_missing(node):
    node.put("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n")
    (node.folder / "sys/kernel/iommu_groups/0/name").unlink()
    (node.folder / "sys/kernel/iommu_groups/0").rmdir()
    warnings = []
    dpdk_result(node.host, {"state": "present", "spec": {}}, False, warnings.append)
    assert ["hugepages" in warnings[0], "IOMMU" in warnings[1]] == [True, True]


# verification


def seen(node, spec):
    return {(check.id, check.target): check for check in verify(DpdkConcern(node.host), spec)}


def test_everything_in_order(node):
    apply(node)
    checks = seen(node, {"dpdk": {}})
    assert all(check.ok for check in checks.values())
    assert ("dpdk.eal", "with hugepages") in checks
    assert [words for words in node.eal_starts if "--no-huge" in words]


def test_before_anything_was_done(node):
    failed = {check.id for check in seen(node, {"dpdk": {}}).values() if not check.ok}
    assert failed == {"dpdk.packages", "dpdk.module"}


def test_a_bundle_is_compared_by_its_key(node, tmp_path):
    ship(node, make_bundle(tmp_path))
    other = make_bundle(tmp_path, "b" * 16)[0]
    checks = seen(node, {"dpdk": SOURCE, "bundle": other.as_json()})
    assert checks[("dpdk.bundle", "current")].seen == "24.11.6-" + "a" * 16
    assert not checks[("dpdk.bundle", "current")].ok
    assert seen(node, {"dpdk": SOURCE})[("dpdk.bundle", "current")].ok


def test_what_dpdk_says_is_in_the_check(node):
    apply(node)
    node.eal = Completed(1, "", "EAL: Detected CPU lcores: 2\nEAL: FATAL: Cannot get hugepage information.\n")
    check = seen(node, {"dpdk": {}})[("dpdk.eal", "with hugepages")]
    assert check.seen == "exit code 1: EAL: FATAL: Cannot get hugepage information."


def test_no_pages_is_a_failed_check_and_no_start_with_pages(node):
    apply(node)
    for name in ("nr_hugepages", "free_hugepages"):
        node.put(f"sys/kernel/mm/hugepages/hugepages-2048kB/{name}", "0\n")
    checks = seen(node, {"dpdk": {}})
    assert not checks[("dpdk.hugepages", "hugepages")].ok
    assert ("dpdk.eal", "with hugepages") not in checks


def test_pages_that_open_vswitch_has_are_there(node):
    apply(node)
    node.put("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "63\n")
    checks = seen(node, {"dpdk": {}})
    assert checks[("dpdk.hugepages", "hugepages")].ok
    assert ("dpdk.eal", "with hugepages") not in checks


def test_eal_without_a_telling_line():
    host = Host(run=lambda argv, timeout, stdin: Completed(-11, "a\nb\nc\nd\n", ""))
    assert start_eal(host, "/bin/x", WITHOUT_PAGES) == "exit code -11: b; c; d"
    assert start_eal(Host(run=lambda argv, timeout, stdin: Completed(0, "", "")), "/bin/x", ()) == WORKS


# specs and planners


@pytest.mark.parametrize(
    ("spec", "variables"),
    [
        ("packages", ["fastpath_dpdk"]),
        ({"providr": "source"}, ["fastpath_dpdk.providr"]),
        ({"provider": "git"}, ["fastpath_dpdk.provider"]),
        ({"modules": "vfio-pci"}, ["fastpath_dpdk.modules"]),
        ({"modules": ["vfio-pci", "nvidia", 5]}, ["fastpath_dpdk.modules"] * 2),
        ({"plugins": ["net/bond"]}, ["fastpath_dpdk.plugins"]),
        ({"vdpa": "yes", "tools": 1}, ["fastpath_dpdk.vdpa", "fastpath_dpdk.tools"]),
    ],
)
def test_bad_specs(spec, variables):
    with pytest.raises(Refused) as refused:
        parse_dpdk({"dpdk": spec})
    assert [problem.variable for problem in refused.value.problems] == variables


def test_nothing_is_a_valid_wish():
    assert parse_dpdk(None) == parse_dpdk({"dpdk": None}) == DpdkSpec()


def test_a_bundle_is_of_no_interest_to_packages(tmp_path):
    bundle = make_bundle(tmp_path)[0].as_json()
    assert parse_dpdk({"dpdk": {}, "bundle": bundle}).bundle is None
    assert parse_dpdk({"dpdk": SOURCE, "bundle": bundle}).bundle is not None


def state(**changes):
    abi = NodeAbi("node1", "x86_64", flags_of("x86-64-v2"), "2.41", "debian")
    values = {"node": abi, "abi": "25", "loadable": frozenset({"vfio-pci"}), "pages_kb": 2048, "iommu_groups": 1}
    return DpdkState(**{**values, **changes})


def test_vdpa_drivers_on_request():
    nic = PciDevice("0000:01:00.0", vendor_id="15b3", device_id="101d", class_id="020000")
    assert "librte-vdpa-mlx5-25" in wanted_packages(state(devices=(nic,)), DpdkSpec(vdpa=True))
    assert "librte-vdpa-mlx5-25" not in wanted_packages(state(devices=(nic,)), DpdkSpec())


def test_without_tools():
    assert "dpdk-dev" not in wanted_packages(state(), DpdkSpec(tools=False))


def test_packages_of_the_rhel_family():
    assert wanted_packages(state(manager="dnf", abi=None), DpdkSpec()) == ["dpdk", "dpdk-devel", "dpdk-tools"]
    assert find_problems(state(manager="dnf", abi=None), DpdkSpec()) == []
    assert "dpdk-kmods" in find_problems(state(manager="dnf"), DpdkSpec(modules=("igb_uio",)))[0].message


def test_a_node_without_a_known_package_manager():
    assert "apt or dnf" in find_problems(state(manager="", abi=None), DpdkSpec())[0].message


def test_no_modules_is_no_file():
    plan = plan_dpdk(state(), DpdkSpec(modules=()))
    assert [step.action for step in plan.operations] == ["install_packages", "link"]


def test_a_bundle_left_by_a_former_wish_goes():
    plan = plan_dpdk(state(bundles=BundleState(("1-a",), "1-a")), DpdkSpec())
    assert [step.action for step in plan.operations][-2:] == ["switch_bundle", "remove_bundle"]


def test_flags_that_all_cpus_have():
    assert common_flags("flags\t: b a c\nflags\t: a b\n") == ("a", "b")
    assert common_flags("Features\t: asimd fp\n") == ("asimd", "fp")
    assert common_flags("") == ()


def test_what_a_node_is(node):
    abi = discover_abi(node.host)
    assert (abi.glibc, abi.os_id, abi.release) == ("2.41", "debian", "trixie")
    node.getconf = lambda argv: Completed(1, "", "unknown variable")
    assert discover_abi(node.host).glibc == ""


def test_looking_ahead_nothing_is_built_and_no_list_was_read():
    source = DpdkSpec(provider="source")
    assert find_problems(state(), source) and not find_problems(state(), source, looking_ahead=True)
    assert find_problems(state(abi=None), DpdkSpec()) and not find_problems(state(abi=None), DpdkSpec(), True)
    assert find_problems(state(loadable=frozenset()), DpdkSpec(), looking_ahead=True)
