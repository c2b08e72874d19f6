# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Imports out of the archive that this code came in, at half the price.

Ansible brings a module to a node as sources in a zip file, and the boot engine is one, too. CPython's ``zipimport``
compiles each source twice, the first time only to tell the name of its file, and most of a short run is compiling.
"""

from __future__ import annotations

import os
import sys
import zipimport


class Archive(zipimport.zipimporter):
    """An archive of sources only."""

    def get_filename(self, fullname: str) -> str:
        file = "/__init__.py" if self.is_package(fullname) else ".py"
        return os.path.join(self.archive, self.prefix + fullname.rpartition(".")[2] + file)


def install(archive: str) -> None:
    """Import from now on what is in ``archive`` by way of ``Archive``."""

    def importer(path: str) -> Archive:
        if path != archive and not path.startswith(archive + os.sep):
            raise zipimport.ZipImportError(f"{path} is not in {archive}", path=path)
        return Archive(path)

    sys.path_hooks.insert(0, importer)
    for path in [path for path in sys.path_importer_cache if path.startswith(archive)]:
        del sys.path_importer_cache[path]


def quicken(loader: object) -> None:
    """Do so, if ``loader`` says that its module came out of an archive."""
    if isinstance(loader, zipimport.zipimporter):
        install(loader.archive)
