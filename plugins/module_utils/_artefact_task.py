# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the module artefact does, apart from Ansible."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import (
    Fetched,
    Fetcher,
    default_cache,
    fill_mirror,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import Artefact, artefacts
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused


@dataclass(frozen=True)
class ArtefactTask:
    """The module's options."""

    names: list[str]
    mirror: str | None = None
    overrides: Any = None
    packages_ok: bool = False
    export: str | None = None
    cache: str | None = None

    def result(self, dry_run: bool) -> dict[str, Any]:
        wanted = self._wanted()
        fetcher = Fetcher(self.cache or default_cache(), self.mirror or "")
        found = {artefact.name: fetcher.find(artefact) for artefact in wanted}
        missing = sorted(name for name, item in found.items() if item is None)
        exported = self._not_exported(wanted)
        if not dry_run:
            found = self._fetch(fetcher, wanted)
            if self.export:
                pairs = [(artefact, found[artefact.name]) for artefact in wanted]
                exported = fill_mirror(self.export, [(artefact, item) for artefact, item in pairs if item])
        cached = sorted(set(found) - set(missing))
        return {
            "changed": bool(missing or exported),
            "diff": {"before": {"cached": cached}, "after": {"cached": sorted(found)}},
            "artefacts": {name: item.result() for name, item in found.items() if item},
            "exported": exported,
        }

    def _wanted(self) -> list[Artefact]:
        known = artefacts(self.overrides)
        wrong = [name for name in self.names if name not in known]
        if wrong:
            message = f"is not in the list of artefacts; known are {', '.join(sorted(known))}."
            raise Refused([Problem("names", name, message) for name in wrong])
        usable = sorted(name for name, artefact in known.items() if artefact.sha256)
        return [known[name] for name in (self.names or usable)]

    def _fetch(self, fetcher: Fetcher, wanted: list[Artefact]) -> dict[str, Fetched | None]:
        found: dict[str, Fetched | None] = {}
        failed = []
        for artefact in wanted:
            try:
                found[artefact.name] = fetcher.fetch(artefact, self.packages_ok)
            except FastpathError as error:
                failed.append(error)
        if failed:
            reasons = [reason for error in failed for reason in error.details["tried"]]
            raise FastpathError(" ".join(error.message for error in failed), tried=reasons)
        return found

    def _not_exported(self, wanted: list[Artefact]) -> list[str]:
        if not self.export:
            return []
        folder = self.export
        return [artefact.file for artefact in wanted if not os.path.exists(os.path.join(folder, artefact.file))]
