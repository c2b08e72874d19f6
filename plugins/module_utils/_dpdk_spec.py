# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the user says of DPDK on a node, checked. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import Manifest, parse_manifest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused, unknown_keys

VARIABLE = "fastpath_dpdk"
PACKAGES = "packages"
SOURCE = "source"
PROVIDERS = (PACKAGES, SOURCE)
KEYS = ("provider", "modules", "plugins", "vdpa", "tools")
MODULES = ("vfio-pci", "uio_pci_generic", "igb_uio")
_PLUGIN = re.compile(r"[a-z]+-[a-z0-9-]+\Z")


@dataclass(frozen=True)
class DpdkSpec:
    """``modules``: loaded now and at every boot. ``plugins``: driver packages beyond those of the NICs (``net-bond``).

    ``tools``: testpmd and the files to compile against, for provider ``packages``; a bundle always has them.
    """

    provider: str = PACKAGES
    modules: tuple[str, ...] = ("vfio-pci",)
    plugins: tuple[str, ...] = ()
    vdpa: bool = False
    tools: bool = True
    bundle: Manifest | None = None


def parse_dpdk(spec: Any) -> DpdkSpec:
    """``{"dpdk": fastpath_dpdk, "bundle": manifest}``; Refused with every problem."""
    parts = spec or {}
    wish = parts.get("dpdk")
    wish = {} if wish is None else wish
    if not isinstance(wish, dict):
        raise Refused([Problem(VARIABLE, wish, f"must be a mapping with keys among {', '.join(KEYS)}.")])
    problems = unknown_keys(wish, KEYS, VARIABLE)
    provider = wish.get("provider", PACKAGES)
    if provider not in PROVIDERS:
        problems.append(Problem(f"{VARIABLE}.provider", provider, f"must be one of {', '.join(PROVIDERS)}."))
    modules = _words(wish, "modules", list(DpdkSpec.modules), MODULES.__contains__, ", ".join(MODULES), problems)
    plugins = _words(wish, "plugins", [], lambda word: bool(_PLUGIN.match(word)), "names such as net-bond", problems)
    flags = {key: wish.get(key, default) for key, default in (("vdpa", False), ("tools", True))}
    problems += [
        Problem(f"{VARIABLE}.{key}", value, "must be true or false.")
        for key, value in flags.items()
        if not isinstance(value, bool)
    ]
    if problems:
        raise Refused(problems)
    bundle = parts.get("bundle") if provider == SOURCE else None
    return DpdkSpec(
        provider, modules, plugins, flags["vdpa"], flags["tools"], parse_manifest(bundle) if bundle else None
    )


def _words(
    wish: dict[str, Any],
    key: str,
    default: list[str],
    good: Callable[[str], bool],
    right: str,
    problems: list[Problem],
) -> tuple[str, ...]:
    value = wish.get(key, default)
    if not isinstance(value, list):
        problems.append(Problem(f"{VARIABLE}.{key}", value, f"must be a list of {right}."))
        return ()
    wrong = [word for word in value if not (isinstance(word, str) and good(word))]
    problems += [Problem(f"{VARIABLE}.{key}", word, f"must be among {right}.") for word in wrong]
    return tuple(dict.fromkeys(word for word in value if word not in wrong))
