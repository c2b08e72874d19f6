# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The element of ``userspace/configuration-data``: what a container reads to find one interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastpath_agent.cni.request import Request
from fastpath_agent.cni.result import Result

# The readers take addresses only with the ``version`` that later specifications dropped.
RESULT_VERSION = "0.4.0"


def configuration(request: Request, config: Mapping[str, Any], result: Result) -> dict[str, Any]:
    """``config``: engine, iftype, netType and the objects memif, vhost and bridge, of which two are empty."""
    return {
        "containerId": request.container_id,
        "ifName": request.ifname,
        "name": request.network,
        "config": {"memif": {}, "vhost": {}, "bridge": {}, **config},
        "ipResult": {"dns": {}, **result.render(RESULT_VERSION)},
    }
