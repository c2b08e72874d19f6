# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seam to the database: exact commands, and every way in which they fail."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import Cell, Database, selection
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb

EMPTY = json.dumps([{"rows": []} for _table in selection()])


def seam(root, *transcript):
    """A database whose commands are exactly those of the transcript, in order."""
    left = list(transcript)

    def run(argv, timeout, stdin):
        expected, answer = left.pop(0)
        assert list(argv)[:-1] == expected
        return answer if isinstance(answer, Completed) else Completed(0, answer, "")

    found = Ovsdb(Host(str(root), run), timeout=7)
    found.left = left
    return found


def serving(root):
    (root / "run/openvswitch").mkdir(parents=True)
    (root / "run/openvswitch/db.sock").touch()
    return ["ovsdb-client", "--timeout=7", "transact", f"unix:{root}/run/openvswitch/db.sock"]


def test_one_process_reads_everything(tmp_path):
    database = seam(tmp_path, (serving(tmp_path), EMPTY))
    assert database.read() == Database({}, {})
    assert database.left == []


def test_without_a_server_the_file_is_read(tmp_path):
    (tmp_path / "etc/openvswitch").mkdir(parents=True)
    (tmp_path / "etc/openvswitch/conf.db").touch()
    database = seam(tmp_path, (["ovsdb-tool", "query", "/etc/openvswitch/conf.db"], EMPTY))
    assert database.read() == Database({}, {})
    assert database.left == []


def test_without_anything_it_is_empty(tmp_path):
    assert seam(tmp_path).read() == Database()


def test_a_commit_returns_its_number(tmp_path):
    answer = json.dumps([{"count": 1}, {"rows": [{"next_cfg": 8}]}])
    assert seam(tmp_path, (serving(tmp_path), answer)).commit([]) == 8


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Completed(1, "", "failed to connect"), "did not answer: failed to connect"),
        ("what", "answered no JSON: 'what'"),
        ('[{}, {"error": "constraint violation", "details": "twice"}, null]', "constraint violation \\(twice\\)"),
        ('[{"error": "unknown column"}]', "unknown column \\(no details\\)"),
    ],
)
def test_failures(tmp_path, answer, said):
    with pytest.raises(FastpathError, match=said):
        seam(tmp_path, (serving(tmp_path), answer)).transact([{"op": "comment"}])


def test_what_the_kernel_cannot_pass_is_refused(tmp_path):
    with pytest.raises(FastpathError, match="one transaction can have 131071"):
        seam(tmp_path).transact([{"op": "comment", "comment": "x" * 140000}])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["[{}]"], True),
        (['[{"error": "timed out"}]', '[{"rows": [{"cur_cfg": 4}]}]'], False),
        (['[{"error": "timed out"}]', '[{"rows": [{"cur_cfg": 6}]}]'], True),
    ],
)
def test_whether_a_change_was_taken_over(tmp_path, answers, expected):
    argv = serving(tmp_path)
    database = seam(tmp_path, *((argv, answer) for answer in answers))
    assert database.taken_over(5) is expected
    assert database.left == []


@pytest.mark.parametrize("text", ["Bridge/b/fail_mode", "Interface/p0/options:a:b/c", "Open_vSwitch/./other_config:x"])
def test_cells_are_named_and_read_back(text):
    assert str(Cell.parse(text)) == text
