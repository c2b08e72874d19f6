# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the programs are started and told, with answers recorded from DPDK 24.11."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastpath_agent import programs
from fastpath_agent.config import Pool, Program
from fastpath_agent.model import NotReady
from fastpath_agent.programs import DpdkTestpmd, DpdkVdpa, Task, parse_list, parse_ports

ADDRESS = "0000:02:00.3"
TASK = Task(ADDRESS, "/var/run/vdpa/vhost/vdpa-0", "client", Pool("a"), (2,))
LIST = ["device name\tqueue num\tsupported features", f"{ADDRESS}\t\t1\t\t0x370bfe7a6"]
PORTS = [
    "Number of available ports: 2",
    "Port MAC Address       Name         Driver         Status   Link",
    f"0    F6:8B:5F:46:C4:8C {ADDRESS} net_virtio     up       10 Gbps",
    "1    56:48:4F:53:54:01 net_vhost0   net_vhost      down     10 Gbps",
]


class Answers:
    """Each command once, in order."""

    def __init__(self, *answers: tuple[str, list[str]]) -> None:
        self.left = list(answers)

    def ask(self, command: str, timeout: float) -> list[str]:
        expected, answer = self.left.pop(0)
        assert command == expected
        assert timeout > 0
        return answer


def test_dpdk_vdpa_is_started_interactively():
    assert DpdkVdpa(Program("dpdk-vdpa", memory_mib=64)).argv(TASK) == [
        "dpdk-vdpa",
        "--lcores",
        "0@2",
        "-m",
        "64",
        "--in-memory",
        "--no-telemetry",
        "-a",
        f"{ADDRESS},vdpa=1",
        "--",
        "--interactive",
    ]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"numa_node": 1}, "--socket-mem 0,64"),
        ({"numa_node": 0}, "--socket-mem 64"),
        ({"cpus": (131,)}, "--lcores 0@131"),
        ({"pool": Pool("a", devargs="vdpa=1,sw-live-migration=1")}, f"-a {ADDRESS},vdpa=1,sw-live-migration=1"),
        ({"pool": Pool("a", devargs="class=vdpa")}, f"-a {ADDRESS},class=vdpa"),
        ({"mode": "server"}, "-- --interactive --client"),
    ],
)
def test_arguments_of_dpdk_vdpa(change, part):
    assert part in " ".join(DpdkVdpa(Program("dpdk-vdpa")).argv(replace(TASK, **change)))


def test_arguments_of_testpmd():
    task = replace(TASK, cpus=(2, 5), pool=Pool("a", queues=2))
    line = " ".join(DpdkTestpmd(Program("dpdk-testpmd", memory_mib=128, app_args=("--rxd=512",))).argv(task))
    assert line == (
        f"dpdk-testpmd --lcores 0@2,1@5 -m 128 --in-memory --no-telemetry -a {ADDRESS} "
        "--vdev net_vhost0,iface=/var/run/vdpa/vhost/vdpa-0,queues=2 "
        "-- -i --no-mlockall --nb-cores=1 --forward-mode=io --rxq=2 --txq=2 --rxd=512"
    )
    line = " ".join(DpdkTestpmd(Program("dpdk-testpmd")).argv(replace(task, mode="server")))
    assert "queues=2,client=1 " in line


def test_without_hugepages():
    """DPDK refuses --in-memory beside --no-huge."""
    argv = DpdkVdpa(Program("dpdk-vdpa", eal_args=("--no-huge",))).argv(replace(TASK, numa_node=1))
    assert "--in-memory" not in argv
    assert "--socket-mem" not in argv
    assert "--no-shconf" in argv


def test_output_line_by_line_where_the_node_can(monkeypatch):
    program = DpdkVdpa(Program("dpdk-vdpa"))
    monkeypatch.setattr(programs.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert program.command(TASK)[:3] == ["/usr/bin/stdbuf", "-oL", "dpdk-vdpa"]
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    assert program.command(TASK) == program.argv(TASK)


def test_a_socket_is_made_for_a_device_that_is_there():
    create = f"create {TASK.socket} {ADDRESS}"
    DpdkVdpa(Program("dpdk-vdpa")).open(Answers(("list", LIST), (create, [])), TASK)


def test_a_device_that_is_no_vdpa_device():
    """Whoever wrote the list may have listed anything."""
    with pytest.raises(NotReady, match=f"does not drive {ADDRESS}"):
        DpdkVdpa(Program("dpdk-vdpa")).open(Answers(("list", LIST[:1])), TASK)


@pytest.mark.parametrize(
    "said",
    [
        f"Unable to find vdpa device id for {ADDRESS}.",
        "VDPA: /x exists, please remove it or specify another file and try again.",
        "Bad arguments",
        "VHOST_CONFIG: (/x) bind failed: Permission denied",
    ],
)
def test_a_socket_that_was_not_made(said):
    create = f"create {TASK.socket} {ADDRESS}"
    with pytest.raises(NotReady, match="did not make"):
        DpdkVdpa(Program("dpdk-vdpa")).open(Answers(("list", LIST), (create, [said])), TASK)


def test_messages_of_a_socket_that_was_made_are_no_failure():
    said = ["VHOST_CONFIG: (/x) vhost-user server: socket created, fd: 13", "VHOST_CONFIG: (/x) binding succeeded"]
    create = f"create {TASK.socket} {ADDRESS}"
    DpdkVdpa(Program("dpdk-vdpa")).open(Answers(("list", LIST), (create, said)), TASK)


def test_translation_needs_both_ports():
    program = DpdkTestpmd(Program("dpdk-testpmd"))
    started = ["io packet forwarding - ports=2 - cores=1 - streams=2"]
    program.open(Answers(("show port summary all", PORTS), ("start", started)), TASK)
    with pytest.raises(NotReady, match=f"has no port for {ADDRESS}"):
        program.open(Answers(("show port summary all", [PORTS[0], PORTS[3]])), TASK)
    with pytest.raises(NotReady, match="has no port for .* and net_vhost0"):
        program.open(Answers(("show port summary all", [])), TASK)
    with pytest.raises(NotReady, match="does not forward: Packet forwarding not started"):
        said = ["Packet forwarding not started"]
        program.open(Answers(("show port summary all", PORTS), ("start", said)), TASK)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (LIST, [ADDRESS]),
        ([LIST[0] + "\tsupported protocol features", f"{ADDRESS}\t\t1\t\t0x370bfe7a6\t\t0x8"], [ADDRESS]),
        (["VDPA: 0000:02:00.9 said something", *LIST, "EAL: a word 1 0xz"], [ADDRESS]),
        (["0000:02:00.3 1"], []),
        ([], []),
    ],
    ids=["24.11", "26.07", "with log lines", "half a line", "nothing"],
)
def test_the_list_of_devices(lines, expected):
    assert parse_list(lines) == expected


def test_the_list_of_ports():
    assert parse_ports(["EAL: something", *PORTS]) == [ADDRESS, "net_vhost0"]
