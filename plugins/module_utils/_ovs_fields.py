# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Single values of ``fastpath_ovs`` as users write them in YAML.

Every reader returns what the database takes, or raises ``Wrong`` with one sentence that says what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_fields import (
    Wrong,
    address,
    boolean,
    integer,
    mac,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_fields import indexes as numbers
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import SELECTOR_FIELDS, PfSelector

__all__ = ["Reader", "Wrong", "address", "boolean", "integer"]

Reader = Callable[[Any], Any]

OPENFLOW = ("OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15")
MARKER = "fastpath"
MAX_SOCKET_PATH = 107
MAX_VLAN = 4095
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,127}\Z")
_CONTROLLER = re.compile(r"(?:(?:ssl|tcp|pssl|ptcp):[^\s]+|p?unix:/[^\s]+|none)\Z")
_VERSION = re.compile(r"(?:openflow)?\s*([0-9])\.?([0-9])\Z", re.IGNORECASE)


def is_empty(value: Any) -> bool:
    """Written down, and without content: what stands there shall go."""
    return value is None or value in ("", [], {}, ())


def name(value: Any) -> str:
    if isinstance(value, str) and _NAME.match(value) and value not in (".", ".."):
        return value
    raise Wrong("must be a name of letters, digits, _ . : @ or -, without spaces and slashes, such as br0 or dpdk0")


def one_of(*words: str) -> Reader:
    def read(value: Any) -> str:
        if isinstance(value, bool) and not value and "off" in words:
            return "off"
        if isinstance(value, str) and value in words:
            return value
        raise Wrong(f"must be one of {', '.join(words)}")

    return read


def mtu(value: Any) -> int:
    return integer(value, 68, 65535)


def ofport(value: Any) -> int:
    return integer(value, 1, 65279)


def queues(value: Any) -> str:
    return str(integer(value, 1, 1024))


def vlan(value: Any) -> int:
    return integer(value, 0, MAX_VLAN)


def vlans(value: Any) -> tuple[int, ...]:
    try:
        found: tuple[int, ...] = numbers(value)
    except Wrong as wrong:
        raise Wrong('must be VLANs, such as [100, 200] or "100-110,200"') from wrong
    if found[-1] > MAX_VLAN:
        raise Wrong(f"has VLAN {found[-1]}; the largest is {MAX_VLAN}")
    return found


def mac_text(value: Any) -> str:
    return mac(value)


def protocols(value: Any) -> tuple[str, ...]:
    """``OpenFlow13``, ``1.3`` or a list of these."""
    found = []
    for item in value if isinstance(value, (list, tuple)) else [value]:
        match = _VERSION.match(str(item))
        version = f"OpenFlow{match.group(1)}{match.group(2)}" if match else ""
        if version not in OPENFLOW:
            raise Wrong(f"must be OpenFlow versions out of {', '.join(OPENFLOW)}")
        found.append(version)
    return tuple(sorted(set(found)))


def controllers(value: Any) -> tuple[str, ...]:
    found = []
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(item, str) or not _CONTROLLER.match(item):
            raise Wrong("must be targets of controllers, such as tcp:192.0.2.10:6653 or ssl:192.0.2.10:6653")
        found.append(item)
    return tuple(sorted(set(found)))


def socket_path(value: Any) -> str:
    """The kernel's limit for the path of a socket is 108 bytes with the final zero."""
    if not isinstance(value, str) or not value.startswith("/") or not value.isprintable() or value.endswith("/"):
        raise Wrong("must be the absolute path of a socket, such as /run/vhost/vhost0.sock")
    if len(value.encode()) > MAX_SOCKET_PATH:
        raise Wrong(f"is longer than {MAX_SOCKET_PATH} bytes, which the kernel does not take as a socket")
    return value


def affinity(value: Any) -> dict[int, int]:
    """CPU by queue: ``{0: 3, 1: 7}`` or ``"0:3,1:7"``."""
    shape = 'must be a CPU for each receive queue, such as {0: 3, 1: 7} or "0:3,1:7"'
    if isinstance(value, str):
        pairs = [part.partition(":") for part in value.replace(" ", "").split(",")]
        value = {queue: cpu for queue, _colon, cpu in pairs}
        if len(value) != len(pairs):
            raise Wrong(f"{shape}; a queue stands there twice")
    if not isinstance(value, Mapping):
        raise Wrong(f"{shape}; YAML reads 0:3 without quotes as a number")
    try:
        return {integer(queue, 0, 1023): integer(cpu, 0, 65535) for queue, cpu in value.items()}
    except Wrong as wrong:
        raise Wrong(shape) from wrong


def vf(value: Any) -> tuple[PfSelector, int]:
    shape = "must say which VF, such as {pf: {netdev: ens1f0}, index: 6}"
    if not isinstance(value, Mapping) or set(value) != {"pf", "index"} or not isinstance(value["pf"], Mapping):
        raise Wrong(shape)
    given = {key: item for key, item in value["pf"].items() if item is not None}
    unknown = sorted(str(key) for key in given if key not in SELECTOR_FIELDS)
    if unknown or not given:
        raise Wrong(f"{shape}; a PF is chosen by {', '.join(SELECTOR_FIELDS)}")
    selector = {}
    for key, item in given.items():
        try:
            selector[key] = SELECTOR_FIELDS[key](item)
        except Wrong as wrong:
            raise Wrong(f"has pf.{key} {item!r}, which {wrong}") from wrong
    return PfSelector(**selector), integer(value["index"], 0, 65535)


def text_map(value: Any) -> dict[str, str | None]:
    """Texts by key as they go into the database; an empty one takes the key away."""
    if not isinstance(value, Mapping):
        raise Wrong("must be a mapping from key to value")
    found: dict[str, str | None] = {}
    for key, item in value.items():
        if not isinstance(key, str) or not key:
            raise Wrong(f"has the key {key!r}, which must be a text")
        if isinstance(item, bool):
            found[key] = "true" if item else "false"
        elif is_empty(item):
            found[key] = None
        elif isinstance(item, (str, int, float)):
            found[key] = str(item)
        else:
            raise Wrong(f"has for {key} a {type(item).__name__}, and must have a text or a number")
    return found


def external_ids(value: Any) -> dict[str, str | None]:
    found = text_map(value)
    if MARKER in found:
        raise Wrong(f"has the key {MARKER}, by which this collection knows its own rows")
    return found


def flows(value: Any) -> tuple[str, ...]:
    """Flows as ovs-ofctl takes them: a list, or a text with one in each line."""
    lines = value.splitlines() if isinstance(value, str) else value
    if not isinstance(lines, (list, tuple)) or not all(isinstance(line, str) for line in lines):
        raise Wrong("must be a list of flows, or a text with one flow in each line")
    kept = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    for line in kept:
        if "actions=" not in line or "\n" in line:
            raise Wrong(f"has {line!r}, which is no flow: it lacks actions=")
    return tuple(kept)


def entries(given: Any, variable: str, what: str, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    """The items of a list with the names they have for the user."""
    if given is None:
        return
    if not isinstance(given, (list, tuple)):
        problems.append(Problem(variable, given, f"must be a list of {what}"))
        return
    for number, entry in enumerate(given):
        yield f"{variable}[{number}]", entry


def values(
    entry: Mapping[str, Any], readers: Mapping[str, Reader], variable: str, problems: list[Problem]
) -> dict[str, Any]:
    """The keys that are there and readable; an emptied one is None."""
    found: dict[str, Any] = {}
    for key, reader in readers.items():
        if key not in entry:
            continue
        if is_empty(entry[key]) and key not in ("flows", "pci", "vf", "socket", "peer"):
            found[key] = None
            continue
        count = len(problems)
        result = value(reader, entry[key], f"{variable}.{key}", problems)
        if len(problems) == count:
            found[key] = result
    return found


def value(reader: Reader, given: Any, variable: str, problems: list[Problem]) -> Any:
    if given is None and reader is text_map:
        return None
    try:
        return reader(given)
    except Wrong as wrong:
        problems.append(Problem(variable, given, str(wrong)))
        return None
