# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each attachment has, on disk before it is made: whoever cleans up later knows what there may be.

A record is written without waiting for the disk. It outlives the agent; what a power cut takes with it belongs to pods
that are gone as well, and DEL without a record still removes what follows from its parameters.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fastpath_agent.cni.files import TEMPORARY, Files
from fastpath_agent.cni.request import CONTAINER_ID, INTERFACE_NAME
from fastpath_agent.model import PodOwner
from fastpath_agent.protocol import PLUGINS

ADDING, ADDED = "adding", "added"
SUFFIX = ".json"
MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Step:
    """One thing that was made, and what is needed to take it back. ``kind`` names the way back."""

    kind: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    plugin: str
    network: str
    container_id: str
    ifname: str
    namespace: str = ""
    pod: str = ""
    uid: str = ""
    state: str = ADDING
    steps: tuple[Step, ...] = ()
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.container_id, self.ifname

    @property
    def owner(self) -> PodOwner:
        return PodOwner(self.container_id, self.ifname, self.namespace, self.pod, self.uid)

    def with_step(self, step: Step) -> Record:
        return replace(self, steps=(*self.steps, step))


class Records:
    """One file for each attachment, below a folder that is the agent's alone."""

    def __init__(self, files: Files, folder: str) -> None:
        self._files = files
        self.folder = folder
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.RLock, int]] = {}

    @contextlib.contextmanager
    def locked(self, container_id: str) -> Iterator[None]:
        """One operation on a container at a time; others are not held up."""
        with self._guard:
            lock, users = self._locks.get(container_id, (threading.RLock(), 0))
            self._locks[container_id] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                users = self._locks[container_id][1] - 1
                if users:
                    self._locks[container_id] = (lock, users)
                else:
                    del self._locks[container_id]

    def get(self, container_id: str, ifname: str) -> Record | None:
        """None where there is none, or none that can be read."""
        try:
            return _parse(self._files.read(self._path(container_id, ifname), MAX_BYTES))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def put(self, record: Record) -> None:
        self._files.make_folder(self.folder, 0o700)
        text = json.dumps(asdict(record), separators=(",", ":"))
        self._files.write(self._path(record.container_id, record.ifname), text.encode(), 0o600)

    def remove(self, container_id: str, ifname: str) -> None:
        self._files.remove(self._path(container_id, ifname))

    def all(self) -> list[Record]:
        """Every record that can be read."""
        try:
            names = sorted(os.listdir(self._files.real(self.folder)))
        except OSError:
            return []
        found = []
        for name in names:
            container_id, at, ifname = name[: -len(SUFFIX)].partition("@")
            if name.endswith(SUFFIX) and not name.startswith(TEMPORARY) and at:
                record = self.get(container_id, ifname)
                if record is not None and record.key == (container_id, ifname):
                    found.append(record)
        return found

    def _path(self, container_id: str, ifname: str) -> str:
        if not CONTAINER_ID.fullmatch(container_id) or not INTERFACE_NAME.fullmatch(ifname):
            raise ValueError(f"no attachment: {container_id!r} {ifname!r}")
        return f"{self.folder}/{container_id}@{ifname}{SUFFIX}"


def _parse(content: bytes) -> Record:
    value = json.loads(content)
    record = Record(**{**value, "steps": tuple(Step(**step) for step in value["steps"])})
    if record.plugin not in PLUGINS or record.state not in (ADDING, ADDED) or not isinstance(record.result, dict):
        raise ValueError("no record")
    return record
