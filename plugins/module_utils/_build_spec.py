# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the user says of a build, checked. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_baseline import DPDK_LEAST, NAMES
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused, unknown_keys

VARIABLE = "fastpath_dpdk_build"
AUTO = "auto"
KEYS = ("baseline", "release", "apt_mirror", "drivers", "apps", "examples", "options", "patches", "openvswitch", "jobs")
NEEDED_DRIVERS = ("bus/pci", "bus/vdev", "mempool/ring")
DRIVERS = (
    "bus/auxiliary",
    "common/iavf",
    "common/mlx5",
    "net/af_packet",
    "net/bonding",
    "net/e1000",
    "net/i40e",
    "net/iavf",
    "net/ice",
    "net/igc",
    "net/ixgbe",
    "net/mlx5",
    "net/null",
    "net/ring",
    "net/tap",
    "net/vhost",
    "net/virtio",
    "vdpa/ifc",
    "vdpa/mlx5",
)
APPS = ("test-pmd",)
EXAMPLES = ("vdpa", "l2fwd", "l3fwd")
# Said by other keys, or would make the build depend on the machine that builds.
RESERVED = (
    "prefix",
    "libdir",
    "buildtype",
    "default_library",
    "platform",
    "machine",
    "cpu_instruction_set",
    "enable_drivers",
    "enable_apps",
    "examples",
    "tests",
)

_DRIVER = re.compile(r"[a-z]+/[a-z0-9_*]+\Z")
_WORD = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")
_VALUE = re.compile(r"[A-Za-z0-9_./,*+-]*\Z")
_RELEASE = re.compile(r"[a-z]+\Z")
_MIRROR = re.compile(r"(https?|file)://\S+\Z")


@dataclass(frozen=True)
class BuildSpec:
    """``baseline`` and ``release``: ``auto`` follows from the nodes. ``options``: further ones of DPDK's meson."""

    baseline: str = AUTO
    release: str = AUTO
    apt_mirror: str = ""
    drivers: tuple[str, ...] = tuple(sorted({*NEEDED_DRIVERS, *DRIVERS}))
    apps: tuple[str, ...] = APPS
    examples: tuple[str, ...] = tuple(sorted(EXAMPLES))
    options: Mapping[str, str] = field(default_factory=dict)
    patches: tuple[str, ...] = ()
    openvswitch: bool = False
    jobs: int = 0


def parse_build(spec: Any, variable: str = VARIABLE) -> BuildSpec:
    """Validate; Refused with every problem."""
    if spec is None:
        spec = {}
    if not isinstance(spec, dict):
        raise Refused([Problem(variable, spec, f"must be a mapping with keys among {', '.join(KEYS)}.")])
    problems = unknown_keys(spec, KEYS, variable)
    check = _Checker(spec, variable, problems)
    built = BuildSpec(
        baseline=check.text("baseline", AUTO, _allowed(NAMES[NAMES.index(DPDK_LEAST) :]), _baseline_message()),
        release=check.text("release", AUTO, _RELEASE, "must be auto or the code name of a release, e.g. trixie."),
        apt_mirror=check.text("apt_mirror", "", _MIRROR, "must be the URL of a package archive."),
        drivers=_with_needed(check.words("drivers", DRIVERS, _DRIVER, "must be drivers as DPDK has them: net/ice.")),
        apps=check.words("apps", APPS, _WORD, "must be names of DPDK's apps, e.g. test-pmd."),
        examples=check.words("examples", EXAMPLES, _WORD, "must be names of DPDK's examples, e.g. l3fwd."),
        options=check.options(),
        patches=check.words("patches", (), re.compile(r"/\S+\Z"), "must be absolute paths on the builder.", sort=False),
        openvswitch=check.flag("openvswitch"),
        jobs=check.number("jobs"),
    )
    if problems:
        raise Refused(problems)
    return built


def _allowed(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(name) for name in names) + r"\Z")


def _baseline_message() -> str:
    return f"must be auto or one of {', '.join(NAMES[NAMES.index(DPDK_LEAST) :])} (DPDK needs SSE 4.2)."


def _with_needed(drivers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*drivers, *NEEDED_DRIVERS}))


@dataclass(frozen=True)
class _Checker:
    spec: Mapping[str, Any]
    variable: str
    problems: list[Problem]

    def _wrong(self, key: str, value: Any, message: str) -> None:
        self.problems.append(Problem(f"{self.variable}.{key}", value, message))

    def text(self, key: str, default: str, pattern: re.Pattern[str], message: str) -> str:
        value = self.spec.get(key, default)
        if value == default or (isinstance(value, str) and pattern.match(value)):
            return str(value)
        self._wrong(key, value, message)
        return default

    def words(
        self, key: str, default: tuple[str, ...], pattern: re.Pattern[str], message: str, sort: bool = True
    ) -> tuple[str, ...]:
        value = self.spec.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(word, str) and pattern.match(word) for word in value):
            self._wrong(key, value, message)
            return ()
        return tuple(sorted(set(value))) if sort else tuple(value)

    def options(self) -> dict[str, str]:
        value = self.spec.get("options", {})
        if not isinstance(value, dict):
            self._wrong("options", value, "must be a mapping of DPDK's meson options, e.g. {max_ethports: 64}.")
            return {}
        found = {}
        for name, setting in value.items():
            text = str(setting).lower() if isinstance(setting, bool) else str(setting)
            if name in RESERVED:
                self._wrong(f"options.{name}", setting, "is set by the collection itself.")
            elif not _WORD.match(str(name)) or not _VALUE.match(text):
                self._wrong(f"options.{name}", setting, "must be a name and a plain value.")
            else:
                found[str(name)] = text
        return found

    def flag(self, key: str) -> bool:
        value = self.spec.get(key, False)
        if not isinstance(value, bool):
            self._wrong(key, value, "must be true or false.")
        return value is True

    def number(self, key: str) -> int:
        value = self.spec.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self._wrong(key, value, "must be a number of parallel jobs, 0 for as many as there are CPUs.")
            return 0
        return value
