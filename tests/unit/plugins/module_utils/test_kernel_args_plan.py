# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner alone, on a model of a boot loader that keeps no file of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import as_line, parse_line, without
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_loader import (
    BootChange,
    BootConfig,
    BootLoader,
    BootRules,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._iommu import NodeFacts
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args_plan import (
    REMEMBER,
    SET,
    TRIES,
    Current,
    Desired,
    asked_arguments,
    own_arguments,
    plan_kernel_args,
    plan_teardown,
    record_before,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args_spec import parse_kernel_args
from hypothesis import given
from hypothesis import strategies as st

INTEL = NodeFacts(cpu_vendor="intel", cpus=tuple(range(8)))


def desired(**spec) -> Desired:
    parsed, problems = parse_kernel_args(spec)
    assert problems == []
    return Desired(parsed)


def current(*entries: str, live: str | None = None, **others) -> Current:
    config = BootConfig(tuple(parse_line(entry) for entry in entries))
    line = parse_line(entries[0] if live is None else live)
    return Current(**{"config": config, "rules": BootRules(), "live": line, "node": INTEL, "boot_id": "1", **others})


def performed(before: Current, plan, until: int | None = None) -> Current:
    """The node after the plan, or after its first operations only."""
    after = replace(before, record=record_before(before, plan))
    for step in plan.operations[:until]:
        if step.action == SET:
            change = BootChange.of_json(step.after)
            entries = tuple(without(entry, change.delete) + change.append for entry in after.config.entries)
            after = replace(after, config=replace(after.config, entries=entries))
        else:
            assert step.action == REMEMBER
            after = replace(after, record=step.after)
    return after


def rebooted(before: Current) -> Current:
    return replace(before, live=before.config.entries[0], boot_id=before.boot_id + "+")


names = st.sampled_from(["nosmt", "a", "console", "iommu.strict", "x-y"])
values = st.sampled_from([None, "1", "2", ["1", "2"], [None, "a b"]])
specs = st.fixed_dictionaries(
    {},
    optional={
        "iommu": st.sampled_from(["on", "passthrough", "off"]),
        "isolated_cpus": st.sampled_from(["1", "2-5"]),
        "extra": st.dictionaries(names, values, max_size=3),
        "remove": st.lists(st.sampled_from(["quiet", "splash=1", "x_y", "console=1"]), max_size=2, unique=True),
    },
)
lines = st.lists(st.sampled_from(["ro", "quiet", "splash=1", "splash=2", "b"]), max_size=4, unique=True).map(" ".join)


@given(specs, lines, lines)
def test_a_plan_after_its_plan_is_empty(spec, first, second):
    start = current(first, second)
    plan = plan_kernel_args(start, desired(**spec))
    after = performed(start, plan)
    again = plan_kernel_args(after, desired(**spec))
    assert again.operations == ()
    assert again.reboot_reason == plan.reboot_reason
    settled = plan_kernel_args(rebooted(after), desired(**spec))
    assert (settled.operations, settled.reboot_reason) == ((), "")


@given(specs, specs, st.integers(0, 2), lines)
def test_cut_off_anywhere_the_next_plan_ends_there_too(one, other, until, line):
    start = current(line)
    mid = rebooted(performed(start, plan_kernel_args(start, desired(**one))))
    cut = performed(mid, plan_kernel_args(mid, desired(**other)), until)
    whole = performed(mid, plan_kernel_args(mid, desired(**other)))
    healed = performed(cut, plan_kernel_args(cut, desired(**other)))
    assert sorted(map(str, healed.config.entries[0])) == sorted(map(str, whole.config.entries[0]))
    assert plan_kernel_args(healed, desired(**other)).operations == ()


@given(specs, specs, lines)
def test_teardown_returns_to_the_start(one, other, line):
    start = current(line)
    after = performed(start, plan_kernel_args(start, desired(**one)))
    after = performed(after, plan_kernel_args(after, desired(**other)))
    back = performed(after, plan_teardown(after))
    assert sorted(map(str, back.config.entries[0])) == sorted(map(str, start.config.entries[0]))


@pytest.mark.parametrize(
    ("spec", "kept", "own", "refused"),
    [
        ("a=1 b", ["ro"], "a=1 b", 0),
        ("a=1 b", ["a=1", "a=1 b"], "b", 0),
        ("a=1", ["a=2"], "a=1", 1),
        ("a=1", ["a=1", "a=2"], "a=1", 1),
        ("a=1", ["a=2 a=1"], "", 0),
        ("a=1", ["a=1 a=2"], "a=1", 1),
        ("a", ["a=1"], "a", 1),
        ("console=ttyS0", ["console=tty0"], "console=ttyS0", 0),
        ("a=1 a=2", ["a=2"], "a=1", 0),
        ("hugepagesz=1G hugepages=2", ["hugepagesz=1G hugepages=2 x"], "", 0),
        ("hugepagesz=1G hugepages=2", ["hugepagesz=1G"], "hugepagesz=1G hugepages=2", 2),
        ("hugepagesz=1G hugepages=2", ["x"], "hugepagesz=1G hugepages=2", 0),
    ],
)
def test_what_is_ours_to_add(spec, kept, own, refused):
    found, problems = own_arguments(parse_line(spec), [parse_line(entry) for entry in kept])
    assert as_line(found) == own
    assert len(problems) == refused


def test_a_rival_is_shown_with_the_files_that_name_it():
    files = (("/etc/default/grub", 'GRUB_CMDLINE_LINUX="a=2"'), ("/etc/default/grub.d/x.cfg", "zzz"))
    problems = own_arguments(parse_line("a=1"), [parse_line("a=2")], files)[1]
    assert "(see /etc/default/grub)" in problems[0].message
    assert "remove: [a]" in problems[0].message


def test_arguments_stand_in_a_fixed_order():
    spec = desired(iommu="passthrough", isolated_cpus="2", extra={"z": None, "a": None})
    expected = "intel_iommu=on iommu=pt isolcpus=managed_irq,domain,2 nohz_full=2 rcu_nocbs=2 z a"
    assert as_line(asked_arguments(current("ro"), spec)) == expected


def test_entries_that_differ_are_brought_to_the_same():
    start = current("ro", "ro a=1")
    after = performed(start, plan_kernel_args(start, desired(extra={"a": "1"})))
    assert all("a=1" in as_line(entry) for entry in after.config.entries)


def test_ours_out_of_order_is_put_in_order():
    record = {"written": ["b", "a"]}
    plan = plan_kernel_args(current("ro b a", record=record), desired(extra={"a": None, "b": None}))
    assert as_line(performed(current("ro b a", record=record), plan).config.entries[0]) == "ro a b"


def test_no_loader_and_no_entries():
    with pytest.raises(FastpathError, match="No boot loader"):
        plan_kernel_args(Current(None, BootRules()), desired())
    with pytest.raises(FastpathError, match="has no Linux entry"):
        plan_kernel_args(current(live=""), desired())
    assert plan_teardown(Current(None, BootRules(), noted_reason="x")).reboot_reason == "x"
    with pytest.raises(FastpathError, match="a=1 can therefore not be taken back"):
        plan_teardown(Current(None, BootRules(), record={"written": ["a=1"]}))


def test_what_a_loader_cannot_carry_is_refused():
    class Fussy(BootRules):
        def unfit(self, argument):
            return "no such letters" if argument.name == "a" else ""

    with pytest.raises(Refused, match="no such letters"):
        plan_kernel_args(current("ro", rules=Fussy()), desired(extra={"a": None, "b": None}))


def in_vain(state: Current) -> Current:
    """A reboot after which neither the entries nor the kernel have what was written."""
    stock = tuple(without(entry, parse_line("a=1")) for entry in state.config.entries)
    return rebooted(replace(state, config=replace(state.config, entries=stock)))


def test_tries_are_counted_and_end():
    state = current("ro")
    for number in range(1, TRIES + 1):
        plan = plan_kernel_args(state, desired(extra={"a": "1"}))
        assert plan.operations[-1].after["asked"]["tries"] == number
        state = in_vain(performed(state, plan))
    with pytest.raises(FastpathError, match="not rebooted again"):
        plan_kernel_args(state, desired(extra={"a": "1"}))
    fresh = plan_kernel_args(state, desired(extra={"a": "2"}))
    assert fresh.operations[-1].after["asked"]["tries"] == 1


def test_a_suspect_ends_it_at_once():
    class Suspicious(BootRules):
        def suspects(self, config, own, carried):
            return [f"/etc/somebody ({as_line(own)}, {carried})"]

    state = current("ro", rules=Suspicious())
    state = in_vain(performed(state, plan_kernel_args(state, desired(extra={"a": "1"}))))
    with pytest.raises(FastpathError, match=r"/etc/somebody \(a=1, False\)"):
        plan_kernel_args(state, desired(extra={"a": "1"}))


def test_the_default_loader_is_only_a_contract(tmp_path):
    loader = BootLoader(Host(str(tmp_path)))
    with pytest.raises(NotImplementedError):
        loader.discover()
    with pytest.raises(NotImplementedError):
        loader.write(BootChange())
    assert loader.files(["/etc/none"]) == ()


def test_a_change_is_the_same_after_a_way_through_json():
    change = BootChange(*(parse_line(line) for line in ('a="b c"', "quiet", "x=1 x=2", "y")))
    assert BootChange.of_json(change.as_json()) == change


def test_a_fingerprint_follows_from_paths_and_texts():
    one = BootConfig((), files=(("/a", "b"),))
    assert one.fingerprint == BootConfig((parse_line("x"),), files=(("/a", "b"),)).fingerprint
    assert one.fingerprint != BootConfig((), files=(("/a", "c"),)).fingerprint
