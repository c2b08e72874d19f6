# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. containerd on a node: the concern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime import (
    AT_START,
    CERTS,
    DROP_IN,
    NAME,
    RESTART,
    SERVICE,
    START,
    RuntimeState,
    config_version,
    former_config,
    places,
    plan_runtime,
    plan_runtime_teardown,
    record_runtime,
    settled,
    wanted_files,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_spec import (
    RuntimeSpec,
    limit_shown,
    parse_runtime,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import (
    parse_version,
    runtime_problem,
    version_said,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._owned_files import (
    ACTIONS,
    REMOVE,
    perform_file,
    read_files,
    record_files,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import boot_id
from ansible_collections.nfv.fastpath.plugins.module_utils._systemd import is_active, unit_properties
from ansible_collections.nfv.fastpath.plugins.module_utils._toml_lines import StrangeToml, get, value_of

SOCKET = "/run/containerd/containerd.sock"
TASKS = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
SECONDS = 60.0
SERVES = "serves it"
LOCKED_MEMORY = "Max locked memory"
APPLY = "Apply the role container_runtime again, and look at journalctl -u containerd."


class ContainerRuntimeConcern(Concern[RuntimeState, RuntimeSpec]):
    """Spec: see ``parse_runtime``. ``looking_ahead``: containerd may still be about to be installed."""

    name = NAME

    def __init__(self, host: Host, looking_ahead: bool = False) -> None:
        super().__init__(host)
        self.looking_ahead = looking_ahead
        self._contents: Mapping[str, str] = {}
        self._desired: RuntimeSpec | None = None

    def parse(self, spec: Any) -> RuntimeSpec:
        desired, problems = parse_runtime(spec)
        if problems:
            raise Refused(problems)
        return desired

    def discover(self) -> RuntimeState:
        record = self.store.record()
        here = [f"{CERTS}/{name}/hosts.toml" for name in self.host.listdir(CERTS)]
        version = self._version("containerd")
        return RuntimeState(
            files=read_files(self.host, [*AT_START, *here, *record.get("files", {})]),
            containerd=version,
            kubelet=self._version("kubelet"),
            active=bool(version) and is_active(self.host, SERVICE),
            running=len(self.host.listdir(TASKS)),
            boot_id=boot_id(self.host),
            record=record,
        )

    def plan(self, current: RuntimeState, desired: RuntimeSpec) -> Plan:
        plan = plan_runtime(current, desired, self.looking_ahead)
        self._contents = wanted_files(current, desired)
        self._desired = desired
        return plan

    def plan_teardown(self, current: RuntimeState) -> Plan:
        self._contents = former_config(current)
        return plan_runtime_teardown(current)

    def record(self, current: RuntimeState, plan: Plan) -> dict[str, Any]:
        record = dict(current.record)
        if self._desired is not None:
            record = record_runtime(current, self._desired, record)
        record["files"] = record_files(self.host, record.get("files", {}), current.files, plan.operations)
        return record

    def perform(self, operation: Operation) -> None:
        if operation.action in ACTIONS:
            if operation.target in AT_START:
                # Cut off between the file and the restart, the file alone would not tell.
                self.store.save_record({**self.store.record(), "restart_due": boot_id(self.host)})
            perform_file(self.host, operation, self._contents, self.store.record().get("files", {}))
            if operation.action == REMOVE and operation.target.startswith(f"{CERTS}/"):
                self.host.remove_empty_folder(operation.target.rsplit("/", 1)[0])
                self.host.remove_empty_folder(CERTS)
            elif operation.action == REMOVE and operation.target == DROP_IN:
                self.host.remove_empty_folder(DROP_IN.rsplit("/", 1)[0])
        elif operation.action in (RESTART, START):
            if unit_properties(self.host, SERVICE, ["NeedDaemonReload"])["NeedDaemonReload"] == "yes":
                self.host.must_run(["systemctl", "daemon-reload"])
            verb = "restart" if operation.action == RESTART else "start"
            self.host.must_run(["systemctl", verb, SERVICE], timeout=SECONDS)
            self.host.wait_for(lambda: self.host.exists(SOCKET), SECONDS, f"{SOCKET} of containerd")
            record = self.store.record()
            if record:
                self.store.save_record({key: value for key, value in record.items() if key != "restart_due"})

    def finish(self, plan: Plan) -> None:
        if self._desired is not None and self.store.record():
            record = self.store.record()
            self.store.save_record(settled(record, self._desired, self.discover()))

    def check(self, current: RuntimeState, desired: RuntimeSpec) -> list[Check]:
        containerd, kubelet = (
            parse_version(current.containerd),
            parse_version(current.kubelet or desired.kubernetes_version),
        )
        fits = (runtime_problem(kubelet, containerd) or SERVES) if containerd else "is not there"
        checks = [
            Check("container_runtime.version", NAME, f"containerd {current.containerd}", SERVES, fits, APPLY),
            Check("container_runtime.active", NAME, SERVICE, True, current.active, APPLY),
        ]
        lacking = [
            path
            for path, text in wanted_files(current, desired).items()
            if path.startswith(f"{CERTS}/") and current.files.get(path) != text
        ]
        checks.append(Check("container_runtime.registries", NAME, CERTS, [], lacking, APPLY))
        if desired.locked_memory:
            limit = limit_shown(desired.locked_memory)
            checks.append(Check("container_runtime.locked_memory", NAME, SERVICE, limit, self._locked_memory(), APPLY))
        return checks + self._effective(desired)

    def _effective(self, desired: RuntimeSpec) -> list[Check]:
        """What containerd says it has, after all defaults and further files."""
        dump = self.host.run(["containerd", "config", "dump"]).out
        containerd = parse_version(self._version("containerd"))
        try:
            at = places(config_version(dump), containerd)
            # What is not set is false, and newer versions do not even show it.
            cgroup, sandbox = value_of(get(dump, at.cgroup)) is True, value_of(get(dump, at.sandbox))
            kind = bool(value_of(get(dump, at.kind)))
            folders = str(value_of(get(dump, at.registry)) or "").split(":")
        except StrangeToml as strange:
            return [
                Check("container_runtime.readable", NAME, "containerd config dump", "readable", str(strange), APPLY)
            ]
        checks = [
            Check("container_runtime.systemd_cgroup", NAME, "runc", desired.systemd_cgroup, cgroup, APPLY),
            Check("container_runtime.runtime_type", NAME, "runc has a type", True, kind, APPLY),
        ]
        if desired.sandbox_image:
            checks.append(
                Check("container_runtime.sandbox_image", NAME, "pause", desired.sandbox_image, sandbox, APPLY)
            )
        if desired.registries:
            checks.append(Check("container_runtime.certs_dir", NAME, CERTS, True, CERTS in folders, APPLY))
        return checks

    def _locked_memory(self) -> str:
        """The limit of the running process, which containers made from now on have too."""
        pid = unit_properties(self.host, SERVICE, ["MainPID"])["MainPID"]
        for line in (self.host.read(f"/proc/{pid}/limits") or "").splitlines():
            if line.startswith(LOCKED_MEMORY):
                return line[len(LOCKED_MEMORY) :].split()[0]
        return "not known"

    def _version(self, program: str) -> str:
        return version_said(self.host.run([program, "--version"]).out) or ""
