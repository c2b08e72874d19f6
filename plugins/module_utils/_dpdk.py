# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. DPDK on a node: what is there, what is to be done. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import ROOT, Manifest, NodeAbi, fits
from ansible_collections.nfv.fastpath.plugins.module_utils._bundles import (
    BundleState,
    plan_bundle,
    plan_bundle_teardown,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_spec import PACKAGES, SOURCE, VARIABLE, DpdkSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._pmd_packages import debian_packages

NAME = "dpdk"
CURRENT = f"{ROOT}/{NAME}/current"
LINKS = "/usr/local/bin"
MODULES_LOAD = "/etc/modules-load.d/fastpath-dpdk.conf"
PROFILE = "/etc/profile.d/fastpath-dpdk.sh"
HEADER = "# Written by nfv.fastpath.\n"
DEVBIND = "dpdk-devbind"
UIO = ("uio_pci_generic", "igb_uio")
KMODS = "dpdk-kmods-dkms"
APT, DNF = "apt", "dnf"


@dataclass(frozen=True)
class DpdkState:
    """What a node has.

    ``abi``: of the distribution's DPDK, where its packages carry one in their names. ``installed``: names of packages.
    ``files``: content of those that are ours to write. ``links``: names in ``/usr/local/bin`` with where they lead
    to, empty for what is no link. ``loadable``: modules that the running kernel has. ``idle``: loaded ones that nothing
    uses. ``removable``: of the packages that the record names. ``pages_kb``: all hugepages together, of which
    ``free_kb`` are free. ``iommu_groups``: of this boot.
    """

    node: NodeAbi
    manager: str = APT
    abi: str | None = None
    kernel: str = ""
    lockdown: str = ""
    secure_boot: bool = False
    devices: tuple[PciDevice, ...] = ()
    installed: frozenset[str] = frozenset()
    files: Mapping[str, str | None] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    loaded: frozenset[str] = frozenset()
    loadable: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    removable: tuple[str, ...] = ()
    bundles: BundleState = field(default_factory=BundleState)
    pages_kb: int = 0
    free_kb: int = 0
    iommu_groups: int = 0
    record: Mapping[str, Any] = field(default_factory=dict)


def plan_dpdk(state: DpdkState, spec: DpdkSpec, looking_ahead: bool = False) -> Plan:
    """Packages, then the bundle, then what points to it, then modules.

    ``looking_ahead``: it is not built yet, and the archives' lists were perhaps never read.
    """
    problems = find_problems(state, spec, looking_ahead)
    if problems:
        raise Refused(problems)
    missing = [name for name in wanted_packages(state, spec) if name not in state.installed]
    operations = [Operation("install_packages", state.manager, [], missing)] if missing else []
    if spec.bundle:
        operations += plan_bundle(state.bundles, spec.bundle, state.record.get("former_bundle"))
    operations += _plan_links(state, wanted_links(spec)) + _plan_files(state, wanted_files(spec))
    operations += [Operation("load_module", name, False, True) for name in spec.modules if name not in state.loaded]
    if spec.provider == PACKAGES:
        operations += plan_bundle_teardown(NAME, state.bundles)
    return Plan(
        operations=tuple(operations),
        before=_shown(state),
        after=_shown_after(state, spec, missing),
        warnings=tuple(_warnings(state, spec)),
    )


def plan_dpdk_teardown(state: DpdkState, remove_packages: bool) -> Plan:
    """Back to what the record says; packages go only where that is asked for and nothing else needs them."""
    record = state.record
    operations = [
        Operation("unload_module", name, True, False) for name in record.get("modules", ()) if name in state.idle
    ]
    operations += [
        Operation("write_file" if former is not None else "remove_file", path, state.files.get(path), former)
        for path, former in record.get("files", {}).items()
        if state.files.get(path) != former
    ]
    operations += [
        Operation("link" if former else "unlink", f"{LINKS}/{name}", state.links[name], former)
        for name, former in record.get("links", {}).items()
        if name in state.links and is_ours(state.links[name])
    ]
    operations += plan_bundle_teardown(NAME, state.bundles)
    warnings = []
    if remove_packages:
        if state.removable:
            operations.append(Operation("remove_packages", state.manager, list(state.removable), []))
        kept = sorted(set(record.get("packages", ())) & state.installed - set(state.removable))
        if kept:
            warnings.append(f"Packages that others need by now stay: {', '.join(kept)}.")
    return Plan(operations=tuple(operations), before=_shown(state), after={}, warnings=tuple(warnings))


def record_before(state: DpdkState, plan: Plan) -> dict[str, Any]:
    """The record with the former state of all that a plan touches; never overwrites a former value."""
    record: dict[str, Any] = {"files": {}, "links": {}, "modules": [], "packages": [], **state.record}
    files, links, modules = dict(record["files"]), dict(record["links"]), list(record["modules"])
    for step in plan.operations:
        if step.action == "write_file":
            files.setdefault(step.target, step.before)
        elif step.action == "link":
            links.setdefault(step.target.rsplit("/", 1)[-1], step.before if not is_ours(step.before) else None)
        elif step.action == "load_module" and step.target not in modules:
            modules.append(step.target)
        elif step.action == "switch_bundle" and step.before:
            record["former_bundle"] = step.before
    return {**record, "files": files, "links": links, "modules": modules}


def find_problems(state: DpdkState, spec: DpdkSpec, looking_ahead: bool = False) -> list[Problem]:
    """Everything that stands against a spec on this node."""
    problems = []
    if spec.provider == SOURCE and spec.bundle:
        problems += fits(spec.bundle, state.node, VARIABLE)
    elif spec.provider == SOURCE:
        problems += [] if looking_ahead else [_no_bundle()]
    elif state.manager == APT and state.abi is None and not looking_ahead:
        message = "has no package dpdk-dev in the archives of this node: check its package sources, or use source."
        problems.append(Problem(f"{VARIABLE}.provider", PACKAGES, message))
    elif state.manager not in (APT, DNF):
        message = "needs apt or dnf, which this node does not have: use source."
        problems.append(Problem(f"{VARIABLE}.provider", PACKAGES, message))
    problems += _module_problems(state, spec)
    for name, target in sorted(wanted_links(spec).items()):
        there = state.links.get(name)
        if there is not None and there != target and not is_ours(there):
            message = f"is there already and not ours (it should lead to {target}): move it away."
            problems.append(Problem(VARIABLE, f"{LINKS}/{name}", message))
    return problems


def _no_bundle() -> Problem:
    return Problem(f"{VARIABLE}.provider", SOURCE, "needs a bundle that the builder made; the role brings it.")


def _module_problems(state: DpdkState, spec: DpdkSpec) -> list[Problem]:
    problems = []
    locked = state.lockdown in ("integrity", "confidentiality") or state.secure_boot
    for name in spec.modules:
        where = f"{VARIABLE}.modules"
        if name in UIO and locked:
            why = f"lockdown is {state.lockdown}" if state.lockdown not in ("", "none") else "Secure Boot is on"
            message = (
                f"does not work on this node: {why}, and then the kernel neither loads unsigned modules nor lets "
                "programs have a device without the IOMMU. Use vfio-pci."
            )
            problems.append(Problem(where, name, message))
        elif name == "igb_uio" and name not in state.loadable and state.manager != APT:
            message = "has no package in this distribution: build it from dpdk-kmods and install it, or use vfio-pci."
            problems.append(Problem(where, name, message))
        elif name != "igb_uio" and name not in state.loadable | state.loaded:
            problems.append(Problem(where, name, f"is no module of the running kernel {state.kernel}."))
    return problems


def wanted_packages(state: DpdkState, spec: DpdkSpec) -> list[str]:
    """Sorted names for this node's distribution."""
    # dpdk-devbind calls lspci.
    names = {"pciutils", *spec.bundle.packages} if spec.bundle else set()
    if spec.provider == PACKAGES:
        names |= {"dpdk"} | ({"dpdk-dev" if state.manager == APT else "dpdk-devel"} if spec.tools else set())
        if state.manager == APT:
            names |= set(debian_packages(state.devices, state.abi or "", spec.vdpa, spec.plugins))
        else:
            names.add("dpdk-tools")
    if "igb_uio" in spec.modules and "igb_uio" not in state.loadable:
        names |= {KMODS, f"linux-headers-{state.kernel}"}
    return sorted(names)


def wanted_links(spec: DpdkSpec) -> dict[str, str]:
    """Names in ``/usr/local/bin`` and where they lead: through ``current``, so that a switch needs no new links."""
    if spec.provider == PACKAGES:
        return {DEVBIND: "/usr/bin/dpdk-devbind.py"}
    commands = spec.bundle.commands if spec.bundle else ()
    links = {path.rsplit("/", 1)[-1]: f"{CURRENT}/{path}" for path in commands}
    devbind = links.get("dpdk-devbind.py")
    return {**links, **({DEVBIND: devbind} if devbind else {})}


def is_ours(target: str | None) -> bool:
    return bool(target) and str(target).startswith((f"{ROOT}/{NAME}/", "/usr/bin/dpdk-devbind.py"))


def wanted_files(spec: DpdkSpec) -> dict[str, str | None]:
    """Content by path; None: not there."""
    modules = "".join(f"{name}\n" for name in spec.modules)
    profile = None
    if spec.provider == SOURCE:
        profile = (
            f"{HEADER}export PKG_CONFIG_PATH={CURRENT}/lib/pkgconfig"
            "${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}\n"
            f"export FASTPATH_DPDK={CURRENT}\n"
        )
    return {MODULES_LOAD: f"{HEADER}{modules}" if modules else None, PROFILE: profile}


def _plan_links(state: DpdkState, wanted: Mapping[str, str]) -> list[Operation]:
    operations = [
        Operation("link", f"{LINKS}/{name}", state.links.get(name), target)
        for name, target in sorted(wanted.items())
        if state.links.get(name) != target
    ]
    stale = [name for name in state.record.get("links", {}) if name not in wanted and is_ours(state.links.get(name))]
    return operations + [
        Operation("unlink", f"{LINKS}/{name}", state.links[name], state.record["links"][name]) for name in stale
    ]


def _plan_files(state: DpdkState, wanted: Mapping[str, str | None]) -> list[Operation]:
    former = state.record.get("files", {})
    operations = []
    for path, content in wanted.items():
        there = state.files.get(path)
        if content is not None and there != content:
            operations.append(Operation("write_file", path, there, content))
        elif content is None and path in former and there != former[path]:
            action = "remove_file" if former[path] is None else "write_file"
            operations.append(Operation(action, path, there, former[path]))
    return operations


def _warnings(state: DpdkState, spec: DpdkSpec) -> list[str]:
    found = []
    if not state.pages_kb:
        found.append("There are no hugepages on this node, which DPDK needs: see fastpath_hugepages.")
    if "vfio-pci" in spec.modules and not state.iommu_groups:
        found.append("The IOMMU is off on this node, which vfio-pci needs: see fastpath_kernel_args.")
    return found


def _shown(state: DpdkState) -> dict[str, Any]:
    ours = {name: target for name, target in state.links.items() if is_ours(target)}
    return {
        "bundle": state.bundles.current,
        "files": {path: text for path, text in sorted(state.files.items()) if text is not None},
        "links": dict(sorted(ours.items())),
        "modules": sorted(state.loaded & {"vfio-pci", *UIO}),
    }


def _shown_after(state: DpdkState, spec: DpdkSpec, missing: Sequence[str]) -> dict[str, Any]:
    manifest: Manifest | None = spec.bundle
    return {
        "bundle": manifest.folder if manifest else None,
        "files": {path: text for path, text in sorted(wanted_files(spec).items()) if text is not None},
        "links": dict(sorted(wanted_links(spec).items())),
        "modules": sorted((state.loaded & {"vfio-pci", *UIO}) | set(spec.modules)),
        **({"packages": {"added": list(missing)}} if missing else {}),
    }
