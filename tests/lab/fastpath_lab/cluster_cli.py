# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands for the lab's cluster."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

from . import members
from .control_plane import ControlPlane
from .errors import LabError

if TYPE_CHECKING:
    from .lab import Lab

COMMANDS = ("control-plane", "join", "members", "load-images", "agent-images", "kubectl")
_ACTIONS = {
    "up": "bring it up, the lab's network included",
    "down": "end it and forget what the cluster had",
    "restart": "end it as a power cut would, and start it with the same data",
    "status": "show it, and what nodes join with",
    "build": "fill the cache, start nothing",
}


def add(commands: Any) -> None:
    """Add the commands to the lab's."""

    def new(name: str, text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
        return made

    control = new("control-plane", "the cluster's API server and what belongs to it")
    actions = control.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in _ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        if name == "status":
            action.add_argument("--json", action="store_true")
    for name, text in (
        ("join", "make running nodes nodes of the cluster"),
        ("members", "bring nodes and control plane to the state after a join, from the cache"),
        ("load-images", "put the cluster's images into the containerd of nodes"),
    ):
        new(name, text).add_argument("nodes", nargs="*", metavar="NODE")
    new("agent-images", "build the node agent's image and a workload's, and push them to the lab's registry")
    text = "kubectl on the lab's cluster"
    # What looks like an option here is kubectl's.
    kubectl = commands.add_parser("kubectl", help=text, description=text, prefix_chars="\0", add_help=False)
    kubectl.add_argument("argv", nargs=argparse.REMAINDER, metavar="ARG")


def run(lab: Lab, options: argparse.Namespace) -> None:
    """Run one of the commands."""
    plane = ControlPlane(lab)
    match options.command:
        case "join":
            plane.join(options.nodes)
        case "members":
            members.restore(plane, options.nodes)
        case "load-images":
            plane.load_images(options.nodes)
        case "agent-images":
            plane.push_agent_images()
        case "kubectl":
            _kubectl(plane, options.argv)
        case _:
            _control(plane, options)


def _control(plane: ControlPlane, options: argparse.Namespace) -> None:
    if options.action != "status":
        getattr(plane, options.action)()
    if options.action in ("up", "restart", "status"):
        _show(plane.status(), getattr(options, "json", False))


def _kubectl(plane: ControlPlane, argv: list[str]) -> None:
    status = plane.status()
    if not status["up"]:
        raise LabError("the control plane is not up: lab control-plane up")
    program = f"{status['programs']}/kubectl"
    sys.stdout.flush()
    os.execve(program, ["kubectl", *argv], {**os.environ, "KUBECONFIG": status["kubeconfig"]})


def _show(status: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(status, indent=1))
        return
    print(f"control plane: {'up' if status['up'] else 'down'} (Kubernetes {status['version']})")
    for name, pids in status["processes"].items():
        print(f"  {name:24} {'running' if pids else 'off'}")
    if not status["up"]:
        return
    for text in ("endpoint", "registry", "kubeconfig"):
        print(f"  {text:24} {status[text]}")
    print(f"  {'join':24} {shlex.join(status['join'])}")
    for text in (*status["without"].values(), *status["stands_in"].values()):
        print(f"  {text}")
