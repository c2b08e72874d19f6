# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program ``fastpath-agent``."""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TextIO

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

from fastpath_agent import config as configuration
from fastpath_agent.config import Config
from fastpath_agent.keeper import Keeper

PROBE_SECONDS = 8.0
BAD_CONFIGURATION = 2


def main(argv: Sequence[str], out: TextIO = sys.stdout) -> int:
    options = _parser().parse_args(argv)
    try:
        return int(options.command(options, out))
    except FastpathError as error:
        sys.stderr.write(f"fastpath-agent: {error.message}\n")
        return BAD_CONFIGURATION


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastpath-agent", description="Sockets of accelerated devices for the pods of this node."
    )
    parser.add_argument("--config", default=configuration.PATH, metavar="FILE", help="(default: %(default)s)")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    commands.add_parser(
        "keep", help="run the agent and start it again when it ends; the first process of a container"
    ).set_defaults(command=_keep)
    commands.add_parser("run", help="run the agent").set_defaults(command=_run)
    commands.add_parser("check", help="read the configuration and say what is wrong with it").set_defaults(
        command=_check
    )
    probe = commands.add_parser("probe", help="ask the running agent; exit code 1: it is not")
    probe.add_argument("what", choices=("live", "ready"))
    probe.set_defaults(command=_probe)
    commands.add_parser("status", help="print the running agent's status").set_defaults(command=_status)
    lookup = commands.add_parser("lookup", help="ask for a device's socket over gRPC, as a CNI plugin does")
    lookup.add_argument("address", help="PCI address")
    lookup.set_defaults(command=_lookup)
    return parser


def _keep(options: argparse.Namespace, out: TextIO) -> int:
    _log(options)
    # A wrong configuration is no reason to start again and again; the container's own restart shows it.
    configuration.load(options.config)
    here = [sys.executable, "-m", "fastpath_agent", "--config", options.config, "--log-level", options.log_level]
    return Keeper([*here, "run"]).run()


def _run(options: argparse.Namespace, out: TextIO) -> int:
    # Here, since no other command needs the whole agent.
    from fastpath_agent.service import Service

    _log(options)
    os.umask(0o022)
    config = configuration.load(options.config)
    service = Service(config, Host(sysfs_root=config.sysfs))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_arguments: ended.set())
    service.start()
    ended.wait()
    service.stop()
    return 0


def _check(options: argparse.Namespace, out: TextIO) -> int:
    config = configuration.load(options.config)
    out.write(f"{options.config}: {len(config.pools)} pools\n")
    return 0


def _probe(options: argparse.Namespace, out: TextIO) -> int:
    status, text = _get(configuration.load(options.config), f"/{options.what}z")
    out.write(text)
    return 0 if status == http.client.OK else 1


def _status(options: argparse.Namespace, out: TextIO) -> int:
    status, text = _get(configuration.load(options.config), "/status")
    out.write(text)
    return 0 if status == http.client.OK else 1


def _get(config: Config, path: str) -> tuple[int, str]:
    host, port = config.listen
    connection = http.client.HTTPConnection(host or "localhost", port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except OSError as error:
        return 0, f"{host}:{port}: {error}\n"
    finally:
        connection.close()


def _lookup(options: argparse.Namespace, out: TextIO) -> int:
    # Here, since it loads the one library that is not Python's own.
    from fastpath_agent.rpc import ask

    config = configuration.load(options.config)
    path = ask(config.grpc_socket, options.address)
    out.write(json.dumps({"pciAddress": options.address, "socketpath": path}) + "\n")
    return 0 if path else 1


def _log(options: argparse.Namespace) -> None:
    logging.basicConfig(
        level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
