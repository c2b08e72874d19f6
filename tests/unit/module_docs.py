# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module says of itself, with what it takes from documentation fragments, merged by Ansible's own code."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import yaml
from ansible.utils.plugin_docs import add_fragments

COLLECTION = "nfv.fastpath."


class _Fragments:
    """Stands for Ansible's loader, which finds nothing in a checkout that is not installed as a collection."""

    def get(self, name: str) -> Any:
        try:
            found = import_module(f"ansible_collections.nfv.fastpath.plugins.doc_fragments.{name[len(COLLECTION) :]}")
        except ModuleNotFoundError:
            return None
        fragment = found.ModuleDocFragment()
        fragment.ansible_name = name
        return fragment


def documentation(module: ModuleType) -> dict[str, Any]:
    documented: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)
    add_fragments(documented, module.__file__, _Fragments(), is_module=True)
    return documented
