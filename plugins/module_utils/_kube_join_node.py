# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. A node's membership in a cluster: the concern."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join import (
    ADMIN_CONF,
    BOOTSTRAP_CONF,
    CA_FILE,
    ENABLE,
    FLAGS,
    FORGET_BOOTSTRAP,
    JOIN,
    KUBELET_CONF,
    LEAVE,
    LOAD,
    MAIN_CONFIG,
    MODULES,
    MODULES_LOAD,
    NAME,
    RELOAD,
    RESET,
    START,
    SYSCTL,
    SYSCTL_D,
    SYSCTLS,
    UNIT,
    JoinState,
    Secrets,
    plan_join,
    plan_leave,
    record_join,
    wanted_files,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_spec import (
    CRI_SOCKET,
    INIT,
    KUBECONFIG,
    NONE,
    JoinSpec,
    init_configuration,
    join_configuration,
    parse_join,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import parse_version, version_said
from ansible_collections.nfv.fastpath.plugins.module_utils._node_packages import PROGRAM_FOLDERS
from ansible_collections.nfv.fastpath.plugins.module_utils._owned_files import (
    ACTIONS,
    perform_file,
    read_files,
    record_files,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._systemd import unit_properties

SERVICE = "kubelet.service"
VENDOR_UNITS = ("/usr/lib/systemd/system/kubelet.service", "/lib/systemd/system/kubelet.service")
KUBEADM_FILE = "/run/fastpath-kubeadm.yaml"
WITH_TOKENS = (BOOTSTRAP_CONF, KUBEADM_FILE)
MANIFESTS = "/etc/kubernetes/manifests"
PODS, PKI = "/var/lib/kubelet/pods", "/var/lib/kubelet/pki"
JOIN_SECONDS, SECONDS = 600.0, 120.0
CTR = ("ctr", "--namespace", "k8s.io")
APPLY = "Apply the role kubernetes again, and look at journalctl -u kubelet."


def _brought(host: Host, record: Mapping[str, Any]) -> bool:
    """Whether a package or somebody else brought the kubelet's unit."""
    return any(map(host.exists, VENDOR_UNITS)) or (host.exists(UNIT) and UNIT not in record.get("files", {}))


class KubeJoinConcern(Concern[JoinState, JoinSpec]):
    """Spec: see ``parse_join``. ``looking_ahead``: programs may still be about to be installed.

    ``taint``: whether a node that joins keeps pods off until it is brought into service. A member stays as it joined.
    """

    name = NAME

    def __init__(
        self, host: Host, secrets: Secrets | None = None, looking_ahead: bool = False, taint: bool = False
    ) -> None:
        super().__init__(host)
        self.secrets = secrets or Secrets()
        self.looking_ahead = looking_ahead
        self.taint = taint
        self._contents: Mapping[str, str] = {}
        self._desired = JoinSpec()

    def parse(self, spec: Any) -> JoinSpec:
        desired, problems = parse_join(spec)
        if problems:
            raise Refused(problems)
        return desired

    def discover(self) -> JoinState:
        host, record = self.host, self.store.record()
        names = ("ActiveState", "UnitFileState", "NeedDaemonReload")
        unit = unit_properties(host, SERVICE, names)
        paths = [MAIN_CONFIG, FLAGS, UNIT, CA_FILE, MODULES_LOAD, SYSCTL_D, *record.get("files", {})]
        programs = [f"{folder}/kubelet" for folder in PROGRAM_FOLDERS if host.exists(f"{folder}/kubelet")]
        # kubeadm init writes it before there is anything to be a member of.
        joined = host.exists(KUBELET_CONF) and not (record.get("half") and record.get("way") == INIT)
        return JoinState(
            joined=joined,
            half=bool(record.get("half")) and not joined,
            control_plane=record.get("way") == INIT and host.exists(KUBELET_CONF),
            kubelet=version_said(host.run(["kubelet", "--version"]).out) or "",
            kubeadm=version_said(host.run(["kubeadm", "version", "--output", "short"]).out) or "",
            program=programs[0] if programs else "",
            vendor_unit=_brought(host, record),
            enabled=unit["UnitFileState"] == "enabled",
            active=unit["ActiveState"] in ("active", "activating"),
            reload_due=unit["NeedDaemonReload"] == "yes",
            bootstrap_left=any(map(host.exists, WITH_TOKENS)),
            swap=len((host.read("/proc/swaps") or "").splitlines()) > 1,
            pods=len(host.listdir(PODS)),
            loaded=frozenset(name for name in MODULES if host.exists(f"/sys/module/{name}")),
            sysctls={name: host.read_value(f"/proc/sys/{name}") for name in SYSCTLS},
            files=read_files(host, paths),
            record=record,
        )

    def plan(self, current: JoinState, desired: JoinSpec) -> Plan:
        desired = replace(desired, tainted=bool(current.record.get("tainted")) if current.joined else self.taint)
        plan = plan_join(current, desired, self.secrets, self.looking_ahead)
        self._contents = wanted_files(current, desired, self.secrets)
        self._desired = desired
        return plan

    def plan_teardown(self, current: JoinState) -> Plan:
        return plan_leave(current)

    def record(self, current: JoinState, plan: Plan) -> dict[str, Any]:
        files = record_files(self.host, current.record.get("files", {}), current.files, plan.operations)
        return record_join(current, self._desired, plan, files)

    def perform(self, operation: Operation) -> None:
        if operation.action in ACTIONS:
            perform_file(self.host, operation, self._contents, self.store.record().get("files", {}))
        elif operation.action == SYSCTL:
            self.host.write_attribute(f"/proc/sys/{operation.target}", operation.after)
        elif operation.action == JOIN:
            self._join()
        elif operation.action == RESET:
            self._reset()
        elif operation.action == LEAVE:
            self._leave(str(operation.before))
        elif operation.action == FORGET_BOOTSTRAP:
            self._forget_tokens()
        else:
            commands = {
                LOAD: ["modprobe", operation.target],
                RELOAD: ["systemctl", "daemon-reload"],
                ENABLE: ["systemctl", "enable", SERVICE],
                START: ["systemctl", "start", SERVICE],
            }
            self.host.must_run(commands[operation.action], timeout=SECONDS)

    def _forget_tokens(self) -> None:
        for path in WITH_TOKENS:
            self.host.remove(path)

    def _join(self) -> None:
        if self._desired.join == KUBECONFIG:
            self._join_by_kubeconfig()
        else:
            self._join_by_kubeadm()

    def _join_by_kubeconfig(self) -> None:
        host, secrets = self.host, self.secrets
        if secrets.kubeconfig:
            host.write_file(KUBELET_CONF, secrets.kubeconfig, mode=0o600)
        else:
            host.write_file(BOOTSTRAP_CONF, secrets.bootstrap_kubeconfig, mode=0o600)
        host.must_run(["systemctl", "restart", SERVICE], timeout=SECONDS)
        if secrets.kubeconfig:
            return
        try:
            host.wait_for(
                lambda: host.exists(KUBELET_CONF), SECONDS, f"{KUBELET_CONF}, which the cluster's answer makes"
            )
        except FastpathError as late:
            said = host.run(["journalctl", "--unit", SERVICE, "--lines", "3", "--output", "cat"]).out.strip()
            raise FastpathError(f"{late.message} The kubelet says: {said[-1000:]}") from late
        host.remove(BOOTSTRAP_CONF)

    def _join_by_kubeadm(self) -> None:
        version = parse_version(version_said(self.host.run(["kubeadm", "version", "--output", "short"]).out))
        if version is None:
            raise FastpathError("kubeadm is not on this node.")
        init = self._desired.join == INIT
        make = init_configuration if init else join_configuration
        documents = make(self._desired, version, self.secrets.token)
        text = "---\n".join(json.dumps(document, indent=2) + "\n" for document in documents)
        self.host.write_file(KUBEADM_FILE, text, mode=0o600)
        swap = ["--ignore-preflight-errors=Swap"] if self._desired.swap_ok else []
        # What stands in the way of the first attempt is somebody else's.
        self._half(not (self.host.exists(CA_FILE) or self.host.listdir(MANIFESTS)))
        try:
            self.host.must_run(["kubeadm", "init" if init else "join", "--config", KUBEADM_FILE, *swap], JOIN_SECONDS)
        finally:
            self.host.remove(KUBEADM_FILE)
        if not self.host.exists(KUBELET_CONF) or (init and not self.host.exists(ADMIN_CONF)):
            raise FastpathError(f"kubeadm ended well, but left no {KUBELET_CONF}.")
        self._half(False)

    def _half(self, half: bool) -> None:
        """From here on, or no longer, what kubeadm leaves on the node is ours and not whole."""
        self.store.save_record({**self.store.record(), "half": half})

    def _reset(self) -> None:
        self.host.must_run(["kubeadm", "reset", "--force", "--cri-socket", CRI_SOCKET], JOIN_SECONDS)

    def _leave(self, way: str) -> None:
        """kubeadm knows all that kubeadm has made; else containers and what the kubelet got from the cluster go."""
        host = self.host
        if way != KUBECONFIG:
            self._reset()
        host.must_run(["systemctl", "stop", SERVICE], timeout=SECONDS)
        if not self.store.record().get("enabled"):
            host.must_run(["systemctl", "disable", SERVICE])
        self._forget_tokens()
        if way == KUBECONFIG:
            self._end_containers()
            host.remove(KUBELET_CONF)
            host.remove_folder(PKI)

    def _end_containers(self) -> None:
        """What cannot be ended holds up nobody's way out, but goes on with nobody to look after it."""
        host = self.host
        said = ""
        for verb in (("tasks", "delete", "--force"), ("containers", "delete")):
            for name in host.run([*CTR, verb[0], "list", "--quiet"]).out.split():
                done = host.run([*CTR, *verb, name])
                said = said if done.rc == 0 else (done.err.strip() or done.out.strip())[-500:]
        left = host.run([*CTR, "containers", "list", "--quiet"])
        if left.rc != 0:
            self.noticed.append(f"Containers of pods may be left: {' '.join(CTR)} says {left.err.strip()[-500:]}.")
        elif left.out.split():
            self.noticed.append(
                f"Containers of pods are left: {', '.join(left.out.split())}. ctr says: {said or 'nothing'}."
            )

    def check(self, current: JoinState, desired: JoinSpec) -> list[Check]:
        if desired.join == NONE:
            return []
        values = {name: current.sysctls.get(name) for name in SYSCTLS}
        return [
            Check("kube_join.joined", NAME, KUBELET_CONF, True, current.joined, APPLY),
            Check("kube_join.active", NAME, SERVICE, True, current.active, APPLY),
            Check("kube_join.sysctls", NAME, "kernel", SYSCTLS, values, APPLY),
            Check("kube_join.no_token_left", NAME, BOOTSTRAP_CONF, False, current.bootstrap_left, APPLY),
        ]
