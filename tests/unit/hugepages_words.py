# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words in which tests of the concern hugepages speak of its node."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_node import HugepagesConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan
from ansible_collections.nfv.fastpath.tests.unit.hugepages_node import HugepagesNode

SMALL = {"size": "2M", "count": 512, "numa_node": 0}
GIGANTIC = {"size": "1G", "count": 1, "numa_node": 1}
MOUNTED = {**SMALL, "mount": "/mnt/pages/huge-2m"}
UNIT = "etc/systemd/system/mnt-pages-huge\\x2d2m.mount"


def apply(node: HugepagesNode, *pools: dict[str, Any], **options: Any) -> Plan:
    return converge(HugepagesConcern(node), Request(spec=list(pools), **options))


def teardown(node: HugepagesNode, **options: Any) -> Plan:
    return converge(HugepagesConcern(node), Request(present=False, **options))


def record(node: HugepagesNode) -> Any:
    return json.loads((node.tree / "var/lib/fastpath/hugepages.json").read_text())
