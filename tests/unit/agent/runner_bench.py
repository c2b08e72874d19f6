# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A device whose program is a fake one, below a folder."""

from __future__ import annotations

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import (
    make_program,
    wait_for,
)
from fastpath_agent.config import Pool, Program
from fastpath_agent.folders import PodFolders
from fastpath_agent.model import PodOwner, SocketLease
from fastpath_agent.programs import DpdkVdpa, Task
from fastpath_agent.runner import Runner

ADDRESS = "0000:02:00.3"
POD = PodOwner("c" * 64, "net1", "apps", "one", "0d5f1c66-0000-4000-8000-000000000001")
OTHER = PodOwner("d" * 64, "net1", "apps", "two", "0d5f1c66-0000-4000-8000-000000000002")


class Bench:
    """A device whose program is a fake one, below a folder."""

    def __init__(self, place, mode="client", kind=DpdkVdpa) -> None:
        self.folder = place
        settings = Program(make_program(place), start_seconds=10)
        self.program = kind(settings)
        self.folders = PodFolders(Host(), str(place / "run"), links=True)
        self.idle = place / "run/vhost/vdpa-0"
        pool = Pool("vdpa_a", mode=mode)
        cpus = (1,) if kind is DpdkVdpa else (1, 1)
        self.task = Task(ADDRESS, str(self.idle), mode, pool, cpus)
        self.runner = self.new()

    def new(self) -> Runner:
        self.runner = Runner(self.program, self.task, str(self.folder / "pipes"), self.folders, lambda: None)
        return self.runner

    def lease(self, owner=POD, mode="client") -> SocketLease:
        return self.folders.lease("vdpa", ADDRESS, "vdpa-0", owner, mode)

    def is_in(self, state: str):
        return lambda: self.runner.state().state == state

    def state(self):
        return self.runner.state()

    def ready(self):
        self.runner.start()
        wait_for(self.is_in("ready"), "a ready device")
        return self

    def end(self, let_go=False):
        self.runner.stop(let_go)
        self.runner.join(10)
        assert not self.runner.is_alive()
