# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The protocol between the CNI shim on the host and the agent: one JSON line each way, on a root-only Unix socket.

One connection is one request. The client sends one JSON object and a newline::

    {"command": "ADD", "plugin": "vdpa", "netconf": {...},
     "env": {"CNI_CONTAINERID": "...", "CNI_NETNS": "...", "CNI_IFNAME": "...", "CNI_ARGS": "...", "CNI_PATH": "..."}}

and the server answers with one JSON object and a newline, then closes::

    {"ok": true, "result": {...}}
    {"ok": false, "error": {"code": 11, "msg": "...", "details": "..."}}

* ``command``: ADD, DEL, CHECK, VERSION, STATUS or GC. ``plugin``: vdpa, userspace or vhostuser, the name that the shim
  was called by. ``netconf``: the configuration from standard input, as it came. ``env``: only the five variables above;
  those that are not set are left out.
* ``result``: what the shim prints; an empty object where CNI prints nothing. ``error``: printed as it is, with the
  netconf's cniVersion added by the shim. Codes below 100 are those of the CNI specification.
* A request is at most MAX_REQUEST bytes long and comes within REQUEST_SECONDS; a longer or later one gets an error and
  the connection is closed. The client waits ANSWER_SECONDS; the server's work for one request takes less.
* The socket's folder is root's alone (0700), the socket has mode 0600, and the server looks at the peer's credentials:
  another user than root is hung up on without an answer.
* A client that cannot connect, or gets no whole answer, reports CNI code 11 (try again later) itself, and 50 (not
  available) for STATUS. For DEL as well: a runtime asks again, so that nothing stays when the agent was only away.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

SOCKET = "/run/fastpath/agent/cni.sock"
COMMANDS = ("ADD", "DEL", "CHECK", "VERSION", "STATUS", "GC")
PLUGINS = ("vdpa", "userspace", "vhostuser")
ENVIRONMENT = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH")
MAX_REQUEST = 1024 * 1024
REQUEST_SECONDS = 5.0
ANSWER_SECONDS = 60.0


def request(path: str, message: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """The client's side. Raises OSError, or ValueError where the answer is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(json.dumps(message).encode() + b"\n")
        with connection.makefile("rb") as stream:
            answer = json.loads(stream.readline(MAX_REQUEST))
    if not isinstance(answer, dict) or "ok" not in answer:
        raise ValueError("the answer has no key ok")
    return answer


def probe(path: str, timeout: float) -> str:
    """Whether the server answers the one request that changes nothing and needs nothing. Empty where it does."""
    try:
        request(path, {"command": "VERSION", "plugin": PLUGINS[0], "netconf": {}, "env": {}}, timeout)
    except (OSError, ValueError) as error:
        return f"{path} does not answer: {error}"
    return ""
