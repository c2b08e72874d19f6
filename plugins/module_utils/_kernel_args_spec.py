# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The boot arguments part of the desired state: typed, validated, no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import HUGEPAGE_NAMES, Argument, as_argument
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, unknown_keys

KEYS = ("iommu", "isolated_cpus", "extra", "remove")
IOMMU_MODES = ("on", "passthrough", "off")
IOMMU_NAMES = ("intel_iommu", "amd_iommu", "iommu", "iommu.passthrough")
ISOLATION_NAMES = ("isolcpus", "nohz_full", "rcu_nocbs")

# The boot loader's own: without them, or with others, the node may not come back.
PROTECTED_NAMES = ("root", "rootflags", "rootfstype", "ro", "rw", "init", "initrd", "BOOT_IMAGE", "ostree")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_VALUE = re.compile(r"[ -~]*\Z")
_UNFIT = "\"'`\\"
_CPU_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?\Z")


@dataclass(frozen=True)
class KernelArgsSpec:
    """What is asked for. ``extra``: in the user's order. ``remove``: a bare name means it with any value."""

    iommu: str | None = None
    isolated_cpus: tuple[int, ...] = ()
    extra: tuple[Argument, ...] = ()
    remove: tuple[Argument, ...] = ()


def parse_kernel_args(spec: Any, variable: str = "fastpath_kernel_args") -> tuple[KernelArgsSpec, list[Problem]]:
    """Validate ``fastpath_kernel_args``; all problems at once. The result is only of use where there is none."""
    problems: list[Problem] = []
    if spec is None:
        return KernelArgsSpec(), problems
    if not isinstance(spec, dict):
        return KernelArgsSpec(), [Problem(variable, spec, "must be a mapping, e.g. {iommu: passthrough}.")]
    problems += unknown_keys(spec, KEYS, variable, " Others go to extra.")
    parsed = KernelArgsSpec(
        iommu=_parse_iommu(spec.get("iommu"), f"{variable}.iommu", problems),
        isolated_cpus=_parse_cpus(spec.get("isolated_cpus"), f"{variable}.isolated_cpus", problems),
        extra=_parse_extra(spec.get("extra"), f"{variable}.extra", problems),
        remove=_parse_remove(spec.get("remove"), f"{variable}.remove", problems),
    )
    _check_owners(parsed, f"{variable}.extra", problems)
    return parsed, problems


def _parse_iommu(value: Any, where: str, problems: list[Problem]) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):  # YAML 1.1 reads the unquoted words on and off so
        return "on" if value else "off"
    if value in IOMMU_MODES:
        return str(value)
    problems.append(Problem(where, value, f"must be one of {', '.join(IOMMU_MODES)}, or null to leave it alone."))
    return None


def parse_cpu_list(text: str) -> tuple[int, ...] | None:
    """``2-5,8`` as numbers in ascending order; None where it is no such list."""
    cpus: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = _CPU_RANGE.match(part)
        if match is None:
            return None
        first = int(match.group(1))
        last = int(match.group(2) or first)
        if last < first or last > 8191:
            return None
        cpus.update(range(first, last + 1))
    return tuple(sorted(cpus))


def cpu_list(cpus: tuple[int, ...]) -> str:
    """Numbers as the kernel writes them: ``2-5,8``."""
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _parse_cpus(value: Any, where: str, problems: list[Problem]) -> tuple[int, ...]:
    if value is None or value in ("", []):
        return ()
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, list) and all(isinstance(cpu, int) and not isinstance(cpu, bool) for cpu in value):
        value = ",".join(str(cpu) for cpu in value)
    cpus = parse_cpu_list(value) if isinstance(value, str) else None
    if cpus is None:
        problems.append(Problem(where, value, 'must be a list of CPUs such as "2-5,8" (in quotes) or [2, 3, 4, 5, 8].'))
        return ()
    return cpus


def _parse_extra(value: Any, where: str, problems: list[Problem]) -> tuple[Argument, ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        problems.append(Problem(where, value, "must be a mapping from name to value, null for a bare name."))
        return ()
    arguments: list[Argument] = []
    seen: dict[str, str] = {}
    for name, given in value.items():
        here = f"{where}.{name}"
        if not _name_is_fit(name, here, problems):
            continue
        key = Argument(name).key
        if key in seen:
            problems.append(Problem(here, given, f"the kernel takes this and {seen[key]} for the same name; keep one."))
        seen[key] = name
        values = given if isinstance(given, list) else [given]
        if not values:
            problems.append(Problem(here, given, "an empty list says nothing; null stands for the bare name."))
        for index, one in enumerate(values):
            place = f"{here}[{index}]" if isinstance(given, list) else here
            text = _parse_value(one, place, problems)
            arguments.append(Argument(name, text))
    return tuple(arguments)


def _name_is_fit(name: Any, where: str, problems: list[Problem]) -> bool:
    if not isinstance(name, str) or not _NAME.match(name):
        problems.append(
            Problem(
                where,
                name,
                "is no name of a boot argument: letters, digits, '_', '-', '.', in quotes if YAML reads it otherwise.",
            )
        )
        return False
    if name in PROTECTED_NAMES:
        problems.append(Problem(where, name, "belongs to the boot loader and is left alone."))
        return False
    return True


def _parse_value(value: Any, where: str, problems: list[Problem]) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        problems.append(
            Problem(
                where,
                value,
                'is no text: write the value in quotes (YAML turns on, off, 1.10 into other things), e.g. "on".',
            )
        )
        return None
    text = str(value)
    if not _VALUE.match(text) or any(character in _UNFIT for character in text):
        problems.append(Problem(where, value, "must be printable ASCII without quotes, back-ticks and backslashes."))
        return None
    return text


def _parse_remove(value: Any, where: str, problems: list[Problem]) -> tuple[Argument, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        problems.append(
            Problem(where, value, 'must be a list of names or name=value, e.g. [quiet, "intel_iommu=off"].')
        )
        return ()
    patterns = []
    for index, item in enumerate(value):
        here = f"{where}[{index}]"
        if not isinstance(item, str):
            problems.append(Problem(here, item, "must be a text: a name, or name=value in quotes."))
            continue
        pattern = as_argument(item)
        if _name_is_fit(pattern.name, here, problems):
            text = _parse_value(pattern.value, here, problems)
            if text is not None and " " in text:
                problems.append(Problem(here, item, "values with spaces can be removed by name only."))
            patterns.append(pattern)
    return tuple(patterns)


def _check_owners(spec: KernelArgsSpec, where: str, problems: list[Problem]) -> None:
    """Each name has one place in the spec."""
    for argument in spec.extra:
        here = f"{where}.{argument.name}"
        if argument.is_hugepage:
            problems.append(
                Problem(here, argument.value, f"{', '.join(HUGEPAGE_NAMES)} follow from fastpath_hugepages.")
            )
        elif argument.key == "amd_iommu" and argument.value == "on":
            problems.append(
                Problem(here, "on", "the kernel has no such value: an AMD IOMMU is on unless it is off. Drop it.")
            )
        elif spec.iommu is not None and argument.key in IOMMU_NAMES:
            problems.append(
                Problem(here, argument.value, f"iommu: {spec.iommu} sets this already; keep one of the two.")
            )
        elif spec.isolated_cpus and argument.key in ISOLATION_NAMES:
            problems.append(Problem(here, argument.value, "isolated_cpus sets this already; keep one of the two."))
