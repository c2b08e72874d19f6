# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the lab."""

from __future__ import annotations

import argparse
import json
import os
import sys

from . import cluster_cli
from .errors import LabError
from .lab import Lab
from .progress import say


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="The virtual lab.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    up = add("up", "start nodes (the default ones when none is named)")
    up.add_argument("--boot", action="store_true", help="boot new nodes from their disk")
    up.add_argument("nodes", nargs="*", metavar="NODE")
    add("down", "remove the lab")
    status = add("status", "show the lab")
    status.add_argument("--json", action="store_true")
    ssh = add("ssh", "a shell or a command on a node")
    ssh.add_argument("node", metavar="NODE")
    ssh.add_argument("argv", nargs=argparse.REMAINDER, metavar="CMD")
    execute = add("exec", "run a command in the lab's network: lab exec -- CMD...")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="CMD")
    restore = add("restore", "bring nodes back to the fresh or a saved state")
    restore.add_argument("--snapshot", metavar="NAME")
    restore.add_argument("nodes", nargs="*", metavar="NODE")
    snapshot = add("snapshot", "save the state of nodes")
    snapshot.add_argument("name", metavar="NAME")
    snapshot.add_argument("nodes", nargs="*", metavar="NODE")
    for name, text in (
        ("reset", "cut nodes' power and boot them again"),
        ("kill", "cut nodes' power"),
        ("start", "boot nodes that are off"),
    ):
        add(name, text).add_argument("nodes", nargs="+", metavar="NODE")
    add("console", "follow a node's console").add_argument("node", metavar="NODE")
    build = add("build", "fill the cache, start nothing")
    build.add_argument("nodes", nargs="*", metavar="NODE")
    prune = add("prune", "remove unused entries of the cache")
    prune.add_argument("--days", type=float, default=14.0, help="unused for (default: 14)")
    cluster_cli.add(commands)
    return parser


def _show(lab: Lab, as_json: bool) -> None:
    status = lab.status()
    if as_json:
        print(json.dumps(status, indent=1))
        return
    print(
        f"lab {status['name']}: {'up' if status['up'] else 'down'}"
        + (f" ({status['accel']}, namespace {status['namespace']})" if status["up"] else "")
    )
    for name, node in status["nodes"].items():
        state = "running" if node["running"] else "off"
        print(f"  {name:16} {node['address']:14} {state:8} iommu {node['iommu']}")


def _replace(argv: list[str], environment: dict[str, str]) -> None:
    sys.stdout.flush()
    os.execve(argv[0], argv, environment)


def _inside(lab: Lab, argv: list[str]) -> None:
    argv = argv[1:] if argv[:1] == ["--"] else argv
    if not argv:
        raise LabError("no command given: lab exec -- CMD...")
    _replace(lab.exec_argv(argv), lab.environment())


def _node_command(lab: Lab, options: argparse.Namespace) -> None:
    if options.command == "ssh":
        argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
        _inside(lab, lab.machine(options.node).ssh_argv(argv))
    elif options.command == "console":
        lab.topology.select([options.node])
        log = lab.state / "console" / f"{options.node}.log"
        os.execvp("tail", ["tail", "-n", "200", "-F", str(log)])
    else:
        getattr(lab, options.command)(options.nodes)


def _run(lab: Lab, options: argparse.Namespace) -> None:
    match options.command:
        case "up":
            lab.up(options.nodes, boot=options.boot)
            _show(lab, as_json=False)
        case "down":
            lab.down()
        case "status":
            _show(lab, options.json)
        case "exec":
            _inside(lab, options.argv)
        case "restore":
            lab.restore(options.nodes, snapshot=options.snapshot)
        case "snapshot":
            lab.snapshot(options.name, options.nodes)
        case "build":
            lab.warm(options.nodes)
        case "prune":
            for entry in lab.cache.prune(set(), options.days * 86400):
                say(f"removed {entry.name}")
        case _:
            _node_command(lab, options)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 1 failed, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        lab = Lab.open()
        if options.command in cluster_cli.COMMANDS:
            cluster_cli.run(lab, options)
        else:
            _run(lab, options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130
    return 0
