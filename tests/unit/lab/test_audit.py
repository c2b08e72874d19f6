# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counting writes by the API server's log."""

from __future__ import annotations

import json

import pytest
from fastpath_lab import audit
from fastpath_lab.audit import Write


def event(verb="create", user="kubernetes-admin", uri="/api/v1/namespaces", code=201, stage="ResponseComplete"):
    return {
        "stage": stage,
        "verb": verb,
        "user": {"username": user},
        "requestURI": uri,
        "responseStatus": {"code": code},
    }


def log_of(folder, *events, tail=""):
    path = folder / "audit.log"
    path.write_text("".join(json.dumps(one) + "\n" for one in events) + tail)
    return path


def test_writes_in_order(tmp_path):
    log = log_of(tmp_path, event(), event("delete", uri="/api/v1/namespaces/x", code=200))
    assert list(audit.writes(log)) == [
        Write("kubernetes-admin", "create", "/api/v1/namespaces", 201),
        Write("kubernetes-admin", "delete", "/api/v1/namespaces/x", 200),
    ]


@pytest.mark.parametrize(
    "left_out",
    [
        event(code=409),
        event(stage="Panic"),
        event("patch", uri="/api/v1/nodes/n?fieldManager=x&dryRun=All", code=200),
    ],
)
def test_what_wrote_nothing(tmp_path, left_out):
    assert list(audit.writes(log_of(tmp_path, left_out))) == []


def test_of_one_user(tmp_path):
    log = log_of(tmp_path, event(user="system:node:node1"), event())
    assert [one.user for one in audit.writes(log, user="kubernetes-admin")] == ["kubernetes-admin"]


def test_since_a_position(tmp_path):
    log = log_of(tmp_path, event())
    before = audit.position(log)
    assert list(audit.writes(log, before)) == []
    with log.open("a") as handle:
        handle.write(json.dumps(event("patch", code=200)) + "\n")
    assert [one.verb for one in audit.writes(log, before)] == ["patch"]


def test_half_a_line_is_left_for_later(tmp_path):
    assert len(list(audit.writes(log_of(tmp_path, event(), tail='{"stage": "Resp')))) == 1


def test_no_log_yet(tmp_path):
    assert audit.position(tmp_path / "audit.log") == 0
