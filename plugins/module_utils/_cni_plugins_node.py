# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. CNI plugins on a node: the concern. A plugin is whole under its name or not there at all."""

from __future__ import annotations

import hashlib
import os
import posixpath
import tarfile
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import BLOCK, file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._bundle_shipping import ship
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_plugins import (
    CLEAR,
    LEFT,
    NAME,
    OTHER_DIR,
    PLACE,
    REMOVE,
    RESTORE,
    CniSpec,
    CniState,
    parse_cni,
    plan_cni,
    plan_cni_teardown,
    record_before,
    released,
    settled,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern, Request
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._multus_node import (
    Probe,
    multus_unmet,
    probe_socket,
    read_multus,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._store import RECORD_FOLDER

KEPT = f"{RECORD_FOLDER}/cni"
ANSWERS = "answers"
REMEDY = "Run the role again that placed it, and look for what else writes into that folder"


class CniPluginsConcern(Concern[CniState, CniSpec]):
    """Spec: see ``parse_cni``. ``archive``: where the bundle was put for this run."""

    name = NAME
    kept = KEPT

    def __init__(self, host: Host, spec: Any = None, archive: str | None = None, probe: Probe = probe_socket) -> None:
        super().__init__(host)
        self.archive = archive
        self._spec = spec
        self._probe = probe
        self._bundle: dict[str, bytes] | None = None

    def parse(self, spec: Any) -> CniSpec:
        return parse_cni(spec)

    def discover(self) -> CniState:
        record = self.store.record()
        asked = parse_cni(self._spec if self._spec is not None else self.store.desired())
        bin_dir = record.get("bin_dir") or asked.bin_dir
        config_dir = record.get("config_dir") or asked.config_dir
        names = sorted({*(asked.plugins or {}), *record.get("placed", {})})
        folders = (bin_dir, config_dir, OTHER_DIR)
        left = [
            f"{folder}/{name}"
            for daemon in record.get("daemons", ())
            for folder, left_names in zip(folders, LEFT[daemon])
            for name in left_names
        ]
        return CniState(
            files={name: self._checksum(bin_dir, name, record) for name in names},
            left=tuple(path for path in left if self._is_left(path)),
            bin_dir=bin_dir,
            config_dir=config_dir,
            record=record,
        )

    def plan(self, current: CniState, desired: CniSpec) -> Plan:
        if desired.plugins is None:
            return Plan()
        return plan_cni(current, desired)

    def plan_teardown(self, current: CniState) -> Plan:
        return plan_cni_teardown(current)

    def needs_archive(self, plan: Plan) -> bool:
        return self.archive is None and any(step.action == PLACE for step in plan.operations)

    def record(self, current: CniState, plan: Plan) -> dict[str, Any]:
        spec = parse_cni(self._spec)
        folders = {"bin": spec.bin_dir, "config": spec.config_dir, "other": OTHER_DIR}
        names = {key: tuple(self.host.listdir(folder)) for key, folder in folders.items()}
        return record_before(current, spec, plan, names)

    def perform(self, operation: Operation) -> None:
        name = posixpath.basename(operation.target)
        if operation.action == PLACE:
            self._place(name, operation)
        elif operation.action == CLEAR:
            self._clear(operation.target)
        else:
            if operation.action == RESTORE:
                self._restore(name, operation)
            elif operation.action == REMOVE:
                self.host.remove(operation.target)
            self.host.remove(f"{self.kept}/{name}")
            self.host.remove_empty_folder(self.kept)
            self.store.save_record(released(self.store.record(), name))

    def finish(self, plan: Plan) -> None:
        """What was placed is not read again while it looks the same: that would take seconds on a slow node."""
        record = self.store.record()
        if not record.get("placed"):
            return
        files = {name: self._hashed(f"{record['bin_dir']}/{name}") for name in record["placed"]}
        marks = {name: _mark(self.host, f"{record['bin_dir']}/{name}") for name in record["placed"]}
        stat = {name: [files[name], *mark] for name, mark in marks.items() if mark}
        self.store.save_record({**settled(record, files), "stat": stat})

    def check(self, current: CniState, desired: CniSpec) -> list[Check]:
        wanted = desired.plugins
        if wanted is None:
            wanted = parse_cni(self.store.desired()).plugins or {}
        checks = []
        for name, checksum in sorted(wanted.items()):
            path = f"{current.bin_dir}/{name}"
            seen = self._hashed(path)
            if seen is not None and not (self.host.mode(path) or 0) & 0o111:
                seen = "a file that cannot be run"
            checks.append(Check(f"{self.name}.plugin", self.name, path, checksum, seen, REMEDY))
        if desired.multus:
            unmet = multus_unmet(
                read_multus(self.host, current.bin_dir, current.config_dir, self._probe), desired.multus
            )
            remedy = "Look at the pod of Multus on this node; pods that start meanwhile get their default network only"
            checks.append(Check("cni_plugins.multus", NAME, "Multus", ANSWERS, "; ".join(unmet) or ANSWERS, remedy))
        return checks

    # Files

    def _checksum(self, bin_dir: str, name: str, record: Mapping[str, Any]) -> str | None:
        path = f"{bin_dir}/{name}"
        mark = _mark(self.host, path)
        if mark is None:
            return None
        known = record.get("stat", {}).get(name)
        return str(known[0]) if known and known[1:] == mark else self._hashed(path)

    def _hashed(self, path: str) -> str | None:
        try:
            return file_sha256(self.host.path(path))
        except (FileNotFoundError, IsADirectoryError):
            return None

    def _place(self, name: str, operation: Operation) -> None:
        content = self._content(name)
        seen = hashlib.sha256(content).hexdigest()
        if seen != operation.after:
            raise FastpathError(f"{name} in the archive has sha256 {seen}, its manifest says {operation.after}.")
        former = self.store.record().get("former", {}).get(name)
        if former is not None and not self.host.exists(f"{self.kept}/{name}"):
            self._keep(name, operation.target)
        self.host.write_file(operation.target, content, mode=0o755)

    def _keep(self, name: str, path: str) -> None:
        content = self.host.read_bytes(path)
        if content is not None:
            self.host.write_file(f"{self.kept}/{name}", content, mode=self.host.mode(path) or 0o755)

    def _restore(self, name: str, operation: Operation) -> None:
        content = self.host.read_bytes(f"{self.kept}/{name}")
        if content is None:
            # Cut off before it was kept, so it was never replaced either.
            return
        self.host.write_file(operation.target, content, mode=self.host.mode(f"{self.kept}/{name}") or 0o755)

    def _content(self, name: str) -> bytes:
        if self._bundle is None:
            self._bundle = self._load()
        if name not in self._bundle:
            raise FastpathError(f"The archive does not hold {name}.")
        return self._bundle[name]

    def _load(self) -> dict[str, bytes]:
        """One pass, since a compressed archive has no shorter way to its end."""
        bundle = (self._spec or {}).get("bundle") or {}
        if not self.archive or not os.path.exists(self.archive):
            raise FastpathError(f"The archive of {self.name} did not arrive on the node.")
        seen = file_sha256(self.archive)
        if seen != bundle.get("sha256"):
            raise FastpathError(
                f"The archive has sha256 {seen}, its manifest says {bundle.get('sha256')}; it is not used."
            )
        found = {}
        with tarfile.open(self.archive, "r|xz", bufsize=BLOCK) as archive:
            for item in archive:
                stream = archive.extractfile(item) if item.isreg() and item.name in bundle["plugins"] else None
                if stream is not None:
                    found[item.name] = stream.read()
        return found

    def _is_left(self, path: str) -> bool:
        """Multus only reads in the other folder: a file there is somebody's own."""
        if posixpath.dirname(path) != OTHER_DIR:
            return self.host.exists(path)
        return self.host.exists(path) and not any(files for _folder, _folders, files in os.walk(self.host.path(path)))

    def _clear(self, path: str) -> None:
        target = self.host.path(path)
        if os.path.isdir(target) and not os.path.islink(target):
            self.host.remove_folder(path)
        else:
            self.host.remove(path)


def _mark(host: Host, path: str) -> list[int] | None:
    """Changes with every change of a file that is not made to be hidden."""
    try:
        stat = os.stat(host.path(path))
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def cni_result(
    host: Host, params: Mapping[str, Any], dry_run: bool, warn: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """The module's result: first every refusal, then the archive is asked for, then the work is done."""
    spec = {key: params.get(key) for key in ("bundle", "bin_dir", "config_dir", "daemons")}
    present = params["state"] == "present"
    archive = params.get("archive")
    concern = CniPluginsConcern(host, spec if present else None, archive)
    return ship(concern, Request(spec, present, dry_run, bool(params.get("disruption_ok"))), archive, warn)
