# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. kubelet, kubeadm and kubectl out of an archive: placed, kept and given back as CNI plugins are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._bundle_shipping import ship
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_plugins_node import CniPluginsConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._store import RECORD_FOLDER

BIN_DIR = "/usr/local/bin"


class KubeToolsConcern(CniPluginsConcern):
    """Spec: ``{"bundle": manifest, "bin_dir": "/usr/local/bin"}``."""

    name = "kube_tools"
    kept = f"{RECORD_FOLDER}/kube-tools"


def kube_tools_result(
    host: Host, params: Mapping[str, Any], dry_run: bool, warn: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """The module's result: first every refusal, then the archive is asked for, then the work is done."""
    spec = {"bundle": params.get("bundle"), "bin_dir": params.get("bin_dir") or BIN_DIR}
    present = params["state"] == "present"
    concern = KubeToolsConcern(host, spec if present else None, params.get("archive"))
    return ship(
        concern, Request(spec, present, dry_run, bool(params.get("disruption_ok"))), params.get("archive"), warn
    )
