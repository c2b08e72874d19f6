# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes this checkout importable as ``ansible_collections.nfv.fastpath``, wherever it lies, and the node agent."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

from hypothesis import settings

# A machine that also emulates nodes is slow at times, which is no failure of a property.
settings.register_profile("fastpath", deadline=None)
settings.load_profile("fastpath")

CHECKOUT = Path(__file__).resolve().parent.parent


def _namespace(name: str, folder: Path | None) -> None:
    if name in sys.modules:
        return
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder)] if folder else []
    module = sys.modules[name] = module_from_spec(spec)
    parent, dot, child = name.rpartition(".")
    if dot:
        setattr(sys.modules[parent], child, module)


# The node agent is a package of its own, importable as in its image: beside the collection's engine.
sys.path.insert(0, str(CHECKOUT / "agent"))

_namespace("ansible_collections", None)
_namespace("ansible_collections.nfv", None)
_namespace("ansible_collections.nfv.fastpath", CHECKOUT)
