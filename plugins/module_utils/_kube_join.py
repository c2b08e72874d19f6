# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. A node's way into a cluster and out of it again. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_spec import (
    INIT,
    KUBEADM,
    KUBEADM_OLDEST,
    KUBECONFIG,
    NONE,
    TOKEN,
    VARIABLE,
    JoinSpec,
    kubelet_configuration,
    kubelet_flags,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import parse_version, shown, too_old
from ansible_collections.nfv.fastpath.plugins.module_utils._owned_files import RELEASE, Files, give_back, plan_files
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._store import as_json

NAME = "kube_join"
KUBELET_CONF, ADMIN_CONF = "/etc/kubernetes/kubelet.conf", "/etc/kubernetes/admin.conf"
BOOTSTRAP_CONF = "/etc/kubernetes/bootstrap-kubelet.conf"
CA_FILE = "/etc/kubernetes/pki/ca.crt"
MAIN_CONFIG, FLAGS = "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env"
UNIT = "/etc/systemd/system/kubelet.service"
MODULES_LOAD = "/etc/modules-load.d/fastpath-kubernetes.conf"
SYSCTL_D = "/etc/sysctl.d/90-fastpath-kubernetes.conf"
MODULES = ("br_netfilter", "overlay")
SYSCTLS = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
LOAD, SYSCTL, RELOAD, ENABLE = "load_module", "set_sysctl", "reload_units", "enable_kubelet"
JOIN, START, FORGET_BOOTSTRAP, LEAVE = "join_cluster", "start_kubelet", "remove_bootstrap", "leave_cluster"
# Takes back what a kubeadm of ours left that did not end, beside which the next one refuses to begin.
RESET = "reset_kubeadm"
OURS = ("KUBELET_KUBECONFIG_ARGS", "KUBELET_CONFIG_ARGS", "KUBELET_KUBEADM_ARGS", "KUBELET_EXTRA_ARGS")


@dataclass(frozen=True)
class Secrets:
    """Needed until the node has joined, and never written down in a record."""

    token: str = ""
    kubeconfig: str = ""
    bootstrap_kubeconfig: str = ""
    ca: str = ""


@dataclass(frozen=True)
class JoinState:
    """``kubelet``, ``kubeadm``: versions, empty where a program is not there. ``program``: path of the kubelet.

    ``vendor_unit``: whether others brought a unit for it. ``bootstrap_left``: whether a file with a token is there.
    ``half``: whether a kubeadm that we started did not end. ``control_plane``: whether one may run here.
    """

    joined: bool = False
    half: bool = False
    control_plane: bool = False
    kubelet: str = ""
    kubeadm: str = ""
    program: str = ""
    vendor_unit: bool = False
    enabled: bool = False
    active: bool = False
    reload_due: bool = False
    bootstrap_left: bool = False
    swap: bool = False
    pods: int = 0
    loaded: frozenset[str] = frozenset()
    sysctls: Mapping[str, str | None] = field(default_factory=dict)
    files: Files = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)


def plan_join(current: JoinState, desired: JoinSpec, secrets: Secrets, looking_ahead: bool = False) -> Plan:
    problems = _problems(current, desired, secrets, looking_ahead)
    if problems:
        raise Refused(problems)
    if desired.join == NONE:
        return Plan()
    ours = current.record.get("way") or (None if current.joined else desired.join)
    if ours is None:
        # A member that somebody else made: nothing of it is ours.
        return Plan(before={"joined": True}, after={"joined": True})
    operations = [Operation(LOAD, name, False, True) for name in MODULES if name not in current.loaded]
    operations += plan_files(current.files, wanted_files(current, desired, secrets), current.record.get("files", {}))
    if current.reload_due or any(step.target == UNIT for step in operations):
        operations.append(Operation(RELOAD, UNIT))
    operations += [
        Operation(SYSCTL, name, current.sysctls.get(name), value)
        for name, value in SYSCTLS.items()
        if current.sysctls.get(name) != value
    ]
    if not current.enabled:
        operations.append(Operation(ENABLE, "kubelet.service", False, True))
    if not current.joined:
        operations += _reset(current)
        operations.append(Operation(JOIN, desired.endpoint or desired.join, None, desired.join))
    else:
        operations += [Operation(START, "kubelet.service", False, True)] if not current.active else []
        operations += [Operation(FORGET_BOOTSTRAP, BOOTSTRAP_CONF)] if current.bootstrap_left else []
    return Plan(tuple(operations), {"joined": current.joined}, {"joined": True})


def joins(plan: Plan) -> bool:
    """Whether the node becomes a member."""
    return any(operation.action == JOIN for operation in plan.operations)


def _reset(current: JoinState) -> list[Operation]:
    """A control plane may be whole though nobody saw the end of kubeadm, so that it takes consent."""
    if not current.half:
        return []
    what = "kubeadm init did not end well here, and what it made of a cluster goes" if current.control_plane else ""
    return [Operation(RESET, "kubeadm", current.record["way"], None, bool(what), what)]


def plan_leave(current: JoinState) -> Plan:
    """Only a node that we made a member leaves."""
    way = current.record.get("way")
    if not way:
        return Plan()
    operations = []
    enabled = current.enabled and not current.record.get("enabled")
    if current.joined or current.half or current.active or current.bootstrap_left or enabled:
        reason = f"{current.pods} pods run here" if current.pods else ""
        operations.append(Operation(LEAVE, "cluster", way, None, bool(reason), reason))
    given_back = give_back(current.files, current.record.get("files", {}))
    files = [step for step in given_back if step.action == RELEASE or step.before != step.after]
    operations += files
    if current.reload_due or any(step.target == UNIT for step in files):
        operations.append(Operation(RELOAD, UNIT))
    former = current.record.get("sysctls", {})
    operations += [
        Operation(SYSCTL, name, current.sysctls.get(name), value)
        for name, value in former.items()
        if value is not None and current.sysctls.get(name) not in (None, value)
    ]
    return Plan(tuple(operations), {"joined": current.joined, "way": way}, {"joined": False, "way": way})


def wanted_files(current: JoinState, desired: JoinSpec, secrets: Secrets) -> dict[str, str]:
    """All but those that hold secrets; the latter are written by the join itself, and go after it."""
    files = {
        MODULES_LOAD: "".join(f"{name}\n" for name in MODULES),
        SYSCTL_D: "".join(f"{name.replace('/', '.')} = {value}\n" for name, value in SYSCTLS.items()),
    }
    if not current.vendor_unit:
        files[UNIT] = unit_text(current.program or "/usr/local/bin/kubelet")
    if desired.join != KUBECONFIG:
        return files
    files[MAIN_CONFIG] = as_json(kubelet_configuration(desired, CA_FILE))
    files[FLAGS] = f'KUBELET_KUBEADM_ARGS="{" ".join(kubelet_flags(desired))}"\n'
    # Once there, it is left as it is: the run that joins has it, later ones need not.
    ca = secrets.ca or (current.files.get(CA_FILE) or "" if CA_FILE in current.record.get("files", {}) else "")
    if ca:
        files[CA_FILE] = ca
    return files


def unit_text(program: str) -> str:
    """With the variables of kubeadm's own unit, so that all else that is written for that one fits."""
    return f"""# Written by nfv.fastpath.
[Unit]
Description=The Kubernetes node agent
Wants=network-online.target
After=network-online.target containerd.service

[Service]
Environment="{OURS[0]}=--bootstrap-kubeconfig={BOOTSTRAP_CONF} --kubeconfig={KUBELET_CONF}"
Environment="{OURS[1]}=--config={MAIN_CONFIG}"
EnvironmentFile=-{FLAGS}
EnvironmentFile=-/etc/default/kubelet
ExecStart={program} {" ".join(f"${name}" for name in OURS)}
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""


def record_join(current: JoinState, desired: JoinSpec, plan: Plan, files: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"files": files}
    way = current.record.get("way") or ("" if current.joined or desired.join == NONE else desired.join)
    if way:
        record["way"] = way
        record["sysctls"] = current.record.get("sysctls") or dict(current.sysctls)
        record["enabled"] = current.record.get("enabled", current.enabled)
        record["tainted"] = desired.tainted
        record["half"] = current.half
    return record


def _problems(current: JoinState, desired: JoinSpec, secrets: Secrets, looking_ahead: bool) -> list[Problem]:
    problems = [] if looking_ahead and not current.kubelet else _tool_problems(current, desired)
    if desired.join == NONE or current.joined:
        return problems
    if (
        desired.join == KUBECONFIG
        and current.active
        and current.files.get(MAIN_CONFIG)
        and not current.record.get("way")
    ):
        message = f"runs already, with {MAIN_CONFIG} and another kubeconfig than {KUBELET_CONF}: it is somebody else's"
        problems.append(Problem(f"{VARIABLE}.join", "kubelet", message))
    if current.swap and not desired.swap_ok:
        message = "is in use, with which a kubelet does not start: switch it off, or set swap_ok: true"
        problems.append(Problem(f"{VARIABLE}.swap_ok", "swap", message))
    return problems + ([] if looking_ahead else _secret_problems(desired, secrets))


def _tool_problems(current: JoinState, desired: JoinSpec) -> list[Problem]:
    if desired.join == NONE and not desired.version:
        return []
    kubelet = parse_version(current.kubelet)
    if kubelet is None:
        message = "is not on this node: set source to packages or archive, or install it by other means"
        return [Problem(f"{VARIABLE}.source", desired.source, f"kubelet {message}")]
    if too_old(kubelet):
        return [Problem(VARIABLE, f"kubelet {current.kubelet}", too_old(kubelet))]
    wanted = parse_version(desired.version)
    size = 3 if desired.version.count(".") == 2 else 2
    problems = []
    if wanted is not None and wanted[:size] != kubelet[:size]:
        message = f"is wanted, and kubelet {current.kubelet} is on this node: upgrade it, one minor version at a time"
        problems.append(Problem(f"{VARIABLE}.version", desired.version, message))
    if desired.join in (KUBEADM, INIT) and not current.joined:
        kubeadm = parse_version(current.kubeadm)
        if kubeadm is None:
            message = "is not on this node: join: kubeconfig needs none"
            problems.append(Problem(f"{VARIABLE}.join", desired.join, f"kubeadm {message}"))
        elif kubeadm < KUBEADM_OLDEST:
            message = f"is older than {shown(KUBEADM_OLDEST)}, the first that reads what the role writes"
            problems.append(Problem(f"{VARIABLE}.join", f"kubeadm {current.kubeadm}", message))
    return problems


def _secret_problems(desired: JoinSpec, secrets: Secrets) -> list[Problem]:
    """A secret's value never stands in a message."""
    if desired.join == KUBEADM and not TOKEN.match(secrets.token):
        message = "must be a bootstrap token, six characters, a point and sixteen more, until the node has joined"
        return [Problem("kubernetes_token", "given" if secrets.token else None, message)]
    if desired.join != KUBECONFIG:
        return []
    problems = []
    if not (secrets.kubeconfig or secrets.bootstrap_kubeconfig):
        message = "one of them is needed until the node has joined"
        problems.append(Problem("kubernetes_kubeconfig, kubernetes_bootstrap_kubeconfig", None, message))
    if "-----BEGIN CERTIFICATE-----" not in secrets.ca:
        message = "must be the certificate of the cluster's CA as PEM: the kubelet knows the API server by it"
        problems.append(Problem("kubernetes_ca", "given" if secrets.ca else None, message))
    return problems
