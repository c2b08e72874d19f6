# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sets up Open vSwitch task by task: by the collection openvswitch.openvswitch, and by bare commands.

The collection looks before it changes anything, as ours does. A command does not, and every run of it is a change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plays import CHECKOUT, Tasks

LOCK = CHECKOUT / "requirements/peer.lock"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastpath"
NAME = "openvswitch.openvswitch"
MODULES = f"a task of {NAME} for each"
COMMANDS = "a command for each, which looks at nothing and is a change in every run"
INSIDE = "ansible_collections/openvswitch/openvswitch/"


def collections() -> Path:
    """The folder with the collection, out of the release that the lock names; fetched where it is absent."""
    folder = CACHE / f"peer-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="peer-") as name:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        subprocess.run([*pip, "-r", str(LOCK), "-d", name], check=True, timeout=600)
        with zipfile.ZipFile(next(Path(name).glob("*.whl"))) as wheel:
            wheel.extractall(f"{name}/made", [inside for inside in wheel.namelist() if inside.startswith(INSIDE)])
        shutil.move(f"{name}/made", folder)
    return folder


def collections_path() -> str:
    return f"{CHECKOUT}/.build/collections:{collections()}"


def by_modules(keys: Mapping[str, str], ports: list[dict[str, Any]], socket: str = "") -> Tasks:
    """A task for each key, the bridge br0 and each port. ``socket`` is the database's, if not the usual one."""
    common = {"database_socket": socket} if socket else {}
    row = {"table": "Open_vSwitch", "record": ".", "col": "other_config", **common}
    tasks: Tasks = [{f"{NAME}.openvswitch_db": {**row, "key": key, "value": value}} for key, value in keys.items()]
    bridge = {"bridge": "br0", "set": "Bridge br0 datapath_type=netdev", **common}
    tasks.append({f"{NAME}.openvswitch_bridge": bridge})
    for port in ports:
        is_internal = [f"Interface {port['name']} type=internal"]
        options = {"bridge": "br0", "port": port["name"], "tag": str(port["tag"]), "set": is_internal, **common}
        tasks.append({f"{NAME}.openvswitch_port": options})
    return tasks


def by_commands(keys: Mapping[str, str], ports: list[dict[str, Any]], socket: str = "") -> Tasks:
    """The same with a command for each."""
    base = ["ovs-vsctl", "--timeout=20", *([f"--db={socket}"] if socket else [])]
    argvs = [[*base, "set", "Open_vSwitch", ".", f"other_config:{key}={value}"] for key, value in keys.items()]
    argvs.append([*base, "--may-exist", "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev"])
    for port in ports:
        name, tag = port["name"], f"tag={port['tag']}"
        argvs.append(
            [*base, "--may-exist", "add-port", "br0", name, tag, "--", "set", "Interface", name, "type=internal"]
        )
    return [{"ansible.builtin.command": {"argv": argv}, "changed_when": True} for argv in argvs]
