# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two annotations that tell a pod where its sockets are, merged without losing what others wrote.

``userspace/configuration-data``: a JSON array with one element for each interface. ``userspace/mapped-dir``: the
folder in the container that the elements' socket files are in.

The readers that exist split lines at ``=`` and drop blanks and backslashes, so elements are written without any.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from fastpath_agent.cni.errors import API_REFUSED, INVALID_CONFIG, TRY_AGAIN_LATER, CniError
from fastpath_agent.cni.pods import Conflict, PodGone, Pods

CONFIGURATION = "userspace/configuration-data"
MAPPED_DIR = "userspace/mapped-dir"
# The API's own limit for all annotations of an object is 256 KiB.
MAX_BYTES = 200 << 10
ATTEMPTS = 12
FIRST_PAUSE = 0.02
Element = Mapping[str, Any]


def annotations_of(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = pod.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def parse_elements(text: object) -> list[Any]:
    """The elements that are there, also those that are not ours. Empty text is an empty list."""
    if text is None or text == "":
        return []
    try:
        elements = json.loads(str(text))
    except (ValueError, RecursionError):
        elements = None
    if not isinstance(elements, list):
        raise CniError(INVALID_CONFIG, f"the pod's annotation {CONFIGURATION} is no JSON array; remove it or mend it")
    return elements


def with_element(elements: Sequence[Any], element: Element) -> list[Any]:
    """An interface has one element: that of a former sandbox goes."""
    return [other for other in elements if not _is_of(other, element["ifName"])] + [dict(element)]


def without_element(elements: Sequence[Any], container_id: str, ifname: str) -> list[Any]:
    """What stays when this attachment goes; another sandbox's element of the same name is not this one's."""
    return [other for other in elements if not (_is_of(other, ifname) and other.get("containerId") == container_id)]


def _is_of(element: Any, ifname: str) -> bool:
    return isinstance(element, dict) and element.get("ifName") == ifname


def has_element(pod: Mapping[str, Any], container_id: str, ifname: str) -> bool:
    elements = parse_elements(annotations_of(pod).get(CONFIGURATION))
    return len(without_element(elements, container_id, ifname)) != len(elements)


def patch_body(pod: Mapping[str, Any], changes: Mapping[str, str | None]) -> dict[str, Any]:
    """A merge patch that the API refuses when the pod was changed, or replaced, since it was read."""
    metadata = pod.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    kept = {key: known[key] for key in ("resourceVersion", "uid") if known.get(key)}
    return {"metadata": {**kept, "annotations": dict(changes)}}


class Annotations:
    """``seconds``: how long others may be quicker before it is given up."""

    def __init__(self, pods: Pods, pause: Callable[[float], None] = time.sleep, seconds: float = 20) -> None:
        self._pods = pods
        self._pause = pause
        self._seconds = seconds

    def publish(self, pod: Mapping[str, Any], element: Element, mapped_dir: str) -> None:
        """Add the element. ``pod`` is the pod as it was last read, which spares a request where nothing changed."""
        namespace, name, uid = identity(pod)

        def change(current: Mapping[str, Any]) -> dict[str, str | None]:
            elements = with_element(parse_elements(annotations_of(current).get(CONFIGURATION)), element)
            text = json.dumps(elements, separators=(",", ":"))
            if len(text) > MAX_BYTES:
                raise CniError(
                    API_REFUSED, f"annotation {CONFIGURATION} would have {len(text)} bytes, over {MAX_BYTES}"
                )
            return {CONFIGURATION: text, MAPPED_DIR: mapped_dir}

        try:
            self._merge(namespace, name, uid, change, pod)
        except PodGone as gone:
            raise CniError(TRY_AGAIN_LATER, f"pod {namespace}/{name} is gone: {gone}"[:300]) from gone

    def withdraw(self, namespace: str, name: str, uid: str, container_id: str, ifname: str) -> None:
        """Remove the element; the last one takes both annotations with it. A pod that is gone needs nothing."""

        def change(current: Mapping[str, Any]) -> dict[str, str | None]:
            before = parse_elements(annotations_of(current).get(CONFIGURATION))
            after = without_element(before, container_id, ifname)
            if len(after) == len(before):
                return {}
            if not after:
                return {CONFIGURATION: None, MAPPED_DIR: None}
            return {CONFIGURATION: json.dumps(after, separators=(",", ":"))}

        try:
            self._merge(namespace, name, uid, change, None)
        except PodGone:
            return

    def _merge(
        self,
        namespace: str,
        name: str,
        uid: str,
        change: Callable[[Mapping[str, Any]], dict[str, str | None]],
        pod: Mapping[str, Any] | None,
    ) -> None:
        deadline = time.monotonic() + self._seconds
        attempt = 0
        while attempt < ATTEMPTS and time.monotonic() < deadline:
            pod = self._pods.get(namespace, name) if pod is None else pod
            if uid and identity(pod)[2] != uid:
                raise PodGone(f"{namespace}/{name} is another pod by now")
            changes = change(pod)
            if not changes:
                return
            try:
                self._pods.patch(namespace, name, patch_body(pod, changes))
            except Conflict:
                # Others write too: Multus its network-status, the kubelet the pod's status.
                self._pause(FIRST_PAUSE * 2 ** min(attempt, 5) * (0.5 + random.random()))
                pod = None
                attempt += 1
            else:
                return
        raise CniError(TRY_AGAIN_LATER, f"pod {namespace}/{name} kept changing while it was being annotated")


def identity(pod: Mapping[str, Any]) -> tuple[str, str, str]:
    """Namespace, name and uid."""
    metadata = pod.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    namespace, name, uid = (str(metadata.get(key) or "") for key in ("namespace", "name", "uid"))
    return namespace, name, uid
