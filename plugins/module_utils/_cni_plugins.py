# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. CNI plugins on a node: which files are placed, replaced and given back. No I/O."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._cni_sources import NAME as PLUGIN_NAME
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_sources import SCHEMA, SHA256
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan

NAME = "cni_plugins"
PLACE, RESTORE, REMOVE, CLEAR = "place_plugin", "restore_plugin", "remove_plugin", "remove_left_over"
BIN_DIR, CONFIG_DIR = "/opt/cni/bin", "/etc/cni/net.d"
# Multus has this one everywhere, whatever the others are called.
OTHER_DIR = "/etc/cni"
# What daemons leave on a node when their pods are gone: beside plugins, beside the configuration, in the other folder.
LEFT: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "multus": (
        ("multus", "multus-shim", "passthru"),
        ("00-multus.conf", "00-multus.conflist", "multus.d"),
        ("multus",),
    ),
    "whereabouts": ((), ("whereabouts.d",), ()),
}
VARIANTS = ("thick", "thin")


@dataclass(frozen=True)
class CniSpec:
    """``plugins``: SHA-256 by name; None: whatever was wanted last. ``multus``: which must answer, empty for none.

    ``daemons``: whose pods are ours, so that what they leave goes with the plugins.
    """

    plugins: Mapping[str, str] | None = None
    bin_dir: str = BIN_DIR
    config_dir: str = CONFIG_DIR
    multus: str = ""
    daemons: tuple[str, ...] = ()


@dataclass(frozen=True)
class CniState:
    """``files``: SHA-256 of the plugins that matter, None where there is none. ``left``: what pods of ours left."""

    files: Mapping[str, str | None] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    bin_dir: str = BIN_DIR
    config_dir: str = CONFIG_DIR
    record: Mapping[str, Any] = field(default_factory=dict)


def parse_cni(spec: Any) -> CniSpec:
    """What the module is given: bundle (a manifest), bin_dir, config_dir, daemons; and for verification: multus."""
    given = spec if isinstance(spec, Mapping) else {}
    problems = []
    for key in ("bin_dir", "config_dir"):
        value = given.get(key)
        if value is not None and not (
            isinstance(value, str) and posixpath.isabs(value) and posixpath.normpath(value) != "/"
        ):
            problems.append(Problem(f"cni_plugins_{key}", value, "must be an absolute path of a folder"))
    bundle = given.get("bundle")
    plugins = None if bundle is None else _plugins(bundle, problems)
    multus = given.get("multus") or ""
    if multus not in ("", *VARIANTS):
        problems.append(Problem("cni_plugins_multus", multus, f"must be one of {', '.join(VARIANTS)}"))
    daemons = given.get("daemons") or ()
    if not isinstance(daemons, (list, tuple)) or not set(daemons) <= set(LEFT):
        problems.append(Problem("cni_plugins_daemons", daemons, f"must be a list of {', '.join(LEFT)}"))
    if problems:
        raise Refused(problems)
    folders = (_folder(given.get("bin_dir"), BIN_DIR), _folder(given.get("config_dir"), CONFIG_DIR))
    return CniSpec(plugins, *folders, multus, tuple(daemons))


def _folder(value: Any, default: str) -> str:
    return posixpath.normpath(str(value)) if value else default


def _plugins(bundle: Any, problems: list[Problem]) -> dict[str, str]:
    plugins = bundle.get("plugins") if isinstance(bundle, Mapping) and bundle.get("schema") == SCHEMA else None
    if not isinstance(plugins, Mapping):
        problems.append(Problem("cni_plugins_bundle", bundle, f"must be a manifest of schema {SCHEMA}"))
        return {}
    for name, checksum in plugins.items():
        if not PLUGIN_NAME.match(str(name)) or not (checksum == "" or SHA256.match(str(checksum))):
            problems.append(Problem(f"cni_plugins_bundle.plugins.{name}", checksum, "must be a SHA-256 by plugin name"))
    return {str(name): str(checksum) for name, checksum in plugins.items()}


def plan_cni(state: CniState, spec: CniSpec) -> Plan:
    """Each plugin that is missing or another one is placed; of ours, those that nobody wants go the way back."""
    wanted = dict(spec.plugins or {})
    moved = bool(state.record.get("bin_dir")) and state.record["bin_dir"] != spec.bin_dir
    if moved:
        message = f"was {state.record['bin_dir']} in former runs: tear down first, then change it"
        raise Refused([Problem("cni_plugins_bin_dir", spec.bin_dir, message)])
    operations = [
        Operation(PLACE, f"{spec.bin_dir}/{name}", state.files.get(name), checksum or None)
        for name, checksum in sorted(wanted.items())
        if state.files.get(name) is None or state.files.get(name) != checksum
    ]
    operations += _way_back(state, [name for name in state.record.get("placed", {}) if name not in wanted])
    after = {name: state.files.get(name) for name in state.files}
    after.update({posixpath.basename(step.target): step.after for step in operations})
    return Plan(
        operations=tuple(operations),
        before={"plugins": dict(sorted(state.files.items()))},
        after={"plugins": dict(sorted(after.items()))},
        warnings=tuple(_warnings(state)),
    )


def plan_cni_teardown(state: CniState) -> Plan:
    """Former files come back. What pods of ours left on the node goes, unless it was there before the first run."""
    operations = _way_back(state, list(state.record.get("placed", {})))
    folders = {"bin": state.bin_dir, "config": state.config_dir, "other": OTHER_DIR}
    was = {f"{folder}/{name}" for key, folder in folders.items() for name in state.record.get(key, ())}
    if state.record:
        operations += [Operation(CLEAR, path) for path in state.left if path not in was]
    return Plan(
        operations=tuple(operations),
        before={"plugins": dict(sorted(state.files.items()))},
        after={},
        warnings=tuple(_warnings(state)),
    )


def record_before(state: CniState, spec: CniSpec, plan: Plan, names: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """``names``: what is in the folders now. Former files are noted once, and never overwritten by ours."""
    record: dict[str, Any] = {"former": {}, "placed": {}, **state.record}
    record.setdefault("bin_dir", spec.bin_dir)
    record.setdefault("config_dir", spec.config_dir)
    for key, here in names.items():
        record.setdefault(key, list(here))
    record["daemons"] = sorted({*record.get("daemons", ()), *spec.daemons})
    former, placed = dict(record["former"]), dict(record["placed"])
    for step in plan.operations:
        name = posixpath.basename(step.target)
        if step.action == PLACE:
            if name not in placed:
                former.setdefault(name, step.before)
            # Cut off before it is placed, the one before it is there still, and ours as well.
            placed[name] = [*placed.get(name, ()), *([] if step.after in placed.get(name, ()) else [step.after])]
    return {**record, "former": former, "placed": placed}


def settled(record: Mapping[str, Any], files: Mapping[str, str | None]) -> dict[str, Any]:
    """After the last operation: only what is there now is ours."""
    placed = {
        name: [files[name]] if files.get(name) in sums else sums for name, sums in record.get("placed", {}).items()
    }
    return {**record, "placed": placed}


def released(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The record without a plugin that went the way back."""
    return {
        **record,
        "former": {key: value for key, value in record.get("former", {}).items() if key != name},
        "placed": {key: value for key, value in record.get("placed", {}).items() if key != name},
    }


def _way_back(state: CniState, names: list[str]) -> list[Operation]:
    """A file that somebody changed since is no longer ours."""
    operations = []
    for name in sorted(names):
        former = state.record.get("former", {}).get(name)
        there = state.files.get(name)
        path = f"{state.bin_dir}/{name}"
        if there is not None and there not in state.record["placed"][name]:
            operations.append(Operation("release", path, there, there))
        elif former is not None:
            operations.append(Operation(RESTORE, path, there, former))
        else:
            operations.append(Operation(REMOVE, path, there, None))
    return operations


def _warnings(state: CniState) -> list[str]:
    return [
        f"{state.bin_dir}/{name} was changed by somebody since it was placed."
        for name, placed in sorted(state.record.get("placed", {}).items())
        if state.files.get(name) is not None and state.files[name] not in placed
    ]
