# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The one place that runs ``vdpa`` of iproute2: management devices, devices, making and deleting them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_features
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_spec import VDUSE, VdpaAttributes
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_state import MgmtDev

VDPA_SECONDS = 60.0
NOT_FOUND = 127
NO_NETLINK = "Failed to connect to vdpa Netlink"
_ERROR = re.compile(r"^(?:Error: (?:vdpa: )?|kernel answers: )(.*?)\.?$", re.MULTILINE)


def has_tool(host: Host) -> bool:
    return host.run(["vdpa", "-V"], VDPA_SECONDS).rc != NOT_FOUND


def management_devices(host: Host) -> dict[str, MgmtDev]:
    """By name. Without the kernel's vDPA there is none."""
    found = {}
    for name, facts in _show(host, "mgmtdev", "mgmtdev", "show").items():
        features = facts.get("dev_features")
        found[name] = MgmtDev(
            name, None if features is None else _vdpa_features.mask(features), facts.get("max_supported_vqs")
        )
    return found


def devices(host: Host) -> dict[str, dict[str, Any]]:
    """Type and management device of each that was made through one, by name."""
    return _show(host, "dev", "dev", "show")


def attributes(host: Host, names: list[str]) -> dict[str, VdpaAttributes]:
    """What network devices say of themselves. One of another kind ends the kernel's list, so then each is asked."""
    done = host.run(["vdpa", "-j", "dev", "config", "show"], VDPA_SECONDS) if names else None
    if done is not None and done.rc == 0:
        told = _section(done, "config")
    else:
        told = {}
        for name in names:
            one = host.run(["vdpa", "-j", "dev", "config", "show", name], VDPA_SECONDS)
            told.update(_section(one, "config") if one.rc == 0 else {})
    return {name: _attributes(facts) for name, facts in told.items() if name in names}


def add(host: Host, name: str, mgmtdev: str, wanted: VdpaAttributes) -> None:
    argv = ["vdpa", "dev", "add", "name", name, "mgmtdev", mgmtdev]
    if wanted.features is not None:
        argv += ["device_features", f"{wanted.features:#x}"]
    for word, value in (("mac", wanted.mac), ("mtu", wanted.mtu), ("max_vqp", wanted.max_vqp)):
        argv += [word, str(value)] if value is not None else []
    done = host.run(argv, VDPA_SECONDS)
    if done.rc != 0:
        asked = ", ".join(wanted.given()) or "no attributes"
        raise FastpathError(
            f"Cannot make vDPA device {name} on {mgmtdev} with {asked}: {_cause(done, mgmtdev, wanted)}."
        )


def delete(host: Host, name: str) -> None:
    done = host.run(["vdpa", "dev", "del", name], VDPA_SECONDS)
    if done.rc != 0:
        raise FastpathError(f"Cannot remove vDPA device {name}: {said(done)}.")


def said(done: Completed) -> str:
    """The kernel's own sentence before the text of its number; a mistake of the tool as it is."""
    found = _ERROR.findall(done.err)
    return ": ".join(found) if found else done.err.strip() or f"exit code {done.rc}"


def _cause(done: Completed, mgmtdev: str, wanted: VdpaAttributes) -> str:
    """What a number of the kernel means here."""
    text = said(done)
    asked = ", ".join(wanted.given())
    if "not supported" in text.lower() and asked:
        return f"the kernel's driver of {mgmtdev} cannot set all of {asked} ({text})"
    if "device_features" in done.err:
        return "this vdpa tool cannot set features, which takes iproute2 6.2 and Linux 6.2"
    if "Unknown option" in done.err:
        return f"this vdpa tool is too old for that ({text}): mac and mtu take iproute2 5.17, max_vqp 5.18"
    if "Invalid argument" in text and mgmtdev == VDUSE:
        return f"the program that made it is not ready: it has to set up its queues first ({text})"
    if "Invalid argument" in text and wanted.features is not None:
        return f"the device does not offer all of these features, or needs more of them ({text})"
    if "No space left" in text:
        return f"it has as many devices as it can ({text})"
    return text


def _show(host: Host, section: str, *words: str) -> dict[str, dict[str, Any]]:
    done = host.run(["vdpa", "-j", *words], VDPA_SECONDS)
    if done.rc == NOT_FOUND or NO_NETLINK in done.err:
        return {}
    if done.rc != 0:
        raise FastpathError(f"vdpa {' '.join(words)} failed: {said(done)}.")
    return _section(done, section)


def _section(done: Completed, section: str) -> dict[str, dict[str, Any]]:
    """Without any device the section is empty, or absent."""
    try:
        told = json.loads(done.out or "{}")
    except ValueError as broken:
        raise FastpathError(f"vdpa printed no JSON: {done.out[-200:]!r}.") from broken
    return dict(told.get(section) or {})


def _attributes(facts: Mapping[str, Any]) -> VdpaAttributes:
    """Some keys of the tool end in a blank."""
    told = {key.strip(): value for key, value in facts.items()}
    mac = told.get("mac")
    return VdpaAttributes(
        mac=mac.lower() if isinstance(mac, str) else None, mtu=told.get("mtu"), max_vqp=told.get("max_vq_pairs")
    )
