# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Boot arguments: what is asked for against what the boot loader and the running kernel have. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import (
    Argument,
    as_line,
    as_texts,
    contains,
    hugepage_part,
    matches_any,
    missing_in,
    parse_words,
    same_sequence,
    split_off,
    union,
    without,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_loader import (
    LINE_LIMIT,
    BootChange,
    BootConfig,
    BootRules,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages import boot_arguments
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import Pool
from ansible_collections.nfv.fastpath.plugins.module_utils._iommu import (
    NodeFacts,
    iommu_arguments,
    isolation_arguments,
    node_problems,
    node_warnings,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args_spec import KernelArgsSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan

VARIABLE = "fastpath_kernel_args"
SET = "set_boot_arguments"
REMEMBER = "remember"
# Reboots for one and the same request, where nothing that overrides it shows any more.
TRIES = 2
NO_LOADER = "No boot loader that is known here: neither rpm-ostree, nor grubby, nor update-grub is on this node."


@dataclass(frozen=True)
class Desired:
    spec: KernelArgsSpec = field(default_factory=KernelArgsSpec)
    pools: tuple[Pool, ...] = ()


@dataclass(frozen=True)
class Current:
    """``config`` None: no boot loader that is known here. ``noted_reason``: why this boot is to end already."""

    config: BootConfig | None
    rules: BootRules
    live: tuple[Argument, ...] = ()
    node: NodeFacts = field(default_factory=NodeFacts)
    record: dict[str, Any] = field(default_factory=dict)
    boot_id: str = ""
    promoted: tuple[int, ...] = ()
    noted_reason: str = ""

    @property
    def written(self) -> tuple[Argument, ...]:
        return parse_words(self.record.get("written", ()))

    @property
    def removed(self) -> tuple[Argument, ...]:
        return parse_words(self.record.get("removed", ()))

    @property
    def ours(self) -> tuple[Argument, ...]:
        """All that may stand in the boot loader's files because of us, also after a run that was cut off."""
        own = self.config.own if self.config else ()
        return union(own, self.written)

    @property
    def formerly_ours(self) -> tuple[Argument, ...]:
        """Ours, and what was taken back since this boot."""
        return union(self.ours, parse_words(self.record.get("asked", {}).get("gone", ())))

    @property
    def foreign(self) -> tuple[tuple[Argument, ...], ...]:
        """The arguments of each entry that are the user's, or the distribution's."""
        entries = self.config.entries if self.config else ()
        return tuple(without(entry, self.ours) for entry in entries)

    def returning(self, removes: Sequence[Argument]) -> tuple[Argument, ...]:
        """The user's arguments that we kept out and that come back, as ``removes`` is all that is still kept out."""
        foreign = union(*self.foreign)
        return tuple(item for item in self.removed if not matches_any(item, removes) and not contains(foreign, item))


@dataclass(frozen=True)
class Unsettled:
    """What the running kernel does not have as asked: ``missing``, and ``left`` that is to go."""

    missing: tuple[Argument, ...] = ()
    left: tuple[Argument, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.left)

    def __str__(self) -> str:
        parts = [f"without {as_line(self.missing)}"] * bool(self.missing)
        parts += [f"still with {as_line(self.left)}"] * bool(self.left)
        return " and ".join(parts)


def asked_arguments(current: Current, desired: Desired) -> tuple[Argument, ...]:
    """Everything that the kernel shall have been started with, in order."""
    pages = tuple(Argument(name, value) for name, value in boot_arguments(desired.pools, current.promoted))
    return (
        iommu_arguments(desired.spec.iommu, current.node, current.ours)
        + isolation_arguments(desired.spec.isolated_cpus)
        + desired.spec.extra
        + pages
    )


def own_arguments(
    asked: Sequence[Argument], kept: Sequence[Sequence[Argument]], files: Sequence[tuple[str, str]] = ()
) -> tuple[tuple[Argument, ...], list[Problem]]:
    """Those of ``asked`` that we have to add, given what each entry has without us, and what forbids it."""
    own = []
    problems = []
    repeated = {argument.key for argument in asked if sum(other.key == argument.key for other in asked) > 1}
    for argument in asked:
        lacking = [entry for entry in kept if argument in missing_in(entry, _together(argument, asked))]
        if not lacking:
            continue
        own.append(argument)
        rivals = () if argument.is_repeatable or argument.key in repeated else _rivals(argument, lacking)
        if argument.is_hugepage:
            rivals = tuple(dict.fromkeys(other for entry in lacking for other in hugepage_part(entry)))
        if rivals:
            problems.append(_rival_problem(argument, rivals, files))
    return tuple(own), problems


def _together(argument: Argument, asked: Sequence[Argument]) -> tuple[Argument, ...]:
    return hugepage_part(asked) if argument.is_hugepage else (argument,)


def _rivals(argument: Argument, entries: Sequence[Sequence[Argument]]) -> tuple[Argument, ...]:
    return tuple(dict.fromkeys(other for entry in entries for other in entry if other.key == argument.key))


def _rival_problem(argument: Argument, rivals: Sequence[Argument], files: Sequence[tuple[str, str]]) -> Problem:
    where = [path for path, text in files if any(rival.name in text for rival in rivals)]
    named = f" (see {', '.join(where)})" if where else ""
    names = ", ".join(dict.fromkeys(rival.name for rival in rivals))
    return Problem(
        VARIABLE,
        str(argument),
        f"the node's own boot configuration says {as_line(rivals)}{named}, and the kernel heeds only one of them. "
        f"Take it out there, or list it in {VARIABLE}.remove: [{names}].",
    )


def plan_kernel_args(current: Current, desired: Desired) -> Plan:
    """Operations towards ``desired``; Refused or FastpathError where there is no way or no sense in another reboot."""
    config = _known(current)
    problems = node_problems(desired.spec, current.node, VARIABLE)
    asked = asked_arguments(current, desired)
    removes = desired.spec.remove
    back = current.returning(removes)
    kept = tuple(tuple(item for item in entry if not matches_any(item, removes)) + back for entry in current.foreign)
    own, conflicts = own_arguments(asked, kept, config.files)
    problems += conflicts + _unfit(current.rules, own) + _too_long(own, kept)
    if problems:
        raise Refused(problems)
    change = _change(current, own, removes)
    needed = not _is_written(current, change)
    unsettled = _unsettled(current, asked, own, removes)
    _break_loop(current, asked, removes, own, unsettled)
    operations = [Operation(SET, current.rules.where, _state(current), change.as_json())] if needed else []
    target = _settled_record(current, change, asked, unsettled, needed)
    if target != current.record:
        operations.append(Operation(REMEMBER, "record", current.record.get("asked"), target))
    return Plan(
        operations=tuple(operations),
        before=_state(current),
        after={"arguments": as_texts(own), "removed": as_texts(removes)} if needed else _state(current),
        reboot_reason=f"the running kernel is {unsettled}" if unsettled else "",
        warnings=node_warnings(desired.spec, current.node) + _warnings(current, config, needed and bool(own)),
    )


def _known(current: Current) -> BootConfig:
    if current.config is None:
        raise FastpathError(f"{NO_LOADER} Nothing was changed.")
    if not current.config.entries:
        raise FastpathError(
            f"{current.rules.where} has no Linux entry, so no boot argument can be set. Nothing was changed. "
            "Install the boot loader's configuration first (Debian, Ubuntu: update-grub)."
        )
    return current.config


def _unfit(rules: BootRules, own: Sequence[Argument]) -> list[Problem]:
    reasons = ((argument, rules.unfit(argument)) for argument in own)
    return [Problem(VARIABLE, str(argument), reason) for argument, reason in reasons if reason]


def _too_long(own: Sequence[Argument], kept: Sequence[Sequence[Argument]]) -> list[Problem]:
    longest = max((len(as_line(tuple(entry) + tuple(own))) for entry in kept), default=0)
    if not own or longest <= LINE_LIMIT:
        return []
    message = f"makes a command line of {longest} characters; the kernel cuts off what is beyond {LINE_LIMIT}."
    return [Problem(VARIABLE, f"{len(own)} arguments", message)]


def _state(current: Current) -> dict[str, Any]:
    present = [split_off(entry, current.ours)[0] for entry in (current.config.entries if current.config else ())]
    return {"arguments": as_texts(union(*present)) if present else [], "removed": as_texts(current.removed)}


def _change(current: Current, own: Sequence[Argument], removes: Sequence[Argument]) -> BootChange:
    """Ours goes and comes as a whole: that keeps its order whatever was there."""
    entries = current.config.entries if current.config else ()
    present = union(*(split_off(entry, current.ours)[0] for entry in entries))
    foreign = union(*current.foreign)
    doomed = tuple(argument for argument in foreign if matches_any(argument, removes))
    back = current.returning(removes)
    return BootChange(tuple(own), tuple(removes), delete=present + doomed, append=back + tuple(own))


def _is_written(current: Current, change: BootChange) -> bool:
    """Whether the boot loader's files say what they shall: ours in order, nothing of ours beyond it."""
    config = current.config
    if config is None:
        return True
    if current.rules.keeps_own_file and config.own_text != current.rules.own_text(change.own, change.removes):
        return False
    mine = union(current.ours, change.own)
    back = change.append[: len(change.append) - len(change.own)]
    return not back and all(
        same_sequence(split_off(entry, mine)[0], change.own)
        and not any(matches_any(item, change.removes) for item in without(entry, mine))
        for entry in config.entries
    )


def _unsettled(
    current: Current, asked: Sequence[Argument], own: Sequence[Argument], removes: Sequence[Argument]
) -> Unsettled:
    foreign = union(*current.foreign, current.returning(removes))
    left = tuple(
        argument
        for argument in without(current.live, own)
        if not any(argument.says(wanted) for wanted in asked)
        and (
            matches_any(argument, removes)
            or (contains(current.formerly_ours, argument) and not contains(foreign, argument))
        )
    )
    return Unsettled(missing_in(current.live, asked), left)


def _break_loop(
    current: Current,
    asked: Sequence[Argument],
    removes: Sequence[Argument],
    own: Sequence[Argument],
    unsettled: Unsettled,
) -> None:
    """A reboot that did not bring what was asked for is not tried again before something was changed."""
    former = current.record.get("asked")
    config = current.config
    if not former or not unsettled or config is None or former["boot_id"] == current.boot_id:
        return
    if not _is_same_request(former, asked, removes) or not same_sequence(current.written, own):
        return
    carried = _is_written(current, BootChange(tuple(own), tuple(removes), append=tuple(own)))
    suspects = current.rules.suspects(config, own, carried)
    mendable = not carried or former["files"] != config.fingerprint
    if not suspects and mendable and former["tries"] < TRIES:
        return
    where = current.rules.where
    if not suspects:
        suspects = [
            f"unknown: {where} has them; another loader or entry was started, or the kernel cut its command line off"
            if carried
            else f"{where} itself: it was written by other means than its generator"
        ]
    raise FastpathError(
        f"The node was rebooted for its boot arguments, and the kernel is {unsettled}. It is not rebooted again. "
        f"Overridden by: {'; '.join(suspects)}. Mend that and reboot by hand, "
        "or take the arguments back (state absent) and apply them anew.",
        missing=as_texts(unsettled.missing),
        left=as_texts(unsettled.left),
        suspects=suspects,
    )


def _settled_record(
    current: Current, change: BootChange, asked: Sequence[Argument], unsettled: Unsettled, needed: bool
) -> dict[str, Any]:
    """The record once the operations are done: exact, where the one before them is a superset."""
    former = current.record.get("asked")
    config = current.config
    target: dict[str, Any] = {
        "written": as_texts(change.own),
        "removed": as_texts(_removed(current, change.removes)),
        "asked": former,
    }
    if unsettled:
        waiting = {
            "arguments": as_texts(asked),
            "removes": as_texts(change.removes),
            "gone": as_texts(item for item in unsettled.left if contains(current.formerly_ours, item)),
            "boot_id": current.boot_id,
            "files": config.fingerprint if config else "",
            "tries": _tries(current, asked, change.removes),
        }
        is_known = not needed and former and all(former[key] == waiting[key] for key in waiting if key != "files")
        target["asked"] = former if is_known else waiting
    elif needed:
        target["asked"] = None
    return {key: value for key, value in target.items() if value}


def _tries(current: Current, asked: Sequence[Argument], removes: Sequence[Argument]) -> int:
    former = current.record.get("asked")
    if not former or not _is_same_request(former, asked, removes):
        return 1
    is_another_boot: bool = former["boot_id"] != current.boot_id
    return int(former["tries"]) + is_another_boot


def _is_same_request(former: dict[str, Any], asked: Sequence[Argument], removes: Sequence[Argument]) -> bool:
    return bool(former["arguments"] == as_texts(asked) and former["removes"] == as_texts(removes))


def _removed(current: Current, removes: Sequence[Argument]) -> tuple[Argument, ...]:
    """The user's arguments that we keep out, as they were."""
    still = tuple(argument for argument in current.removed if matches_any(argument, removes))
    now = tuple(argument for argument in union(*current.foreign) if matches_any(argument, removes))
    return union(still, now)


def _warnings(current: Current, config: BootConfig, writes: bool) -> tuple[str, ...]:
    if not writes:
        return ()
    return tuple(f"May override the boot arguments: {path}." for path in current.rules.overrides(config))


def record_before(current: Current, plan: Plan) -> dict[str, Any]:
    """The record while the operations run: all that was or will be written, so that a cut-off run is understood."""
    change = next((BootChange.of_json(step.after) for step in plan.operations if step.action == SET), None)
    if change is None:
        return current.record
    record = {
        "written": as_texts(union(current.ours, change.own)),
        "removed": as_texts(union(current.removed, _removed(current, change.removes))),
        "asked": current.record.get("asked"),
    }
    return {key: value for key, value in record.items() if value}


def plan_teardown(current: Current) -> Plan:
    """Ours out, the user's back in; a reason to reboot where the running kernel differs from that."""
    config = current.config
    if not current.record and (config is None or config.own_text is None):
        return Plan(reboot_reason=current.noted_reason)
    if config is None:
        raise FastpathError(f"{NO_LOADER} {as_line(current.written)} can therefore not be taken back.")
    change = _change(current, (), ())
    needed = not _is_written(current, change)
    foreign = union(*current.foreign)
    left = tuple(item for item in current.live if contains(current.formerly_ours, item) and not contains(foreign, item))
    unsettled = Unsettled(missing_in(current.live, current.removed), left)
    state = _state(current)
    return Plan(
        operations=(Operation(SET, current.rules.where, state, change.as_json()),) if needed else (),
        before=state,
        after={"arguments": [], "removed": []},
        reboot_reason=f"the running kernel is {unsettled}" if unsettled else "",
    )
