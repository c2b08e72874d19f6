# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for dpdk-vdpa and dpdk-testpmd: the same prompt, the same words, sockets that listen.

``--behaviour FILE`` names a file with one word in each line, read at the start and before each command, which says what
goes wrong. Every start is written to ``FILE.starts``. No imports of the project: this runs as a process of its own.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from typing import NoReturn

LISTENERS: dict[str, socket.socket] = {}
CLIENTS: list[socket.socket] = []
PENDING: list[str] = []


def say(text: str) -> None:
    os.write(1, text.encode())


def complain(text: str) -> None:
    os.write(2, text.encode())


def words(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().split()
    except OSError:
        return []


def bind(path: str, server: bool = True) -> None:
    if not server:
        PENDING.append(path)
        if not reconnect():
            complain(f"VHOST_CONFIG: ({path}) failed to connect: No such file or directory\n")
            complain(f"VHOST_CONFIG: ({path}) reconnecting...\n")
        return
    if os.path.exists(path):
        complain(f"VDPA: {path} exists, please remove it or specify another file and try again.\n")
        return
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    LISTENERS[path] = listener


def reconnect() -> bool:
    for path in list(PENDING):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
        except OSError:
            connection.close()
            continue
        CLIENTS.append(connection)
        PENDING.remove(path)
    return not PENDING


def end(code: int = 0) -> NoReturn:
    for path, listener in LISTENERS.items():
        listener.close()
        if os.path.exists(path):
            os.unlink(path)
    # What was printed comes only now, as from a program whose output is a pipe.
    say("Interactive-mode selected\n")
    os._exit(code)


def option(name: str) -> list[str]:
    return [sys.argv[number + 1] for number, word in enumerate(sys.argv[:-1]) if word == name]


def main() -> None:
    behaviour = (option("--behaviour") or [""])[0]
    with open(f"{behaviour}.starts", "a", encoding="utf-8") as file:
        file.write(" ".join(sys.argv[1:]) + "\n")
    address = (option("-a") or [""])[0].partition(",")[0]
    complain("EAL: Detected CPU lcores: 2\n")
    misbehave(words(behaviour))
    vhost = [text for text in option("--vdev") if text.startswith("net_vhost0")]
    if vhost:
        keys = dict(pair.partition("=")[::2] for pair in vhost[0].split(",")[1:])
        bind(keys["iface"], keys.get("client") != "1")
        complain(f"VHOST_CONFIG: ({keys['iface']}) binding succeeded\n")
    prompt = "testpmd> " if vhost else "vdpa> "
    say(prompt)
    line = b""
    while True:
        for number in wait():
            if number != ord("\n"):
                line += bytes([number])
                continue
            say(f"{line.decode()}\r\n")
            command, *rest = line.decode().split() or [""]
            answer(command, rest, behaviour, address)
            line = b""
            say(prompt)


def misbehave(wrong: list[str]) -> None:
    """What goes wrong before there is a prompt."""
    if "no-pages" in wrong:
        complain("EAL: Cannot get hugepage information.\nEAL: Error - exiting with code: 1\n")
        os._exit(1)
    while "flood-at-start" in wrong:
        say("enter 'q' to quit\n" * 200)
    if "mute" in wrong:
        time.sleep(3600)
    ignore = "stubborn" in wrong
    signal.signal(signal.SIGTERM, signal.SIG_IGN if ignore else lambda *_arguments: end())


def wait() -> bytes:
    """What was typed; connections are served meanwhile."""
    while True:
        readable = select.select([0, *LISTENERS.values(), *CLIENTS], [], [], 0.02 if PENDING else None)[0]
        reconnect()
        for listener in [listener for listener in LISTENERS.values() if listener in readable]:
            CLIENTS.append(listener.accept()[0])
        for client in [client for client in CLIENTS if client in readable]:
            if not client.recv(4096):
                CLIENTS.remove(client)
                client.close()
        if 0 in readable:
            typed = os.read(0, 4096)
            return typed if typed else end()


def answer(command: str, rest: list[str], behaviour: str, address: str) -> None:
    wrong = words(behaviour)
    if "deaf" in wrong:
        time.sleep(3600)
    while "flood" in wrong:
        say("\0" * 4096)
    if "log-between" in wrong:
        complain("VHOST_CONFIG: (x) something is said in between\n")
    if command == "create":
        create(rest, wrong, address)
    elif command == "show":
        say("Number of available ports: 2\nPort MAC Address       Name         Driver         Status   Link\n")
        nic = f"0    02:00:00:00:00:01 {address} net_virtio     up       10 Gbps\n"
        say(
            ("" if "no-nic" in wrong else nic) + "1    56:48:4F:53:54:01 net_vhost0   net_vhost      down     10 Gbps\n"
        )
    elif command == "list":
        row = "" if "not-vdpa" in wrong else f"{address}\t\t1\t\t0x370bfe7a6\n"
        say(f"device name\tqueue num\tsupported features\n{row}")
    elif command == "quit":
        end()
    elif command:
        said = "io packet forwarding - ports=2 - cores=1 - streams=2\n"
        say(said if command == "start" else "Command not found\n")


def create(rest: list[str], wrong: list[str], address: str) -> None:
    if "die-at-create" in wrong:
        complain(f"EAL: Error - exiting with code: 1\n  Cause: register driver failed: {rest[0]}\n")
        os._exit(1)
    if rest[1] != address:
        say(f"Unable to find vdpa device id for {rest[1]}.\n")
    elif "no-socket" not in wrong:
        bind(rest[0], "--client" not in sys.argv)


main()
