# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The concern as a whole, on a node whose GRUB configuration a real shell reads, and which reboots."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _kernel_args
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._grub import GrubLoader
from ansible_collections.nfv.fastpath.plugins.module_utils._grubby import GrubbyLoader
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args import (
    KernelArgsConcern,
    boot_loader,
    node_facts,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._rpm_ostree import RpmOstreeLoader
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.grub_node import (
    AMD,
    CFG,
    MAIN,
    OWN,
    GrubNode,
    PowerCut,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STOCK = "root=UUID=1234 ro quiet"
PASSTHROUGH = {"iommu": "passthrough"}
PAGES = [{"size": "1G", "count": 2, "numa_node": 0, "default": True}, {"size": "2M", "count": 8, "at": "boot"}]
PAGES_LINE = "default_hugepagesz=1G hugepagesz=1G hugepages=0:2 hugepagesz=2M hugepages=8"
OVERRIDE = "etc/default/grub.d/zzz-cloud.cfg"


@pytest.fixture
def node(tmp_path):
    return GrubNode(tmp_path)


def actions(plan) -> list[str]:
    return [operation.action for operation in plan.operations]


def boot_files(node: GrubNode) -> dict[str, str]:
    return {path: text for path, text in node.files().items() if not path.startswith("var/")}


# One request, start to end


def test_a_request_is_written_waits_for_the_reboot_and_is_live(node):
    plan = node.apply(PASSTHROUGH, PAGES)
    assert actions(plan) == ["save_desired", "set_boot_arguments", "remember"]
    assert node.boot_lines() == [f"root=UUID=1234 ro intel_iommu=on iommu=pt {PAGES_LINE} quiet"] * 2
    assert plan.reboot_reason == f"the running kernel is without intel_iommu=on iommu=pt {PAGES_LINE}"
    again = node.apply(PASSTHROUGH, PAGES)
    assert (again.changed, again.reboot_reason) == (False, plan.reboot_reason)
    node.reboot()
    live = node.apply(PASSTHROUGH, PAGES)
    assert (live.changed, live.reboot_reason) == (False, "")
    assert node.commands == [("update-grub",)]


def test_nothing_asked_for_changes_nothing_of_the_boot_loader(node):
    before = boot_files(node)
    plan = node.apply({}, [])
    assert actions(plan) == ["save_desired"]
    assert {path: text for path, text in boot_files(node).items() if path in before} == before
    assert node.commands == []
    assert not node.apply({}, []).changed


def test_a_second_run_writes_nothing(node):
    node.apply(PASSTHROUGH, PAGES)
    times = {path: os.stat(path).st_mtime_ns for path in node.root.rglob("*") if path.is_file()}
    node.apply(PASSTHROUGH, PAGES)
    del times[node.root / "run/fastpath.lock"]
    assert times == {path: os.stat(path).st_mtime_ns for path in times}


def test_teardown_gives_back_what_was_there(node):
    before = boot_files(node)
    node.apply({**PASSTHROUGH, "remove": ["quiet"]}, PAGES)
    node.reboot()
    plan = node.teardown()
    assert actions(plan) == ["set_boot_arguments", "forget"]
    assert plan.reboot_reason.startswith("the running kernel is without quiet and still with intel_iommu=on")
    assert boot_files(node) == before
    again = node.teardown()
    assert (again.changed, again.reboot_reason) == (False, plan.reboot_reason)
    node.reboot()
    assert node.teardown().reboot_reason == ""
    assert node.live().endswith(STOCK)


def test_teardown_before_the_reboot_needs_none(node):
    node.apply(PASSTHROUGH)
    assert node.teardown().reboot_reason == ""
    assert not node.teardown().changed


def test_teardown_of_nothing_is_nothing(node):
    before = node.files()
    assert not node.teardown().changed
    assert node.files() == before


def test_what_is_no_longer_asked_for_goes(node):
    node.apply({**PASSTHROUGH, "extra": {"nosmt": None}})
    node.reboot()
    plan = node.apply(PASSTHROUGH)
    assert plan.reboot_reason == "the running kernel is still with nosmt"
    assert node.apply(PASSTHROUGH).reboot_reason == plan.reboot_reason
    node.reboot()
    settled = node.apply(PASSTHROUGH)
    assert (settled.changed, settled.reboot_reason) == (False, "")
    node.apply({})
    assert OWN not in node.files()


# Check mode


@pytest.mark.parametrize("spec", [{}, PASSTHROUGH, {"remove": ["quiet"]}, {"extra": {"console": ["tty0", "ttyS0"]}}])
def test_check_mode_says_what_then_happens_and_touches_nothing(node, spec):
    before = node.files()
    expected = node.apply(spec, PAGES, dry_run=True)
    assert node.files() == before
    assert node.commands == []
    assert node.apply(spec, PAGES) == expected
    node.reboot()
    expected = node.teardown(dry_run=True)
    assert node.teardown() == expected


# The node's own arguments


def test_ours_in_the_place_of_the_same_of_the_node_gives_way_to_it_again(tmp_path):
    node = GrubNode(tmp_path, linux="console=tty0")
    node.apply({"extra": {"console": ["tty0", "ttyS0"]}, "remove": ["console=tty0"]})
    assert node.boot_lines()[0] == "root=UUID=1234 ro console=tty0 console=ttyS0 quiet"
    node.reboot()
    assert node.apply({}).reboot_reason == "the running kernel is still with console=ttyS0"
    assert node.boot_lines()[0] == "root=UUID=1234 ro console=tty0 quiet"
    assert not node.apply({}).changed


def test_an_argument_of_the_node_is_neither_added_twice_nor_taken_away(tmp_path):
    node = GrubNode(tmp_path, linux="intel-iommu=on,sm_on", default="quiet")
    node.apply(PASSTHROUGH)
    assert node.boot_lines()[0] == "root=UUID=1234 ro intel-iommu=on,sm_on iommu=pt quiet"
    node.teardown()
    assert node.boot_lines()[0] == "root=UUID=1234 ro intel-iommu=on,sm_on quiet"


def test_an_argument_that_the_node_gets_by_itself_later_is_handed_over(node):
    node.apply(PASSTHROUGH)
    node.put(MAIN, node.get(MAIN).replace("quiet", "quiet iommu=pt"))
    node.update_grub()
    assert node.apply(PASSTHROUGH).changed
    assert node.boot_lines()[0] == "root=UUID=1234 ro intel_iommu=on quiet iommu=pt"
    assert not node.apply(PASSTHROUGH).changed
    node.teardown()
    assert node.boot_lines()[0] == "root=UUID=1234 ro quiet iommu=pt"


def test_another_value_of_the_node_is_refused_with_the_file(tmp_path):
    node = GrubNode(tmp_path, default="quiet intel_iommu=off")
    before = node.files()
    with pytest.raises(Refused, match=r"intel_iommu=off \(see /etc/default/grub\).*remove: \[intel_iommu\]"):
        node.apply(PASSTHROUGH)
    assert node.files() == before
    node.apply({**PASSTHROUGH, "remove": ["intel_iommu"]})
    assert node.boot_lines()[0] == "root=UUID=1234 ro intel_iommu=on iommu=pt quiet"
    node.reboot()
    assert not node.apply({**PASSTHROUGH, "remove": ["intel_iommu"]}).changed
    node.teardown()
    assert node.boot_lines()[0] == "root=UUID=1234 ro quiet intel_iommu=off"


def test_pages_of_the_node_are_refused_since_pairs_cannot_be_mixed(tmp_path):
    node = GrubNode(tmp_path, linux="hugepagesz=2M hugepages=8")
    with pytest.raises(Refused, match="hugepagesz=2M hugepages=8"):
        node.apply({}, [{"size": "1G", "count": 2}])
    node.apply({"remove": ["hugepagesz", "hugepages"]}, [{"size": "1G", "count": 2}])
    assert node.boot_lines()[0] == "root=UUID=1234 ro hugepagesz=1G hugepages=2 quiet"


def test_the_same_pages_of_the_node_are_enough(tmp_path):
    node = GrubNode(tmp_path, linux="hugepagesz=1G hugepages=2")
    assert actions(node.apply({}, [{"size": "1G", "count": 2}])) == ["save_desired"]


def test_pages_that_could_not_be_had_at_run_time_come_at_boot(node):
    node.put("var/lib/fastpath/hugepages.json", json.dumps({"promoted": [1048576]}))
    node.apply({}, [{"size": "1G", "count": 2, "at": "runtime"}])
    assert node.boot_lines()[0] == "root=UUID=1234 ro hugepagesz=1G hugepages=2 quiet"


def test_names_that_add_up_are_shared_with_the_node(tmp_path):
    node = GrubNode(tmp_path, linux="console=tty0")
    node.apply({"extra": {"console": "ttyS0"}})
    assert node.boot_lines()[0] == "root=UUID=1234 ro console=tty0 console=ttyS0 quiet"


def test_a_line_that_the_kernel_would_cut_is_refused(node):
    with pytest.raises(Refused, match="the kernel cuts off"):
        node.apply({"extra": {"memmap": [f"4K$0x{number:08x}" for number in range(200)]}})
    assert node.commands == []


# IOMMU by what the kernel does


def test_an_iommu_that_is_on_anyway_needs_no_argument(node):
    node.set_iommu_groups(3)
    assert actions(node.apply({"iommu": "on"})) == ["save_desired"]


def test_groups_without_an_iommu_do_not_count(node):
    node.set_iommu_groups(3, "vfio-noiommu")
    assert node_facts(node.host).iommu_groups == 0
    node.apply({"iommu": "on"})
    assert "intel_iommu=on" in node.boot_lines()[0]


def test_an_iommu_that_is_on_because_of_us_stays(node):
    node.apply({"iommu": "on"})
    node.reboot()
    node.set_iommu_groups(3)
    plan = node.apply({"iommu": "on"})
    assert (plan.changed, plan.reboot_reason) == (False, "")


def test_amd(tmp_path):
    node = GrubNode(tmp_path, cpuinfo=AMD)
    plan = node.apply(PASSTHROUGH)
    assert node.boot_lines()[0] == "root=UUID=1234 ro iommu=pt quiet"
    assert any("AMD-Vi" in warning for warning in plan.warnings)


def test_an_intel_iommu_beside_an_amd_cpu(tmp_path):
    node = GrubNode(tmp_path, cpuinfo=AMD)
    node.put("sys/firmware/acpi/tables/DMAR", "")
    plan = node.apply(PASSTHROUGH)
    assert node.boot_lines()[0] == "root=UUID=1234 ro intel_iommu=on iommu=pt quiet"
    assert plan.warnings == ()


def test_all_that_is_wrong_with_a_request_is_said_at_once(node):
    with pytest.raises(Refused) as error:
        node.apply({"iomu": "on", "isolated_cpus": "x"}, [{"size": "3M", "count": 1}])
    assert len(error.value.problems) == 3
    with pytest.raises(Refused, match="no CPU 9"):
        node.apply({"isolated_cpus": "9"})
    assert node.commands == []


# Overrides and the loop breaker


def test_an_override_fails_before_any_reboot(node):
    node.put(OVERRIDE, 'GRUB_CMDLINE_LINUX="console=ttyS0"\n')
    assert any(OVERRIDE in warning for warning in node.apply(PASSTHROUGH, dry_run=True).warnings)
    with pytest.raises(FastpathError, match=f"lacks intel_iommu=on iommu=pt.*{OVERRIDE}"):
        node.apply(PASSTHROUGH)
    assert OWN not in node.files()
    (node.root / OVERRIDE).unlink()
    assert node.apply(PASSTHROUGH).reboot_reason


def overridden_by_a_reboot(node: GrubNode) -> None:
    """Another file comes between our run and the reboot."""
    node.apply(PASSTHROUGH)
    node.put(OVERRIDE, 'GRUB_CMDLINE_LINUX="console=ttyS0"\n')
    node.update_grub()
    node.reboot()


def test_a_reboot_in_vain_is_not_repeated(node):
    overridden_by_a_reboot(node)
    before = node.files()
    commands = list(node.commands)
    for dry_run in (True, False, False):
        with pytest.raises(
            FastpathError, match=f"without intel_iommu=on iommu=pt.*not rebooted again.*{OVERRIDE}"
        ) as error:
            node.apply(PASSTHROUGH, dry_run=dry_run)
        assert error.value.details["missing"] == ["intel_iommu=on", "iommu=pt"]
    assert node.files() == before
    assert node.commands == commands


def test_once_the_override_is_gone_the_next_run_goes_on(node):
    overridden_by_a_reboot(node)
    (node.root / OVERRIDE).unlink()
    plan = node.apply(PASSTHROUGH)
    assert "set_boot_arguments" in actions(plan) or "remember" in actions(plan)
    assert plan.reboot_reason
    assert not node.apply(PASSTHROUGH).changed
    node.reboot()
    assert node.apply(PASSTHROUGH).reboot_reason == ""


def test_mending_by_hand_is_enough(node):
    overridden_by_a_reboot(node)
    (node.root / OVERRIDE).unlink()
    node.update_grub()
    node.reboot()
    plan = node.apply(PASSTHROUGH)
    assert (plan.changed, plan.reboot_reason) == (False, "")


def test_something_unseen_that_rewrites_the_entries_gets_one_further_try(node):
    stock = node.get(CFG)
    for expected in ("tried", "tried"):
        assert node.apply(PASSTHROUGH).reboot_reason, expected
        node.put(CFG, stock)
        node.reboot()
    with pytest.raises(FastpathError, match="grub.cfg itself"):
        node.apply(PASSTHROUGH)
    node.teardown()
    assert node.apply(PASSTHROUGH).reboot_reason


def test_entries_that_are_right_but_not_booted(node):
    node.apply(PASSTHROUGH)
    line = node.live()
    node.reboot()
    node.put("proc/cmdline", line)
    with pytest.raises(FastpathError, match="unknown: /boot/grub/grub.cfg has them"):
        node.apply(PASSTHROUGH)
    node.put("boot/grub/custom.cfg", "set default=other\n")
    with pytest.raises(FastpathError, match=r"/boot/grub/custom.cfg \(read by"):
        node.apply(PASSTHROUGH)


def test_a_value_that_is_there_but_not_in_force_counts_as_missing(node):
    node.apply(PASSTHROUGH)
    node.reboot()
    node.put("proc/cmdline", f"{node.live()} intel_iommu=off\n")
    with pytest.raises(FastpathError, match="without intel_iommu=on"):
        node.apply(PASSTHROUGH)


def test_a_changed_request_after_the_reboot_is_no_alarm(node):
    overridden_by_a_reboot(node)
    (node.root / OVERRIDE).unlink()
    node.update_grub()
    plan = node.apply({**PASSTHROUGH, "extra": {"nosmt": None}})
    assert "nosmt" in plan.reboot_reason


def test_going_back_and_forth_is_no_alarm(node):
    node.apply(PASSTHROUGH)
    node.reboot()
    node.apply({**PASSTHROUGH, "extra": {"nosmt": None}})
    node.apply(PASSTHROUGH)
    node.reboot()
    assert node.apply(PASSTHROUGH).reboot_reason == ""
    plan = node.apply({**PASSTHROUGH, "extra": {"nosmt": None}})
    assert plan.reboot_reason == "the running kernel is without nosmt"


def test_an_argument_that_does_not_go_breaks_the_loop_too(node):
    node.apply({"remove": ["quiet"]})
    line = node.live()
    node.reboot()
    node.put("proc/cmdline", line)
    with pytest.raises(FastpathError, match="still with quiet"):
        node.apply({"remove": ["quiet"]})


def test_an_argument_that_is_lost_long_after_is_named(node):
    node.apply(PASSTHROUGH)
    node.reboot()
    assert not node.apply(PASSTHROUGH).changed
    node.put(OVERRIDE, "unset GRUB_CMDLINE_LINUX\n")
    node.update_grub()
    node.reboot()
    with pytest.raises(FastpathError, match=OVERRIDE):
        node.apply(PASSTHROUGH)


# Cut off in the middle


def test_a_power_cut_before_update_grub_is_healed(node):
    node.cut_before = "update-grub"
    with pytest.raises(PowerCut):
        node.apply(PASSTHROUGH)
    assert OWN in node.files()
    node.cut_before = ""
    node.reboot()
    assert node.apply(PASSTHROUGH).reboot_reason
    node.reboot()
    assert node.apply(PASSTHROUGH).reboot_reason == ""


def test_a_power_cut_in_teardown_is_healed(node):
    before = boot_files(node)
    node.apply({**PASSTHROUGH, "remove": ["quiet"]})
    node.reboot()
    node.cut_before = "update-grub"
    with pytest.raises(PowerCut):
        node.teardown()
    assert OWN not in node.files()
    node.cut_before = ""
    node.reboot()
    node.teardown()
    assert boot_files(node) == before


class CutHost(Host):
    """Loses power before its n-th write."""

    def __init__(self, node: GrubNode, writes: int) -> None:
        super().__init__(str(node.root), node.run)
        self.left = writes

    def _count(self) -> None:
        if self.left == 0:
            raise PowerCut
        self.left -= 1

    def write_file(self, path, text, mode=0o644):
        self._count()
        super().write_file(path, text, mode)

    def remove(self, path):
        self._count()
        super().remove(path)

    def run(self, argv, timeout=60, stdin=""):
        self._count()
        return super().run(argv, timeout, stdin)


def cut(node: GrubNode, writes: int, work) -> bool:
    whole = node.host
    node.host = CutHost(node, writes)
    try:
        work()
    except PowerCut:
        return True
    finally:
        node.host = whole
    return False


@pytest.mark.parametrize("reboots", [True, False])
@pytest.mark.parametrize("writes", range(9))
def test_cut_off_between_any_two_writes_the_next_run_goes_on(tmp_path, writes, reboots):
    node = GrubNode(tmp_path, linux="nosmt")
    before = boot_files(node)
    node.apply({"extra": {"a": "1"}, "remove": ["nosmt"]})
    node.reboot()
    cut(node, writes, lambda: node.apply({"extra": {"b": "1"}, "remove": ["quiet"]}))
    if reboots:
        node.reboot()
    node.apply({"extra": {"b": "1"}, "remove": ["quiet"]})
    assert node.boot_lines()[0] == "root=UUID=1234 ro nosmt b=1"
    assert not node.apply({"extra": {"b": "1"}, "remove": ["quiet"]}).changed
    node.reboot()
    settled = node.apply({"extra": {"b": "1"}, "remove": ["quiet"]})
    assert (settled.changed, settled.reboot_reason) == (False, "")
    cut(node, writes, node.teardown)
    if reboots:
        node.reboot()
    node.teardown()
    assert boot_files(node) == before
    assert "var/lib/fastpath/kernel_args.json" not in node.files()


@pytest.mark.parametrize("writes", range(9))
def test_cut_off_and_turned_back_the_former_request_holds(tmp_path, writes):
    node = GrubNode(tmp_path)
    node.apply({"extra": {"a": "1"}}, PAGES)
    node.reboot()
    cut(node, writes, lambda: node.apply({"extra": {"b": "1"}}, PAGES[:1]))
    node.apply({"extra": {"a": "1"}}, PAGES)
    assert node.boot_lines()[0] == f"root=UUID=1234 ro a=1 {PAGES_LINE} quiet"
    assert not node.apply({"extra": {"a": "1"}}, PAGES).changed


# Which boot loader


def marked(root: Path, *paths: str) -> Host:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("")
    return Host(str(root), lambda *_: pytest.fail("no command is needed to know the boot loader"))


@pytest.mark.parametrize(
    ("paths", "loader"),
    [
        (["usr/sbin/update-grub"], GrubLoader),
        (["usr/sbin/grubby", "usr/sbin/update-grub"], GrubbyLoader),
        (["run/ostree-booted", "usr/bin/rpm-ostree", "usr/sbin/grubby"], RpmOstreeLoader),
        (["run/ostree-booted", "usr/sbin/grubby"], type(None)),
        ([], type(None)),
    ],
)
def test_the_boot_loader_follows_from_the_node(tmp_path, paths, loader):
    assert boot_loader(marked(tmp_path, *paths)).__class__ is loader


def test_a_node_without_a_known_boot_loader_is_refused(node):
    (node.root / "usr/sbin/update-grub").unlink()
    with pytest.raises(FastpathError, match="neither rpm-ostree, nor grubby, nor update-grub"):
        node.apply(PASSTHROUGH)
    assert not node.teardown().changed


def test_a_boot_loader_that_has_gone_keeps_the_record(node):
    node.apply(PASSTHROUGH)
    (node.root / "usr/sbin/update-grub").unlink()
    with pytest.raises(FastpathError, match="intel_iommu=on iommu=pt can therefore not be taken back"):
        node.teardown()
    assert "var/lib/fastpath/kernel_args.json" in node.files()


def test_a_node_without_entries_is_refused(node):
    (node.root / CFG).unlink()
    with pytest.raises(FastpathError, match="has no Linux entry"):
        node.apply(PASSTHROUGH)


# Verification


def checks(node: GrubNode, arguments=None, hugepages=None) -> dict[tuple[str, str], bool]:
    spec = {"arguments": arguments, "hugepages": hugepages}
    return {(check.id, check.target): check.ok for check in verify(KernelArgsConcern(node.host), spec)}


def test_checks_look_at_the_running_kernel(node):
    spec = {**PASSTHROUGH, "remove": ["quiet"]}
    node.apply(spec, PAGES)
    assert checks(node, spec, PAGES) == {
        ("kernel_args.live", "intel_iommu=on"): False,
        ("kernel_args.live", "iommu=pt"): False,
        ("kernel_args.hugepages", "/proc/cmdline"): False,
        ("kernel_args.removed", "quiet"): False,
        ("kernel_args.configured", "/boot/grub/grub.cfg"): True,
        ("kernel_args.iommu", "/sys/kernel/iommu_groups"): False,
    }
    node.reboot()
    node.set_iommu_groups(2)
    assert all(checks(node, spec, PAGES).values())


def test_a_check_shows_what_is_there_instead(node):
    node.put("proc/cmdline", "intel_iommu=on intel_iommu=off")
    seen = {check.target: check for check in verify(KernelArgsConcern(node.host), {"arguments": PASSTHROUGH})}
    assert seen["intel_iommu=on"].seen == "intel_iommu=on intel_iommu=off (not in force)"
    assert not seen["intel_iommu=on"].ok
    assert seen["iommu=pt"].remedy == _kernel_args.REMEDY
    assert not seen["/boot/grub/grub.cfg"].ok


def test_checks_without_a_request_and_without_a_boot_loader(tmp_path):
    assert verify(KernelArgsConcern(marked(tmp_path)), None) == []


# Properties

specs = st.fixed_dictionaries(
    {},
    optional={
        "iommu": st.sampled_from(["on", "passthrough", "off", None]),
        "isolated_cpus": st.sampled_from(["1", "2-5", None]),
        "extra": st.dictionaries(
            st.sampled_from(["nosmt", "console", "a.b", "x_y", "dyndbg"]),
            st.sampled_from([None, "1", "file a.c +p", "4G$0x1", ["tty0", "ttyS0"]]),
            max_size=3,
        ),
        "remove": st.lists(st.sampled_from(["quiet", "splash", "x-y", "console=tty0"]), max_size=2),
    },
)
pools = st.sampled_from([[], PAGES, PAGES[:1], [{"size": "2M", "count": 4, "at": "boot"}]])
steps = st.lists(st.tuples(specs, pools, st.booleans()), min_size=1, max_size=4)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.sampled_from(["", "console=tty0 vga=1"]))
def test_any_story_ends_where_it_began(story, linux):
    with tempfile.TemporaryDirectory() as folder:
        node = GrubNode(Path(folder), linux=linux, default="quiet splash")
        before = boot_files(node)
        for spec, hugepages, reboots in story:
            expected = node.apply(spec, hugepages, dry_run=True)
            assert node.apply(spec, hugepages) == expected
            assert not node.apply(spec, hugepages).changed
            if reboots:
                node.reboot()
                settled = node.apply(spec, hugepages)
                assert (settled.changed, settled.reboot_reason) == (False, "")
        node.teardown()
        assert boot_files(node) == before
        node.reboot()
        assert node.teardown().reboot_reason == ""
