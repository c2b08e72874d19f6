# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. How DPDK and Open vSwitch are built: packages, commands, what is kept. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import Artefact
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import Manifest
from ansible_collections.nfv.fastpath.plugins.module_utils._build_spec import BuildSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_baseline import DPDK_LEAST, flags_of

# Raise it when a change of this file, or of how bundles are packed, changes what is built.
RECIPE = 1
SOURCE = "/build/src"
OUT = "/build/out"
PATCHES = "/build/patches"

TOOLS = ("binutils", "gcc", "libc6-dev", "make", "patch", "pkg-config", "python3", "xz-utils")
DPDK_PACKAGES = ("libnuma-dev", "meson", "ninja-build", "python3-pyelftools", "zlib1g-dev")
OVS_PACKAGES = ("autoconf", "automake", "libcap-ng-dev", "libssl-dev", "libtool", "libunbound-dev")
# What drivers need beyond that.
DRIVER_PACKAGES = {
    "common/mlx5": ("libibverbs-dev",),
    "net/mlx5": ("libibverbs-dev",),
    "net/mlx4": ("libibverbs-dev",),
    "net/mana": ("libibverbs-dev",),
    "net/pcap": ("libpcap-dev",),
    "net/af_xdp": ("libbpf-dev", "libxdp-dev"),
}


@dataclass(frozen=True)
class Step:
    """A command inside the root."""

    argv: tuple[str, ...]
    seconds: float = 300
    folder: str = SOURCE
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A build. ``programs``: files outside the prefix that get into its ``bin``. ``dropped``: globs below the prefix
    that no node needs. ``manifest`` is what is known before the build."""

    manifest: Manifest
    artefact: Artefact
    packages: tuple[str, ...]
    steps: tuple[Step, ...]
    programs: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    patches: tuple[str, ...] = ()
    needs: tuple[Manifest, ...] = ()


@dataclass(frozen=True)
class Target:
    """What is built for."""

    os_id: str
    release: str
    baseline: str
    architecture: str = "x86_64"


def root_packages(drivers: Sequence[str]) -> tuple[str, ...]:
    """One root for both builds, so that it is made once."""
    further = {package for driver in drivers for package in DRIVER_PACKAGES.get(driver, ())}
    return tuple(sorted({*TOOLS, *DPDK_PACKAGES, *OVS_PACKAGES, *further}))


def _key(inputs: Any) -> str:
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _source_inputs(artefact: Artefact) -> dict[str, Any]:
    """Every checksum that may be had: which source answered must not decide what is built again."""
    known = {*artefact.sha256, *(checksum for source in artefact.sources for checksum in source.sha256)}
    return {"name": artefact.name, "version": artefact.version, "sha256": sorted(known)}


def dpdk_recipe(spec: BuildSpec, artefact: Artefact, target: Target, patch_sums: Sequence[str] = ()) -> Recipe:
    options = {
        "buildtype": "release",
        "default_library": "static",
        "enable_apps": ",".join(spec.apps),
        "enable_docs": "false",
        "enable_drivers": ",".join(spec.drivers),
        "examples": ",".join(spec.examples),
        "ibverbs_link": "dlopen",
        "libdir": "lib",
        "platform": "generic",
        "tests": "false",
        **spec.options,
    }
    if target.baseline != DPDK_LEAST:
        options["cpu_instruction_set"] = target.baseline
    packages = root_packages(spec.drivers)
    inputs = {
        "recipe": RECIPE,
        "source": _source_inputs(artefact),
        "options": options,
        "target": vars(target),
        "packages": packages,
        "patches": list(patch_sums),
    }
    manifest = _manifest(artefact, target, inputs, options)
    setup = ["meson", "setup", OUT, SOURCE, f"--prefix={manifest.prefix}"]
    setup += [f"-D{name}={value}" for name, value in sorted(options.items())]
    jobs = f"-j{spec.jobs or 1}"
    return Recipe(
        manifest=manifest,
        artefact=artefact,
        packages=packages,
        steps=(
            *_patch_steps(len(spec.patches)),
            Step(tuple(setup)),
            Step(("ninja", "-C", OUT, jobs), 3 * 3600),
            Step(("meson", "install", "-C", OUT, "--no-rebuild", "--strip", "--quiet")),
        ),
        programs=tuple(f"{OUT}/examples/dpdk-{name}" for name in spec.examples),
        dropped=("share/dpdk/examples", "share/doc", "share/man"),
        patches=spec.patches,
    )


def ovs_recipe(spec: BuildSpec, artefact: Artefact, target: Target, dpdk: Manifest) -> Recipe:
    """Open vSwitch with DPDK inside: it needs no DPDK on the node."""
    options = {
        "CFLAGS": f"-O2 -march={target.baseline}",
        "localstatedir": "/var",
        "sysconfdir": "/etc",
        "with-dpdk": "static",
    }
    packages = root_packages(spec.drivers)
    inputs = {
        "recipe": RECIPE,
        "source": _source_inputs(artefact),
        "options": options,
        "target": vars(target),
        "packages": packages,
        "dpdk": dpdk.key,
    }
    manifest = _manifest(artefact, target, inputs, {**options, "dpdk": dpdk.version, "dpdk_key": dpdk.key})
    configure = ["./configure", f"--prefix={manifest.prefix}"]
    configure += [f"--{name}={value}" for name, value in sorted(options.items()) if name.islower()]
    configure += [f"CFLAGS={options['CFLAGS']}"]
    jobs = f"-j{spec.jobs or 1}"
    return Recipe(
        manifest=manifest,
        artefact=artefact,
        packages=packages,
        steps=(
            Step(("./boot.sh",)),
            Step(tuple(configure), 900, environment={"PKG_CONFIG_PATH": f"{dpdk.prefix}/lib/pkgconfig"}),
            Step(("make", jobs), 3 * 3600),
            Step(("make", "install-strip")),
        ),
        dropped=("include", "lib/*.a", "lib/*.la", "lib/pkgconfig", "share/doc", "share/man"),
        needs=(dpdk,),
    )


def _patch_steps(count: int) -> tuple[Step, ...]:
    return tuple(Step(("patch", "-p1", "--no-backup-if-mismatch", "-i", f"{PATCHES}/{n}")) for n in range(count))


def _manifest(artefact: Artefact, target: Target, inputs: Any, options: Mapping[str, str]) -> Manifest:
    return Manifest(
        name=artefact.name,
        version=artefact.version,
        key=_key(inputs),
        architecture=target.architecture,
        baseline=target.baseline,
        cpu_flags=flags_of(target.baseline),
        os_id=target.os_id,
        release=target.release,
        options=dict(options),
    )
