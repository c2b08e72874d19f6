# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network namespace of a lab: bridges, taps, and the way out for packages.

The way out is ``pasta``: it carries connections between the namespace and the machine's
own sockets, so the machine's routes, firewall and forwarding are not touched.
"""

from __future__ import annotations

import json
from pathlib import Path

from . import process
from .errors import LabError
from .progress import say
from .qemu import DATA_BRIDGE, MANAGEMENT_BRIDGE, ports
from .sandbox import Sandbox
from .topology import Network, Node

NETNS_DIR = Path("/run/netns")
UPLINK = "wan"
# The same in every lab: a loaded node still knows the address of the lab it was saved in.
MANAGEMENT_MAC = "52:54:00:00:00:fe"
DATA_MAC = "52:54:00:00:00:ff"


def exists(netns: str) -> bool:
    """Tell whether a namespace of that name is there."""
    return (NETNS_DIR / netns).exists()


def batch(netns: str, lines: list[str]) -> None:
    """Run lines of ``ip -batch`` in the namespace. Raises LabError when one fails."""
    process.run(["ip", "-n", netns, "-batch", "-"], timeout=30, stdin=("\n".join(lines) + "\n").encode())


def _inside(netns: str, argv: list[str], stdin: bytes = b"") -> None:
    process.run(["ip", "netns", "exec", netns, *argv], timeout=30, stdin=stdin)


def create(netns: str, network: Network) -> None:
    """Make the namespace with its two bridges. Raises LabError when a step fails."""
    process.run(["ip", "netns", "add", netns], timeout=30)
    _inside(netns, ["tee", "/proc/sys/net/ipv6/conf/default/disable_ipv6"], b"1\n")
    lines = ["link set lo up"]
    for bridge, mac in ((MANAGEMENT_BRIDGE, MANAGEMENT_MAC), (DATA_BRIDGE, DATA_MAC)):
        lines += [
            f"link add name {bridge} address {mac} type bridge",
            f"link set dev {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"link set dev {bridge} up",
        ]
    lines.append(f"addr add {network.gateway}/{network.management.prefixlen} dev {MANAGEMENT_BRIDGE}")
    batch(netns, lines)


def add_taps(netns: str, node: Node) -> None:
    """Make a node's taps, where they are not there yet, on their bridges."""
    there = {link["ifname"] for link in json.loads(process.output(["ip", "-n", netns, "-j", "link", "show"]))}
    lines = []
    for port in ports(node):
        if port.tap not in there:
            lines += [f"tuntap add dev {port.tap} mode tap", f"link set dev {port.tap} master {port.bridge} up"]
    if lines:
        batch(netns, lines)


def _rules(network: Network) -> str:
    return f"""
add table ip lab
delete table ip lab
table ip lab {{
  chain out {{
    type nat hook postrouting priority srcnat;
    ip saddr {network.management} oifname "{UPLINK}" masquerade
  }}
}}
"""


def start_uplink(netns: str, network: Network, root: Path, owner: str, log: Path) -> bool:
    """Start the address translation; return False when the machine has no way out."""
    _inside(netns, ["nft", "-f", "-"], _rules(network).encode())
    _inside(netns, ["tee", "/proc/sys/net/ipv4/ip_forward"], b"1\n")
    argv = [
        "pasta",
        "-f",
        "-4",
        "--config-net",
        "--no-map-gw",
        "-t",
        "none",
        "-u",
        "none",
        "-T",
        "none",
        "-U",
        "none",
        "--dns-forward",
        network.name_server,
        "-a",
        str(network.uplink[2]),
        "-n",
        str(network.uplink.prefixlen),
        "-g",
        str(network.uplink[1]),
        "-I",
        UPLINK,
        "-m",
        "1500",
        "--runas",
        "0:0",
        "--netns-only",
        "--netns",
        f"{NETNS_DIR}/{netns}",
    ]
    box = Sandbox(
        root=str(root),
        argv=argv,
        binds=[(str(NETNS_DIR), str(NETNS_DIR)), (str(Path("/etc/resolv.conf").resolve()), "/etc/resolv.conf")],
        env={"PATH": "/usr/bin:/usr/sbin", process.MARK: owner},
    )
    child = process.spawn(box.command(), owner, log)

    def settled() -> bool:
        return child.poll() is not None or _uplink_is_up(netns)

    process.wait_until(settled, 15, "the lab's way out", interval=0.05)
    if child.poll() is not None:
        say(f"no way out for packages (see {log})")
        return False
    return True


def _uplink_is_up(netns: str) -> bool:
    links = json.loads(process.output(["ip", "-n", netns, "-j", "-4", "addr", "show"]))
    return any(link.get("ifname") == UPLINK and link.get("addr_info") for link in links)


def members(netns: str) -> list[int]:
    """Return the processes inside the namespace, without the caller and its parents."""
    if not exists(netns):
        return []
    pids = [int(word) for word in process.output(["ip", "netns", "pids", netns]).split()]
    return [pid for pid in pids if pid not in process.ancestors()]


def remove(netns: str) -> None:
    """End what runs in the namespace and remove it; nothing happens when it is gone."""
    if not exists(netns):
        return
    for _attempt in range(5):
        inside = members(netns)
        if not inside:
            break
        process.end(inside, lambda pid: pid in members(netns))
    else:
        raise LabError(f"processes keep starting in the namespace {netns}")
    process.run(["ip", "netns", "del", netns], timeout=30)
