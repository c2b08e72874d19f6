# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the module bundle does, apart from Ansible: from nodes and wishes to built bundles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import Fetcher, file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import default_cache as artefact_cache
from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import artefacts
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import Manifest, NodeAbi, fits, oldest
from ansible_collections.nfv.fastpath.plugins.module_utils._build_spec import AUTO, VARIABLE, BuildSpec, parse_build
from ansible_collections.nfv.fastpath.plugins.module_utils._builder import Builder, Built, default_cache
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_baseline import DPDK_LEAST, NAMES, common_level
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._node_abi import parse_abi
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_versions import pair_problems
from ansible_collections.nfv.fastpath.plugins.module_utils._recipes import Recipe, Target, dpdk_recipe, ovs_recipe

ARCHITECTURE = "x86_64"
OS_IDS = ("debian", "ubuntu")


def choose_target(spec: BuildSpec, nodes: Sequence[NodeAbi]) -> Target:
    """What to build for, so that it runs on every node; Refused where nothing does."""
    problems = []
    others = sorted({node.architecture for node in nodes} - {ARCHITECTURE})
    if others or not nodes:
        problems.append(Problem("nodes", ", ".join(others) or "none", f"bundles are built for {ARCHITECTURE} only."))
    systems = sorted({node.os_id for node in nodes})
    if systems and (len(systems) > 1 or systems[0] not in OS_IDS):
        message = f"one bundle serves one distribution, and it must be one of {', '.join(OS_IDS)}."
        problems.append(Problem("nodes", ", ".join(systems), message))
    level = common_level(node.cpu_flags for node in nodes) if not others else DPDK_LEAST
    if nodes and (level is None or NAMES.index(level) < NAMES.index(DPDK_LEAST)):
        old = [node.node for node in nodes if common_level([node.cpu_flags]) in (None, NAMES[0])]
        message = f"DPDK needs the instruction set {DPDK_LEAST} (SSE 4.2), which these nodes do not have."
        problems.append(Problem("nodes", ", ".join(old), message))
    if problems:
        raise Refused(problems)
    base = oldest(nodes)
    return Target(
        os_id=base.os_id,
        release=base.release if spec.release == AUTO else spec.release,
        baseline=str(level) if spec.baseline == AUTO else spec.baseline,
    )


@dataclass(frozen=True)
class BundleTask:
    """The module's options."""

    spec: Any
    nodes: list[Any]
    mirror: str | None = None
    overrides: Any = None
    cache: str | None = None

    def result(self, dry_run: bool) -> dict[str, Any]:
        spec = parse_build(self.spec)
        spec = replace(spec, jobs=spec.jobs or os.cpu_count() or 1)
        nodes = [parse_abi(node, f"nodes[{number}]") for number, node in enumerate(self.nodes)]
        target = choose_target(spec, nodes)
        builder = self._builder(spec)
        built: dict[str, Built | None] = {}
        wanted: dict[str, Manifest] = {}
        before = []
        recipes = self._recipes(spec, target)
        _refuse_misfits([recipe.manifest for recipe in recipes], nodes)
        for recipe in recipes:
            name = recipe.manifest.name
            wanted[name] = recipe.manifest
            found = builder.find(recipe.manifest)
            before += [recipe.manifest.folder] if found else []
            built[name] = found or (None if dry_run else builder.build(recipe))
        return _result(wanted, built, before)

    def _builder(self, spec: BuildSpec) -> Builder:
        fetcher = Fetcher(artefact_cache(), self.mirror or "")
        return Builder(self.cache or default_cache(), fetcher, Host(), spec.apt_mirror)

    def _recipes(self, spec: BuildSpec, target: Target) -> list[Recipe]:
        known = artefacts(self.overrides)
        dpdk = dpdk_recipe(spec, known["dpdk"], target, _sums(spec.patches))
        if not spec.openvswitch:
            return [dpdk]
        return [dpdk, ovs_recipe(spec, known["openvswitch"], target, dpdk.manifest)]


def _sums(patches: Sequence[str]) -> list[str]:
    missing = [path for path in patches if not os.path.isfile(path)]
    if missing:
        raise Refused([Problem(f"{VARIABLE}.patches", path, "is no file on the builder.") for path in missing])
    return [file_sha256(path) for path in patches]


def _refuse_misfits(manifests: Sequence[Manifest], nodes: Sequence[NodeAbi]) -> None:
    """Before anything is built: a build takes minutes."""
    problems = [problem for manifest in manifests for node in nodes for problem in fits(manifest, node, VARIABLE)]
    for manifest in manifests:
        if "dpdk" in manifest.options:
            problems += pair_problems(manifest.version, str(manifest.options["dpdk"]))
    if problems:
        raise Refused(problems)


def _result(wanted: dict[str, Manifest], built: dict[str, Built | None], before: list[str]) -> dict[str, Any]:
    """In check mode a bundle that is not built yet has a manifest with what is known before."""
    bundles = {}
    for name, manifest in wanted.items():
        item = built[name]
        bundles[name] = {
            "manifest": (item.manifest if item else manifest).as_json(),
            "archive": item.archive if item else "",
            "seconds": item.seconds if item else {},
            "artefact": item.fetched.result() if item and item.fetched else {},
        }
    after = [manifest.folder for manifest in wanted.values()]
    return {
        "changed": before != after,
        "diff": {"before": {"built": before}, "after": {"built": after}},
        "bundles": bundles,
    }
