# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program as it runs on a node: started, asked, killed, ended."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import connect, make_program, running, wait_for
from fastpath_agent.cli import main

CHECKOUT = Path(__file__).resolve().parents[3]
ADDRESS = "0000:83:00.2"


class Program:
    """``fastpath-agent keep`` with everything below a folder. The device has a driver that needs no IOMMU."""

    def __init__(self, place: Path) -> None:
        self.place = place
        device = place / f"sys/bus/pci/devices/{ADDRESS}"
        device.mkdir(parents=True)
        (device / "uevent").write_text("DRIVER=igb_uio\nPCI_CLASS=20000\nPCI_ID=1AF4:1041\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.config = place / "config.json"
        content = {
            "directory": str(place / "run"),
            "state_directory": str(place / "s"),
            "sysfs": str(place / "sys"),
            "cni_socket": str(place / "cni/cni.sock"),
            "listen": f"127.0.0.1:{port}",
            "grpc": False,
            "vdpa": {"path": make_program(place), "start_seconds": 10},
        }
        self.config.write_text(json.dumps(content))
        (place / "run").mkdir()
        (place / "run/pciList.dat").write_text(f"{ADDRESS}\n")
        environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}/agent:{CHECKOUT}/.build/collections"}
        argv = [sys.executable, "-m", "fastpath_agent", "--config", str(self.config), "--log-level", "warning", "keep"]
        self.process = subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True)

    def ask(self, *argv: str) -> tuple[int, str]:
        out = io.StringIO()
        return main(["--config", str(self.config), *argv], out), out.getvalue()

    def device(self) -> dict:
        try:
            (found,) = json.loads((self.place / "run/status.json").read_text())["devices"]
        except (OSError, ValueError):
            return {"state": ""}
        return found

    def wait(self, state: str = "ready") -> None:
        wait_for(lambda: self.device()["state"] == state, f"the device to be {state}", 30)

    def agent(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (pid,) = [pid for pid in children if b"\0run\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return int(pid)

    def end(self) -> str:
        self.process.terminate()
        return self.process.communicate(timeout=30)[1]


@pytest.fixture
def program(place):
    made = Program(place)
    yield made
    if made.process.poll() is None:
        made.end()


def test_an_agent_that_is_killed_comes_back_and_no_pod_notices(program):
    program.wait()
    before = program.device()
    pod = connect(before["socket"])
    wait_for(lambda: program.device()["connected"], "the connection")
    assert program.ask("probe", "live") == (0, "ok\n")
    assert program.ask("probe", "ready") == (0, "ok\n")
    code, text = program.ask("status")
    assert (code, json.loads(text)["devices"][0]["pid"]) == (0, before["pid"])
    killed = program.agent()
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: program.ask("probe", "live")[0] == 1 or program.agent() != killed, "the end of the agent")
    wait_for(lambda: program.ask("probe", "live")[0] == 0 and program.agent() != killed, "the agent again", 30)
    program.wait()
    assert program.device()["pid"] == before["pid"]
    assert running(before["pid"])
    pod.setblocking(False)
    with pytest.raises(BlockingIOError):
        pod.recv(1)
    said = program.end()
    assert "SIGKILL" in said
    assert program.process.returncode == 0
    assert not running(before["pid"])
    pod.close()


def test_nobody_to_ask(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"listen": "127.0.0.1:1"}')
    out = io.StringIO()
    assert main(["--config", str(config), "probe", "live"], out) == 1
    assert "127.0.0.1:1" in out.getvalue()
    assert main(["--config", str(config), "status"], out) == 1


def test_a_configuration_is_checked(tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text('{"pools": [{"name": "a", "backend": "vpp"}], "vdpa": {"cpus": "0"}}')
    for command in ("check", "run", "keep", "status"):
        assert main(["--config", str(config), command], io.StringIO()) == 2
        said = capsys.readouterr().err
        assert "config.pools[0].backend" in said
        assert "config.vdpa.cpus" in said
    config.write_text('{"pools": [{"name": "a"}]}')
    out = io.StringIO()
    assert main(["--config", str(config), "check"], out) == 0
    assert out.getvalue() == f"{config}: 1 pools\n"


def test_a_lookup_as_a_plugin_does_it(tmp_path, place):
    from fastpath_agent.rpc import RpcServer

    config = tmp_path / "config.json"
    config.write_text(json.dumps({"directory": str(place)}))
    table = {ADDRESS: "/x"}
    server = RpcServer(f"{place}/vdpa.sock", f"{place}/grpc", lambda address: table.get(address, ""), (0,))
    try:
        out = io.StringIO()
        assert main(["--config", str(config), "lookup", ADDRESS], out) == 0
        assert json.loads(out.getvalue()) == {"pciAddress": ADDRESS, "socketpath": "/x"}
        assert main(["--config", str(config), "lookup", "0000:00:00.0"], io.StringIO()) == 1
    finally:
        server.stop()
