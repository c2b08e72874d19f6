# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Device information files (specification 1.1.0): what makes Multus put a socket into ``network-status``."""

from __future__ import annotations

import json
import posixpath

VERSION = "1.1.0"


def vhost_user(mode: str, path: str) -> dict[str, object]:
    """``mode`` and ``path`` as the container sees them: it is the client of a socket that the host made."""
    return {"type": "vhost-user", "version": VERSION, "vhost-user": {"mode": mode, "path": path}}


def memif(role: str, mode: str, path: str) -> dict[str, object]:
    """``role`` of the container: the master makes the socket."""
    return {"type": "memif", "version": VERSION, "memif": {"role": role, "mode": mode, "path": path}}


def content(info: dict[str, object]) -> bytes:
    return json.dumps(info, separators=(",", ":")).encode()


def is_file_name(path: str, folders: tuple[str, ...]) -> bool:
    """Whether a path that came as capability argument is a file directly in one of the folders."""
    return posixpath.dirname(path) in folders and posixpath.basename(path) not in ("", ".", "..")
