# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Whether Multus answers on a node. A pod that starts while it does not, gets its default network only.

The API server may still tell of the pods before a reboot; the node itself cannot be wrong about it.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

THICK, THIN = "thick", "thin"
# One that others brought: it may be of either kind, and its files may be called otherwise.
ANY = "any"
SOCKET_FOLDER, SOCKET_NAME = "/run/multus", "multus.sock"
CONFIG_ENDINGS = (".conf", ".conflist", ".json")
OURS = "00-multus.conf"
PLUGINS = {THICK: "multus-shim", THIN: "multus"}
PROBE_SECONDS = 5.0

# Asks the daemon at a socket whether it is well; the answer, or why there is none.
Probe = Callable[[str], str]


@dataclass(frozen=True)
class MultusState:
    """``first``: the configuration that the kubelet's runtime takes. ``health``: empty where the daemon is well."""

    first: str = ""
    type: str = ""
    binary: bool = False
    kubeconfig: bool = False
    health: str = ""


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PROBE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def probe_socket(path: str) -> str:
    """Empty where the daemon says that it is well."""
    connection = _OverSocket(path)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return "" if answer.status == 200 else f"{path} answers {answer.status} {answer.reason}"
    except (OSError, http.client.HTTPException) as error:
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    finally:
        connection.close()


def read_multus(host: Host, bin_dir: str, config_dir: str, probe: Probe = probe_socket) -> MultusState:
    names = [name for name in host.listdir(config_dir) if name.endswith(CONFIG_ENDINGS)]
    first = names[0] if names else ""
    plugin = _first_plugin(host.read(f"{config_dir}/{first}")) if first else {}
    kind = str(plugin.get("type") or "")
    folder = str(plugin.get("daemonSocketDir") or SOCKET_FOLDER).rstrip("/")
    return MultusState(
        first=first,
        type=kind,
        binary=bool(kind) and bool((host.mode(f"{bin_dir}/{kind}") or 0) & 0o111),
        kubeconfig=host.exists(f"{config_dir}/multus.d/multus.kubeconfig"),
        health=probe(host.path(f"{folder}/{SOCKET_NAME}")) if kind == PLUGINS[THICK] else "",
    )


def _first_plugin(text: str | None) -> dict[str, Any]:
    try:
        config: Any = json.loads(text or "")
        return dict((config.get("plugins") or [config])[0])
    except (ValueError, TypeError, AttributeError, LookupError):
        return {}


def multus_unmet(state: MultusState, variant: str) -> list[str]:
    """What stands between a pod and its networks; empty: nothing."""
    if variant == ANY:
        return _others_unmet(state)
    wanted = PLUGINS[variant]
    if not state.first.startswith(OURS):
        return [f"the first network configuration is {state.first or 'none'} and not that of Multus"]
    if state.type != wanted:
        return [f"{state.first} calls {state.type or 'nothing'} and not {wanted}"]
    found = [] if state.binary else [f"the plugin {wanted} is missing"]
    if variant == THIN and not state.kubeconfig:
        found.append("multus.d/multus.kubeconfig is missing")
    return [*found, *([state.health] if state.health else [])]


def _others_unmet(state: MultusState) -> list[str]:
    if state.type not in PLUGINS.values():
        first = f"{state.first}, which calls {state.type or 'nothing'}" if state.first else "none"
        return [
            f"the first network configuration is {first} and not Multus (fastpath_cni_config_dir says where to look)"
        ]
    found = [] if state.binary else [f"the plugin {state.type} is missing (fastpath_cni_bin_dir says where to look)"]
    return [*found, *([state.health] if state.health else [])]
