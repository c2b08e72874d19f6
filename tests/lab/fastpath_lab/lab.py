# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab: its namespace, its machines, its folder. Everything the command line offers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import build_disk, build_roots, fresh, host, network, process, services
from .cache import Cache, digest, locked, remove
from .control_plane import ControlPlane
from .errors import LabError
from .node import Machine, Site
from .parallel import for_each
from .progress import say, step
from .topology import DEFAULT_PATH, Node, Topology, load

CHECKOUT = Path(__file__).resolve().parents[3]
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,24}$")
BOOT_TIMEOUT = 600.0  # a boot takes 30 s alone, minutes on a machine that others use
UNUSED_SECONDS = 14 * 86400.0
# ssh from within the lab's network, wherever it is called from: Ansible takes it for the lab's nodes.
_TRANSPORT = """#!/bin/sh
{mark}='{owner}#ssh' exec nsenter --net=/run/netns/{netns} ssh -o ControlPath={run}/%h-%r "$@"
"""


def default_name(checkout: Path = CHECKOUT) -> str:
    """Return the name of a checkout's lab, from its path."""
    return hashlib.sha256(str(checkout).encode()).hexdigest()[:8]


class Lab:
    """One lab. ``Lab.open()`` gives that of the checkout, or the one in FASTPATH_LAB.

    The checkout's own lab keeps its files in ``.lab``, others in ``.lab/labs/NAME``.
    """

    def __init__(self, name: str, topology: Topology, cache: Cache, state: Path) -> None:
        if not _NAME.match(name):
            raise LabError(f"{name!r} is no name for a lab: a-z, 0-9 and -, at most 25")
        self.name, self.topology, self.cache, self.state = name, topology, cache, state
        self.netns = f"fp-{name}"
        self.owner = f"{name}@{state}"
        self.run_dir = Path("/run/fastpath") / name
        self._site: Site | None = None
        self._lock_depth = 0

    @property
    def home(self) -> Path:
        """The folder of the checkout's own lab, which holds those of the others."""
        return self.state.parent.parent if self.state.parent.name == "labs" else self.state

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab for one command; a command may use another one."""
        self.state.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            if not self._lock_depth:
                stack.enter_context(locked(self.state / "lock", "waiting for another command on this lab"))
            self._lock_depth += 1
            try:
                yield
            finally:
                self._lock_depth -= 1

    @classmethod
    def open(cls, name: str | None = None, topology: Path = DEFAULT_PATH, cache: Cache | None = None) -> Lab:
        """Return the lab of this checkout or the named one; nothing is started."""
        own = default_name()
        name = name or os.environ.get("FASTPATH_LAB") or own
        state = CHECKOUT / ".lab" if name == own else CHECKOUT / ".lab/labs" / name
        return cls(name, load(topology), cache or Cache(), state)

    # -- what is there ---------------------------------------------------------------

    def _settings(self) -> Path:
        return self.state / "lab.json"

    def site(self) -> Site:
        """Return the parts that the running lab was made of. Raises LabError when down."""
        if self._site is None:
            try:
                values = json.loads(self._settings().read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise LabError("the lab is not up: lab up") from error
            self._site = self._make_site(Path(values["qemu"]), Path(values["base"]), values["accel"])
        return self._site

    def _make_site(self, qemu: Path, base: Path, accel: str) -> Site:
        return Site(
            netns=self.netns,
            owner=self.owner,
            qemu=qemu,
            base=base,
            key=self.state / "key",
            console=self.state / "console",
            accel=accel,
            network=self.topology.network,
        )

    def is_up(self) -> bool:
        """Tell whether the lab's network is complete."""
        return self._settings().exists() and network.exists(self.netns) and self.run_dir.exists()

    def machine(self, name: str) -> Machine:
        """Return a node of the running lab."""
        node = self.topology.select([name])[0]
        return Machine(self.site(), node, self.state / "nodes" / name)

    def machines(self, names: Sequence[str] = ()) -> list[Machine]:
        """Return the named nodes, or all that have been started in this lab."""
        if names:
            return [self.machine(node.name) for node in self.topology.select(list(names))]
        return [
            self.machine(name) for name in self.topology.nodes if (self.state / "nodes" / name / "disk.qcow2").exists()
        ]

    def status(self) -> dict[str, Any]:
        """Return the state of the lab and its nodes as plain values."""
        up = self.is_up()
        nodes = {}
        for name, node in self.topology.nodes.items():
            pids = process.owned(f"{self.owner}#{name}")
            nodes[name] = {"address": node.address, "running": bool(pids), "pids": pids, "iommu": node.iommu}
        return {
            "name": self.name,
            "up": up,
            "namespace": self.netns,
            "state": str(self.state),
            "accel": self.site().accel if up else None,
            "key": str(self.state / "key"),
            "nodes": nodes,
        }

    # -- up and down -----------------------------------------------------------------

    def build(self) -> Site:
        """Fill the cache with what all nodes share and return the parts."""
        host.prepare()
        qemu = build_roots.qemu_root(self.cache, self.topology.qemu)
        guest = build_roots.guest_root(self.cache, self.topology.image)
        module = build_roots.vdpa_module(self.cache, self.topology, guest)
        base = build_disk.base_disk(self.cache, self.topology, guest, module, qemu)
        accel = fresh.accelerator(self.cache, qemu, base)
        return self._make_site(qemu, base, accel)

    def warm(self, names: Sequence[str] = ()) -> None:
        """Fill the cache for the named nodes, or the default ones, saved states included."""
        self.build()
        with self.beside("build") as other:
            other.up(names)

    @contextlib.contextmanager
    def beside(self, purpose: str) -> Iterator[Lab]:
        """Have another lab for a while, to make something in; nothing is left of it."""
        helper = f"{purpose}-{digest([str(self.state), os.getpid()])[:8]}"
        other = Lab(helper, self.topology, self.cache, self.state / "labs" / helper)
        try:
            yield other
        finally:
            other.down()
            remove(other.state)

    def up(self, names: Sequence[str] = (), boot: bool = False) -> list[str]:
        """Start the named nodes (or the default ones); return those that were started.

        Nodes that run already are left as they are. With ``boot`` new nodes boot from
        their disk instead of loading the saved state of a booted one. When it fails or is
        interrupted, what this call started is taken down again.
        """
        nodes = self.topology.select(list(names))
        with self.locked():
            created = not self.is_up()
            started: list[Machine] = []
            try:
                with process.interruptible():
                    self._up(nodes, boot, started)
            except BaseException:
                say("cleaning up")
                if created:
                    self._down()
                else:
                    for machine in started:
                        machine.kill()
                raise
        return [machine.node.name for machine in started]

    def _up(self, nodes: list[Node], boot: bool, started: list[Machine]) -> None:
        self.ensure()
        machines = [self.machine(node.name) for node in nodes]
        for machine in machines:
            if not machine.ready:
                machine.kill()  # a run that was killed had not finished it
        started += [machine for machine in machines if not machine.running()]
        with step(f"nodes: {', '.join(machine.node.name for machine in machines)}"):
            for_each(lambda machine: self._bring(machine, boot), machines)

    def ensure(self) -> None:
        """Have the lab's network and its way out, without any node. The lab is held by the caller."""
        created = not self.is_up()
        if created:
            self._down()  # whatever a killed run left
        site = self.build()
        if created:
            self._create(site)
            self.cache.prune({site.qemu, site.base}, UNUSED_SECONDS)
        self._ensure_uplink()

    def _create(self, site: Site) -> None:
        for folder in (self.state / "nodes", site.console, self.run_dir):
            folder.mkdir(parents=True, exist_ok=True)
        keys = build_disk.key(self.cache)
        # The inventory names the key of the checkout, whatever the lab's name is.
        for folder in sorted({self.state, self.home}):
            for source, target in (("id", "key"), ("id.pub", "key.pub")):
                partial = folder / f".{target}.{os.getpid()}"
                shutil.copy(keys / source, partial)
                os.chmod(partial, 0o600)
                os.replace(partial, folder / target)
        network.create(self.netns, self.topology.network)
        self._write_inside_files()
        values = {"qemu": str(site.qemu), "base": str(site.base), "accel": site.accel}
        self._settings().write_text(json.dumps(values), encoding="utf-8")
        self._site = None

    def _ensure_uplink(self) -> None:
        owner = f"{self.owner}#uplink"
        if not process.owned(owner):
            network.start_uplink(
                self.netns, self.topology.network, self.site().qemu / "root", owner, self.state / "uplink.log"
            )

    def _write_inside_files(self) -> None:
        (self.run_dir / "owner").write_text(self.owner, encoding="utf-8")
        (self.state / "resolv.conf").write_text(f"nameserver {self.topology.network.name_server}\n", encoding="utf-8")
        transport = self.state / "ssh"
        transport.write_text(_TRANSPORT.format(netns=self.netns, mark=process.MARK, owner=self.owner, run=self.run_dir))
        transport.chmod(0o755)

    def _bring(self, machine: Machine, boot: bool) -> None:
        loaded = False
        if machine.running():
            pass
        elif machine.ready:
            machine.start()  # it was switched off: real hardware boots its own disk
        elif boot:
            machine.create_disk()
            machine.start()
        else:
            fresh.restore(self.cache, machine)
            loaded = True
        took = machine.wait_ssh(BOOT_TIMEOUT, set_clock=loaded)
        say(f"{machine.node.name}: ssh answers after {took:.1f} s")

    def down(self) -> None:
        """Remove the lab: processes, namespace, disks. The consoles and reports stay."""
        with self.locked():
            self._down()

    def _check_owner(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            owner = (self.run_dir / "owner").read_text(encoding="utf-8")
            if owner != self.owner:
                raise LabError(
                    f"the name {self.name} is taken by the lab of "
                    f"{owner.partition('@')[2]}: set FASTPATH_LAB to another one"
                )

    def _down(self) -> None:
        self._check_owner()
        ours = self._processes()
        process.end(ours, lambda pid: pid in self._processes())
        network.remove(self.netns)
        self._settings().unlink(missing_ok=True)
        (self.state / "kubeconfig").unlink(missing_ok=True)
        for folder in (self.state / "nodes", self.state / "control-plane", self.run_dir):
            remove(folder)
        with contextlib.suppress(OSError):
            self.run_dir.parent.rmdir()
        self._site = None

    def _processes(self) -> list[int]:
        names = ("uplink", "ssh", *services.PROCESSES, *self.topology.nodes)
        return [pid for name in names for pid in process.owned(f"{self.owner}#{name}")]

    # -- nodes -----------------------------------------------------------------------

    def kill(self, names: Sequence[str]) -> None:
        """Cut nodes' power."""
        with self.locked():
            for machine in self.machines(names):
                machine.kill()
            self.forget_connections(names)

    def start(self, names: Sequence[str]) -> None:
        """Boot nodes from their own disks and wait for ssh."""

        def boot(machine: Machine) -> None:
            if not machine.running():
                if not machine.disk.exists():
                    machine.create_disk()
                machine.start()
            machine.wait_ssh(BOOT_TIMEOUT)

        with self.locked(), process.interruptible():
            for_each(boot, self.machines(names))

    def reset(self, names: Sequence[str]) -> None:
        """Cut nodes' power and boot the same disks again."""
        with self.locked():
            self.kill(names)
            self.start(names)

    def snapshot(self, snapshot: str, names: Sequence[str] = ()) -> None:
        """Save the state of nodes under a name, and of the control plane at the same moment, where there is one."""
        if snapshot == fresh.STATE or not _NAME.match(snapshot):
            raise LabError(f"{snapshot!r} is no name for a snapshot")
        with self.locked():
            machines = self.machines(names)
            with ControlPlane(self).saving(snapshot, [machine.node.name for machine in machines]):
                for_each(lambda machine: machine.save(snapshot), machines)

    def restore(self, names: Sequence[str] = (), snapshot: str | None = None) -> None:
        """Bring nodes back to the fresh state, or to a saved one, and wait for ssh."""
        with self.locked(), process.interruptible():
            machines = self.machines(names)
            restored = [machine.node.name for machine in machines]
            plane = ControlPlane(self)
            plane.check(snapshot or fresh.STATE, restored)
            for machine in machines:
                machine.kill()
            self.forget_connections(restored)
            plane.put_back(snapshot or fresh.STATE, restored)

            def bring(machine: Machine) -> None:
                if snapshot:
                    machine.start(load=snapshot)
                else:
                    fresh.restore(self.cache, machine)
                machine.wait_ssh(BOOT_TIMEOUT, set_clock=True)

            with step(f"restore: {', '.join(restored)}"):
                for_each(bring, machines)

    def forget_connections(self, names: Sequence[str]) -> None:
        """End the shared ssh connections to nodes whose other side is gone."""
        wanted = [f"{self.run_dir}/{self.topology.nodes[name].address}-".encode() for name in names]

        def stale(pid: int) -> bool:
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
                return line.startswith(b"ssh: ") and any(text in line for text in wanted)
            return False

        process.end([pid for pid in network.members(self.netns) if stale(pid)], stale)
        for name in names:
            for socket in self.run_dir.glob(f"{self.topology.nodes[name].address}-*"):
                socket.unlink(missing_ok=True)

    def ssh(
        self, name: str, command: str, timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a node. Raises LabError when it fails and ``check``."""
        done = self.machine(name).ssh(command, timeout=timeout)
        if check and done.returncode:
            raise LabError(f"{name}: {command}: {done.returncode}: {done.stdout}{done.stderr}")
        return done

    # -- commands inside -------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """Return the environment of a command inside the lab; labs share addresses, but no ssh connections."""
        kubeconfig = self.state / "kubeconfig"
        return {
            **os.environ,
            **({"KUBECONFIG": str(kubeconfig)} if kubeconfig.exists() else {}),
            "FASTPATH_LAB": self.name,
            "FASTPATH_LAB_STATE": str(self.state),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.run_dir),
            "ANSIBLE_SSH_CONTROL_PATH": "%(directory)s/%%h-%%p-%%r",
            "ANSIBLE_HOST_KEY_CHECKING": "False",
        }

    def exec_argv(self, argv: Sequence[str]) -> list[str]:
        """Return an argv that runs ``argv`` in the lab's namespace."""
        if not self.is_up():
            raise LabError("the lab is not up: lab up")
        from . import inside

        return inside.command(self.netns, self.state / "resolv.conf", argv)
