# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent as a whole: one loop that follows the list of devices and sysfs, and says what it finds.

Everything that takes long (processes, Open vSwitch, requests) has threads of its own. The loop wakes when the list is
written, when a process comes or goes, and once a second.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import DEVICES, read_pci

from fastpath_agent import device_map
from fastpath_agent.backend import Backend
from fastpath_agent.config import FOLLOW, TRANSLATE, VDPA, Config
from fastpath_agent.folders import PodFolders
from fastpath_agent.lease_file import LeaseFile
from fastpath_agent.map_files import PCI_LIST, SOCKET_LIST, format_socket_list
from fastpath_agent.model import DeviceState, SocketLease
from fastpath_agent.ovs_backend import DATABASE_SECONDS, OvsBackend
from fastpath_agent.pci_list import PciListFile
from fastpath_agent.places import Places
from fastpath_agent.process_backend import ProcessBackend
from fastpath_agent.programs import DpdkTestpmd, DpdkVdpa
from fastpath_agent.sockets import Sockets
from fastpath_agent.watch import FolderWatch

TICK_SECONDS = 1.0
# sysfs says nothing of its own accord; a change of what is listed is seen at the next tick, all else after this time.
SYSFS_SECONDS = 10.0
OVS_SECONDS = 2.0
TIDY_SECONDS = 60.0
# A loop that has not come round for so long hangs.
ALIVE_SECONDS = 20.0

# A lease whose socket stopped to work (with the reason) or works again (without).
Listener = Callable[[SocketLease, str], None]

log = logging.getLogger(__name__)


class Agent:
    """``start`` and ``stop``; in between ``sockets`` is for CNI, ``lookup`` for gRPC, ``states`` for everybody."""

    def __init__(self, config: Config, host: Host) -> None:
        self.config = config
        self._host = host
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        folders = PodFolders(host, config.directory, config.links_in_pod_folders, config.kubelet)
        places = Places(host, f"{config.state_directory}/places.json")
        programs = ((VDPA, DpdkVdpa(config.vdpa)), (TRANSLATE, DpdkTestpmd(config.translate)))
        self._process_backends = tuple(
            ProcessBackend(name, program, config, folders, places, self.wake) for name, program in programs
        )
        self._ovs = OvsBackend(config, folders, Ovsdb(host, config.ovs_database, timeout=DATABASE_SECONDS))
        self.backends: tuple[Backend, ...] = (*self._process_backends, self._ovs)
        self.sockets = Sockets(self.backends, LeaseFile(host, f"{config.state_directory}/leases.json"), folders)
        self.listeners: list[Listener] = []
        # Called at the end of each round.
        self.on_tick: list[Callable[[], None]] = []
        self._list = PciListFile(host, config.directory, config.pci_list == FOLLOW)
        self._watch: FolderWatch | None = None
        self._devices: tuple[PciDevice, ...] = ()
        self._signature: Any = None
        self._vfs: frozenset[str] = frozenset()
        self._slots: list[device_map.Slot] = []
        self._broken: dict[tuple[str, str], str] = {}
        self._listed: tuple[str, ...] = ()
        # What went wrong in which step of a round, the last time.
        self._troubles: dict[int, str] = {}
        self._sysfs_due = self._tidy_due = 0.0
        self._last_tick = 0.0
        self._stopping = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="agent", daemon=True)
        self._ovs_thread = threading.Thread(target=self._tend_ovs, name="ovs", daemon=True)

    def start(self) -> None:
        """Take over what a former agent left, and look at everything once before the first request comes."""
        os.makedirs(self.config.state_directory, mode=0o700, exist_ok=True)
        os.makedirs(self.config.directory, mode=0o755, exist_ok=True)
        try:
            self._watch = FolderWatch(self.config.directory, (PCI_LIST, SOCKET_LIST))
        except OSError as error:
            log.warning("No inotify (%s): %s is looked at once a second.", error, self.config.directory)
        self.sockets.restore()
        self.tick()
        self._thread.start()
        self._ovs_thread.start()

    def stop(self, let_go: bool = False) -> None:
        """``let_go``: leave the processes behind the sockets running, for an agent to come."""
        self._stopping = True
        self._stopped.set()
        self.wake()
        started = self._thread.is_alive()
        if started:
            self._thread.join()
            # It may wait for a database that does not answer.
            self._ovs_thread.join(OVS_SECONDS)
        for backend in self._process_backends:
            backend.stop(let_go)
        if started and not let_go:
            with suppress(OSError):
                # Nothing can be connected to any more.
                self._write_socket_list()
        if self._watch is not None:
            self._watch.close()
        for descriptor in (self._wake_read, self._wake_write):
            os.close(descriptor)

    def wake(self) -> None:
        """Something changed. From any thread, never blocks; a full pipe wakes as well."""
        with suppress(BlockingIOError, OSError):
            os.write(self._wake_write, b"x")

    def lookup(self, address: str) -> str:
        """The socket of a device at this moment; empty where there is none."""
        return next((path for path in (backend.socket_of(address) for backend in self._process_backends) if path), "")

    def states(self) -> list[DeviceState]:
        return self.sockets.states()

    @property
    def alive(self) -> bool:
        """Whether the loop comes round."""
        return self._thread.is_alive() and time.monotonic() - self._last_tick < ALIVE_SECONDS

    @property
    def problem(self) -> str:
        """Why no pod can be given a socket of any pool now; empty while there is a back end of use."""
        used = {pool.backend for pool in self.config.pools} or {VDPA}
        problems = [backend.problem for backend in self.backends if backend.name in used]
        return "; ".join(problems) if all(problems) else ""

    @property
    def ready(self) -> bool:
        """Whether everything was looked at, and no back end is without use."""
        return self._last_tick > 0 and not any(backend.problem for backend in self.backends)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the list of devices, and what went wrong in the last round."""
        return (*self._listed, *self._troubles.copy().values())

    def tick(self) -> None:
        """One round. A step that goes wrong is said and tried again at the next; it keeps no other from its work."""
        own = (self._look_at_sysfs, self._offer, self._follow, self._tidy, self._write_socket_list, self._tell)
        for number, step in enumerate((*own, *self.on_tick)):
            try:
                step()
                self._troubles.pop(number, None)
            except (FastpathError, OSError) as error:
                self._trouble(number, str(error))
            except Exception as error:
                # A loop that ended would take all pods' traffic with it, since the container is then started anew.
                self._trouble(number, f"{type(error).__name__}: {error}", unforeseen=True)
        self._last_tick = time.monotonic()

    def _trouble(self, number: int, text: str, unforeseen: bool = False) -> None:
        """Said once, however often it comes again."""
        if self._troubles.get(number) != text:
            log.error("%s", text, exc_info=unforeseen)
        self._troubles[number] = text

    def _tidy(self) -> None:
        if time.monotonic() >= self._tidy_due:
            self.sockets.tidy()
            self._tidy_due = time.monotonic() + TIDY_SECONDS

    def _tend_ovs(self) -> None:
        """Apart from the loop: an Open vSwitch that hangs holds nobody else up."""
        while not self._stopping:
            try:
                self._ovs.tend()
            except Exception:
                log.exception("Ports of Open vSwitch could not be looked at, in an unforeseen way.")
            self._stopped.wait(OVS_SECONDS)

    def _loop(self) -> None:
        while not self._stopping:
            watched = [self._wake_read, *([self._watch.fileno()] if self._watch else [])]
            select.select(watched, [], [], TICK_SECONDS)
            with suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
            if self._watch is not None:
                # Read before the files are, so that what changes meanwhile is seen at the next round.
                self._watch.changed()
            if not self._stopping:
                self.tick()

    def _look_at_sysfs(self) -> None:
        """A full look only where something changed, or now and then: a node can have thousands of functions."""
        links = [
            (slot.address, self._link(slot.address, "driver"), self._link(slot.address, "physfn"))
            for slot in self._slots
        ]
        signature = self._host.listdir(DEVICES), links
        now = time.monotonic()
        if signature == self._signature and now < self._sysfs_due:
            return
        self._devices = read_pci(self._host)
        self._signature, self._sysfs_due = signature, now + SYSFS_SECONDS
        present = {device.address for device in self._devices}
        vfs = {device.address for device in self._devices if device.physfn}
        self._vfs = frozenset(vfs | (self._vfs & present))

    def _link(self, address: str, name: str) -> str | None:
        return self._host.link_name(f"{DEVICES}/{address}/{name}")

    def _offer(self) -> None:
        self._list.offer(device_map.listed_by_pools(self.config, self._devices))

    def _follow(self) -> None:
        listed = self._list.read()
        leased = {lease.device: lease.backend for lease in self.sockets.leases()}
        pools = {slot.address: slot.pool for slot in self._slots}
        self._slots = device_map.slots(
            self.config, listed.addresses, self._devices, self._vfs, pools, leased, self._group_exists
        )
        unlisted = device_map.unlisted(self._slots, listed.addresses)
        problems = (*listed.problems, *(f"{address} is leased, and in the list no more" for address in unlisted))
        for problem in set(problems) - set(self._listed):
            log.warning("%s", problem)
        self._listed = problems
        for backend in self._process_backends:
            translated = backend.name == TRANSLATE
            backend.follow([slot for slot in self._slots if (slot.pool.backend == TRANSLATE) == translated])

    def _group_exists(self, device: PciDevice) -> bool:
        names = (str(device.iommu_group), f"noiommu-{device.iommu_group}")
        return any(self._host.exists(f"/dev/vfio/{name}") for name in names)

    def _write_socket_list(self) -> None:
        """Whole or not at all, and only what can be connected to."""
        pairs = [(slot.address, self.lookup(slot.address)) for slot in self._slots]
        text = format_socket_list((address, path) for address, path in pairs if path)
        path = f"{self.config.directory}/{SOCKET_LIST}"
        if self._host.read(path) != text:
            self._host.write_file(path, text)

    def _tell(self) -> None:
        """Say of each lease when its socket stops to work, and when it works again."""
        before = self.sockets.given()
        states = {state.device: state for state in self.states()}
        # Pods come and go meanwhile, and a device of Open vSwitch with its pod.
        given = [lease for lease in self.sockets.given() if lease in before]
        for lease in given:
            state = states.get(lease.device)
            reason = _trouble(state)
            if reason == self._broken.get(lease.owner.key, ""):
                continue
            self._broken[lease.owner.key] = reason
            log.log(logging.ERROR if reason else logging.INFO, "%s: %s", lease.owner, reason or "works again")
            for listener in self.listeners:
                listener(lease, reason)
        keys = {lease.owner.key for lease in given}
        self._broken = {key: reason for key, reason in self._broken.items() if key in keys and reason}


def _trouble(state: DeviceState | None) -> str:
    if state is None:
        return "its device is not known any more"
    if state.hopeful:
        return ""
    return state.reason or f"its device is {state.state}"
