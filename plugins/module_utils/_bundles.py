# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Bundles on a node: unpacked beside each other, one of them current.

``/opt/fastpath/<name>/<version>-<key>/`` is complete or absent, ``/opt/fastpath/<name>/current`` is one symbolic link.
Going forward and going back are the same: the link is replaced by another one in one step.
"""

from __future__ import annotations

import json
import lzma
import os
import posixpath
import tarfile
from dataclasses import dataclass

from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import ROOT, Manifest, parse_manifest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation
from ansible_collections.nfv.fastpath.plugins.module_utils._store import as_json

UNPACK = "unpack_bundle"
SWITCH = "switch_bundle"
REMOVE = "remove_bundle"
ACTIONS = (UNPACK, SWITCH, REMOVE)
MARK = "bundle.json"


@dataclass(frozen=True)
class BundleState:
    """Bundles of one name. ``unpacked``: folders that are complete. ``current``: the folder the link leads to."""

    unpacked: tuple[str, ...] = ()
    current: str | None = None


def plan_bundle(state: BundleState, manifest: Manifest, former: str | None = None) -> list[Operation]:
    """Unpack if absent, then switch; keep the former one for the way back, remove those before it."""
    operations = []
    if manifest.folder not in state.unpacked:
        operations.append(Operation(UNPACK, manifest.prefix, None, manifest.as_json()))
    if state.current != manifest.folder:
        operations.append(Operation(SWITCH, manifest.name, state.current, manifest.folder))
    keep = {manifest.folder, state.current if state.current != manifest.folder else former}
    operations += [
        Operation(REMOVE, f"{ROOT}/{manifest.name}/{folder}", folder, None)
        for folder in state.unpacked
        if folder not in keep
    ]
    return operations


def plan_bundle_teardown(name: str, state: BundleState) -> list[Operation]:
    """Everything below the folder of that name is ours."""
    operations = [Operation(SWITCH, name, state.current, None)] if state.current else []
    return operations + [Operation(REMOVE, f"{ROOT}/{name}/{folder}", folder, None) for folder in state.unpacked]


class Bundles:
    """The bundles of one name on a node."""

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.name = name
        self.folder = f"{ROOT}/{name}"

    def discover(self) -> BundleState:
        names = self.host.listdir(self.folder)
        return BundleState(
            unpacked=tuple(
                name for name in names if self.host.exists(f"{self.folder}/{name}/{MARK}") and name[0].isdigit()
            ),
            current=self.host.link_name(f"{self.folder}/current"),
        )

    def manifest(self, folder: str | None = None) -> Manifest | None:
        """What the current (or another) bundle says of itself."""
        text = self.host.read(f"{self.folder}/{folder or 'current'}/{MARK}")
        return parse_manifest(json.loads(text)) if text else None

    def perform(self, operation: Operation, archive: str | None = None) -> None:
        if operation.action == UNPACK:
            self.unpack(parse_manifest(operation.after), archive)
        elif operation.action == SWITCH:
            self.switch(operation.after)
        elif operation.action == REMOVE:
            self.remove(operation.before)

    def unpack(self, manifest: Manifest, archive: str | None) -> None:
        """Below a name that nobody reads, then renamed: a power cut leaves nothing that looks complete."""
        if not archive or not os.path.exists(archive):
            raise FastpathError(f"The archive of {manifest.name} {manifest.folder} did not arrive on the node.")
        seen = file_sha256(archive)
        if seen != manifest.sha256:
            raise FastpathError(
                f"The archive of {manifest.name} {manifest.folder} has sha256 {seen}, its manifest says "
                f"{manifest.sha256}; it is not unpacked."
            )
        partial = self.host.path(f"{self.folder}/.new-{manifest.folder}")
        target = self.host.path(manifest.prefix)
        for left in (f"{self.folder}/.new-{manifest.folder}", manifest.prefix):
            self.host.remove_folder(left)
        os.makedirs(partial, mode=0o755)
        with lzma.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as source:
            for item in source:
                _refuse_strange(item)
                source.extract(item, partial, set_attrs=True, numeric_owner=True)
        mark = f"{self.folder}/.new-{manifest.folder}/{MARK}"
        self.host.write_file(mark, as_json(manifest.as_json()))
        os.sync()
        os.replace(partial, target)

    def switch(self, folder: str | None) -> None:
        link = f"{self.folder}/current"
        if folder is None:
            self.host.remove(link)
            self.host.remove_empty_folder(self.folder)
            return
        partial = self.host.path(f"{self.folder}/.current")
        if os.path.lexists(partial):
            os.unlink(partial)
        os.symlink(folder, partial)
        os.replace(partial, self.host.path(link))

    def remove(self, folder: str) -> None:
        """The mark goes first: half a folder does not count as unpacked."""
        self.host.remove(f"{self.folder}/{folder}/{MARK}")
        self.host.remove_folder(f"{self.folder}/{folder}")
        self.host.remove_empty_folder(self.folder)
        self.host.remove_empty_folder(ROOT)


def _refuse_strange(item: tarfile.TarInfo) -> None:
    """Only plain files, folders and links within the bundle."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(item.name), item.linkname)) if item.issym() else ""
    inside = not any(path.startswith(("/", "../")) or path == ".." for path in (posixpath.normpath(item.name), target))
    if not inside or not (item.isreg() or item.isdir() or item.issym()):
        raise FastpathError(f"The archive holds {item.name!r}, which no bundle has; it is not unpacked.")
