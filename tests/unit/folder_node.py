# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node whose files lie in a folder, and which can go off before any change of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.tests.unit.power_cut import Power, power_cut


class FolderNode(Host):
    """``changes``: how many there were. ``lasting``: the folders that ``tree`` shows."""

    lasting: tuple[str, ...] = (".",)

    def __init__(self, root: Path | str) -> None:
        super().__init__(root=str(root), run=self._command)
        self.changes = 0

    def _command(self, argv: Sequence[str], timeout: float, stdin: str) -> Completed:
        raise AssertionError(f"unexpected command {argv}")

    def put(self, path: str, text: str) -> None:
        """Somebody else's change: it is not counted."""
        target = Path(self.root) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def text(self, path: str) -> str | None:
        return self.read(f"/{path}")

    def files(self) -> list[Path]:
        """All that lasts, without the lock of runs."""
        found = []
        for top in self.lasting:
            for folder, _folders, names in os.walk(Path(self.root) / top):
                found += [Path(folder) / name for name in names if name != "fastpath.lock"]
        return found

    def tree(self) -> dict[str, str]:
        return {str(path.relative_to(self.root)): path.read_text() for path in self.files()}

    def cut_off(self, after: int) -> AbstractContextManager[Power]:
        """The power goes before the change that follows the first ``after`` of the block."""
        return power_cut(self, after, "count_change")

    def count_change(self) -> None:
        self.changes += 1

    def write_file(self, path: str, text: str | bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
        self.count_change()
        super().write_file(path, text, mode, owner)

    def write_attribute(self, path: str, value: str) -> None:
        self.count_change()
        super().write_attribute(path, value)

    def remove(self, path: str) -> None:
        if self.exists(path):
            self.count_change()
        super().remove(path)
