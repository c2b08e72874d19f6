# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packets between two nodes: a testpmd behind a vhost-user port on each, through both switches and the wire between.

The packets of the first burst go to and fro until one side stops to answer. Then the wire runs empty, and what either
side sent has to have arrived at the other, but for what Open vSwitch itself counted as dropped.
"""

from __future__ import annotations

import json
import re
import selectors
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from nodes import CHECKOUT, LAB, ssh

PROMPT = re.compile("testpmd> ")
STATISTICS = re.compile(r"RX-packets: *(\d+)[\s\S]*TX-packets: *(\d+)[\s\S]*testpmd> ")
NIC_PORT, VM_PORT = "dpdk0", "vhost0"
SOCKET = "/run/vhost/vhost0.sock"
ENOUGH = 2000
SECONDS = 120.0
QUIET_SECONDS = 10.0
DROPS = re.compile(r"drop|missed|error")


@dataclass(frozen=True)
class Counters:
    received: int
    sent: int


class Testpmd:
    """An interactive dpdk-testpmd on a node, with a virtio-user port that serves the socket of a vhost-user client."""

    __test__ = False

    def __init__(self, node: str, mac: str, peer: str) -> None:
        device = f"net_virtio_user0,path={SOCKET},server=1,queues=1,queue_size=256,mac={mac}"
        eal = f"--lcores='(0-1)@0' --no-pci --no-huge -m 256 --no-telemetry --file-prefix=traffic --vdev={device}"
        options = f"-i --total-num-mbufs=4096 --nb-cores=1 --no-mlockall --eth-peer=0,{peer}"
        command = f"exec stdbuf --output=L dpdk-testpmd {eal} -- {options}"
        ssh(node, f"mkdir -p $(dirname {SOCKET}); rm -f {SOCKET}")
        self.node = node
        self.said = ""
        self._child = subprocess.Popen(
            [LAB, "ssh", node, command],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_for(PROMPT)
        except AssertionError:
            self._end()
            raise

    def __enter__(self) -> Testpmd:
        return self

    def __exit__(self, *unused: object) -> None:
        self._end()

    def _end(self) -> None:
        """End of input ends a testpmd; one that does not end is ended with its connection."""
        self._child.stdin.close()
        try:
            self._child.wait(30)
        except subprocess.TimeoutExpired:
            ssh(self.node, "pkill -9 -x dpdk-testpmd || test $? = 1")
            self._child.kill()
            self._child.wait(10)

    def _wait_for(self, shape: re.Pattern[str]) -> str:
        """Another thread's line may come in the middle of the prompt: an empty command asks for the next one."""
        deadline = time.monotonic() + SECONDS
        text = ""
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            while not shape.search(text):
                assert time.monotonic() < deadline, f"testpmd on {self.node} says nothing more after:\n{text}"
                if not selector.select(QUIET_SECONDS):
                    self._write("")
                    continue
                chunk = self._child.stdout.read1(65536).decode(errors="replace")
                assert chunk, f"testpmd on {self.node} ended:\n{text}"
                text += chunk
        self.said += text
        return text

    def do(self, command: str, shape: re.Pattern[str] = PROMPT) -> str:
        """Output up to ``shape``. What is said beside the prompt comes at any time, so a prompt alone says little."""
        self._write(command)
        return self._wait_for(shape)

    def _write(self, command: str) -> None:
        self._child.stdin.write(f"{command}\n".encode())
        self._child.stdin.flush()

    def counters(self) -> Counters:
        received, sent = STATISTICS.search(self.do("show port stats 0", STATISTICS)).groups()
        return Counters(int(received), int(sent))


def interfaces(node: str) -> dict[str, dict[str, Any]]:
    """The columns of each interface that a test looks at, by its name."""
    columns = "name,mac_in_use,statistics"
    table = json.loads(ssh(node, f"ovs-vsctl --timeout=20 --format=json --columns={columns} list Interface"))
    rows = (dict(zip(table["headings"], row)) for row in table["data"])
    return {row["name"]: {**row, "statistics": dict(row["statistics"][1])} for row in rows}


def ready(node: str) -> bool:
    """Ask the process itself: after a crash the database goes on saying what was."""
    ports = ssh(node, "ovs-appctl --timeout=20 dpif/show 2>&1 || true")
    return all(re.search(rf"^ *{name} \d+/\d+:", ports, re.MULTILINE) for name in (NIC_PORT, VM_PORT))


def wait_until(condition: Any, what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain until {what}"
        time.sleep(0.5)


def _still(read: Any) -> Any:
    """What ``read`` gives once it gives the same twice: statistics come into the database every few seconds."""
    former, deadline = read(), time.monotonic() + SECONDS
    while True:
        time.sleep(6)
        latest = read()
        if latest == former:
            return latest
        assert time.monotonic() < deadline, f"counters never stand still: {latest}"
        former = latest


def _on_the_way(node: str) -> dict[str, dict[str, int]]:
    ports = interfaces(node)
    return {name: ports[name]["statistics"] for name in (NIC_PORT, VM_PORT)}


def _dropped(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> int:
    """Packets that the switch of a node says it dropped."""
    return sum(
        value - before[port].get(name, 0)
        for port, counters in after.items()
        for name, value in counters.items()
        if DROPS.search(name)
    )


def exchange(first: str, second: str) -> Counters:
    """Send packets to and fro; assert that none is lost but the dropped, and return what ``first`` counted."""
    for node in (first, second):
        wait_until(lambda node=node: ready(node), f"{node} has both ports")
    macs = {node: interfaces(node)[NIC_PORT]["mac_in_use"] for node in (first, second)}
    with Testpmd(second, macs[second], macs[first]) as answering, Testpmd(first, macs[first], macs[second]) as asking:
        before = [_on_the_way(node) for node in (first, second)]
        for side in (answering, asking):
            side.do("set fwd macswap")
        answering.do("start")
        asking.do("start tx_first 4")
        wait_until(lambda: asking.counters().received >= ENOUGH, f"{ENOUGH} packets are back on {first}")
        asking.do("stop")
        asking.do("set fwd rxonly")
        asking.do("start")
        asked, answered = _still(lambda: (asking.counters(), answering.counters()))
        after = _still(lambda: [_on_the_way(node) for node in (first, second)])
    dropped = sum(_dropped(*pair) for pair in zip(before, after))
    lost = (asked.sent - answered.received) + (answered.sent - asked.received)
    assert answered.received >= ENOUGH and lost <= dropped, (asked, answered, before, after)
    for counted, old, new in zip((asked, answered), before, after):
        assert new[VM_PORT]["rx_packets"] - old[VM_PORT].get("rx_packets", 0) == counted.sent, (counted, old, new)
    return asked
