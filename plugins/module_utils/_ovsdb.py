# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The only door to Open vSwitch's database: one request to read it, one to change it."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import NOT_FOUND, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import (
    ROOT,
    Database,
    parse_selection,
    selection,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb_client import NoAnswer, OvsdbClient, Rejected

SOCKET = "/run/openvswitch/db.sock"
FILES = ("/etc/openvswitch/conf.db", "/var/lib/openvswitch/conf.db")
# The switch, packaged or built: where there is one, its tools have to be found, too.
PROGRAMS = ("/usr/sbin/ovs-vswitchd", "/opt/fastpath/openvswitch/current")
SCHEMA = "Open_vSwitch"
# What ovs-vswitchd holds at its server while it works, so that there is one of it.
SWITCH_LOCK = "ovs_vswitchd"
# Longer than a change usually takes; a process that dies meanwhile is seen this much later.
WAIT_MILLISECONDS = 2000
# RFC 7047, section 5.2.6: what a step ``wait`` answers that did not hold.
TIMED_OUT = "timed out"


class Unreachable(FastpathError):
    """The server is away, or did not say what became of a request."""


class Outdated(FastpathError):
    """The database was not as a transaction expected it; nothing was changed."""


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
        """The whole database in one state. Empty where there is none, or no program that could read a file of old."""
        if self.serving:
            return self.live()
        if self.file is None:
            return Database()
        request = json.dumps([SCHEMA, *selection()])
        done = self.host.run(["ovsdb-tool", "query", self.file, request], self.timeout)
        if done.rc == NOT_FOUND and not any(map(self.host.exists, PROGRAMS)):
            return Database()
        if done.rc != 0:
            raise FastpathError(f"ovsdb-tool cannot read {self.file}: {(done.err or done.out).strip()[-500:]}")
        try:
            return parse_selection(_checked(json.loads(done.out)))
        except ValueError as broken:
            raise FastpathError(f"{self.file} was read as no JSON: {done.out[:200]!r}") from broken

    def live(self) -> Database:
        """From the server or not at all: for whoever has to know what there is now."""
        return parse_selection(self.transact(selection()))

    def commit(self, steps: list[dict[str, Any]]) -> int:
        """All or nothing; the number that ovs-vswitchd reports back in ``cur_cfg`` once it took the change over."""
        return int(self.transact(steps)[-1]["rows"][0]["next_cfg"])

    def taken_over(self, number: int) -> bool:
        """Whether ovs-vswitchd has taken a change over. The server waits a moment for it: that spares polling."""
        columns = {"table": ROOT, "where": [], "columns": ["cur_cfg"]}
        wait = {"op": "wait", "timeout": WAIT_MILLISECONDS, "until": "==", "rows": [{"cur_cfg": number}], **columns}
        if "error" not in (self._answers([wait])[0] or {}):
            return True
        # Others may have changed something meanwhile, and then it went past that number.
        return int(self.transact([{"op": "select", **columns}])[0]["rows"][0]["cur_cfg"]) >= number

    def switched(self) -> bool:
        """Whether ovs-vswitchd is at work. A lock that can be had is given back with the end of the connection."""
        return not self._call("lock", SWITCH_LOCK).get("locked")

    def transact(self, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers; FastpathError where the server refused, and then it did nothing of it.

        Outdated where a step ``wait`` without patience did not hold.
        """
        return _checked(self._answers(steps))

    def _answers(self, steps: list[dict[str, Any]]) -> list[Any]:
        return list(self._call("transact", SCHEMA, *steps))

    def _call(self, method: str, *params: Any) -> Any:
        """A connection for each request: the server ends those that are silent, as during a restart of ovs-vswitchd."""
        try:
            with OvsdbClient(self.host.connect(self.socket, self.timeout), self.timeout) as client:
                return client.call(method, *params)
        except Rejected as rejected:
            raise _refused(rejected.error) from rejected
        except NoAnswer as silence:
            raise Unreachable(
                f"Open vSwitch's database server at {self.socket} did not answer: {silence.message}"
            ) from silence
        except OSError as broken:
            raise Unreachable(
                f"Open vSwitch's database server at {self.socket} cannot be reached: {broken.strerror or broken}. "
                "See systemctl status ovsdb-server."
            ) from broken


def _checked(answers: list[Any]) -> list[dict[str, Any]]:
    """One answer for each step, and one more where the transaction as a whole was refused."""
    for answer in answers:
        if isinstance(answer, dict) and "error" in answer:
            raise _refused(answer)
    return [answer for answer in answers if answer is not None]


def _refused(answer: Any) -> FastpathError:
    said = answer if isinstance(answer, dict) else {"error": answer}
    kind = Outdated if said.get("error") == TIMED_OUT else FastpathError
    return kind(
        f"Open vSwitch's database refused the change, nothing was changed in it: {said.get('error')}"
        f" ({said.get('details', 'no details')})"
    )
