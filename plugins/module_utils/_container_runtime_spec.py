# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What is wanted of containerd. No I/O."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._images import REFERENCE
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import parse_version, too_old
from ansible_collections.nfv.fastpath.plugins.module_utils._toml_lines import text_of

VARIABLE = "fastpath_container_runtime"
KEYS = (
    "systemd_cgroup",
    "sandbox_image",
    "registries",
    "cni_bin_dir",
    "cni_config_dir",
    "locked_memory",
    "kubernetes_version",
    "package",
)
REGISTRY_KEYS = ("name", "server", "mirrors")
MIRROR_KEYS = ("url", "capabilities", "ca", "skip_verify", "override_path")
CAPABILITIES = ("pull", "resolve", "push")
_HOST = re.compile(r"(?:[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?|_default)\Z")
UNLIMITED = "unlimited"
_SIZE = re.compile(r"([1-9][0-9]{0,5})([MGT])\Z")
_UNITS = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_URL = re.compile(r"https?://[^\s\"'\\]+\Z")


@dataclass(frozen=True)
class Mirror:
    url: str
    capabilities: tuple[str, ...] = ("pull", "resolve")
    ca: str = ""
    skip_verify: bool = False
    override_path: bool = False


@dataclass(frozen=True)
class Registry:
    """``name``: the registry as references of images have it. ``server``: where it is, if not there."""

    name: str
    server: str = ""
    mirrors: tuple[Mirror, ...] = ()


@dataclass(frozen=True)
class RuntimeSpec:
    """Empty texts leave a thing as it is. ``kubernetes_version``: what to compare with before a kubelet is there.

    ``locked_memory``: how much memory each process in a container may lock; containers have it from containerd.
    """

    systemd_cgroup: bool = True
    sandbox_image: str = ""
    registries: tuple[Registry, ...] = ()
    cni_bin_dir: str = ""
    cni_config_dir: str = ""
    locked_memory: str = ""
    kubernetes_version: str = ""


def parse_runtime(value: Any, variable: str = VARIABLE) -> tuple[RuntimeSpec, list[Problem]]:
    if value is None:
        return RuntimeSpec(), []
    if not isinstance(value, Mapping):
        return RuntimeSpec(), [Problem(variable, value, "must be a mapping, e.g. {systemd_cgroup: true}")]
    problems = unknown_keys(value, KEYS, variable)
    registries = _registries(value.get("registries"), f"{variable}.registries", problems)
    version = value.get("kubernetes_version") or ""
    if version:
        problems += version_problems(version, f"{variable}.kubernetes_version")
    image = value.get("sandbox_image") or ""
    if image and not (isinstance(image, str) and REFERENCE.fullmatch(image)):
        message = "must be a reference of an image with its registry, such as registry.k8s.io/pause:3.10"
        problems.append(Problem(f"{variable}.sandbox_image", image, message))
    spec = RuntimeSpec(
        systemd_cgroup=_flag(value, "systemd_cgroup", True, variable, problems),
        sandbox_image=str(image),
        registries=registries,
        cni_bin_dir=_folder(value, "cni_bin_dir", variable, problems),
        cni_config_dir=_folder(value, "cni_config_dir", variable, problems),
        locked_memory=_locked_memory(value, variable, problems),
        kubernetes_version=str(version),
    )
    return spec, problems


def version_problems(value: Any, variable: str) -> list[Problem]:
    """A number is refused: YAML reads 1.30 as 1.3."""
    version = parse_version(value)
    if version is None:
        return [Problem(variable, value, 'must be a version as text, such as "1.36.3" (in quotes)')]
    reason = too_old(version)
    return [Problem(variable, value, reason)] if reason else []


def hosts_toml(registry: Registry) -> str:
    """How containerd reaches a registry: ``certs.d/<name>/hosts.toml``."""
    lines = ["# Written by nfv.fastpath."]
    if registry.server:
        lines.append(f"server = {text_of(registry.server)}")
    for mirror in registry.mirrors:
        lines += ["", f"[host.{text_of(mirror.url)}]", f"  capabilities = {text_of(mirror.capabilities)}"]
        lines += [f"  ca = {text_of(mirror.ca)}"] if mirror.ca else []
        lines += ["  skip_verify = true"] if mirror.skip_verify else []
        lines += ["  override_path = true"] if mirror.override_path else []
    return "\n".join(lines) + "\n"


def drop_in(locked_memory: str) -> str:
    """For containerd's unit: Kubernetes knows no such limit, so containers have that of the runtime."""
    limit = "infinity" if locked_memory == UNLIMITED else locked_memory
    return f"# Written by nfv.fastpath.\n[Service]\nLimitMEMLOCK={limit}\n"


def limit_shown(locked_memory: str) -> str:
    """As the kernel shows it in ``/proc/PID/limits``."""
    size = _SIZE.match(locked_memory)
    return str(int(size[1]) * _UNITS[size[2]]) if size else locked_memory


def _locked_memory(value: Mapping[Any, Any], variable: str, problems: list[Problem]) -> str:
    given = value.get("locked_memory") or ""
    if given and not (isinstance(given, str) and (given == UNLIMITED or _SIZE.match(given))):
        problems.append(Problem(f"{variable}.locked_memory", given, "must be unlimited, or a size such as 512M or 64G"))
        return ""
    return str(given)


def _registries(value: Any, variable: str, problems: list[Problem]) -> tuple[Registry, ...]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        problems.append(Problem(variable, value, "must be a list of registries, each with name and mirrors"))
        return ()
    found: dict[str, Registry] = {}
    for number, entry in enumerate(value):
        where = f"{variable}[{number}]"
        if not isinstance(entry, Mapping):
            problems.append(Problem(where, entry, "must be a mapping with name and mirrors"))
            continue
        problems += unknown_keys(entry, REGISTRY_KEYS, where)
        name, server = entry.get("name"), entry.get("server") or ""
        if not (isinstance(name, str) and _HOST.match(name)):
            message = (
                "must be a registry as references have it, such as docker.io or registry.example.com:5000, or _default"
            )
            problems.append(Problem(f"{where}.name", name, message))
            continue
        if name in found:
            problems.append(
                Problem(f"{where}.name", name, "is there twice: put all mirrors of a registry into one entry")
            )
        if server and not (isinstance(server, str) and _URL.match(server)):
            problems.append(Problem(f"{where}.server", server, "must be a URL, http or https"))
        found[name] = Registry(name, str(server), _mirrors(entry.get("mirrors"), f"{where}.mirrors", problems))
        if not (server or found[name].mirrors):
            problems.append(Problem(where, entry, "says neither server nor mirrors"))
    return tuple(found.values())


def _mirrors(value: Any, variable: str, problems: list[Problem]) -> tuple[Mirror, ...]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        problems.append(Problem(variable, value, "must be a list of URLs, or of mappings with url"))
        return ()
    found = []
    for number, entry in enumerate(value):
        where = f"{variable}[{number}]"
        given = {"url": entry} if isinstance(entry, str) else entry
        if not isinstance(given, Mapping):
            problems.append(Problem(where, entry, "must be a URL, or a mapping with url"))
            continue
        problems += unknown_keys(given, MIRROR_KEYS, where)
        url, able = given.get("url"), given.get("capabilities", ["pull", "resolve"])
        if not (isinstance(url, str) and _URL.match(url)):
            problems.append(Problem(f"{where}.url", url, "must be a URL, http or https"))
        if not isinstance(able, (list, tuple)) or not able or set(map(str, able)) - set(CAPABILITIES):
            problems.append(Problem(f"{where}.capabilities", able, f"must be a list out of {', '.join(CAPABILITIES)}"))
            able = ()
        found.append(
            Mirror(
                str(url),
                tuple(map(str, able)),
                _folder(given, "ca", where, problems),
                _flag(given, "skip_verify", False, where, problems),
                _flag(given, "override_path", False, where, problems),
            )
        )
    return tuple(found)


def _flag(value: Mapping[Any, Any], key: str, default: bool, variable: str, problems: list[Problem]) -> bool:
    given = value.get(key, default)
    if not isinstance(given, bool):
        problems.append(Problem(f"{variable}.{key}", given, "must be true or false"))
        return default
    return given


def _folder(value: Mapping[Any, Any], key: str, variable: str, problems: list[Problem]) -> str:
    given = value.get(key) or ""
    if given and not (isinstance(given, str) and posixpath.isabs(given) and posixpath.normpath(given) != "/"):
        problems.append(Problem(f"{variable}.{key}", given, "must be an absolute path"))
        return ""
    return posixpath.normpath(given) if given else ""
