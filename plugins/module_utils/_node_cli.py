# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. ``fastpath-node``: the collection's engine on the node itself, without Ansible."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any, TextIO

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern, Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._concerns import REGISTRY
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import boot_id
from ansible_collections.nfv.fastpath.plugins.module_utils._store import as_json

STATUS_FOLDER = "/run/fastpath"
RETRY_SECONDS = 0.5


def main(argv: Sequence[str], out: TextIO | None = None) -> int:
    """Run one command; the exit code: 0 all is well, 1 something is not, 2 wrong use."""
    out = out or sys.stdout
    options = _parser().parse_args(list(argv))
    host = Host(root=options.root)
    try:
        return int(options.command(host, options, out))
    except FastpathError as error:
        out.write(f"{error.message}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastpath-node",
        description="What nfv.fastpath keeps on this node: brought back, looked at, verified. "
        "The desired state is read from /etc/fastpath/CONCERN.json, which the roles write.",
        epilog="Failures of the last boot: systemctl --failed, and /run/fastpath/CONCERN.json.",
    )
    parser.add_argument("--root", default="/", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    appliable = [name for name, entry in REGISTRY.items() if entry.at_boot]
    known = ", ".join(REGISTRY)

    apply = commands.add_parser(
        "apply",
        help="bring back what was applied last (run at every boot)",
        description="Bring back what was applied last. Nothing that is in use is disturbed.",
    )
    apply.add_argument("concern", nargs="*", metavar="CONCERN", help=f"one of {', '.join(appliable)}; default: all")
    apply.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long hardware that is named in the desired state may take to appear (default: 0)",
    )
    apply.set_defaults(command=_apply)

    discover = commands.add_parser(
        "discover", help="print what the node has, as JSON", description="Print what the node has, as JSON."
    )
    discover.add_argument("concern", nargs="*", metavar="CONCERN", help=f"one of {known}; default: all")
    discover.set_defaults(command=_discover)

    check = commands.add_parser(
        "verify",
        help="compare the node with what was applied last; exit code 1 if they differ",
        description="Compare the node with what was applied last. The exit code is 1 if anything differs.",
    )
    check.add_argument("concern", nargs="*", metavar="CONCERN", help=f"one of {known}; default: all that were applied")
    check.add_argument("--json", action="store_true", help="print the checks as JSON")
    check.set_defaults(command=_verify)
    return parser


def _chosen(names: Sequence[str], known: Sequence[str], purpose: str) -> list[str]:
    for name in names:
        if name not in known:
            raise FastpathError(f"{name} is not a concern that can be {purpose}; these can: {', '.join(known)}.")
    return [name for name in known if name in names] if names else list(known)


def _apply(host: Host, options: argparse.Namespace, out: TextIO) -> int:
    known = [name for name, entry in REGISTRY.items() if entry.at_boot]
    results = [_bring_back(host, name, options.wait, out) for name in _chosen(options.concern, known, "applied")]
    return 0 if all(results) else 1


def _bring_back(host: Host, name: str, patience: float, out: TextIO) -> bool:
    """One failed concern must not keep the next from coming back."""
    make = REGISTRY[name].at_boot
    if make is None:
        return True
    concern = make(host)
    started = time.monotonic()
    status: dict[str, Any] = {"concern": name, "boot_id": boot_id(host), "ok": False, "error": "", "operations": []}
    try:
        spec = concern.store.desired()
        if spec is None:
            _say(out, f"{name}: nothing was applied here")
            return True
        _announce(concern, status["operations"], out)
        plan = _patiently(concern, Request(spec=spec, persist=False), patience, out)
        status.update(plan=plan.result(), ok=True)
        for notice in (*plan.warnings, plan.reboot_reason):
            if notice:
                _say(out, f"{name}: {notice}")
    except FastpathError as error:
        status.update(error=error.message, details=error.details)
    except OSError as error:
        status["error"] = f"{error.strerror} ({error.filename})"
    status["seconds"] = round(time.monotonic() - started, 3)
    host.write_file(f"{STATUS_FOLDER}/{name}.json", as_json(status))
    done = f"{len(status['operations'])} operations in {status['seconds']:.3f} s"
    _say(out, f"{name}: {'ok' if status['ok'] else 'FAILED'}, {done}{': ' if status['error'] else ''}{status['error']}")
    return bool(status["ok"])


def _patiently(concern: Concern[Any, Any], request: Request, patience: float, out: TextIO) -> Plan:
    """Devices come, are renamed and set up while a node boots. Each further try plans from what it finds."""
    deadline = time.monotonic() + patience
    said = ""
    while True:
        try:
            return converge(concern, request)
        except FastpathError as error:
            if time.monotonic() >= deadline:
                raise
            if error.message != said:
                said = error.message
                _say(out, f"{concern.name}: waiting: {said}")
        time.sleep(RETRY_SECONDS)


def _announce(concern: Concern[Any, Any], done: list[dict[str, Any]], out: TextIO) -> None:
    """Say each operation with its time, while it is carried out by the same code as ever."""
    perform = concern.perform

    def timed(operation: Operation) -> None:
        started = time.monotonic()
        try:
            perform(operation)
        finally:
            seconds = round(time.monotonic() - started, 3)
            done.append({**asdict(operation), "seconds": seconds})
            change = f"{_short(operation.before)} -> {_short(operation.after)}"
            _say(out, f"{concern.name}: {operation.action} {operation.target}: {change} ({seconds:.3f} s)")

    concern.perform = timed  # type: ignore[method-assign]


def _short(value: Any) -> str:
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _say(out: TextIO, line: str) -> None:
    out.write(f"{line}\n")
    out.flush()


def _discover(host: Host, options: argparse.Namespace, out: TextIO) -> int:
    names = _chosen(options.concern, list(REGISTRY), "looked at")
    out.write(as_json({name: plain(REGISTRY[name].make(host).discover()) for name in names}))
    return 0


def plain(value: Any) -> Any:
    """Any state as JSON values; a key of several parts becomes ``part/part``."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if value is None or isinstance(value, (str, int, float)):
        return value
    # What only behaves, such as the rules of a boot loader, has nothing to show but what it is.
    return getattr(value, "__name__", type(value).__name__)


def _key(key: Any) -> str:
    if isinstance(key, tuple):
        return "/".join(_key(part) for part in key)
    return "all" if key is None else str(key)


def _verify(host: Host, options: argparse.Namespace, out: TextIO) -> int:
    checks: list[Check] = []
    for name in _chosen(options.concern, list(REGISTRY), "verified"):
        concern = REGISTRY[name].make(host)
        spec = concern.store.desired()
        if spec is not None:
            checks += _checks(concern, spec)
        elif name in options.concern:
            checks.append(Check(f"{name}.applied", name, concern.store.desired_path, "applied", "nothing was applied"))
    if options.json:
        out.write(as_json([check.result() for check in checks]))
    else:
        out.write(table(checks))
    return 0 if all(check.ok for check in checks) else 1


def _checks(concern: Concern[Any, Any], spec: Any) -> list[Check]:
    try:
        return verify(concern, spec)
    except FastpathError as error:
        return [Check(f"{concern.name}.verify", concern.name, concern.store.desired_path, "verified", error.message)]


def table(checks: Sequence[Check]) -> str:
    """One line per check in columns, and below a failed one what to do."""
    if not checks:
        return "Nothing was applied on this node.\n"
    rows = [
        ("ok" if check.ok else "FAILED", check.id, check.target, _short(check.expected), _short(check.seen))
        for check in checks
    ]
    head = ("", "CHECK", "TARGET", "EXPECTED", "SEEN")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row, remedy in [(head, ""), *((row, "" if check.ok else check.remedy) for row, check in zip(rows, checks))]:
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if remedy:
            lines.append(f"{' ' * widths[0]}  {remedy}")
    failed = sum(not check.ok for check in checks)
    lines.append(f"{len(checks)} checks, {failed} failed")
    return "".join(f"{line}\n" for line in lines)
