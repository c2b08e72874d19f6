# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ordinary values out of Ansible's."""

from __future__ import annotations

from types import MappingProxyType

from ansible_collections.nfv.fastpath.plugins.plugin_utils._plain import plain


def test_mappings_and_lists_at_any_depth():
    class Marked(dict):
        """As Ansible marks a value with its origin."""

    given = Marked(a=(1, Marked(b=None)), c=MappingProxyType({2: [True]}))
    made = plain(given)
    assert made == {"a": [1, {"b": None}], "c": {"2": [True]}}
    assert {type(made), type(made["a"][1]), type(made["c"])} == {dict}
