# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. rpm-ostree: arguments belong to deployments; a change makes a new one, which the next boot takes."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import (
    Argument,
    as_line,
    as_word,
    missing_in,
    parse_line,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_loader import (
    BootChange,
    BootConfig,
    BootLoader,
    BootRules,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError

KARGS = ("rpm-ostree", "kargs")
# A deployment is written anew, and another transaction may run.
SECONDS = 600.0


class RpmOstreeRules(BootRules):
    name = "rpm-ostree"
    where = "the next deployment (rpm-ostree kargs)"

    def unfit(self, argument: Argument) -> str:
        return "rpm-ostree takes no value with spaces." if " " in str(argument) else ""

    def suspects(self, config: BootConfig, own: Sequence[Argument], carried: bool) -> list[str]:
        return ["another deployment than the newest (see rpm-ostree status)"] if carried else []


class RpmOstreeLoader(BootLoader):
    rules = RpmOstreeRules()

    def discover(self) -> BootConfig:
        return BootConfig(entries=(parse_line(self.host.must_run(KARGS, SECONDS)),))

    def write(self, change: BootChange) -> None:
        self._update(change.delete, change.append)
        missing = missing_in(self.discover().entries[0], change.own)
        if missing:
            self._update(change.append, change.delete)
            raise FastpathError(
                f"rpm-ostree did not keep {as_line(missing)} as given; the change was taken back. "
                "Some of its versions regroup repeated names: keep one hugepage size at boot and the other at run time."
            )

    def _update(self, delete: Sequence[Argument], append: Sequence[Argument]) -> None:
        options = [f"--delete={as_word(argument)}" for argument in delete]
        options += [f"--append={as_word(argument)}" for argument in append]
        if options:
            self.host.must_run([*KARGS, *options], SECONDS)
