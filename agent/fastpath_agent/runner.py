# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps one process for one device: started, watched, started again, and its socket where it belongs.

A socket that pods connect to is always bound in the agent's own folder, and moved into a pod's folder when the device
is leased: that takes no longer than a rename, and no program with rights ever works in a folder that a pod writes to.
After a lease the process is replaced. That cuts off whoever is still connected, resets the device, and makes a socket
that no former pod has ever seen.
"""

from __future__ import annotations

import json
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError

from fastpath_agent.child import Child
from fastpath_agent.connections import served
from fastpath_agent.folders import PodFolders
from fastpath_agent.model import DeviceState, NotReady, SocketLease
from fastpath_agent.programs import SocketProgram, Task
from fastpath_agent.unix_sockets import is_socket

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# A process that has lived for so long was a good one: the next pause is short again.
GOOD_SECONDS = 60.0
ATTACH_SECONDS = 20.0
UMASK = 0o177

log = logging.getLogger(__name__)


class Runner(threading.Thread):
    """``task`` has the device, its socket in the agent's own folder, and the mode that is prepared for."""

    def __init__(
        self, program: SocketProgram, task: Task, folder: str, folders: PodFolders, notify: Callable[[], None]
    ) -> None:
        super().__init__(name=f"runner {task.address}", daemon=True)
        self.task = task
        self._program = program
        self._folder = folder
        self._folders = folders
        self._notify = notify
        self._changed = threading.Condition()
        self._state, self._reason = "starting", ""
        self._lease: SocketLease | None = None
        self._placed: SocketLease | None = None
        # What the process that runs now was started for.
        self._current: Task | None = None
        self._starting: Child | None = None
        self._pid: int | None = None
        self._lives = self._failures = 0
        self._replace = self._stopping = self._let_go = False
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def hold(self, lease: SocketLease) -> None:
        """Before the start: a lease that is there already."""
        self._lease = lease

    def attach(self, lease: SocketLease, timeout: float = ATTACH_SECONDS) -> None:
        """Return when the lease's socket is in its place. Raises NotReady where that fails, or takes too long."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._lease = lease
            if self._current is not None and self._state == "ready":
                self._serve(lease)
            # A life that began before may fail; one that is yet to begin has to, before it counts.
            first = self._lives + (0 if self._state == "starting" else 1)
            self._wake()
            while self._placed != lease:
                left = deadline - time.monotonic()
                if self._stopping or left <= 0 or (self._state == "failed" and self._lives >= first):
                    raise NotReady(f"{self.task.address} is {self._state}. {self._reason}".strip())
                self._changed.wait(left)

    def detach(self, lease: SocketLease) -> None:
        """The process is replaced in the background; a next lease waits for that."""
        with self._changed:
            if self._lease != lease:
                return
            self._lease = self._placed = None
            self._replace = True
            if self._state in ("ready", "leased"):
                self._set("recycling")
            self._wake()

    def stop(self, let_go: bool = False) -> None:
        """End the process and the thread. ``let_go``: leave the process running, for an agent to come."""
        with self._changed:
            self._stopping, self._let_go = True, let_go
            if self._starting is not None:
                # Nobody waits for a program that may take long to come up.
                self._starting.interrupt()
            self._wake()

    @property
    def socket(self) -> str:
        """Where the device can be reached at this moment; empty where it cannot."""
        with self._changed:
            if self._placed is not None:
                return self._placed.path
            current = self._current
            return current.socket if self._state == "ready" and current and current.mode == "client" else ""

    def state(self, connections: bool = True) -> DeviceState:
        """``connections``: also whether somebody is connected, which takes longer to find out."""
        with self._changed:
            current = self._current
            known = DeviceState(
                device=self.task.address,
                backend="",
                pool=self.task.pool.name,
                state=self._state,
                reason=self._reason,
                restarts=self._failures,
                pid=self._pid,
                numa_node=self.task.numa_node,
            )
            known = replace(known, socket=self.socket)
        if not connections or current is None or current.mode == "server" or known.pid is None:
            return known
        bound = served(known.pid, current.socket)
        return replace(known, connected=bound.connections > 0 if bound else None)

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping:
            began = time.monotonic()
            try:
                self._live()
                pause = FIRST_PAUSE
            except Exception as failure:
                # Whatever it was, the device is tried again, and others are not held up.
                if not isinstance(failure, (FastpathError, OSError)):
                    log.exception("%s failed in an unforeseen way.", self.task.address)
                pause = FIRST_PAUSE if time.monotonic() - began > GOOD_SECONDS else pause
                self._fail(failure.message if isinstance(failure, FastpathError) else str(failure))
                self._pause(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        with self._changed:
            self._set("absent")
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1

    def _live(self) -> None:
        """From a start of the process to the moment when another one is wanted; an end before that raises."""
        with self._changed:
            self._replace = False
            self._lives += 1
            lease = self._lease
            if lease is None and self.task.mode == "server":
                # Where to connect to is known only with a pod.
                self._set("ready")
        if lease is None and self.task.mode == "server":
            self._wait_for_work(None)
            return
        task = self.task
        if lease is not None:
            task = replace(task, mode=lease.mode, socket=lease.path if lease.mode == "server" else task.socket)
        child = self._adopt(task) or self._start(task, lease)
        try:
            self._opened(child, task)
            self._wait_for_work(child)
        finally:
            self._leave(child, task)

    def _adopt(self, task: Task) -> Child | None:
        """A process of a former agent, if it was started for this very task and had come as far as to make the socket.

        Whatever else has the device would be in the way, and is ended.
        """
        child = Child.adopt(self._folder, self._program.prompt)
        if child is None:
            return None
        if self._read_mark() == self._mark(task) and (task.mode == "server" or served(child.pid, task.socket)):
            return child
        child.end()
        return None

    def _start(self, task: Task, lease: SocketLease | None) -> Child:
        with self._changed:
            # Why it failed before stays until it works: a device that only starts again and again is of no use.
            self._set("recycling" if self._state == "recycling" else "starting", self._reason)
        os.makedirs(os.path.dirname(self.task.socket), mode=0o711, exist_ok=True)
        self._clean(task)
        if lease is not None:
            self._folders.make(lease, task.pool.access)
        child = Child.start(self._program.command(task), self._folder, self._program.prompt, UMASK)
        with self._changed:
            self._starting = child
        try:
            child.greet(self._program.settings.start_seconds)
            self._program.open(child, task)
            if task.mode == "client" and not is_socket(task.socket):
                raise NotReady(f"There is no {task.socket}. {child.last_words()}".strip())
            with open(self._mark_path, "w", encoding="utf-8") as file:
                file.write(self._mark(task))
        except BaseException:
            self._leave(child, task)
            raise
        return child

    def _opened(self, child: Child, task: Task) -> None:
        with self._changed:
            self._pid, self._current, self._starting = child.pid, task, None
            if self._lease is None:
                self._set("ready")
            else:
                self._serve(self._lease)

    def _serve(self, lease: SocketLease) -> None:
        """Give a lease what runs, or have it replaced by what can serve the lease. Called with the lock held."""
        current = self._current
        if current is None or current.mode != lease.mode or (lease.mode == "server" and current.socket != lease.path):
            self._replace = True
            return
        if lease.mode == "client" and is_socket(current.socket):
            self._folders.make(lease, self.task.pool.access)
            self._folders.place(current.socket, lease, self.task.pool.access)
            bound = served(self._pid, current.socket) if self._pid is not None else None
            if bound is not None and bound.connections:
                # Somebody without a lease was connected already, or was just in time.
                self._folders.remove_socket(lease)
                self._replace = True
                return
        self._placed = lease
        self._set("leased")

    def _wait_for_work(self, child: Child | None) -> None:
        """Returns when the process shall be replaced, or the thread shall end."""
        while True:
            with self._changed:
                idle_server = child is None and self._lease is not None
                if self._replace or self._stopping or idle_server:
                    return
            watched = [self._wake_read, *([child.fileno(), child.ended_fileno] if child else [])]
            readable = select.select(watched, [], [])[0]
            if self._wake_read in readable:
                os.read(self._wake_read, 4096)
            if child is not None:
                child.drain()
                if not child.running:
                    raise NotReady(child.exit_reason())

    def _leave(self, child: Child, task: Task) -> None:
        with self._changed:
            self._starting = None
        if self._stopping and self._let_go:
            child.close()
            return
        child.end()
        with self._changed:
            self._pid = self._current = None
            lease, self._placed = self._placed, None
        self._clean(task)
        if lease is not None and lease.mode == "client":
            self._folders.remove_socket(lease)

    def _clean(self, task: Task) -> None:
        """What a killed process left: the program refuses a path where something is. A pod's own socket stays."""
        with suppress(FileNotFoundError):
            os.unlink(self._mark_path)
        if task.mode == "client" and is_socket(task.socket):
            os.unlink(task.socket)

    def _fail(self, reason: str) -> None:
        with self._changed:
            self._failures += 1
            self._set("failed", reason)

    def _pause(self, seconds: float) -> None:
        """Cut short by whoever wants something."""
        if select.select([self._wake_read], [], [], 0 if self._stopping else seconds)[0]:
            os.read(self._wake_read, 4096)

    def _set(self, state: str, reason: str = "") -> None:
        """Called with the lock held."""
        self._state, self._reason = state, reason
        self._changed.notify_all()
        self._notify()

    def _wake(self) -> None:
        """Called with the lock held. A full pipe wakes as well."""
        if self._wake_write >= 0:
            with suppress(BlockingIOError):
                os.write(self._wake_write, b"x")

    @property
    def _mark_path(self) -> str:
        return f"{self._folder}/opened"

    def _mark(self, task: Task) -> str:
        return json.dumps([task.socket, *self._program.argv(task)])

    def _read_mark(self) -> str:
        try:
            with open(self._mark_path, encoding="utf-8") as file:
                return file.read()
        except OSError:
            return ""
