# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The keys of ``Open_vSwitch:other_config`` that are known, in one table.

A new key is one line here. Everything else, documentation included, follows from it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import WrongCpus, cpus_to_mask, parse_cpu_list
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_fields import Wrong, boolean, integer

LIVE = "at once"
WITH_DPDK = "when DPDK is initialised; afterwards by a restart of ovs-vswitchd"
AT_START = "by a restart of ovs-vswitchd"

MAX_INTEGER = 2**32 - 1
MAX_NODES = 64
_TEXT = re.compile(r"[ -~]+\Z")


@dataclass(frozen=True)
class Key:
    """``read`` turns the user's value into the database's text or raises Wrong. ``shape`` is for people."""

    name: str
    read: Callable[[Any], str]
    shape: str
    effect: str
    meaning: str


def _flag(value: Any) -> str:
    return "true" if boolean(value) else "false"


def _dpdk_init(value: Any) -> str:
    if value == "try":
        return "try"
    try:
        return _flag(value)
    except Wrong as wrong:
        raise Wrong("must be true, false or try") from wrong


def _number(low: int = 0, high: int = MAX_INTEGER) -> Callable[[Any], str]:
    return lambda value: str(integer(value, low, high))


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value in words:
            return str(value)
        raise Wrong(f"must be one of {', '.join(words)}")

    return read


def _cpus(value: Any) -> str:
    try:
        return cpus_to_mask(parse_cpu_list(value))
    except WrongCpus as wrong:
        raise Wrong(str(wrong)) from wrong


def _memory(value: Any) -> str:
    """MiB by NUMA node: ``{0: 1024, 1: 0}``, ``[1024, 0]`` or ``"1024,0"``."""
    shape = 'must be MiB by NUMA node, such as {0: 1024, 1: 0}, [1024, 0] or "1024,0"'
    try:
        if isinstance(value, Mapping):
            by_node = {integer(node, 0, MAX_NODES - 1): integer(size, 0, MAX_INTEGER) for node, size in value.items()}
            sizes = [by_node.get(node, 0) for node in range(max(by_node, default=-1) + 1)]
        else:
            parts = value.split(",") if isinstance(value, str) else value
            sizes = [integer(part, 0, MAX_INTEGER) for part in (parts if isinstance(parts, list) else [parts])]
    except Wrong as wrong:
        raise Wrong(shape) from wrong
    if not sizes or len(sizes) > MAX_NODES:
        raise Wrong(shape)
    return ",".join(map(str, sizes))


def _text(value: Any) -> str:
    if isinstance(value, str) and _TEXT.match(value):
        return value
    raise Wrong("must be a text of printable ASCII characters, in one line")


def _text_or_number(value: Any) -> str:
    """A list that may have one member only, which YAML reads as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _absolute(value: Any) -> str:
    if isinstance(value, str) and value.startswith("/") and posixpath.normpath(value) == value and _TEXT.match(value):
        return value
    raise Wrong("must be an absolute path")


def _below_rundir(value: Any) -> str:
    """Open vSwitch refuses paths that leave its run-time directory, and then uses the directory itself."""
    fits = isinstance(value, str) and re.match(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*\Z", value)
    if fits and ".." not in value.split("/") and posixpath.normpath(value) == value:
        return str(value)
    raise Wrong("must be a directory below /run/openvswitch, without a slash in front, such as vhost")


_CPU_LIST = 'CPU list, such as `"2-3,6"`'
_MEMORY = "MiB by NUMA node, such as `{0: 1024, 1: 0}`"
_BOOL = "true, false"

_ALL = (
    Key(
        "dpdk-init",
        _dpdk_init,
        "true, false, try",
        WITH_DPDK,
        "whether DPDK is used; try: go on without, if it fails",
    ),
    Key("dpdk-lcore-mask", _cpus, _CPU_LIST, WITH_DPDK, "CPUs of DPDK threads that are no PMD threads"),
    Key("pmd-cpu-mask", _cpus, _CPU_LIST, LIVE, "CPUs of the PMD threads, which poll without a pause"),
    Key("dpdk-socket-mem", _memory, _MEMORY, WITH_DPDK, "hugepage memory taken at start, for each NUMA node"),
    Key("dpdk-socket-limit", _memory, _MEMORY, WITH_DPDK, "most hugepage memory, for each NUMA node; 0: no limit"),
    Key("dpdk-alloc-mem", _number(), "MiB", WITH_DPDK, "hugepage memory taken at start, from any NUMA node"),
    Key("dpdk-hugepage-dir", _absolute, "path", WITH_DPDK, "mount of hugetlbfs, where there are several"),
    Key("dpdk-extra", _text, "text", WITH_DPDK, "further arguments of the EAL"),
    Key("vhost-sock-dir", _below_rundir, "folder below /run/openvswitch", WITH_DPDK, "sockets of dpdkvhostuser ports"),
    Key("vhost-iommu-support", _flag, _BOOL, WITH_DPDK, "virtual IOMMU for vhost-user clients"),
    Key("vhost-postcopy-support", _flag, _BOOL, WITH_DPDK, "post-copy live migration of vhost-user clients"),
    Key("per-port-memory", _flag, _BOOL, WITH_DPDK, "a memory pool for each port instead of shared ones"),
    Key(
        "shared-mempool-config",
        _text_or_number,
        "list",
        WITH_DPDK,
        "MTUs with shared memory pools, such as 9000,1500:1",
    ),
    Key("dpdk-probe-at-init", _flag, _BOOL, WITH_DPDK, "probe all devices when DPDK starts (4.0 and later)"),
    Key("userspace-tso-enable", _flag, _BOOL, AT_START, "TCP segmentation offload in the userspace datapath"),
    Key("hw-offload", _flag, _BOOL, AT_START, "flows in hardware"),
    Key("hw-offload-priority", _text, "list", AT_START, "order of offload providers, such as dpdk,tc (3.7 and later)"),
    Key("n-offload-threads", _number(1, 10), "1 to 10", AT_START, "threads that put flows into hardware"),
    Key("offload-rebalance", _flag, _BOOL, AT_START, "rebalance flows between hardware and software"),
    Key("tc-policy", _one_of("none", "skip_sw", "skip_hw"), "none, skip_sw, skip_hw", LIVE, "where offloaded flows go"),
    Key(
        "pmd-rxq-assign",
        _one_of("cycles", "roundrobin", "group"),
        "cycles, roundrobin, group",
        LIVE,
        "how receive queues are spread over PMD threads",
    ),
    Key("pmd-rxq-isolate", _flag, _BOOL, LIVE, "whether a pinned queue keeps its CPU to itself"),
    Key("pmd-auto-lb", _flag, _BOOL, LIVE, "rebalance receive queues while running"),
    Key("pmd-auto-lb-load-threshold", _number(0, 100), "percent", LIVE, "load of a PMD thread that calls for it"),
    Key("pmd-auto-lb-improvement-threshold", _number(0, 100), "percent", LIVE, "improvement that is worth it"),
    Key("pmd-auto-lb-rebal-interval", _number(0, 20000), "minutes", LIVE, "least time between two rebalancings"),
    Key(
        "pmd-sleep-max",
        _text_or_number,
        "µs, or list such as `50,2:0`",
        LIVE,
        "longest sleep of an idle PMD thread (3.2 and later)",
    ),
    Key("pmd-maxsleep", _number(), "µs", LIVE, "the same in 3.1"),
    Key("pmd-perf-metrics", _flag, _BOOL, LIVE, "detailed figures of PMD threads"),
    Key("smc-enable", _flag, _BOOL, LIVE, "signature match cache"),
    Key("emc-insert-inv-prob", _number(), "number", LIVE, "1 of how many packets goes into the exact match cache"),
    Key("tx-flush-interval", _number(0, 1000000), "µs", LIVE, "how long packets may wait to be sent together"),
    Key("max-idle", _number(500), "ms", LIVE, "time after which an idle flow leaves the datapath"),
    Key("max-revalidator", _number(100), "ms", LIVE, "longest time between two revalidations"),
    Key("min-revalidate-pps", _number(), "packets/s", LIVE, "least rate of a flow that is worth revalidating"),
    Key("flow-limit", _number(), "number", LIVE, "most flows in the datapath"),
    Key("n-handler-threads", _number(1), "number", LIVE, "threads for flow misses"),
    Key("n-revalidator-threads", _number(1), "number", LIVE, "threads that revalidate flows"),
    Key("stats-update-interval", _number(5000), "ms", LIVE, "how often statistics go to the database"),
    Key("vlan-limit", _number(0, 2), "0, 1, 2", LIVE, "VLAN headers that are looked at"),
)

KEYS: Mapping[str, Key] = {key.name: key for key in _ALL}


def effect_of(name: str) -> str:
    """An unknown key is taken as live: what it does is its user's business."""
    return KEYS[name].effect if name in KEYS else LIVE


def table() -> str:
    """The keys as a table in Markdown."""
    lines = ["| key | value | takes effect | what it is |", "|---|---|---|---|"]
    lines += [f"| `{key.name}` | {key.shape} | {key.effect} | {key.meaning} |" for key in _ALL]
    return "\n".join(lines) + "\n"
