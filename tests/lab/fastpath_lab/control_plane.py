# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's control plane: plain processes in the lab's network, ready in seconds, gone with the lab."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import agent_images, components, extras, images, join, network, pki, process, services
from .cache import remove
from .errors import LabError
from .netns import Connection, connect
from .oci import Layout
from .parallel import for_each
from .progress import say, step
from .registry import Registry
from .services import Place

if TYPE_CHECKING:
    from .lab import Lab

_READY_SECONDS = 120.0
_PHASE_SECONDS = 120.0
_NODE_SECONDS = 300.0
_SET_UP = "set-up"  # in etcd's folder: what it says is true of that data only


class ControlPlane:
    """The control plane of a lab, with its files in the lab's folder. The lab is held while something is changed."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.topology = lab, lab.topology
        self.folder = lab.state / "control-plane"
        self.kubeconfig = lab.state / "kubeconfig"
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    # -- what is there ---------------------------------------------------------------

    def pids(self, name: str) -> list[int]:
        """Return the processes of a part."""
        return process.owned(f"{self.lab.owner}#{name}")

    def running(self) -> bool:
        """Tell whether any part runs."""
        return any(self.pids(name) for name in services.PROCESSES)

    def status(self) -> dict[str, Any]:
        """Return what runs, and all that a node needs to join, as plain values."""
        parts = {name: self.pids(name) for name in services.PROCESSES}
        found: dict[str, Any] = {
            "up": all(parts.values()),
            "version": components.kubernetes_version(),
            "endpoint": services.endpoint(self.topology),
            "registry": services.registry(self.topology),
            "kubeconfig": str(self.kubeconfig),
            "processes": parts,
        }
        with contextlib.suppress(OSError, ValueError):
            found |= json.loads((self.folder / "made-of.json").read_text(encoding="utf-8"))
        return found

    # -- up and down -----------------------------------------------------------------

    def build(self) -> Layout:
        """Fill the cache with all programs and images; return the images."""
        cache = self.lab.cache
        with ThreadPoolExecutor(max_workers=1) as pool:
            unpacked = pool.submit(extras.root, cache, self.topology.extras)
            parts = components.build(cache)
            root = unpacked.result()
        made = images.layout(cache, parts, root)
        self.parts, self._root = parts, root
        return made

    def up(self) -> None:
        """Bring it up, the lab's network included; what runs already is left as it is."""
        with self.lab.locked(), process.interruptible():
            created, was = not self.lab.is_up(), self.running()
            try:
                self.lab.ensure()
                made = self.build()
                self._prepare()
                with step("control plane"):
                    self._start(made)
            except BaseException:
                say("cleaning up")
                if created:
                    self.lab.down()
                elif not was:
                    self._stop()
                raise

    def down(self) -> None:
        """End it and forget what the cluster had. The lab's nodes are left as they are."""
        with self.lab.locked():
            self._stop()
            self.kubeconfig.unlink(missing_ok=True)
            remove(self.folder)

    def restart(self) -> None:
        """End all parts at once, as a power cut would, and start them again with the same data."""
        with self.lab.locked(), self.standing_still():
            pass

    def _stop(self, names: Sequence[str] = services.PROCESSES) -> None:
        for name in names:
            self._end(name)
            child = self._children.pop(name, None)
            if child:
                child.wait()

    def _end(self, name: str) -> None:
        process.end(self.pids(name), lambda pid: pid in self.pids(name))

    @property
    def _place(self) -> Place:
        programs = Path(json.loads((self.folder / "made-of.json").read_text(encoding="utf-8"))["programs"])
        return Place(programs, self.folder / "pki", self.folder)

    def _prepare(self) -> None:
        """Write all that the processes read. Keys stay those that the data was made with."""
        self.folder.mkdir(parents=True, exist_ok=True)
        keys = self.folder / "pki"
        if not keys.exists():
            partial = self.folder / f".pki.{os.getpid()}"
            shutil.copytree(pki.authority(self.lab.cache, self.topology), partial)
            os.rename(partial, keys)
        parts, version = self.parts, components.kubernetes_version()
        made_of = {
            "programs": str(parts.folders["kubernetes"]),
            "extras": str(self._root),
            "folders": {name: str(folder) for name, folder in parts.folders.items()},
            "without": parts.without,
            "stands_in": parts.stands_in,
            "join": services.join_argv(self.topology, pki.authority_hash(keys)),
        }
        inside = f"https://{services.endpoint(self.topology)}"
        texts = {
            "made-of.json": json.dumps(made_of, indent=1) + "\n",
            "audit-policy.json": services.audit_policy(),
            "kubeadm.yaml": services.kubeadm_config(self.topology, version),
            "registry.json": services.registry_config(self.topology, self.folder),
            "admin.kubeconfig": pki.kubeconfig(keys, "admin", inside),
            "controller-manager.kubeconfig": pki.kubeconfig(keys, "controller-manager", inside),
            "scheduler.kubeconfig": pki.kubeconfig(keys, "scheduler", inside),
        }
        for name, text in texts.items():
            _write(self.folder / name, text)

    def _start(self, made: Layout | None = None) -> None:
        place = self._place
        root = Path(json.loads((self.folder / "made-of.json").read_text(encoding="utf-8"))["extras"])
        registry_argv = [*extras.in_root(root, "usr/bin/docker-registry"), "serve", f"{self.folder}/registry.json"]
        self._spawn("registry", registry_argv)
        self._spawn("etcd", services.etcd(place))
        self._wait("etcd", lambda: self._listens("127.0.0.1", 2379))
        self._spawn("kube-apiserver", services.api_server(place, self.topology))
        network.batch(self.lab.netns, services.pod_routes(self.topology))
        pushing = self._registry()
        self._wait("registry", pushing.ready)
        if made:
            pushing.push(made)
        self._wait("kube-apiserver", lambda: self._request("/readyz")[0] == 200)
        self._spawn("kube-controller-manager", services.controller_manager(place))
        self._spawn("kube-scheduler", services.scheduler(place))
        self._open_door()
        self._set_up(place)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait("kube-controller-manager", lambda: bool(self.get(account)))

    def _spawn(self, name: str, argv: Sequence[str]) -> None:
        if not self.pids(name):
            inside = ["ip", "netns", "exec", self.lab.netns, *argv]
            self._children[name] = process.spawn(inside, f"{self.lab.owner}#{name}", self._log(name))

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _wait(self, name: str, condition: Any) -> None:
        """Wait for a part to do its work. Raises LabError with the end of its log when it ends instead."""

        def settled() -> bool:
            child = self._children.get(name)
            if child and child.poll() is not None:
                tail = self._log(name).read_text(encoding="utf-8", errors="replace")[-1500:]
                raise LabError(f"{name} ended with {child.returncode}, end of {self._log(name)}:\n{tail}")
            return bool(condition())

        process.wait_until(settled, _READY_SECONDS, f"{name} (see {self._log(name)})")

    def _listens(self, host: str, port: int) -> bool:
        try:
            connect(self.lab.netns, host, port, 2).close()
        except OSError:
            return False
        return True

    def _request(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        keys = self.folder / "pki"
        tls = ssl.create_default_context(cafile=str(keys / "ca.crt"))
        tls.load_cert_chain(str(keys / "admin.crt"), str(keys / "admin.key"))
        address = (self.topology.network.gateway, self.topology.cluster.api_port)
        connection = Connection(self.lab.netns, *address, tls=tls)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def get(self, path: str) -> dict[str, Any]:
        """Return an object of the cluster by its path at the API server, empty where there is none."""
        status, data = self._request(path)
        return json.loads(data) if status == 200 else {}

    def delete(self, path: str) -> None:
        """Remove an object of the cluster by its path; it may be gone already. Raises LabError when it cannot."""
        status, data = self._request(path, "DELETE")
        if status not in (200, 202, 404):
            raise LabError(f"DELETE {path}: {status}: {data.decode(errors='replace')[-500:]}")

    def _open_door(self) -> None:
        """Make the API server reachable from outside of the lab's network, at the former port where it is free."""
        saved = self.folder / "door-port"
        if not self.pids("door"):
            former = int(saved.read_text(encoding="ascii")) if saved.exists() else 0
            port = _free_port(former)
            script = Path(__file__).resolve().parent / "door.py"
            address = (self.topology.network.gateway, str(self.topology.cluster.api_port))
            argv = [sys.executable, "-I", str(script), self.lab.netns, str(port), *address]
            self._children["door"] = process.spawn(argv, f"{self.lab.owner}#door", self._log("door"))
            self._wait("door", lambda: self._listens("127.0.0.1", port))
            _write(saved, str(port))
        server = f"https://127.0.0.1:{int(saved.read_text(encoding='ascii'))}"
        _write(self.kubeconfig, pki.kubeconfig(self.folder / "pki", "admin", server))

    def _set_up(self, place: Place) -> None:
        """Make what ``kubeadm join`` reads, once for the life of the data."""
        done = place.data / _SET_UP
        if done.exists():
            return
        log = self._log("kubeadm")
        for phase in services.KUBEADM_PHASES:
            argv = ["ip", "netns", "exec", self.lab.netns, *services.kubeadm_phase(place, phase)]
            process.run(argv, timeout=_PHASE_SECONDS, log=log)
        done.touch()

    # -- saved states ----------------------------------------------------------------

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Have it off for a while; it is on again afterwards, if it was on."""
        was = self.running()
        if was:
            self._stop()
        try:
            yield
        finally:
            if was:
                with step("control plane"):
                    self._start()

    def _saved(self, name: str) -> Path:
        return self.folder / "saved" / name

    @contextlib.contextmanager
    def saving(self, name: str, nodes: Sequence[str]) -> Iterator[None]:
        """Keep the data under a name. The nodes are saved meanwhile: nothing is written, so both are of one moment."""
        with self.standing_still():
            yield
            if self.running() or not self._place_has_data():
                return
            target = self._saved(name)
            partial = target.with_name(f".{name}.{os.getpid()}")
            partial.mkdir(parents=True)
            _copy(self.folder / "etcd", partial / "etcd")
            _write(partial / "nodes.json", json.dumps(sorted(nodes)))
            remove(target)
            os.rename(partial, target)

    def _place_has_data(self) -> bool:
        return (self.folder / "etcd").is_dir()

    def check(self, name: str, nodes: Sequence[str]) -> bool:
        """Tell whether data was kept under a name. Raises LabError when nodes that belong to it are not named."""
        saved = self._saved(name)
        if not saved.exists():
            return False
        missing = sorted(set(json.loads((saved / "nodes.json").read_text(encoding="utf-8"))) - set(nodes))
        if missing:
            raise LabError(f"{name} was saved with the control plane: restore {', '.join(missing)} as well")
        return True

    def put_back(self, name: str, nodes: Sequence[str]) -> None:
        """Give it the data that was kept under a name; nothing happens where none was kept."""
        if not self.check(name, nodes):
            return
        with self.standing_still():
            self._take(self._saved(name) / "etcd")

    def start_with(self, data: Path) -> None:
        """Have it on with other data than it has, if any. The lab is held by the caller."""
        made = self.build()
        self._stop()
        self._prepare()
        self._take(data)
        with step("control plane"):
            self._start(made)

    def _take(self, data: Path) -> None:
        fresh = self.folder / f".etcd.{os.getpid()}"
        _copy(data, fresh)
        remove(self.folder / "etcd")
        os.rename(fresh, self.folder / "etcd")

    # -- nodes -----------------------------------------------------------------------

    def join(self, names: Sequence[str]) -> None:
        """Make running nodes nodes of the cluster, and wait until they are ready. It is brought up where it is not."""
        self.up()
        made = self.build()
        argv = self.status()["join"]
        with self.lab.locked(), process.interruptible():
            machines = self.lab.machines(names)
            for_each(lambda machine: join.join(machine, self.topology, self.parts, made, argv), machines)
            for machine in machines:
                self.wait_node(machine.node.name)

    def wait_node(self, name: str) -> None:
        """Wait until a node is ready."""

        def ready() -> bool:
            conditions = self.get(f"/api/v1/nodes/{name}").get("status", {}).get("conditions", [])
            return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

        process.wait_until(ready, _NODE_SECONDS, f"{name}: Ready", interval=0.5)

    def _registry(self) -> Registry:
        return Registry(self.lab.netns, self.topology.network.gateway, self.topology.cluster.registry_port)

    def push_agent_images(self) -> None:
        """Build the images of the node agent and of its workload, and push them to the registry."""
        made = agent_images.layout(self.lab.cache, self.topology.extras.release)
        say(f"pushed {self._registry().push(made)} images of the node agent")

    def load_images(self, names: Sequence[str]) -> None:
        """Put all images into the containerd of nodes."""
        made = self.build()
        for_each(lambda machine: images.load(machine, made, self.topology), self.lab.machines(names))


def _copy(source: Path, target: Path) -> None:
    process.run(["cp", "-a", "--reflink=auto", str(source), str(target)], timeout=120)


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.touch(mode=0o600)
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _free_port(former: int) -> int:
    for port in (former, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise LabError("the machine has no free port")
