# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets that Open vSwitch makes itself: they appear in its own folder and are moved to the pod's.

This is the older way and the only one for a container that connects: when Open vSwitch is started again it makes a new
socket in its folder, which has to be moved again.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from fastpath_agent.cni.errors import INVALID_CONFIG, NO_SOCKET, CniError, from_os_error
from fastpath_agent.cni.files import Files
from fastpath_agent.cni.ovs import Switch
from fastpath_agent.cni.settings import Settings
from fastpath_agent.cni.sockets_api import as_cni_error
from fastpath_agent.model import SocketError
from fastpath_agent.ovs_ports import made_socket

POLL_SECONDS = 0.02


def made_at(switch: Switch, settings: Settings, port: str) -> str:
    """Where Open vSwitch makes the socket of a port."""
    try:
        return made_socket(switch.read(), settings.ovs_rundir, port)
    except SocketError as odd:
        raise as_cni_error(odd) from odd


def take_over(files: Files, source: str, target: str, seconds: float, owner: int = -1, group: int = -1) -> None:
    """Wait for the socket, give it to the pod and move it. Whoever connects later finds it by its new name."""
    deadline = time.monotonic() + seconds
    while not files.is_socket(source):
        if time.monotonic() > deadline:
            raise CniError(NO_SOCKET, f"Open vSwitch made no socket at {source}")
        time.sleep(POLL_SECONDS)
    try:
        if owner >= 0 or group >= 0:
            # While it is still in a folder that only Open vSwitch writes to.
            os.chown(files.real(source), owner, group, follow_symlinks=False)
            os.chmod(files.real(source), stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IWGRP)
        files.rename(source, target)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise CniError(
                INVALID_CONFIG,
                f"{os.path.dirname(target)} is on another file system than {os.path.dirname(source)}, "
                'where Open vSwitch makes its sockets: use host.vhost.mode "client", or a shared-dir below that folder',
            ) from error
        raise from_os_error(error, f"cannot move the socket {source}") from error
