# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions as programs say them, and which of them go together."""

from __future__ import annotations

from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import (
    parse_version,
    runtime_problem,
    runtime_warning,
    too_old,
    version_said,
)
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.containerd_node import NEW, OLD


def test_version_words():
    assert version_said(OLD) == "1.7.24~ds1"
    assert version_said(NEW) == "2.2.1"
    assert version_said("Kubernetes v1.36.3\n") == "1.36.3"
    assert version_said("") is None
    assert parse_version("1.7.24~ds1") == (1, 7, 24)
    assert parse_version("v1.36") == (1, 36, 0)
    assert parse_version(1.3) is None and parse_version("one") is None
    assert "server-side apply" in too_old((1, 15, 12)) and too_old((1, 16, 0)) == ""
    assert runtime_problem(None, (1, 7, 0)) == "" and runtime_warning(None, (1, 7, 0)) == ""
