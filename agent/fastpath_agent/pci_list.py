# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which vDPA devices there shall be, out of ``pciList.dat``: followed, or written from the pools."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

from fastpath_agent.map_files import PCI_LIST, PciList, format_pci_list, is_of_former_boot, parse_pci_list


class PciListFile:
    """The file is the truth, whoever wrote it last. With ``follow`` it is never written."""

    def __init__(self, host: Host, directory: str, follow: bool) -> None:
        self.path = f"{directory}/{PCI_LIST}"
        self.present = False
        self._host = host
        self._follow = follow
        self._written: tuple[str, ...] | None = None
        self._verdict: tuple[tuple[int, ...], bool] = ((), False)
        self._last = PciList()

    def offer(self, addresses: Sequence[str]) -> None:
        """What the pools have now. The file is written when that changes, so what others write stays until then."""
        wanted = tuple(addresses)
        if self._follow or wanted == self._written:
            return
        text = format_pci_list(wanted)
        if self._host.read(self.path) != text or is_of_former_boot(self._host, self.path):
            self._host.write_file(self.path, text)
        self._written = wanted

    def read(self) -> PciList:
        """What the file says, or last said where it cannot be read; nothing where it is absent, or of a former boot."""
        try:
            self._last = self._read()
        except OSError as error:
            return replace(self._last, problems=(f"{self.path} cannot be read: {error.strerror}",))
        return self._last

    def _read(self) -> PciList:
        text = self._host.read(self.path)
        self.present = text is not None
        if text is None:
            return PciList()
        if self._stale():
            return PciList(problems=(f"{self.path} was written before this boot and waits to be written again",))
        return parse_pci_list(text)

    def _stale(self) -> bool:
        """Looked at anew where the file is another one: the answer costs more than the file itself."""
        try:
            status = os.stat(self._host.path(self.path))
        except OSError:
            return False
        seen = (status.st_dev, status.st_ino, status.st_mtime_ns)
        if self._verdict[0] != seen:
            self._verdict = (seen, is_of_former_boot(self._host, self.path))
        return self._verdict[1]
