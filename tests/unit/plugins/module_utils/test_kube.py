# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door to the cluster: what is asked, how often, and for how long."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import (
    Answer,
    Ask,
    Kube,
    KubeError,
    NoAnswer,
    connect,
)
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import node, pod
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster


class Server:
    """Answers in turn; time goes by only when somebody sleeps."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Ask] = []
        self.now = 0.0

    def request(self, ask: Ask) -> Answer:
        self.asked.append(ask)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def kube(self, patience: float = 10) -> Kube:
        return Kube(self.request, patience, lambda: self.now, self.sleep)


def test_objects_and_lists():
    cluster = FakeCluster(node("node1"), node("node2"), pod("a"), pod("b", on="node2"))
    kube = cluster.kube()
    assert kube.get("/api/v1/nodes/node1")["metadata"]["name"] == "node1"
    assert kube.get("/api/v1/nodes/node9") is None
    assert [item["metadata"]["name"] for item in kube.items("/api/v1/nodes")] == ["node1", "node2"]
    found = kube.items("/api/v1/pods", fields="spec.nodeName=node2")
    assert [item["metadata"]["name"] for item in found] == ["b"]
    assert kube.items("/apis/k8s.cni.cncf.io/v1/network-attachment-definitions") is None


def test_a_selector_is_part_of_the_question():
    server = Server(Answer(200, {"items": None}))
    assert server.kube().items("/api/v1/pods", "a=b,c=d", "spec.nodeName=n") == []
    assert server.asked == [
        Ask("GET", "/api/v1/pods", {"labelSelector": "a=b,c=d", "fieldSelector": "spec.nodeName=n"})
    ]


def test_a_patch_says_whose_it_is():
    server = Server(Answer(200, {"metadata": {}}))
    server.kube().merge_patch("/api/v1/nodes/n", {"spec": {"unschedulable": True}})
    (ask,) = server.asked
    assert (ask.method, ask.query, ask.content_type) == (
        "PATCH",
        {"fieldManager": "nfv.fastpath"},
        "application/merge-patch+json",
    )


def test_only_the_very_object_is_deleted():
    cluster = FakeCluster(pod("a"))
    kube = cluster.kube()
    assert not kube.delete("/api/v1/namespaces/apps/pods/a", uid="another")
    assert kube.delete("/api/v1/namespaces/apps/pods/a", uid=cluster.find("Pod", "a", "apps")["metadata"]["uid"])
    assert not kube.delete("/api/v1/namespaces/apps/pods/b")


def test_a_server_that_comes_back():
    server = Server(
        NoAnswer("refused"), Answer(503, "starting"), Answer(429, {"message": "slow"}), Answer(200, {"a": 1})
    )
    assert server.kube().get("/api/v1/nodes/n") == {"a": 1}
    assert server.now == 6


def test_a_server_that_stays_away():
    server = Server(NoAnswer("connection refused"))
    with pytest.raises(KubeError) as failed:
        server.kube(patience=60).get("/api/v1/nodes/n")
    assert failed.value.message == ("The API server did not answer GET /api/v1/nodes/n for 60 s: connection refused")
    assert server.now == 60


def test_a_refusal_is_not_asked_for_twice():
    server = Server(Answer(403, {"message": "nodes is forbidden"}))
    with pytest.raises(KubeError) as failed:
        server.kube().items("/api/v1/nodes")
    assert (failed.value.status, len(server.asked)) == (403, 1)
    assert failed.value.message == "GET /api/v1/nodes: 403 nodes is forbidden"


def test_waiting():
    server = Server(Answer(200, {}))
    left = iter([["a", "b"], ["b"], []])
    assert server.kube().wait(lambda: next(left), 60) == []
    assert server.now == 4
    assert server.kube().wait(lambda: ["b"], 5) == ["b"]
    assert server.now == 10


@pytest.fixture
def real_server() -> Iterator[tuple[str, list[Any]]]:
    """A server on the loopback interface that notes what it is asked."""
    seen: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization"), self.headers.get("User-Agent")))
            body = b'{"items": []}' if "list" in self.path else b"not json"
            self.send_response(200 if "list" in self.path else 404)
            self.end_headers()
            self.wfile.write(body)

        def do_PATCH(self) -> None:
            length = int(self.headers["Content-Length"])
            seen.append((self.path, json.loads(self.rfile.read(length)), self.headers["Content-Type"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_words: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def kubeconfig(folder: Any, server: str) -> str:
    path = folder / "config"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return str(path)


def test_the_real_door(tmp_path, real_server):
    url, seen = real_server
    request = connect(kubeconfig(tmp_path, url), "x")
    kube = Kube(request)
    assert kube.items("/list", "a=b") == []
    assert kube.get("/none") is None
    kube.merge_patch("/one", {"spec": {"a": None}})
    assert seen == [
        ("/list?labelSelector=a%3Db", "Bearer secret", "nfv.fastpath"),
        ("/none", "Bearer secret", "nfv.fastpath"),
        ("/one?fieldManager=nfv.fastpath", {"spec": {"a": None}}, "application/merge-patch+json"),
    ]


def test_nobody_behind_the_real_door(tmp_path):
    kube = Kube(connect(kubeconfig(tmp_path, "http://127.0.0.1:9")), patience=0)
    with pytest.raises(KubeError, match="did not answer GET /x"):
        kube.get("/x")


def test_no_such_kubeconfig(tmp_path):
    with pytest.raises(FastpathError, match="fastpath_kubeconfig = "):
        connect(str(tmp_path / "none"))
    with pytest.raises(FastpathError, match="fastpath_kubeconfig = "):
        connect(kubeconfig(tmp_path, "http://127.0.0.1:9"), "no such context")
