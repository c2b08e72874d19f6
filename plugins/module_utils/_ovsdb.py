# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The only door to Open vSwitch's database: one process to read it, one to change it."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import (
    ROOT,
    Database,
    parse_selection,
    selection,
)

SOCKET = "/run/openvswitch/db.sock"
FILES = ("/etc/openvswitch/conf.db", "/var/lib/openvswitch/conf.db")
SCHEMA = "Open_vSwitch"
WAIT_MILLISECONDS = 500
# The kernel takes no longer single argument.
MAX_ARGUMENT = 128 * 1024 - 1


class Ovsdb:
    """``socket`` and ``files`` are paths as the node sees them. Without a server the database's file is read."""

    def __init__(self, host: Host, socket: str = SOCKET, files: tuple[str, ...] = FILES, timeout: int = 30) -> None:
        self.host = host
        self.socket = socket
        self.files = files
        self.timeout = timeout

    @property
    def serving(self) -> bool:
        return self.host.exists(self.socket)

    @property
    def file(self) -> str | None:
        return next((path for path in self.files if self.host.exists(path)), None)

    def read(self) -> Database:
        """The whole database in one state. Empty where there is none."""
        if self.serving:
            return parse_selection(self.transact(selection()))
        if self.file is None:
            return Database()
        request = json.dumps([SCHEMA, *selection()])
        return parse_selection(_answers(self.host.must_run(["ovsdb-tool", "query", self.file, request], self.timeout)))

    def commit(self, steps: list[dict[str, Any]]) -> int:
        """All or nothing; the number that ovs-vswitchd reports back in ``cur_cfg`` once it took the change over."""
        return int(self.transact(steps)[-1]["rows"][0]["next_cfg"])

    def taken_over(self, number: int) -> bool:
        """Whether ovs-vswitchd has taken a change over. The server waits a moment for it: that spares polling."""
        columns = {"table": ROOT, "where": [], "columns": ["cur_cfg"]}
        wait = {"op": "wait", "timeout": WAIT_MILLISECONDS, "until": "==", "rows": [{"cur_cfg": number}], **columns}
        if "error" not in (json.loads(self._reply([wait]))[0] or {}):
            return True
        # Others may have changed something meanwhile, and then it went past that number.
        return int(self.transact([{"op": "select", **columns}])[0]["rows"][0]["cur_cfg"]) >= number

    def transact(self, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers; FastpathError where the server refused, and then it did nothing of it."""
        return _answers(self._reply(steps))

    def _reply(self, steps: list[dict[str, Any]]) -> str:
        request = json.dumps([SCHEMA, *steps], separators=(",", ":"))
        if len(request.encode()) > MAX_ARGUMENT:
            raise FastpathError(
                f"The change of Open vSwitch's database is {len(request.encode())} bytes long, and one transaction "
                f"can have {MAX_ARGUMENT}. Bring the bridges about in several runs, each with more of them."
            )
        argv = ["ovsdb-client", f"--timeout={self.timeout}", "transact", f"unix:{self.host.path(self.socket)}", request]
        done = self.host.run(argv, self.timeout + 5)
        if done.rc != 0:
            said = (done.err.strip() or done.out.strip())[-2000:]
            raise FastpathError(f"Open vSwitch's database server at {self.socket} did not answer: {said}")
        return done.out


def _answers(text: str) -> list[dict[str, Any]]:
    """One answer for each step, and one more where the transaction as a whole was refused."""
    try:
        answers = json.loads(text)
    except ValueError as broken:
        raise FastpathError(f"Open vSwitch's database answered no JSON: {text[:200]!r}") from broken
    for answer in answers:
        if isinstance(answer, dict) and "error" in answer:
            raise FastpathError(
                f"Open vSwitch's database refused the change, nothing was changed in it: {answer['error']}"
                f" ({answer.get('details', 'no details')})"
            )
    return [answer for answer in answers if answer is not None]
