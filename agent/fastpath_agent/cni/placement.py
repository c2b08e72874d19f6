# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of a pod's sockets for the plugins that make ports themselves: on the host, and in the container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastpath_agent.cni import undo
from fastpath_agent.cni.errors import refuse_field
from fastpath_agent.cni.files import told_as
from fastpath_agent.cni.records import Step
from fastpath_agent.cni.volumes import EMPTY_DIR, VOLUME, require_private, shared_dir
from fastpath_agent.cni.work import Work
from fastpath_agent.unix_sockets import MAX_PATH


@dataclass(frozen=True)
class Place:
    """``container``: empty where no API says how the pod mounts the folder. ``owner`` and ``group``: -1 if unknown."""

    host: str
    container: str = ""
    owner: int = -1
    group: int = -1


def in_pod(work: Work, pod: Mapping[str, Any], group: int, writable: bool) -> Place:
    """The pod's volume ``shared-dir``."""
    settings = work.box.settings
    shared = shared_dir(pod, settings.kubelet)
    require_private(shared, settings.whole_folders)
    group = shared.group if group < 0 else group
    place = Place(shared.host, shared.container, shared.owner, group)
    if shared.kind == EMPTY_DIR:
        # It is there, and its owner is the kubelet's business.
        return place
    if work.box.files.allowed_base(shared.host) is None:
        raise refuse_field(
            f"hostPath of {VOLUME}", shared.host, f"must lie below one of {', '.join(settings.socket_folders)}"
        )
    if shared.private:
        work.make_pod_folder(place.host, place.owner, group, writable)
    else:
        # Other pods have it too: it stays when this one goes.
        with told_as("cannot make the folder"):
            work.box.files.make_folder(place.host)
    return place


def in_folder(work: Work, base: str, group: int, writable: bool) -> Place:
    """Without an API: a folder of the container below the one that the configuration, or the engine, names."""
    place = Place(f"{base}/{work.request.short_id}", "", -1, group)
    work.make_pod_folder(place.host, -1, group, writable)
    return place


def short_path(work: Work, folder: str, name: str) -> str:
    """A path of a socket that fits: through a link where the folder's own is too long, as an emptyDir's often is.

    The kernel limits the path that a process hands over, and not what it leads to.
    """
    path = f"{folder}/{name}"
    if len(path.encode()) <= MAX_PATH:
        return path
    links = work.box.settings.short_links
    link = f"{links}/{work.request.port_name}"
    work.intend(Step(undo.FILE, {"path": link}))
    with told_as("cannot make the short link"):
        work.box.files.make_folder(links)
        work.box.files.link(link, folder)
    return f"{link}/{name}"
