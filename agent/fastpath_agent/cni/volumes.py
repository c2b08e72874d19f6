# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pod's volume ``shared-dir``: the folder on the host, and where containers see it.

A pod has to see its own sockets and nobody else's. That is so for an emptyDir, and for a hostPath that is mounted with
a sub-path that holds the pod's uid (``subPathExpr: $(POD_UID)``). A hostPath that is mounted whole shows every pod's
sockets and is refused, unless the administrator of the node allows it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastpath_agent.cni.annotations import identity
from fastpath_agent.cni.errors import INVALID_CONFIG, CniError
from fastpath_agent.cni.fields import ABSOLUTE
from fastpath_agent.cni.request import UID

VOLUME = "shared-dir"
KUBELET = "/var/lib/kubelet"
EMPTY_DIR, HOST_PATH = "emptyDir", "hostPath"
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
FIX = (
    "use an emptyDir, or mount the hostPath with 'subPathExpr: $(POD_UID)' and an environment variable POD_UID"
    " from the field metadata.uid"
)


@dataclass(frozen=True)
class SharedDir:
    """``host``: the folder as the host sees it. ``container``: where it is mounted. ``owner``, ``group``: -1 if the
    pod names none."""

    kind: str
    host: str
    container: str
    private: bool
    owner: int = -1
    group: int = -1


def shared_dir(pod: Mapping[str, Any], kubelet: str = KUBELET) -> SharedDir:
    """The volume of a pod as the API shows it; CniError says what is wrong with the pod and what would be right."""
    namespace, name, uid = identity(pod)
    where = f"pod {namespace}/{name}"
    spec = _object(pod, "spec")
    volume = next((each for each in _objects(spec, "volumes") if each.get("name") == VOLUME), None)
    if volume is None:
        raise CniError(INVALID_CONFIG, f"{where} has no volume named {VOLUME}; {FIX}")
    mounted = list(_mounts(spec))
    if not mounted:
        raise CniError(INVALID_CONFIG, f"{where}: no container mounts the volume {VOLUME}")
    # The last one counts where containers differ: the annotation has room for one, and its readers know it so.
    container, mount = mounted[-1]
    kind, base = _base(volume, where, uid, kubelet)
    sub_path = _sub_path(mount, container, pod, where)
    if kind == EMPTY_DIR and sub_path:
        raise CniError(INVALID_CONFIG, f"{where}: an emptyDir {VOLUME} is mounted without subPath")
    mount_path = mount.get("mountPath")
    if not isinstance(mount_path, str) or not ABSOLUTE.fullmatch(mount_path):
        raise CniError(INVALID_CONFIG, f"{where}: the mountPath of {VOLUME} is no absolute path")
    owner, group = _ids(spec, container)
    return SharedDir(
        kind,
        posixpath.join(base, sub_path) if sub_path else base,
        mount_path.rstrip("/") or "/",
        kind == EMPTY_DIR or all(_is_private(each, container, pod, where) for container, each in mounted),
        owner,
        group,
    )


def _is_private(mount: Mapping[str, Any], container: Mapping[str, Any], pod: Mapping[str, Any], where: str) -> bool:
    """Whether a container sees nothing but the pod's own folder; where that cannot be known, it may see more."""
    uid = identity(pod)[2]
    try:
        return bool(uid) and uid in _sub_path(mount, container, pod, where).split("/")
    except CniError:
        return False


def require_private(shared: SharedDir, whole_folders: bool) -> None:
    if not shared.private and not whole_folders:
        raise CniError(
            INVALID_CONFIG, f"the pod mounts {shared.host} whole and would see the sockets of other pods; {FIX}"
        )


def _base(volume: Mapping[str, Any], where: str, uid: str, kubelet: str) -> tuple[str, str]:
    host_path = volume.get(HOST_PATH)
    if isinstance(host_path, dict):
        path = host_path.get("path")
        if not isinstance(path, str) or not ABSOLUTE.fullmatch(path) or ".." in path.split("/"):
            raise CniError(INVALID_CONFIG, f"{where}: the hostPath of {VOLUME} is no absolute path")
        return HOST_PATH, "/" + posixpath.normpath(path).lstrip("/")
    if isinstance(volume.get(EMPTY_DIR), dict):
        if not UID.fullmatch(uid):
            raise CniError(INVALID_CONFIG, f"{where} has no uid, so its emptyDir cannot be found")
        return EMPTY_DIR, f"{kubelet}/pods/{uid}/volumes/kubernetes.io~empty-dir/{VOLUME}"
    kinds = ", ".join(sorted(key for key in volume if key != "name")) or "nothing"
    raise CniError(INVALID_CONFIG, f"{where}: volume {VOLUME} is {kinds}; {FIX}"[:400])


def _mounts(spec: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for key in ("initContainers", "containers"):
        for container in _objects(spec, key):
            for mount in _objects(container, "volumeMounts"):
                if mount.get("name") == VOLUME:
                    yield container, mount


def _sub_path(mount: Mapping[str, Any], container: Mapping[str, Any], pod: Mapping[str, Any], where: str) -> str:
    expression = mount.get("subPathExpr")
    text = mount.get("subPath") or ""
    if isinstance(expression, str) and expression:
        known = _environment(container, pod)

        def value(match: re.Match[str]) -> str:
            if match.group(1) is None:
                return "$"
            if match.group(1) not in known:
                raise CniError(INVALID_CONFIG, f"{where}: subPathExpr of {VOLUME} needs {match.group(1)}; {FIX}")
            return known[match.group(1)]

        text = _REFERENCE.sub(value, expression)
    if not isinstance(text, str) or text.startswith("/") or not {".", ".."}.isdisjoint(text.split("/")):
        raise CniError(INVALID_CONFIG, f"{where}: the sub-path of {VOLUME} must lie below the volume")
    if not ABSOLUTE.fullmatch(f"/{text}"):
        raise CniError(INVALID_CONFIG, f"{where}: the sub-path of {VOLUME} has characters that no path should have")
    return "/".join(filter(None, text.split("/")))


def _environment(container: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, str]:
    """The container's variables that can be known before it runs."""
    namespace, name, uid = identity(pod)
    spec = _object(pod, "spec")
    fields = {
        "metadata.namespace": namespace,
        "metadata.name": name,
        "metadata.uid": uid,
        "spec.nodeName": str(spec.get("nodeName") or ""),
    }
    known = {}
    for variable in _objects(container, "env"):
        reference = _object(_object(variable, "valueFrom"), "fieldRef").get("fieldPath")
        value = fields.get(str(reference), "") if reference else variable.get("value")
        if isinstance(value, str) and value and isinstance(variable.get("name"), str):
            known[str(variable["name"])] = value
    return known


def _ids(spec: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[int, int]:
    """Who will open the sockets, as far as the pod says it."""
    pod_context, own_context = _object(spec, "securityContext"), _object(container, "securityContext")
    user = own_context.get("runAsUser", pod_context.get("runAsUser"))
    group = pod_context.get("fsGroup", own_context.get("runAsGroup", pod_context.get("runAsGroup")))
    return _id(user), _id(group)


def _id(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else -1


def _object(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _objects(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = data.get(key)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
