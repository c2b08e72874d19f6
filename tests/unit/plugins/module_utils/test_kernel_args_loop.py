# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Boot arguments that do not come: the breaker for reboot loops, power cuts, checks, and whole stories."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _kernel_args
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._grub import GrubLoader
from ansible_collections.nfv.fastpath.plugins.module_utils._grubby import GrubbyLoader
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args import (
    KernelArgsConcern,
    boot_loader,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._rpm_ostree import RpmOstreeLoader
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.grub_node import (
    CFG,
    OVERRIDE,
    OWN,
    PAGES,
    PAGES_LINE,
    PASSTHROUGH,
    GrubNode,
    actions,
)
from ansible_collections.nfv.fastpath.tests.unit.power_cut import PowerCut, power_cut
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def node(tmp_path):
    return GrubNode(tmp_path)


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


def test_what_the_user_had_and_we_now_ask_for_comes_back_as_the_users(tmp_path):
    node = GrubNode(tmp_path, linux="console=tty0")
    before = node.boot_files()
    node.apply({"remove": ["console=tty0"]})
    node.apply({"extra": {"console": ["tty0", "ttyS0"]}})
    node.reboot()
    assert node.boot_lines()[0] == "root=UUID=1234 ro console=tty0 console=ttyS0 quiet"
    assert not node.apply({"extra": {"console": ["tty0", "ttyS0"]}}).changed
    node.teardown()
    assert node.boot_files() == before


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
    before = node.boot_files()
    node.apply({**PASSTHROUGH, "remove": ["quiet"]})
    node.reboot()
    node.cut_before = "update-grub"
    with pytest.raises(PowerCut):
        node.teardown()
    assert OWN not in node.files()
    node.cut_before = ""
    node.reboot()
    node.teardown()
    assert node.boot_files() == before


WRITES = ("write_file", "remove", "run")


@pytest.mark.parametrize("reboots", [True, False])
@pytest.mark.parametrize("writes", range(9))
def test_cut_off_between_any_two_writes_the_next_run_goes_on(tmp_path, writes, reboots):
    node = GrubNode(tmp_path, linux="nosmt")
    before = node.boot_files()
    node.apply({"extra": {"a": "1"}, "remove": ["nosmt"]})
    node.reboot()
    with power_cut(node.host, writes, *WRITES):
        node.apply({"extra": {"b": "1"}, "remove": ["quiet"]})
    if reboots:
        node.reboot()
    node.apply({"extra": {"b": "1"}, "remove": ["quiet"]})
    assert node.boot_lines()[0] == "root=UUID=1234 ro nosmt b=1"
    assert not node.apply({"extra": {"b": "1"}, "remove": ["quiet"]}).changed
    node.reboot()
    settled = node.apply({"extra": {"b": "1"}, "remove": ["quiet"]})
    assert (settled.changed, settled.reboot_reason) == (False, "")
    with power_cut(node.host, writes, *WRITES):
        node.teardown()
    if reboots:
        node.reboot()
    node.teardown()
    assert node.boot_files() == before
    assert "var/lib/fastpath/kernel_args.json" not in node.files()


@pytest.mark.parametrize("writes", range(9))
def test_cut_off_and_turned_back_the_former_request_holds(tmp_path, writes):
    node = GrubNode(tmp_path)
    node.apply({"extra": {"a": "1"}}, PAGES)
    node.reboot()
    with power_cut(node.host, writes, *WRITES):
        node.apply({"extra": {"b": "1"}}, PAGES[:1])
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
        before = node.boot_files()
        for spec, hugepages, reboots in story:
            expected = node.apply(spec, hugepages, dry_run=True)
            assert node.apply(spec, hugepages) == expected
            assert not node.apply(spec, hugepages).changed
            if reboots:
                node.reboot()
                settled = node.apply(spec, hugepages)
                assert (settled.changed, settled.reboot_reason) == (False, "")
        node.teardown()
        assert node.boot_files() == before
        node.reboot()
        assert node.teardown().reboot_reason == ""
