# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. containerd on a node: its configuration, registries, and whether it fits the kubelet. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_spec import (
    VARIABLE,
    RuntimeSpec,
    drop_in,
    hosts_toml,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import (
    CONTAINERD_CRI_V1_ONLY,
    Version,
    parse_version,
    runtime_problem,
    runtime_warning,
    shown,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._owned_files import (
    Files,
    changed_since,
    digest,
    give_back,
    plan_files,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._toml_lines import (
    Path,
    StrangeToml,
    get,
    has_below,
    put,
    text_of,
    value_of,
)

NAME = "container_runtime"
CONFIG, CERTS = "/etc/containerd/config.toml", "/etc/containerd/certs.d"
SERVICE = "containerd.service"
DROP_IN = "/etc/systemd/system/containerd.service.d/fastpath.conf"
# What counts only from containerd's next start.
AT_START = (CONFIG, DROP_IN)
RESTART, START = "restart_containerd", "start_containerd"
RUNC = "io.containerd.runc.v2"
CONTAINERD_BIN_DIRS: Version = (2, 1, 0)
OLD_CRI = "io.containerd.grpc.v1.cri"
RUNTIME_CRI, IMAGES_CRI = "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"
DISABLED = ("disabled_plugins",)


@dataclass(frozen=True)
class RuntimeState:
    """``files``: configuration and ``hosts.toml`` files by path. ``running``: containers of pods.

    ``containerd``, ``kubelet``: versions, empty where a program is not there. ``effective``: the configuration that
    containerd itself says it has, empty where it was not asked.
    """

    files: Files = field(default_factory=dict)
    containerd: str = ""
    kubelet: str = ""
    active: bool = True
    running: int = 0
    boot_id: str = ""
    effective: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> str:
        return self.files.get(CONFIG) or ""


@dataclass(frozen=True)
class Places:
    """Where containerd of a version has what we set, in a configuration of a version."""

    cgroup: Path
    kind: Path
    sandbox: Path
    registry: Path
    bin_dir: Path
    conf_dir: Path


def places(config_version: int, containerd: Version | None) -> Places:
    lists = containerd is not None and containerd >= CONTAINERD_BIN_DIRS
    bin_dir = "bin_dirs" if lists else "bin_dir"
    if config_version < 3:
        cri: Path = ("plugins", OLD_CRI)
        return Places(
            (*cri, "containerd", "runtimes", "runc", "options", "SystemdCgroup"),
            (*cri, "containerd", "runtimes", "runc", "runtime_type"),
            (*cri, "sandbox_image"),
            (*cri, "registry", "config_path"),
            (*cri, "cni", bin_dir),
            (*cri, "cni", "conf_dir"),
        )
    runtime: Path = ("plugins", RUNTIME_CRI)
    images: Path = ("plugins", IMAGES_CRI)
    return Places(
        (*runtime, "containerd", "runtimes", "runc", "options", "SystemdCgroup"),
        (*runtime, "containerd", "runtimes", "runc", "runtime_type"),
        (*images, "pinned_images", "sandbox"),
        (*images, "registry", "config_path"),
        (*runtime, "cni", bin_dir),
        (*runtime, "cni", "conf_dir"),
    )


def plan_runtime(current: RuntimeState, desired: RuntimeSpec, looking_ahead: bool = False) -> Plan:
    """``looking_ahead``: containerd may not be there yet."""
    problems = _version_problems(current, desired, looking_ahead)
    if problems:
        raise Refused(problems)
    wanted = wanted_files(current, desired)
    steps = plan_files(current.files, wanted, _files(current.record))
    keys = {*wanted_keys(_with_version(current.config, parse_version(current.containerd)), current, desired)}
    keys |= {*_keys(current.record)}
    return Plan(
        operations=tuple(steps) + _restart(current, steps, wanted),
        before={**{step.target: step.before for step in steps}, **_values(current.config, keys)},
        after={**{step.target: step.after for step in steps}, **_values(wanted[CONFIG], keys)},
        warnings=tuple(_warnings(current, desired)),
    )


def plan_runtime_teardown(current: RuntimeState) -> Plan:
    wanted = former_config(current)
    record = {path: kept for path, kept in _files(current.record).items() if path not in wanted}
    steps = plan_files(current.files, wanted, {}) + give_back(current.files, record)
    left = _config_after(current, wanted, record)
    keys = _keys(current.record)
    return Plan(
        operations=tuple(steps) + (_restart(current, steps, left) if current.record else ()),
        before={**{step.target: step.before for step in steps}, **_values(current.config, keys)},
        after={**{step.target: step.after for step in steps}, **_values(left.get(CONFIG, current.config), keys)},
        warnings=tuple(_not_ours(current)),
    )


def wanted_files(current: RuntimeState, desired: RuntimeSpec) -> dict[str, str]:
    """Every file that has to be there, with its text."""
    files = {CONFIG: edited(current, desired)}
    if desired.locked_memory:
        files[DROP_IN] = drop_in(desired.locked_memory)
    files.update({f"{CERTS}/{item.name}/hosts.toml": hosts_toml(item) for item in desired.registries})
    return files


def edited(current: RuntimeState, desired: RuntimeSpec) -> str:
    """The configuration with our values, and with those given back that are no longer wanted."""
    text = current.config
    try:
        text = _with_version(text, parse_version(current.containerd))
        ours = wanted_keys(text, current, desired)
        for path, kept in _keys(current.record).items():
            if path not in ours and get(text, path) == kept["ours"]:
                text = put(text, path, kept["former"])
        for path, raw in ours.items():
            if value_of(get(text, path)) != value_of(raw):
                text = put(text, path, raw)
    except StrangeToml as strange:
        message = f"{strange}: write that as a table of its own, with one key in a line"
        raise Refused([Problem(VARIABLE, CONFIG, message)]) from strange
    return text


def wanted_keys(text: str, current: RuntimeState, desired: RuntimeSpec) -> dict[Path, str]:
    containerd = parse_version(current.containerd)
    at = places(config_version(text), containerd)
    keys = {at.cgroup: text_of(desired.systemd_cgroup)}
    if get(text, at.kind) is None or at.kind in _keys(current.record):
        # Where a runtime is named at all, containerd's own defaults for it count no more.
        keys[at.kind] = text_of(RUNC)
    if desired.sandbox_image:
        keys[at.sandbox] = text_of(desired.sandbox_image)
    if desired.cni_bin_dir:
        listed = at.bin_dir[-1] == "bin_dirs"
        keys[at.bin_dir] = text_of([desired.cni_bin_dir] if listed else desired.cni_bin_dir)
    if desired.cni_config_dir:
        keys[at.conf_dir] = text_of(desired.cni_config_dir)
    if desired.registries:
        if CERTS not in str(value_of(get(text, at.registry)) or "").split(":"):
            keys[at.registry] = text_of(CERTS)
        elif at.registry in _keys(current.record):
            keys[at.registry] = str(get(text, at.registry))
        _refuse_old_mirrors(text, at)
    disabled = value_of(get(text, DISABLED))
    if isinstance(disabled, list) and set(disabled) & {"cri", OLD_CRI}:
        keys[DISABLED] = text_of([name for name in disabled if name not in ("cri", OLD_CRI)])
    elif DISABLED in _keys(current.record):
        keys[DISABLED] = str(get(text, DISABLED))
    return keys


def config_version(text: str) -> int:
    version = value_of(get(text, ("version",)))
    return version if isinstance(version, int) and not isinstance(version, bool) else 1


def record_runtime(current: RuntimeState, desired: RuntimeSpec, record: Mapping[str, Any]) -> dict[str, Any]:
    """Values that were there before ours, once each."""
    text = _with_version(current.config, parse_version(current.containerd))
    kept = dict(_keys(record))
    for path, raw in wanted_keys(text, current, desired).items():
        former = kept.get(path, {"former": get(current.config, path)})["former"]
        kept[path] = {"former": former, "ours": raw}
    return {**record, "keys": {_text_of_path(path): value for path, value in kept.items()}}


def settled(record: Mapping[str, Any], desired: RuntimeSpec, current: RuntimeState) -> dict[str, Any]:
    """After the last operation: keys and files that are no longer wanted are nobody's."""
    ours = wanted_keys(current.config, current, desired)
    wanted = wanted_files(current, desired)
    return {
        **record,
        "keys": {key: value for key, value in record.get("keys", {}).items() if _path_of_text(key) in ours},
        "files": {path: kept for path, kept in record.get("files", {}).items() if path in wanted},
    }


def former_config(current: RuntimeState) -> dict[str, str]:
    """Where somebody edited the configuration since, only our values are given back in it."""
    kept = _files(current.record).get(CONFIG)
    there = current.files.get(CONFIG)
    if kept is None or there is None or digest(there) in kept["written"] or there == kept["former"]:
        return {}
    text = there
    for path, values in _keys(current.record).items():
        if get(text, path) == values["ours"]:
            text = put(text, path, values["former"])
    return {CONFIG: text}


def _config_after(current: RuntimeState, wanted: Mapping[str, str], record: Mapping[str, Any]) -> dict[str, str]:
    """The configuration as a teardown leaves it; empty where it stays."""
    if CONFIG in wanted:
        return dict(wanted)
    return {CONFIG: str(record[CONFIG]["former"] or "")} if CONFIG in record else {}


def _restart(current: RuntimeState, steps: Iterable[Operation], wanted: Mapping[str, str]) -> tuple[Operation, ...]:
    """Containers live on while containerd restarts, but not in control groups that another driver made."""
    changes = any(step.target in AT_START and step.before != step.after for step in steps)
    due = bool(current.boot_id) and current.record.get("restart_due") == current.boot_id
    if not current.active:
        return (Operation(START, SERVICE, False, True),) if current.containerd else ()
    if not (changes or due):
        return ()
    moved = CONFIG in wanted and _driver(current.config) != _driver(wanted[CONFIG])
    reason = (
        f"{current.running} containers run in control groups of the other driver" if current.running and moved else ""
    )
    return (Operation(RESTART, SERVICE, None, None, bool(reason), reason),)


def _driver(text: str) -> bool:
    """containerd's own default is not systemd."""
    return value_of(get(text, places(config_version(text), None).cgroup)) is True


def _with_version(text: str, containerd: Version | None) -> str:
    """A file without a version is one of version 1, which is right only while it says next to nothing."""
    newest = 3 if containerd is not None and containerd >= CONTAINERD_CRI_V1_ONLY else 2
    version = config_version(text)
    if version == 1:
        if has_below(text, ("plugins",)):
            message = "is of version 1: let containerd config migrate write it anew, then look at what it wrote"
            raise Refused([Problem(VARIABLE, CONFIG, message)])
        return put(text, ("version",), str(newest))
    if version == 3 and containerd is not None and newest == 2:
        message = f"is of version 3, which containerd {shown(containerd)} cannot read"
        raise Refused([Problem(VARIABLE, CONFIG, message)])
    return text


def _refuse_old_mirrors(text: str, at: Places) -> None:
    for old in ("mirrors", "configs"):
        if has_below(text, (*at.registry[:-1], old)):
            message = (
                f"has registry.{old}, beside which containerd takes no folder of hosts.toml files: move them there"
            )
            raise Refused([Problem(f"{VARIABLE}.registries", CONFIG, message)])


def _version_problems(current: RuntimeState, desired: RuntimeSpec, looking_ahead: bool) -> list[Problem]:
    containerd = parse_version(current.containerd)
    if containerd is None:
        if looking_ahead:
            return []
        return [Problem(f"{VARIABLE}.package", "containerd", "is not on this node: name a package that has it")]
    reason = runtime_problem(_kubelet(current, desired), containerd)
    return [Problem(VARIABLE, f"containerd {current.containerd}", reason)] if reason else []


def _kubelet(current: RuntimeState, desired: RuntimeSpec) -> Version | None:
    return parse_version(current.kubelet or desired.kubernetes_version)


def _warnings(current: RuntimeState, desired: RuntimeSpec) -> list[str]:
    containerd = parse_version(current.containerd)
    said = runtime_warning(_kubelet(current, desired), containerd) if containerd else ""
    return [*_not_ours(current), *([said] if said else [])]


def _not_ours(current: RuntimeState) -> list[str]:
    return [
        f"{path} was changed by somebody since it was written."
        for path in changed_since(current.files, _files(current.record))
    ]


def _files(record: Mapping[str, Any]) -> Mapping[str, Any]:
    files: Mapping[str, Any] = record.get("files", {})
    return files


def _keys(record: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    return {_path_of_text(key): value for key, value in record.get("keys", {}).items()}


def _text_of_path(path: Sequence[str]) -> str:
    return json.dumps(list(path))


def _path_of_text(text: str) -> Path:
    return tuple(json.loads(text))


def _values(text: str, keys: Iterable[Path]) -> dict[str, Any]:
    """What we set, of a file with much else in it that is secret, such as passwords of registries."""
    try:
        return {f"{CONFIG}: {'.'.join(key)}": get(text, key) for key in sorted(keys)}
    except StrangeToml:
        return {}
