# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The engine on the node: one executable file, and the units that run it at boot."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _zipapp
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_engine_units import UNITS, wants_path
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

# This import also makes Ansible send along all that is packed into the engine's file.
from ansible_collections.nfv.fastpath.plugins.module_utils._node_cli import STATUS_FOLDER
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import boot_id
from ansible_collections.nfv.fastpath.plugins.module_utils._store import DESIRED_FOLDER

ENGINE_PATH = "/usr/libexec/fastpath/fastpath-node"
UNIT_FOLDER = "/etc/systemd/system"
DEFAULT_INTERPRETER = "/usr/bin/python3"


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int

    @property
    def digest(self) -> str:
        return f"{hashlib.sha256(self.content).hexdigest()} {self.mode:04o}"


@dataclass(frozen=True)
class BootEngine:
    """Files by path, and the units among them that are enabled."""

    files: Mapping[str, File]
    enabled: frozenset[str]


@dataclass(frozen=True)
class BootEngineState(BootEngine):
    """``failures``: by concern, what this boot could not bring back."""

    made: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


@lru_cache
def desired_engine(interpreter: str) -> BootEngine:
    files = {ENGINE_PATH: File(_zipapp.pack(_zipapp.collect(), interpreter), 0o755)}
    files.update({f"{UNIT_FOLDER}/{name}": File(text.encode(), 0o644) for name, text in UNITS.items()})
    return BootEngine(files, frozenset(UNITS))


def plan(current: BootEngineState, desired: BootEngine) -> Plan:
    """The engine before the units, and those before they are enabled: at no time does a boot call what is not there."""
    steps = []
    for path, file in desired.files.items():
        there = current.files.get(path)
        if there != file:
            steps.append(Operation("write_file", path, there.digest if there else None, file.digest))
    for unit in sorted(desired.enabled - current.enabled):
        steps.append(Operation("enable_unit", unit, False, True))
    return Plan(tuple(steps), _state(current), _state(desired))


def plan_teardown(current: BootEngineState) -> Plan:
    ours = [path for path in current.made if path in current.files]
    units = [posixpath.basename(path) for path in ours if posixpath.basename(path) in UNITS]
    steps = [Operation("disable_unit", unit, True, False) for unit in units if unit in current.enabled]
    # Units first: the engine is the last to go, as it was the first to come.
    for path in sorted(ours, key=lambda path: (path == ENGINE_PATH, path)):
        steps.append(Operation("remove_file", path, current.files[path].digest, None))
    files = {path: file for path, file in current.files.items() if path not in ours}
    return Plan(tuple(steps), _state(current), _state(BootEngine(files, current.enabled - frozenset(units))))


def _state(engine: BootEngine) -> dict[str, Any]:
    return {
        "files": {path: file.digest for path, file in sorted(engine.files.items())},
        "enabled": sorted(engine.enabled),
    }


class BootEngineConcern(Concern[BootEngineState, BootEngine]):
    """Installs what brings the other concerns back at boot. The spec: ``{interpreter: PATH}``."""

    name = "boot_engine"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._desired: BootEngine | None = None

    def needed_by(self) -> list[str]:
        """Concerns with a desired state on this node, which a boot is to bring back."""
        names = [name[:-5] for name in self.host.listdir(DESIRED_FOLDER) if name.endswith(".json")]
        return [name for name in names if f"fastpath-{name}.service" in UNITS]

    def parse(self, spec: Any) -> BootEngine:
        interpreter = spec.get("interpreter", DEFAULT_INTERPRETER)
        if not isinstance(interpreter, str) or not interpreter.startswith("/") or any(map(str.isspace, interpreter)):
            raise Refused([Problem("boot_engine_interpreter", interpreter, "must be an absolute path.")])
        if not self.host.exists(interpreter):
            raise Refused([Problem("boot_engine_interpreter", interpreter, "is not there; name a Python >= 3.9.")])
        self._desired = desired_engine(interpreter)
        return self._desired

    def discover(self) -> BootEngineState:
        files = {}
        enabled = set()
        for path in (ENGINE_PATH, *(f"{UNIT_FOLDER}/{name}" for name in UNITS)):
            content, mode = self.host.read_bytes(path), self.host.mode(path)
            if content is not None and mode is not None:
                files[path] = File(content, mode)
        for unit in UNITS:
            if self.host.link_name(wants_path(UNIT_FOLDER, unit)) is not None:
                enabled.add(unit)
        return BootEngineState(files, frozenset(enabled), tuple(self.store.record().get("made", ())), self._failures())

    def _failures(self) -> dict[str, str]:
        found = {}
        for name in self.host.listdir(STATUS_FOLDER):
            status = json.loads(self.host.read(f"{STATUS_FOLDER}/{name}") or "{}")
            if status.get("boot_id") == boot_id(self.host) and not status.get("ok"):
                found[status["concern"]] = status["error"]
        return found

    def plan(self, current: BootEngineState, desired: BootEngine) -> Plan:
        return plan(current, desired)

    def plan_teardown(self, current: BootEngineState) -> Plan:
        return plan_teardown(current)

    def record(self, current: BootEngineState, plan: Plan) -> dict[str, Any]:
        made = {step.target for step in plan.operations if step.action == "write_file"}
        folder = posixpath.dirname(ENGINE_PATH)
        missing = [path for path in (folder, posixpath.dirname(folder)) if not self.host.exists(path)]
        kept = self.store.record()
        return {
            "made": sorted(made | set(kept.get("made", ()))),
            "folders": sorted({*missing, *kept.get("folders", ())}, reverse=True),
        }

    def perform(self, operation: Operation) -> None:
        if operation.action == "write_file" and self._desired is not None:
            file = self._desired.files[operation.target]
            self.host.write_file(operation.target, file.content, file.mode)
        elif operation.action == "enable_unit":
            self.host.must_run(["systemctl", "enable", operation.target])
        elif operation.action == "disable_unit":
            self.host.must_run(["systemctl", "disable", operation.target])
        elif operation.action == "remove_file":
            self.host.remove(operation.target)

    def finish(self, plan: Plan) -> None:
        """systemd looks again at units that were rewritten or removed; to enable one makes it look by itself."""
        actions = {step.action for step in plan.operations}
        if "enable_unit" not in actions and actions & {"write_file", "remove_file"}:
            self.host.must_run(["systemctl", "daemon-reload"])
        if "remove_file" in actions:
            for folder in self.store.record().get("folders", ()):
                self.host.remove_empty_folder(folder)

    def check(self, current: BootEngineState, desired: BootEngine) -> list[Check]:
        remedy = "Apply the role boot_engine again."
        found = []
        for path, file in desired.files.items():
            there = current.files.get(path)
            seen = there.digest if there else None
            found.append(Check("boot_engine.file", self.name, path, file.digest, seen, remedy))
        for unit in sorted(desired.enabled):
            found.append(Check("boot_engine.enabled", self.name, unit, True, unit in current.enabled, remedy))
        for concern in self.needed_by():
            failure = current.failures.get(concern, "")
            look = f"See journalctl -b -u fastpath-{concern}, then systemctl restart fastpath-{concern}."
            found.append(Check("boot_engine.boot", self.name, concern, "", failure, look))
        return found
