# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seam to the database: exact requests, and every way in which they fail."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import Cell, Database, selection
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import FILES, SOCKET, Outdated, Ovsdb, Unreachable

EMPTY = [{"rows": []} for _table in selection()]


class Node(Host):
    """``replies``: what the server says to each connection's request. ``commands``: what each of them prints."""

    def __init__(self, root, *replies, commands=()):
        super().__init__(str(root), self._answer)
        self.replies, self.commands, self.requests, self.closed = list(replies), list(commands), [], 0

    def _answer(self, argv, timeout, stdin):
        expected, answer = self.commands.pop(0)
        assert (list(argv)[:-1], timeout) == (expected, 7)
        return answer if isinstance(answer, Completed) else Completed(0, answer, "")

    def connect(self, path, timeout):
        assert (path, timeout) == (SOCKET, 7)
        return self

    def settimeout(self, seconds):
        assert 0 < seconds <= 7

    def sendall(self, content):
        self.requests.append(json.loads(content))

    def recv(self, size):
        reply = self.replies.pop(0)
        return reply if isinstance(reply, bytes) else json.dumps({"id": 1, **reply}).encode()

    def close(self):
        self.closed += 1


def result(*answers):
    return {"result": list(answers), "error": None}


def serving(root):
    (root / "run/openvswitch").mkdir(parents=True)
    (root / "run/openvswitch/db.sock").touch()


def with_file(root):
    (root / "etc/openvswitch").mkdir(parents=True)
    (root / "etc/openvswitch/conf.db").touch()
    return ["ovsdb-tool", "query", FILES[0]]


def test_one_request_reads_everything(tmp_path):
    serving(tmp_path)
    node = Node(tmp_path, result(*EMPTY))
    assert Ovsdb(node, timeout=7).read() == Database({}, {})
    assert node.requests == [{"method": "transact", "params": ["Open_vSwitch", *selection()], "id": 1}]
    assert node.closed == 1


def test_a_file_of_old_without_a_program_to_read_it_is_no_database(tmp_path):
    node = Node(tmp_path, commands=[(with_file(tmp_path), Completed(127, "", "ovsdb-tool: not found"))])
    assert Ovsdb(node, timeout=7).read() == Database({}, {})


def test_a_switch_whose_tools_are_not_found_is_not_taken_for_an_empty_one(tmp_path):
    node = Node(tmp_path, commands=[(with_file(tmp_path), Completed(127, "", "ovsdb-tool: not found"))])
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/ovs-vswitchd").touch()
    with pytest.raises(FastpathError, match="cannot read /etc/openvswitch/conf.db: ovsdb-tool: not found"):
        Ovsdb(node, timeout=7).read()


def test_without_a_server_the_file_is_read(tmp_path):
    node = Node(tmp_path, commands=[(with_file(tmp_path), json.dumps(EMPTY))])
    assert Ovsdb(node, timeout=7).read() == Database({}, {})
    assert node.commands == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("what", "/etc/openvswitch/conf.db was read as no JSON: 'what'"),
        (Completed(1, "", "ovsdb error: I/O error"), "ovsdb-tool cannot read /etc/openvswitch/conf.db: ovsdb error"),
        ('[{"error": "unknown column"}]', r"unknown column \(no details\)"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, answer, said):
    node = Node(tmp_path, commands=[(with_file(tmp_path), answer)])
    with pytest.raises(FastpathError, match=said):
        Ovsdb(node, timeout=7).read()


def test_without_anything_it_is_empty(tmp_path):
    assert Ovsdb(Node(tmp_path)).read() == Database()


def test_a_commit_returns_its_number(tmp_path):
    node = Node(tmp_path, result({"count": 1}, {"rows": [{"next_cfg": 8}]}))
    assert Ovsdb(node, timeout=7).commit([{"op": "comment"}]) == 8
    assert [request["params"] for request in node.requests] == [["Open_vSwitch", {"op": "comment"}]]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"", r"server at /run/openvswitch/db.sock did not answer: it closed the connection"),
        (b"what", "did not answer: no JSON came back: 'what'"),
        (result({}, {"error": "constraint violation", "details": "twice"}, None), r"constraint violation \(twice\)"),
        (result({"error": "unknown column"}), r"nothing was changed in it: unknown column \(no details\)"),
        ({"error": {"error": "unknown database", "details": "none"}, "result": None}, r"unknown database \(none\)"),
        ({"error": "canceled", "result": None}, r"canceled \(no details\)"),
    ],
)
def test_failures(tmp_path, reply, said):
    node = Node(tmp_path, reply)
    with pytest.raises(FastpathError, match=said):
        Ovsdb(node, timeout=7).transact([{"op": "comment"}])
    assert (node.closed, len(node.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"", Unreachable),
        (b"what", Unreachable),
        (result({"error": "timed out", "details": "it does not hold"}, None), Outdated),
        (result({"error": "constraint violation"}), FastpathError),
        ({"error": {"error": "unknown database"}, "result": None}, FastpathError),
    ],
)
def test_kinds_of_failures(tmp_path, reply, kind):
    """Who comes again has to know whether the server is away, or whether somebody else was quicker."""
    with pytest.raises(FastpathError) as raised:
        Ovsdb(Node(tmp_path, reply), timeout=7).transact([{"op": "wait"}])
    assert raised.type is kind


def test_what_there_is_now_never_comes_from_a_file(tmp_path):
    with_file(tmp_path)
    with pytest.raises(Unreachable, match="cannot be reached"):
        Ovsdb(Host(str(tmp_path))).live()
    node = Node(tmp_path, result(*EMPTY))
    assert Ovsdb(node, timeout=7).live() == Database({}, {})


@pytest.mark.parametrize("make", ["nothing", "folder", "file"])
def test_a_socket_that_leads_nowhere(tmp_path, make):
    if make != "nothing":
        serving(tmp_path)
    if make == "folder":
        (tmp_path / "run/openvswitch/db.sock").unlink()
    said = "Connection refused" if make == "file" else "No such file or directory"
    expected = f"server at /run/openvswitch/db.sock cannot be reached: {said}. See systemctl status ovsdb-server"
    with pytest.raises(FastpathError, match=expected):
        Ovsdb(Host(str(tmp_path))).transact([{"op": "comment"}])


def test_a_change_of_any_size_goes_through(tmp_path):
    node = Node(tmp_path, result({}))
    Ovsdb(node, timeout=7).transact([{"op": "comment", "comment": "x" * 140000}])
    assert len(node.requests[0]["params"][1]["comment"]) == 140000


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([result({})], True),
        ([result({"error": "timed out"}), result({"rows": [{"cur_cfg": 4}]})], False),
        ([result({"error": "timed out"}), result({"rows": [{"cur_cfg": 6}]})], True),
    ],
)
def test_whether_a_change_was_taken_over(tmp_path, replies, expected):
    node = Node(tmp_path, *replies)
    assert Ovsdb(node, timeout=7).taken_over(5) is expected
    assert (node.replies, node.closed) == ([], len(replies))


@pytest.mark.parametrize("text", ["Bridge/b/fail_mode", "Interface/p0/options:a:b/c", "Open_vSwitch/./other_config:x"])
def test_cells_are_named_and_read_back(text):
    assert str(Cell.parse(text)) == text
