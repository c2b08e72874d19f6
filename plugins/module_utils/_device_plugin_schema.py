# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the SR-IOV device plugin takes as configuration, checked before it sees it.

The plugin ignores keys that it does not know, which makes a selector with a typing error take every device, and it
exits with 0 on a configuration that it cannot use. So nothing is handed to it that this file does not accept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, nearest, unknown_keys

NET_DEVICE, ACCELERATOR, AUX_NET_DEVICE = "netDevice", "accelerator", "auxNetDevice"
RESOURCE_KEYS = ("resourceName", "resourcePrefix", "deviceType", "excludeTopology", "selectors", "additionalInfo")
# The plugin also takes a hyphen in a name, but then no shell can read the variable that a pod gets.
RESOURCE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\Z")
PREFIX_PART = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
INDEXES = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*\Z")
RESERVED = ("kubernetes.io", "k8s.io")
MAX_PREFIX = 253


def _texts(value: Any, accepts: Callable[[str], bool], shape: str) -> None:
    if not isinstance(value, list) or not value:
        raise read.Wrong(f"must be a list with at least one {shape}")
    for item in value:
        if not isinstance(item, str) or not accepts(item):
            raise read.Wrong(f"has {item!r}, which must be {shape}")


def _matching(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _ids(value: Any) -> None:
    _texts(value, _matching(read.PCI_ID), 'four lower-case hex digits in quotes, such as "8086"')


def _addresses(value: Any) -> None:
    _texts(value, _matching(read.ADDRESS), 'full PCI address in quotes, such as "0000:81:00.2"')


def _words(value: Any) -> None:
    _texts(value, lambda text: bool(text) and not text.isspace(), "text that is not empty")


def _one_link_type(value: Any) -> None:
    if value not in (["ether"], ["infiniband"]):
        raise read.Wrong('must be ["ether"] or ["infiniband"]: the plugin takes one')


def _flag(value: Any) -> None:
    if not isinstance(value, bool):
        raise read.Wrong("must be true or false")


def _vdpa_type(value: Any) -> None:
    if value not in ("vhost", "virtio"):
        raise read.Wrong("must be vhost or virtio")


def _aux_types(value: Any) -> None:
    if value != ["sf"]:
        raise read.Wrong('must be ["sf"], the only kind that the plugin takes')


def _ranged(value: Any, accepts: Callable[[str], bool], shape: str) -> None:
    """PFs with optional VF indexes, ``ens1f0#0-3,8``. The first entry of a PF decides, so each stands there once."""
    _texts(
        value, lambda text: _is_ranged(text, accepts), f"{shape}, with VF indexes such as #0-3,8 if not all are meant"
    )
    names = [item.split("#", 1)[0].lower() for item in value]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise read.Wrong(f"has {twice[0]} more than once, and the plugin heeds only the first: join the indexes")


def _is_ranged(text: str, accepts: Callable[[str], bool]) -> bool:
    name, mark, indexes = text.partition("#")
    if not accepts(name):
        return False
    if not mark:
        return True
    return INDEXES.fullmatch(indexes) is not None and all(_ascends(part) for part in indexes.split(","))


def _ascends(part: str) -> bool:
    first, _dash, last = part.partition("-")
    return not last or int(first) <= int(last)


def _pf_names(value: Any) -> None:
    _ranged(value, _matching(read.NETDEV), "the name of a PF's network interface")


def _root_devices(value: Any) -> None:
    _ranged(value, _matching(read.ADDRESS), "the full PCI address of a PF")


_COMMON: dict[str, Callable[[Any], None]] = {"vendors": _ids, "devices": _ids, "drivers": _words}
_OF_NICS: dict[str, Callable[[Any], None]] = {
    "pfNames": _pf_names,
    "rootDevices": _root_devices,
    "linkTypes": _one_link_type,
    "isRdma": _flag,
    "needVhostNet": _flag,
}
# By kind of device, what the plugin really filters by: it reads some further keys and then forgets them.
SELECTOR_KEYS: dict[str, dict[str, Callable[[Any], None]]] = {
    NET_DEVICE: {
        **_COMMON,
        **_OF_NICS,
        "pciAddresses": _addresses,
        "acpiIndexes": _words,
        "ddpProfiles": _words,
        "pKeys": _words,
        "vdpaType": _vdpa_type,
    },
    ACCELERATOR: {**_COMMON, "pciAddresses": _addresses},
    AUX_NET_DEVICE: {**_COMMON, **_OF_NICS, "auxTypes": _aux_types},
}


def resource_prefix(value: Any) -> str:
    """The domain of a resource name: a DNS subdomain that does not belong to Kubernetes."""
    parts = value.split(".") if isinstance(value, str) else []
    if not parts or len(str(value)) > MAX_PREFIX or not all(PREFIX_PART.fullmatch(part) for part in parts):
        raise read.Wrong(
            "must be a domain in lower case without a slash, such as example.com: letters, digits, '-' and '.'"
        )
    if any(value == domain or value.endswith(f".{domain}") for domain in RESERVED):
        raise read.Wrong("belongs to Kubernetes, which takes no devices by that name: choose a domain of your own")
    return str(value)


def resource_name(value: Any) -> str:
    if not isinstance(value, str) or not RESOURCE_NAME.fullmatch(value):
        raise read.Wrong("must be 1 to 63 letters, digits, '_' or '-', the first and the last a letter or digit")
    return value


def check_selector(selector: Any, device_type: str, variable: str) -> list[Problem]:
    """Everything that is wrong with one selector; empty where the plugin takes it as it is meant."""
    if not isinstance(selector, Mapping):
        return [Problem(variable, selector, "must be a mapping, such as {drivers: [vfio-pci]}")]
    known = SELECTOR_KEYS[device_type]
    problems = []
    for key, value in selector.items():
        if key not in known:
            problems.append(Problem(f"{variable}.{key}", value, _unknown_key(str(key), device_type)))
            continue
        try:
            known[key](value)
        except read.Wrong as wrong:
            problems.append(Problem(f"{variable}.{key}", value, str(wrong)))
    if device_type == AUX_NET_DEVICE and "auxTypes" not in selector:
        problems.append(Problem(f"{variable}.auxTypes", None, 'is missing: say ["sf"]'))
    if selector.get("isRdma") and "vdpaType" in selector:
        shape = "cannot stand beside isRdma: the plugin ends when both are asked for"
        problems.append(Problem(f"{variable}.vdpaType", selector["vdpaType"], shape))
    return problems


def _unknown_key(key: str, device_type: str) -> str:
    others = [kind for kind, keys in SELECTOR_KEYS.items() if key in keys]
    if others:
        return f"is no selector for {device_type}, only for {' and '.join(others)}"
    known = SELECTOR_KEYS[device_type]
    hint = nearest(key, known)
    return f"is no selector that the device plugin knows, and it would take every device.{hint} Known: {_listed(known)}"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def check_config(config: Any, variable: str = "config") -> list[Problem]:
    """Everything that is wrong with a whole configuration. An empty list of resources is right."""
    if not isinstance(config, Mapping) or set(config) != {"resourceList"}:
        return [Problem(variable, config, "must be a mapping with the one key resourceList")]
    entries = config["resourceList"]
    if not isinstance(entries, list):
        return [Problem(f"{variable}.resourceList", entries, "must be a list of resources")]
    problems = []
    first: dict[str, str] = {}
    for number, entry in enumerate(entries):
        where = f"{variable}.resourceList[{number}]"
        problems += _check_resource(entry, where)
        name = f"{entry.get('resourcePrefix')}/{entry.get('resourceName')}" if isinstance(entry, Mapping) else ""
        if name and first.setdefault(name, where) != where:
            problems.append(
                Problem(where, name, f"is also in {first[name]}: the plugin ends on a name that it has twice")
            )
    return problems


def _check_resource(entry: Any, variable: str) -> list[Problem]:
    if not isinstance(entry, Mapping):
        return [Problem(variable, entry, f"must be a mapping with keys among {', '.join(RESOURCE_KEYS)}")]
    problems = unknown_keys(entry, RESOURCE_KEYS, variable)
    for key, reader in _RESOURCE_READERS.items():
        if key in entry or key in ("resourceName", "resourcePrefix"):
            try:
                reader(entry.get(key))
            except read.Wrong as wrong:
                problems.append(Problem(f"{variable}.{key}", entry.get(key), str(wrong)))
    return problems + _check_selectors(entry, variable)


def _check_selectors(entry: Mapping[str, Any], variable: str) -> list[Problem]:
    device_type = entry.get("deviceType", NET_DEVICE)
    if device_type not in SELECTOR_KEYS:
        return [Problem(f"{variable}.deviceType", device_type, f"must be one of {_listed(SELECTOR_KEYS)}")]
    selectors = entry.get("selectors")
    if isinstance(selectors, Mapping):
        return check_selector(selectors, device_type, f"{variable}.selectors")
    if not isinstance(selectors, list) or not selectors:
        shape = "must be a selector or a list of at least one: the plugin dies without"
        return [Problem(f"{variable}.selectors", selectors, shape)]
    return [
        problem
        for number, selector in enumerate(selectors)
        for problem in check_selector(selector, device_type, f"{variable}.selectors[{number}]")
    ]


def additional_info(value: Any) -> dict[str, dict[str, str]]:
    """Texts by device, ``*`` for all devices."""
    if value is None:
        return {}
    right = isinstance(value, Mapping) and all(_is_info(device, texts) for device, texts in value.items())
    if not right:
        raise read.Wrong('must be texts by device, "*" for all, such as {"*": {rack: "7"}}')
    return {str(device): dict(texts) for device, texts in value.items()}


def _is_info(device: Any, texts: Any) -> bool:
    named = isinstance(device, str) and (device == "*" or read.ADDRESS.fullmatch(device) is not None)
    return (
        named and isinstance(texts, Mapping) and all(isinstance(text, str) for pair in texts.items() for text in pair)
    )


_RESOURCE_READERS: dict[str, Callable[[Any], Any]] = {
    "resourceName": resource_name,
    "resourcePrefix": resource_prefix,
    "excludeTopology": _flag,
    "additionalInfo": additional_info,
}
