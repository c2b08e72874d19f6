# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets of CPUs in templates: lists with ranges, and masks."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import (
    WrongCpus,
    cpus_to_mask,
    format_cpu_list,
    mask_to_cpus,
    parse_cpu_list,
)


def _guarded(work: Callable[..., str]) -> Callable[..., str]:
    """A filter whose error names the value."""

    def run(*values: Any) -> str:
        try:
            return work(*values)
        except WrongCpus as wrong:
            shown = ", ".join(repr(value) for value in values)
            raise AnsibleFilterError(f"{work.__name__.lstrip('_')}({shown}): {wrong}.") from wrong

    return run


def _cpu_list_to_mask(cpus: Any) -> str:
    return cpus_to_mask(parse_cpu_list(cpus))


def _mask_to_cpu_list(mask: Any) -> str:
    return format_cpu_list(mask_to_cpus(mask))


def _cpu_list_union(cpus: Any, *others: Any) -> str:
    return format_cpu_list(cpu for some in (cpus, *others) for cpu in parse_cpu_list(some))


def _cpu_list_difference(cpus: Any, *others: Any) -> str:
    taken = {cpu for some in others for cpu in parse_cpu_list(some)}
    return format_cpu_list(cpu for cpu in parse_cpu_list(cpus) if cpu not in taken)


class FilterModule:
    """The filters, by name."""

    def filters(self) -> dict[str, Callable[..., str]]:
        work = (_cpu_list_to_mask, _mask_to_cpu_list, _cpu_list_union, _cpu_list_difference)
        return {function.__name__.lstrip("_"): _guarded(function) for function in work}
