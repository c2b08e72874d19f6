# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Events on pods: what they say, and that nobody waits for them."""

from __future__ import annotations

import http.client
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import wait_for
from fastpath_agent import events
from fastpath_agent.events import PodEvents, Rejected, event, to_api
from fastpath_agent.kube_api import Server
from fastpath_agent.model import PodOwner, SocketLease

POD = PodOwner("c" * 64, "net1", "apps", "one", "uid-1")
LEASE = SocketLease("0000:02:00.3", "vdpa", "/p", "vdpa-0", POD, "client")


def test_a_socket_that_was_lost():
    found = event(LEASE, "it was killed", "node1", 0)
    assert (found["type"], found["reason"]) == ("Warning", "SocketLost")
    assert found["message"] == "net1 lost its socket on device 0000:02:00.3: it was killed"
    assert found["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "apps",
        "name": "one",
        "uid": "uid-1",
    }
    assert found["metadata"]["namespace"] == "apps"
    assert found["firstTimestamp"] == "1970-01-01T00:00:00Z"
    assert found["source"] == {"component": "fastpath-agent", "host": "node1"}


def test_a_socket_that_is_back():
    found = event(replace(LEASE, owner=replace(POD, uid="")), "", "node1", 0)
    assert (found["type"], found["reason"]) == ("Normal", "SocketBack")
    assert "uid" not in found["involvedObject"]


def test_a_message_is_no_longer_than_the_api_takes():
    assert len(event(LEASE, "x" * 5000, "n", 0)["message"]) <= 1024


def test_nobody_waits_for_the_api():
    posted, held = [], threading.Event()

    def post(namespace, body):
        held.wait(10)
        posted.append((namespace, body["reason"]))

    told = PodEvents(post, "node1")
    told.start()
    told.tell(LEASE, "gone")
    told.tell(LEASE, "")
    assert posted == []
    held.set()
    wait_for(lambda: posted == [("apps", "SocketLost"), ("apps", "SocketBack")], "the events")
    told.stop()
    assert not told.is_alive()


def test_an_api_that_refuses_is_no_reason_to_stop(caplog):
    posted = []

    def post(namespace, body):
        posted.append(body["reason"])
        if len(posted) == 1:
            raise Rejected("the API answered 403 Forbidden")

    told = PodEvents(post, "node1")
    told.start()
    told.tell(LEASE, "gone")
    told.tell(LEASE, "")
    wait_for(lambda: len(posted) == 2, "both")
    told.stop()
    assert "403 Forbidden" in caplog.text


def test_an_api_that_is_away_is_told_when_it_is_back(monkeypatch):
    monkeypatch.setattr(events, "FIRST_PAUSE", 0.01)
    tries, posted = [], []

    def post(namespace, body):
        tries.append(body["reason"])
        if len(tries) <= 3:
            raise OSError("connection refused")
        posted.append(body["reason"])

    told = PodEvents(post, "node1")
    told.start()
    told.tell(LEASE, "gone")
    told.tell(LEASE, "")
    wait_for(lambda: posted == ["SocketLost", "SocketBack"], "both")
    told.stop()


def test_the_end_does_not_wait_for_an_api_that_is_away():
    def post(namespace, body):
        raise OSError("connection refused")

    told = PodEvents(post, "node1")
    told.start()
    told.tell(LEASE, "gone")
    told.stop()
    assert not told.is_alive()


def test_what_nobody_foresaw_keeps_no_other_event(caplog):
    posted = []

    def post(namespace, body):
        posted.append(body["reason"])
        raise ValueError("Invalid header value")

    told = PodEvents(post, "node1")
    told.start()
    told.tell(LEASE, "gone")
    told.tell(LEASE, "")
    wait_for(lambda: len(posted) == 2, "both")
    told.stop()
    assert "Invalid header value" in caplog.text


@pytest.mark.parametrize(
    ("status", "raised"), [(201, None), (403, Rejected), (404, Rejected), (429, OSError), (503, OSError)]
)
def test_what_the_api_answers(status, raised, tmp_path):
    (tmp_path / "token").write_text("t")
    answer = SimpleNamespace(status=status, reason="said", read=lambda: b"")
    connection = SimpleNamespace(request=lambda *_arguments: None, getresponse=lambda: answer, close=lambda: None)
    post = to_api(Server("127.0.0.1", 1, str(tmp_path)), lambda server, timeout: connection)
    if raised is None:
        post("apps", {})
    else:
        with pytest.raises(raised, match=str(status)):
            post("apps", {})


def test_too_many_are_left_out(monkeypatch, caplog):
    monkeypatch.setattr(events, "MAX_WAITING", 2)
    told = PodEvents(lambda namespace, body: None, "node1")
    for _number in range(5):
        told.tell(LEASE, "gone")
    assert caplog.text.count("is left out") == 3


def test_a_pod_that_nobody_named_gets_none():
    posted = []
    told = PodEvents(lambda namespace, body: posted.append(body), "node1")
    told.tell(replace(LEASE, owner=PodOwner("c", "net1")), "gone")
    told.start()
    told.stop()
    assert posted == []


@pytest.mark.parametrize(
    "environment",
    [{}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {"KUBERNETES_SERVICE_HOST": "a", "KUBERNETES_SERVICE_PORT": "x"}],
)
def test_outside_of_a_cluster(environment, tmp_path):
    assert Server.in_cluster(environment, str(tmp_path)) is None


def test_an_api_that_is_away(tmp_path):
    (tmp_path / "token").write_text("t")
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    server = Server.in_cluster(environment, str(tmp_path))
    assert server is not None
    post = to_api(server, lambda where, timeout: http.client.HTTPConnection(where.host, where.port, timeout=timeout))
    with pytest.raises(OSError):
        post("apps", {})
